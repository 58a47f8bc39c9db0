"""Labels that exclude each other are suspected as classes are: another one takes the place of a wrong one."""

import json
from dataclasses import replace

import numpy as np

from stages.evaluation import label_errors
from stages.tasks.multilabel import Multilabel
from tests.evaluation.feature_tables import table

COLOURS = np.array(["blue", "green", "red"])


def test_a_wrong_one_is_to_be_replaced_and_is_one_suspect() -> None:
    generator = np.random.default_rng(0)
    y, spotted = generator.integers(3, size=240), generator.random(240) < 0.4
    X = np.column_stack([np.eye(3)[y] * 4, spotted * 4.0]) + generator.normal(size=(240, 4)) / 4
    given = y.copy()
    given[[3, 50]] = (given[[3, 50]] + 1) % 3
    names = [sorted([COLOURS[colour], *["spotted"] * int(has)]) for colour, has in zip(given, spotted, strict=True)]
    train = table(X.astype(np.float32), [json.dumps(row) for row in names])
    train = replace(train, metadata=train.metadata.model_copy(update={"task": "multilabel"}))
    suspects = label_errors.find_in_training(train, 1.0)
    assert sorted(suspects["row"]) == [3, 50]
    task = Multilabel(("blue", "green", "red", "spotted"), (0.5,) * 4, (("blue", "green", "red"),))
    corrected = label_errors.table({"train": suspects}, {"train": train}, task)
    for row in corrected.itertuples():
        number = int(np.flatnonzero(train.ids == row.id)[0])
        assert json.loads(row.suggested) == sorted([COLOURS[y[number]], *["spotted"] * int(spotted[number])])
