"""Prepare's blocks of texts hold the rows that predict reads one by one."""

import json
from pathlib import Path

import pandas as pd
import pytest

from stages.sources import table_files
from stages.sources.row import Columns, Reading

VALUES = {
    "text": ["one", "", "  ", 'a "quoted"\ntext', "ümläut", " spaced ", "nul \0", "last"],
    "label": ["a", " b ", "", "a", "c\0", "b", "a", "b"],
    "group": ["g", "", "h", "g", "g", "x\0", " ", "h"],
    "split": ["train", "Test", "dev", "odd", "", "train", "test", "train"],
}
COLUMNS = [
    Columns("text", "label"),
    Columns("text"),
    Columns("text", "label", "group", "group", "split"),
    Columns(("text", "group"), "label"),
]


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_blocks_hold_the_rows_of_a_table(tmp_path: Path, suffix: str, columns: Columns) -> None:
    path = tmp_path / f"rows.{suffix}"
    frame = pd.DataFrame(VALUES)
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        odd = [{"text": "\ud800", "label": "a"}, {"text": ["x"], "label": 1}, {"text": 1.0, "label": {"a": 1}}]
        rows = [*frame.to_dict("records"), *({**frame.iloc[0].to_dict(), **row} for row in odd)]
        path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    else:
        frame.replace("", None).to_parquet(path)
    blocks = [*table_files.text_blocks(path, columns, Reading())]
    rows = [*table_files.rows(path, columns, "text", Reading())]
    assert [block.row(place) for block in blocks for place in range(len(block.lines))] == rows
    assert {bool(row.problem) for row in rows} == {True, False}


def test_a_labelled_row_of_an_unlabelled_file_has_a_problem(tmp_path: Path) -> None:
    for name, labels in {"train": "ab", "unlabelled": ["", "a"]}.items():
        pd.DataFrame({"text": ["x", "y"], "label": list(labels)}).to_csv(tmp_path / f"{name}.csv", index=False)
    blocks = table_files.text_blocks(tmp_path, Columns("text", "label"), Reading())
    problems = {block.file: block.problems for block in blocks}
    assert problems["train.csv"] == {} and list(problems["unlabelled.csv"]) == [1]


def test_quoted_records_may_end_in_the_next_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.sources.quoting.BLOCK_LINES", 3)
    texts = ["plain", "a\nb\nc\nd", "e", "f\n\ng", "plain", "plain", "h"]
    path = tmp_path / "rows.csv"
    pd.DataFrame({"text": texts, "label": list("ababcab")}).to_csv(path, index=False)
    path.write_text(path.read_text("utf-8").replace("e,a", "\n\n\n\ne,a"), "utf-8")
    blocks = [*table_files.text_blocks(path, Columns("text", "label"), Reading())]
    assert len(blocks) > 1 and [text for block in blocks for text in block.texts] == texts
    assert [line for block in blocks for line in block.lines] == [2, 3, 11, 12, 15, 16, 17]
