"""Verbs that do not work for every task say so, and the table of vectors hands the task on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import HeadstartError
from stages.common.params import (
    BackboneParams,
    BudgetParams,
    ExtractSection,
    RuntimeParams,
    TrainHeadParams,
)
from stages.extract import extract
from stages.heads import training
from stages.label import label
from stages.prepare import prepare
from stages.suggest import suggest
from stages.tables import features
from tests.projects import ROOT
from tests.tables_of_text import settings

TFIDF = BackboneParams(family="tfidf", name="word")
LABELS = [["bug"], ["bug", "billing"], [], None]


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
    """Prepared rows of several labels, and their vectors."""
    folder = tmp_path_factory.mktemp("data")
    lines = [json.dumps({"text": f"word{n % 7} other{n}", "label": LABELS[n % 4]}) for n in range(80)]
    (folder / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    prepare(folder / "prepared", settings(folder / "rows.jsonl"))
    make_features(folder)
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
    "learning from unlabelled rows": lambda data: training.unlabelled_rows(
        data / "features", TrainHeadParams(unlabelled="propagate")
    ),
}


@pytest.mark.parametrize("doing", VERBS)
def test_others_are_refused(data: Path, doing: str) -> None:
    with pytest.raises(HeadstartError) as error:
        VERBS[doing](data)
    words = f"{doing} works for the task single only, but prepare.task of these rows is multilabel; "
    assert str(error.value).startswith(words)


def test_rows_to_label_are_not_suggested_for_numbers(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"word{n % 7} other{n}", "label": n if n % 2 else None}) for n in range(80)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    numbers = settings(tmp_path / "rows.jsonl", task="regression")
    prepare(tmp_path / "prepared", numbers)
    make_features(tmp_path)
    words = (
        "single and multilabel only, but prepare.task of these rows is regression; label rows that you draw at random"
    )
    with pytest.raises(HeadstartError, match=words):
        suggest(
            head_folder=tmp_path / "head",
            target=tmp_path / "next.csv",
            rows=5,
            prepared_folder=tmp_path / "prepared",
            features_folder=tmp_path / "features",
            settings=numbers,
        )
