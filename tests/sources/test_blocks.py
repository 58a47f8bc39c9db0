"""Prepare's blocks of texts hold the rows that predict reads one by one."""

import csv
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
    monkeypatch.setattr("stages.sources.dividing.BLOCK_LINES", 3)
    texts = ["plain", "a\nb\nc\nd", "e", "f\n\ng", "plain", "plain", "h"]
    path = tmp_path / "rows.csv"
    pd.DataFrame({"text": texts, "label": list("ababcab")}).to_csv(path, index=False)
    path.write_text(path.read_text("utf-8").replace("e,a", "\n\n\n\ne,a"), "utf-8")
    blocks = [*table_files.text_blocks(path, Columns("text", "label"), Reading())]
    assert len(blocks) > 1 and [text for block in blocks for text in block.texts] == texts
    assert [line for block in blocks for line in block.lines] == [2, 3, 11, 12, 15, 16, 17]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("odd", ["", "\x0b\x0c\x1c\x85\u2028", "nul \0", "  ", "\n", ", "])
def test_lines_without_quotes_are_divided_as_the_csv_module_does(tmp_path: Path, end: str, odd: str) -> None:
    path, lines = tmp_path / "rows.csv", ["text,label", *(f"text {n}{odd},{'ab'[n % 2]}" for n in range(9))]
    if odd in ("\n", ", "):  # a blank line; a header with a space behind its comma, which rows may lack
        lines = [line.removesuffix(odd).replace(f"{odd},", ",") for line in lines]
        lines = [*lines[:5], "", *lines[5:]] if odd == "\n" else [lines[0].replace(",", odd), *lines[1:]]
    path.write_text(end.join(lines), "utf-8", newline="")
    (rows,) = table_files.text_blocks(path, Columns("text", "label"), Reading())
    with path.open(encoding="utf-8", newline="") as file:
        expected = [row for row in csv.reader(file, skipinitialspace=odd == ", ") if row][1:]
    assert [[text, label] for text, label in zip(rows.texts, rows.labels, strict=True)] == expected
