"""Verbs that work for rows of one class each say so for others, and the table of vectors hands the task on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import HeadstartError
from stages.common.params import (
    BackboneParams,
    BudgetParams,
    ExtractParams,
    ExtractSection,
    RuntimeParams,
    TrainHeadParams,
)
from stages.extract import extract
from stages.heads import model_card, training
from stages.label import label
from stages.prepare import prepare
from stages.suggest import suggest
from stages.tables import features
from tests.projects import ROOT
from tests.tables_of_text import settings

TFIDF = BackboneParams(family="tfidf", name="word")
LABELS = [["bug"], ["bug", "billing"], [], None]
CARD = model_card.ModelCard(
    method="head",
    labels=("billing", "bug"),
    task="multilabel",
    input="text",
    modality="text",
    max_side=None,
    backbone=TFIDF,
    extract=ExtractParams(),
    fingerprint="",
    temperature=1.0,
    validation_temperature=1.0,
    chosen={},
    training={},
    versions={},
)


def make_features(folder: Path) -> None:
    extract(
        prepared_folder=folder / "prepared",
        target=folder / "features",
        spec=TFIDF,
        settings=ExtractSection(),
        runtime=RuntimeParams(row_cache=False),
        learn_from_unlabelled=True,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared rows of several labels, their vectors, and a head that is only a card."""
    folder = tmp_path_factory.mktemp("data")
    lines = [json.dumps({"text": f"word{n % 7} other{n}", "label": LABELS[n % 4]}) for n in range(80)]
    (folder / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    prepare(folder / "prepared", settings(folder / "rows.jsonl"))
    make_features(folder)
    (folder / "head").mkdir()
    model_card.write(folder / "head", CARD)
    return folder


def test_the_table_of_vectors_has_the_task(data: Path) -> None:
    assert features.read_metadata(data / "features/train").task == "multilabel"
    train = features.read(data / "features", "train", BudgetParams(per_class=2))
    assert set(train.labels) == {'["bug"]', '["billing", "bug"]', "[]"} and len(train.ids) <= 6


VERBS: dict[str, Callable[[Path], Any]] = {
    "the page for labels": lambda data: label(
        params_file=ROOT / "params.yaml",
        port=0,
        opens_browser=False,
        prepared_folder=data / "prepared",
        features_folder=data / "features",
    ),
    "suggesting rows": lambda data: suggest(
        head_folder=data / "head",
        target=data / "next.csv",
        rows=5,
        prepared_folder=data / "prepared",
        features_folder=data / "features",
        settings=settings(data / "rows.jsonl"),
    ),
    "learning from unlabelled rows": lambda data: training.unlabelled_rows(
        data / "features", TrainHeadParams(unlabelled="propagate")
    ),
}


@pytest.mark.parametrize("doing", VERBS)
def test_others_are_refused(data: Path, doing: str) -> None:
    with pytest.raises(HeadstartError) as error:
        VERBS[doing](data)
    tasks = "single and ordinal and regression" if doing == "exporting" else "single"
    words = f"{doing} works for the task {tasks} only, but prepare.task of these rows is multilabel; "
    assert str(error.value).startswith(words)
