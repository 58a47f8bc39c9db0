"""suggest where rows have several labels."""

import csv
import json
import shutil
from pathlib import Path

import pandas as pd
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
from stages.prepare import prepare
from stages.suggest import suggest
from stages.tables import prepared
from stages.train_head import train_head
from tests.tables_of_text import settings

WORDS = {"bug": "crash", "billing": "invoice", "praise": "great"}
SETS = [["bug"], ["billing"], ["bug", "billing"], ["praise"], []]


def text(labels: list[str], number: int) -> str:
    return " ".join([*(WORDS[label] for label in labels), f"word{number % 9}", f"other{number % 13}"])


def learn(folder: Path, rows: list[dict[str, object]]) -> None:
    """Prepare rows, make their vectors, and fit a head."""
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    prepare(folder / "prepared", settings(folder / "rows.jsonl"))
    extract(
        prepared_folder=folder / "prepared",
        target=folder / "features",
        spec=BackboneParams(family="tfidf", name="word"),
        settings=ExtractSection(),
        runtime=RuntimeParams(row_cache=False),
        learn_from_unlabelled=False,
    )
    train_head(
        features_folder=folder / "features",
        target=folder / "head",
        budget=BudgetParams(),
        settings=TrainHeadParams(C=(10,)),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 rows with labels, of which a seventh are wrong, so that the head is not sure; and 120 without."""
    folder = tmp_path_factory.mktemp("data")
    given = [SETS[(n + (n % 7 == 0)) % 5] if n < 120 else None for n in range(240)]
    learn(folder, [{"text": text(SETS[n % 5], n), "label": labels} for n, labels in enumerate(given)])
    return folder


def suggest_rows(data: Path, name: str, *, rows: int = 10, head: str = "head") -> Path:
    suggest(
        head_folder=data / head,
        target=data / name,
        rows=rows,
        prepared_folder=data / "prepared",
        features_folder=data / "features",
        settings=settings(data / "rows.jsonl"),
    )
    return data / name


def test_guesses_are_lists_with_how_sure_they_are(data: Path) -> None:
    with suggest_rows(data, "next.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 and {row["label"] for row in rows} == {""}
    for row in rows:
        given = json.loads(row["predicted"])
        assert given == sorted(given) and {*given} <= {*WORDS}
        assert 0 <= float(row["margin"]) <= 1 and 0 <= float(row["confidence"]) <= 1
        guess, _, typical = row["reason"].partition("; ")
        assert typical.startswith("stands for ") and guess.startswith("no label") == (not given)
        assert all(f"{label} (" in guess.partition("maybe")[0] for label in given)


def test_rows_with_undecided_labels_come_first(data: Path) -> None:
    rows = pd.read_json(suggest_rows(data, "all.jsonl", rows=200), lines=True)
    assert len(rows) > 60 and rows["margin"][:20].mean() < rows["margin"][-20:].mean() - 0.05


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_lists_that_were_filled_in_are_never_replaced(data: Path, suffix: str) -> None:
    path = suggest_rows(data, f"filled.{suffix}")
    table = pd.read_json(path, lines=True) if suffix == "jsonl" else pd.read_parquet(path)
    table["label"] = [["bug"], [], *[None] * 8]
    if suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_parquet(path)
    with pytest.raises(HeadstartError, match="holds 2 labels, which would be lost"):
        suggest_rows(data, f"filled.{suffix}")


def test_predictions_that_are_copied_into_the_labels_are_read_by_prepare(data: Path, tmp_path: Path) -> None:
    suggested = pd.read_csv(suggest_rows(data, "copied.csv"))
    suggested[["id", "predicted"]].rename(columns={"predicted": "label"}).assign(name="", split="", time="").to_csv(
        tmp_path / "labels.csv", index=False
    )
    prepare(tmp_path / "prepared", settings(data / "rows.jsonl", labels=str(tmp_path / "labels.csv")))
    train = prepared.identities(tmp_path / "prepared", "train").to_pandas().set_index("id")["label"]
    assert train[suggested["id"]].tolist() == suggested["predicted"].tolist()


def test_a_head_of_another_task_is_refused(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "head", data / "other")
    card = json.loads((data / "head/model.json").read_text("utf-8"))
    del card["task"], card["decisions"]
    (data / "other/model.json").write_text(json.dumps(card), "utf-8")
    with pytest.raises(HeadstartError, match=r"trained for prepare\.task single, but .*features is of multilabel; run"):
        suggest_rows(data, "other.csv", head="other")
    assert not (data / "other.csv").exists()


def test_without_a_head_rows_are_typical(tmp_path: Path, data: Path) -> None:
    rows = [{"text": text(SETS[n % 5], n), "label": ["bug"] if n < 3 else None} for n in range(60)]
    with pytest.raises(HeadstartError, match="a head needs a label that only a part of the rows has"):
        learn(tmp_path, rows)
    rows = pd.read_json(suggest_rows(tmp_path, "next.jsonl"), lines=True)
    assert rows["predicted"].isna().all() and rows["reason"].str.startswith("stands for").all()
