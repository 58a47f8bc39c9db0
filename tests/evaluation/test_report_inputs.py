"""What the page holds of rows: the most important inputs first, up to a number of bytes."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.common.errors import HeadstartError
from stages.evaluation.report import content, inputs
from stages.evaluation.report.embedded import embedded
from stages.tables import prepared, shards

TEXTS = {"train": ["a" * 700, "<" * 10, "c"], "test": ["d", "é"]}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    info = prepared.TableInfo(input="text", modality="text", max_side=None)
    for split, texts in TEXTS.items():
        with prepared.writer(tmp_path / split, info) as writer:
            writer.write(
                pa.table(
                    {
                        "id": [text[0] for text in texts],
                        "text": pa.array(texts, pa.large_string()),
                        "label": ["x"] * len(texts),
                        "group": pa.nulls(len(texts), pa.string()),
                        "slice": pa.nulls(len(texts), pa.string()),
                        "source": [f"rows.csv:{line}" for line in range(len(texts))],
                    }
                )
            )
    return tmp_path


def test_inputs_and_sources_come_in_one_pass(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, passes = shards.read, []
    monkeypatch.setattr(
        shards, "read", lambda folder, *args, **named: [passes.append(folder.name), read(folder, *args, **named)][1]
    )
    rows = inputs.read(table, "text", [("test", "é"), ("train", "a"), ("train", "c"), ("test", "é")])
    assert passes == ["test", "train"]
    assert rows == {
        ("test", "é"): ("é", "rows.csv:1"),
        ("train", "a"): ("a" * 499 + "…", "rows.csv:0"),
        ("train", "c"): ("c", "rows.csv:2"),
    }


def test_the_least_important_inputs_are_left_out(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [("test", "d"), ("train", "<"), ("train", "c"), ("test", "é")]
    monkeypatch.setattr(inputs, "MAX_INPUT_BYTES", len(embedded("d" + "<" * 10)) + 2 + len(embedded("c")))
    rows = inputs.read(table, "text", keys)
    assert [rows[key].input for key in keys] == ["d", "<" * 10, "c", None]
    assert rows[keys[-1]].source == "rows.csv:1", "file and line stay"


def test_a_row_that_the_table_lacks_is_named(table: Path) -> None:
    with pytest.raises(HeadstartError, match=re.escape("train lacks the row z of the feature table; run `dvc repro`")):
        inputs.read(table, "text", [("test", "d"), ("train", "z")])


def test_training_rows_of_the_page_are_the_nearest_and_then_evenly_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    nearest = np.array([[7, 3], [3, 9]])
    assert content._train_rows(10, nearest).tolist() == [3, 7, 9, 0, 1, 2, 4, 5, 6, 8]
    monkeypatch.setattr(content, "MAX_REPORT_TRAIN_ROWS", 5)
    assert content._train_rows(10, nearest).tolist() == [3, 7, 9, 0, 2]
    assert content._train_rows(0, np.zeros((2, 0), int)).tolist() == []
