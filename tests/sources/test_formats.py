"""Spreadsheets, JSON, shards of the hub, and several columns of text."""

import json
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import sources
from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.sources import Columns, Reading, json_files, rows
from stages.tables import prepared
from tests.tables_of_text import settings, split_ids

COLUMNS = Columns("text", "label")
SHEET = [
    [None, None, None],
    ["text", " label ", "note"],
    ["good", 1, None],
    [1917, 2, "a number"],
    [None, None, None],
    [datetime(2024, 5, 1), 1.5, ""],
    ["", 1, None],
    ["no label", None, None],
]
READ = [("good", "1", "3"), ("1917", "2", "4"), ("2024-05-01", "1.5", "6"), ("", "1", "7"), ("no label", None, "8")]


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    """A spreadsheet with these sheets, in the format of its suffix."""
    if path.suffix == ".ods":
        with pd.ExcelWriter(path, engine="odf") as writer:
            for name, cells in sheets.items():
                pd.DataFrame(cells).to_excel(writer, sheet_name=name, header=False, index=False)
        return path
    book = openpyxl.Workbook()
    for name, cells in sheets.items():
        page = book.create_sheet(name)
        for row in cells:
            page.append(row)
    del book["Sheet"]
    book.save(path)
    return path


def read(path: Path, columns: Columns = COLUMNS, reading: Reading | None = None) -> list[tuple[Any, str | None, str]]:
    return [
        (row.content, row.label, row.origin.rpartition(":")[2])
        for row in rows(path, columns, "text", reading or Reading())
    ]


@pytest.mark.parametrize("suffix", ["xlsx", "xlsm", "ods"])
def test_a_sheet_is_a_table(tmp_path: Path, suffix: str) -> None:
    path = workbook(tmp_path / f"rows.{suffix}", Data=SHEET, Notes=[["text", "label"], ["other", "x"]])
    assert read(path) == READ
    assert read(path, reading=Reading(sheet="Notes")) == [("other", "x", "2")]
    assert sources.modality(path, COLUMNS, "auto") == "text"
    with pytest.raises(HeadstartError, match=r"has no sheet notes; it has Data, Notes; .*did you mean Notes\?"):
        read(path, reading=Reading(sheet="notes"))
    with pytest.raises(HeadstartError, match=r"has no column txt; it has text, label, note; did you mean text\?"):
        read(path, Columns("txt"))


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_a_spreadsheet_that_cannot_be_read(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / f"rows.{suffix}", Empty=[[None]])
    with pytest.raises(HeadstartError, match="has an empty sheet; it needs a header and rows"):
        read(path)
    content = path.read_bytes()
    for damaged in (b"", b"PK", content[: len(content) // 2], b"text,label\na,b\n"):
        path.write_bytes(damaged)
        with pytest.raises(HeadstartError, match=r"is not a readable spreadsheet \(.*\); save it again"):
            read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content.xml", b"<")
    with pytest.raises(HeadstartError, match="is not a readable spreadsheet"):
        read(path)
    path.write_bytes(content)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    monkeypatch.setitem(sys.modules, "odf", None)
    with pytest.raises(
        HeadstartError, match=r"needs the package (openpyxl|odfpy); run `pip install -e '\.\[spreadsheets\]'`"
    ):
        read(path)


def test_a_hidden_sheet_is_not_the_first(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows.xlsx", Lists=[["text", "label"], ["x", "hidden"]], Data=SHEET)
    book = openpyxl.load_workbook(path)
    book["Lists"].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    assert read(path) == READ
    assert read(path, reading=Reading(sheet="Lists")) == [("x", "hidden", "2")]


def test_errors_of_formulas_are_empty(tmp_path: Path) -> None:
    path = workbook(tmp_path / "rows.xlsx", Data=[["text", "label"], ["x", "#N/A"], ["y", "#hashtag"]])
    assert [row.label for row in rows(path, COLUMNS, "text")] == [None, "#hashtag"]


def test_a_forgotten_cell_at_the_end_of_a_sheet_takes_no_memory(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for cell, value in {"A1": "text", "B1": "label", "A2": "x", "B2": "a", "XFD1048576": "end"}.items():
        book.active[cell] = value
    book.save(tmp_path / "rows.xlsx")
    assert read(tmp_path / "rows.xlsx")[0] == ("x", "a", "2")


RECORDS = [{"text": "a b", "label": "x"}, {"text": "c", "label": "y", "more": 1}]
JSON = {
    "a list": RECORDS,
    "an object with one list": {"version": 1, "tags": [], "data": RECORDS},
    "an object with two lists": {"classes": [{"id": 1, "name": "x"}], "data": RECORDS},
    "columns": {"text": ["a b", "c"], "label": ["x", "y"]},
    "columns of pandas": {"text": {"0": "a b", "1": "c"}, "label": {"0": "x", "1": "y"}},
    "a split table of pandas": {"columns": ["text", "label"], "index": [0, 1], "data": [["a b", "x"], ["c", "y"]]},
    "rows by their ids": {"r1": RECORDS[0], "r2": RECORDS[1]},
}


@pytest.mark.parametrize("case", JSON)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_of_records(tmp_path: Path, case: str, indent: int | None) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(JSON[case], indent=indent), "utf-8")
    assert read(tmp_path / "rows.json") == [("a b", "x", "1"), ("c", "y", "2")]


@pytest.mark.parametrize("suffix", ["json", "jsonl", "ndjson"])
@pytest.mark.parametrize("count", [1, 2])
def test_json_of_lines(tmp_path: Path, suffix: str, count: int) -> None:
    content = "".join(json.dumps(record) + "\n" for record in RECORDS[:count])
    (tmp_path / f"rows.{suffix}").write_text(content, "utf-8")
    assert read(tmp_path / f"rows.{suffix}") == [("a b", "x", "1"), ("c", "y", "2")][:count]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_row_of_json_may_lack_a_column(tmp_path: Path, suffix: str) -> None:
    records = [{"text": "no label"}, {"label": "x"}, *RECORDS]
    (tmp_path / f"rows.{suffix}").write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    assert read(tmp_path / f"rows.{suffix}") == [
        *(("no label", None, "1"), ("", "x", "2")),
        *(("a b", "x", "3"), ("c", "y", "4")),
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not valid JSON: "),
        ("[]", "is empty; it needs one JSON object a line or a list of objects"),
        ("3", "holds one int; it needs a list of objects"),
        ("[1]", "holds no JSON object in row 1; each must be one object"),
        ('{"a": [{"x": 1}], "b": [{"y": 2}]}', "holds one object with 2 keys; it needs a list of objects"),
        ("[" * 100_000, "is not valid JSON: "),
        ('[{"txt": 1, "label": 2}]', "has no column text; it has txt, label; did you mean txt"),
    ],
)
def test_json_that_is_no_table(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "rows.json").write_text(content, "utf-8")
    with pytest.raises(HeadstartError) as error:
        read(tmp_path / "rows.json")
    assert words in str(error.value)


def test_json_that_the_memory_may_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_WHOLE", 100)
    for count, suffix in ((1, "json"), (9, "jsonl")):
        (tmp_path / f"rows.{suffix}").write_text('{"text": "a", "label": "b"}\n' * count, "utf-8")
        assert len(read(tmp_path / f"rows.{suffix}")) == count
    (tmp_path / "rows.json").write_text('{"text": "a", "label": "b"}\n' * 9, "utf-8")
    with pytest.raises(HeadstartError, match="has more than 100 characters; write one object a line, to"):
        read(tmp_path / "rows.json")


def described(numbers: list[Any], feature: dict[str, Any]) -> pa.Table:
    """A table as the hub's library writes it."""
    table = pa.table({"text": [f"row {n} {numbers}" for n in range(len(numbers))], "label": numbers})
    content = json.dumps({"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, "label": feature}}})
    return table.replace_schema_metadata({"huggingface": content})


CLASSES = {"names": ["negative", "positive"], "_type": "ClassLabel"}


def test_the_hubs_metadata_names_the_classes(tmp_path: Path) -> None:
    pq.write_table(described([1, 0, -1, 7, None], CLASSES), tmp_path / "rows.parquet")
    labels = [(row.label, row.problem) for row in rows(tmp_path / "rows.parquet", COLUMNS, "text")]
    assert labels == [("positive", None), ("negative", None), *[(None, None)] * 3]


@pytest.mark.parametrize("feature", [{"names": "ab", "_type": "ClassLabel"}, {"names": [1], "_type": "ClassLabel"}, {}])
def test_metadata_of_another_form_names_nothing(tmp_path: Path, feature: dict[str, Any]) -> None:
    pq.write_table(described([1, 0], feature), tmp_path / "rows.parquet")
    assert [row.label for row in rows(tmp_path / "rows.parquet", COLUMNS, "text")] == ["1", "0"]


def test_shards_of_the_hub_are_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number, digest in enumerate(["", "", "-0123456789abcdef"]):
        labels = [n % 2 for n in range(40 + number)]
        pq.write_table(described(labels, CLASSES), folder / f"train-{number:05d}-of-00003{digest}.parquet")
    pq.write_table(described([0, 1] * 10, CLASSES), folder / "test-00000-of-00001.parquet")
    (folder / "README.md").write_text("ignored", "utf-8")
    (folder / "~$train.xlsx").write_bytes(b"Excel has it open")
    (folder / "dataset_infos.json").write_text("{}", "utf-8")
    prepare(tmp_path / "out", settings(folder))
    assert "prepare: 1 file or folder is no row and was skipped: dataset_infos.json" in capsys.readouterr().out
    ids = split_ids(tmp_path / "out")
    assert len(ids["train"]) + len(ids["validation"]) == 123 and len(ids["test"]) == 20
    assert set(prepared.read(tmp_path / "out", "train")["label"].to_pylist()) == {"negative", "positive"}
    (folder / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(HeadstartError, match=r"lacks the shard train-00001-of-00003\.parquet; add it"):
        prepare(tmp_path / "out", settings(folder))


def test_a_folder_of_shards_per_split(tmp_path: Path) -> None:
    for split, count in {"train": 2, "test": 1}.items():
        (tmp_path / "data" / split).mkdir(parents=True)
        for number in range(count):
            labels = [n % 2 for n in range(40 + number)]
            pq.write_table(described(labels, CLASSES), tmp_path / f"data/{split}/{number:04d}.parquet")
    read_rows = list(rows(tmp_path / "data", COLUMNS, "text"))
    assert sources.modality(tmp_path / "data", COLUMNS, "auto") == "text"
    assert [(row.origin, row.split) for row in (read_rows[0], read_rows[40], read_rows[-1])] == [
        ("train/0000.parquet:1", "train"),
        ("train/0001.parquet:1", "train"),
        ("test/0000.parquet:40", "test"),
    ]
    (tmp_path / "data/train/README.md").write_text("ignored, as beside tables", "utf-8")
    assert len(list(rows(tmp_path / "data", COLUMNS, "text"))) == len(read_rows)
    with pytest.raises(HeadstartError, match=r"holds no train\{.*\}; set prepare\.data to .*data$"):
        list(rows(tmp_path, COLUMNS, "text"))
    (tmp_path / "data/train.csv").write_text("text,label\nx,a\n", "utf-8")
    with pytest.raises(HeadstartError, match=r"data holds train\.csv beside test, train with tables; move one kind"):
        list(rows(tmp_path / "data", COLUMNS, "text"))


def test_the_folder_of_the_tables_is_named(tmp_path: Path) -> None:
    (tmp_path / "repo/data").mkdir(parents=True)
    pq.write_table(described([0, 1], CLASSES), tmp_path / "repo/data/train-00000-of-00001.parquet")
    with pytest.raises(HeadstartError, match=r"repo holds no train\{.*\}; set prepare\.data to .*repo.data"):
        prepare(tmp_path / "out", settings(tmp_path / "repo"))


def test_two_tables_for_one_split_are_refused(tmp_path: Path) -> None:
    for name in ("train.csv", "train-00000-of-00001.csv"):
        (tmp_path / name).write_text("text,label\nx,a\n", "utf-8")
    with pytest.raises(HeadstartError, match="both hold the train split; keep one of them"):
        list(rows(tmp_path, COLUMNS, "text"))


MAILS = [
    {"subject": f"order {n}", "body": f"text\nof {n}" if n % 5 else "", "label": "ab"[n % 2]} for n in range(100)
] + [{"subject": "", "body": "only a body", "label": "a"}, {"subject": " ", "body": "", "label": "a"}]


def test_columns_of_text_are_joined_below_their_names(tmp_path: Path) -> None:
    path = tmp_path / "mails.json"
    path.write_text(json.dumps(MAILS), "utf-8")
    prepare(tmp_path / "out", settings(path, input=["subject", "body"]))
    assert prepared.read_info(tmp_path / "out").input == ("subject", "body")
    tables = [prepared.read(tmp_path / "out", split).to_pylist() for split in prepared.SPLITS]
    texts = {row["source"]: row["text"] for table in tables for row in table}
    assert texts["mails.json:2"] == "subject: order 1\nbody: text\nof 1"
    assert texts["mails.json:1"] == "subject: order 0" and texts["mails.json:101"] == "body: only a body"
    left_out = pq.read_table(tmp_path / "out/rejected.parquet").to_pylist()
    assert left_out == [{"source": "mails.json:102", "reason": "subject and body are empty"}]
    ids = {row["id"]: row["text"] for table in tables for row in table}
    assert all(prepared.content_id(text) == row_id for row_id, text in ids.items())


def test_only_columns_of_text_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,photo,label\n" + "".join(f"t{n},{n}.png,a\n" for n in range(9)), "utf-8")
    with pytest.raises(HeadstartError, match="photo holds images, but only texts can be joined; name one column"):
        sources.modality(path, Columns(("text", "photo")), "auto")
    with pytest.raises(HeadstartError, match="modality is image, but only texts can be joined; name one column"):
        sources.modality(path, Columns(("text", "photo")), "image")
    with pytest.raises(HeadstartError, match=r"has no column body; it has text, photo, label"):
        list(rows(path, Columns(("text", "body")), "text"))
