"""The file of labels that people give row by row."""

import csv
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from filelock import FileLock

from stages.common import locks
from stages.common.errors import HeadstartError
from stages.tables import labels_file
from stages.tables.labels_file import Label, NewLabel, append, read
from tests.projects import ROOT, git

A, B, C = ("a" * 32, "b" * 32, "c" * 32)
HEADER = "id,name,label,split,time\n"
NUMBER_ID = "12345678901234567890123456789012"
EXPONENT_ID = "1e100000000000000000000000000000"


def file(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def labels(path: Path) -> dict[str, tuple[str, str | None]]:
    return {row_id: (label.label, label.split) for row_id, label in read(path).by_id.items()}


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data/labels.csv"
    assert append(path, [NewLabel(A, "a text", "work", "test"), NewLabel(B, "another", "home")]) is None
    assert append(path, [NewLabel(C, "a/b.png", "Zuhause, \"draußen\"; '=1'", "train")]) is None
    assert read(path).by_id == {
        A: Label("work", "test", 2),
        B: Label("home", None, 3),
        C: Label("Zuhause, \"draußen\"; '=1'", "train", 4),
    }
    assert not read(path).remarks
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["name"] for row in rows] == ["a text", "another", "a/b.png"]
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert all(time.utcoffset() == UTC.utcoffset(None) and not time.microsecond for time in times)
    assert path.read_bytes().count(b"\n") == 4 and b"\r" not in path.read_bytes()


def test_the_last_label_of_a_row_counts_and_is_said(tmp_path: Path) -> None:
    lines = [f"{A},,one,,", f"{B},,one,,", f"{A},,two,,", f"{B},,one,,", f"{C},,one,,", f"{C},,one,test,"]
    path = file(tmp_path, HEADER + "\n".join(lines) + "\n")
    assert labels(path) == {A: ("two", None), B: ("one", None), C: ("one", "test")}
    assert read(path).remarks == [
        f"{path}: 2 rows have several labels, such as {A} in lines 2 and 4; the last one counts"
    ]


def test_a_label_that_was_taken_back_is_none(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    append(path, [NewLabel(A, "", "one"), NewLabel(B, "", "one"), NewLabel(A, "", ""), NewLabel(B, "", "")])
    append(path, [NewLabel(B, "", "two"), NewLabel(C, "", "")])
    assert labels(path) == {B: ("two", None)} and not read(path).remarks


@pytest.mark.parametrize("torn", [A[:9], f"{A},na", f'{A},"na', f"{A},name,lab", f"{A},na\u00e4"])
def test_a_line_that_was_torn_harms_no_other(tmp_path: Path, torn: str) -> None:
    path = file(tmp_path, (HEADER + f"{B},,one,,2026\n{torn}").encode()[: -1 if torn.endswith("\u00e4") else None])
    assert labels(path) == {B: ("one", None)}
    assert read(path).remarks == [f"{path}: line 3 is damaged and left out; label the rows again"]
    assert "the last line had no end" in str(append(path, [NewLabel(C, "", "two")]))
    assert labels(path) == {B: ("one", None), C: ("two", None)}
    assert "line 3 is damaged" in str(read(path).remarks)
    assert append(path, [NewLabel(A, "", "two")]) is None


def test_a_line_that_lacks_its_time_alone_keeps_its_label(tmp_path: Path) -> None:
    assert labels(file(tmp_path, HEADER + f"{B},,one,test,202")) == {B: ("one", "test")}


def test_nul_bytes_of_a_machine_that_stopped_are_a_damaged_line(tmp_path: Path) -> None:
    path = file(tmp_path, HEADER.encode() + f"{B},,one,,\n".encode() + b"\0" * 90)
    assert labels(path) == {B: ("one", None)} and "line 3 is damaged" in str(read(path).remarks)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff", "\ufeff\r\n"])
def test_an_empty_file_holds_no_label(tmp_path: Path, content: str) -> None:
    path = file(tmp_path, content)
    assert labels(path) == {} and labels(file(tmp_path, HEADER)) == {}
    file(tmp_path, content)
    append(path, [NewLabel(A, "", "one")])
    assert labels(path) == {A: ("one", None)}


EXCEL = {
    "semicolons": f"\ufeffid;name;label;split;time\r\n{A};a, b;one;test;26.11.2026 20:55\r\n",
    "tabs": f"id\tname\tlabel\tsplit\ttime\r\n{A}\ta\tone\ttest\t46352,9\r\n",
    "quotes": f'"id","name","label","split","time"\r\n"{A}","a ""b""","one","test",""\r\n',
    "order": f"label,comment,split,id\n one ,x,TEST, {A.upper()} \n",
    "whole lines": f'id,name,label,split,time\r\n"{A},""a; b"",one,test,2026"\r\n',
    "classic Mac": f"id,name,label,split,time\r{A},a,one,test,2026\r",
    "joined files": f"{HEADER}{B},,one,,\n\ufeff{HEADER}{A},,one,test,\n{B},,,,\n",
    "empty lines": f"\n{HEADER}\n{A},,one,test,\n,,,,\n;;;;\n",
}


@pytest.mark.parametrize("name", EXCEL)
def test_a_file_that_a_spreadsheet_saved_is_read_and_appended_to(tmp_path: Path, name: str) -> None:
    path = file(tmp_path, EXCEL[name])
    assert labels(path) == {A: ("one", "test")}
    assert append(path, [NewLabel(B, "x", "two; 2,5", "train")]) is None
    assert labels(path) == {A: ("one", "test"), B: ("two; 2,5", "train")} and not read(path).remarks
    assert path.read_bytes().startswith(EXCEL[name].encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (HEADER + f"{A},,one,tset,", "the split in line 2 is 'tset'; it must be train, validation, test or empty"),
        (HEADER + f"{A},a, b,one,,", "has 6 fields in line 2, but its header has 5; quote fields"),
        (HEADER + "1.23457E+31,,one,,", "the id in line 2 is '1.23457E+31', a number that a spreadsheet made of it"),
        ("id;label;split\n1,23457E+31;one;", "the id in line 2 is '1,23457E+31', a number"),
        (f"id,name,lable,split,time\n{A},,one,,", "has no column label in line 1; it has id, name, lable, split, time"),
        ("id,name,lable,split,time\n", "did you mean lable?"),
        (f"{A},,one,,\n", "has no column id in line 1; it has aaaa"),
        ("id,label,label,split\n", "has two columns named label; rename one"),
        ("id,label,split\n,,\n".encode("utf-16"), "is not UTF-8 in line 1; save it as UTF-8"),
        (HEADER.encode() + f"{A},,gr\u00fcn,,".encode("cp1252"), "is not UTF-8 in line 2; save it as UTF-8"),
    ],
)
def test_what_is_not_clear_is_refused_in_one_sentence(tmp_path: Path, content: str | bytes, words: str) -> None:
    path = file(tmp_path, content)
    with pytest.raises(HeadstartError) as error:
        read(path)
    assert str(error.value).startswith(str(path)) and words in str(error.value)


def test_ids_that_look_like_numbers_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    append(path, [NewLabel(row_id, "", "one") for row_id in (NUMBER_ID, EXPONENT_ID)])
    assert set(labels(path)) == {NUMBER_ID, EXPONENT_ID}


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(
        HeadstartError, match=r"labels.csv does not exist; restore it with `git checkout .*, id,name,label,split,time"
    ):
        read(tmp_path / "labels.csv")
    (tmp_path / "labels.csv").mkdir()
    for use in (read, lambda path: append(path, [NewLabel(A, "", "one")])):
        with pytest.raises(HeadstartError, match="is a folder; name the file of labels"):
            use(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1 -1 @x", "'+1 -1 @x"),
        ("\t=1", "'=1"),
        ("\n@SUM(1)\r\n-2", "'@SUM(1) -2"),
        ('a;=1, "-2', "a;'=1, \"'-2"),
        ("\uff1d1", "'\uff1d1"),
        ("well-known, a = b", "well-known, a = b"),
        ("two\nlines\x1b[31m", "two lines\\x1b[31m"),
        ("x" * 500, "x" * 199 + "…"),
        ("a\ud800", "a\\ud800"),
    ],
)
def test_names_are_one_short_line_and_no_formula(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / "labels.csv"
    append(path, [NewLabel(A, text, "=label")])
    with path.open(newline="", encoding="utf-8") as lines:
        (row,) = csv.DictReader(lines)
    assert row["name"] == name and row["label"] == "=label"
    assert labels(path) == {A: ("=label", None)}


@pytest.mark.parametrize(
    "row",
    [
        NewLabel("A" * 32, "", "one"),
        NewLabel("../x", "", "one"),
        NewLabel(A, "", "one", "tset"),
        NewLabel(A, "", "o\nne"),
        NewLabel(A, "", "o\rne"),
        NewLabel(A, "", "o\0ne"),
        NewLabel(A, "", " one"),
        NewLabel(A, "", "\ud800"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_written(tmp_path: Path, row: NewLabel) -> None:
    path = file(tmp_path, HEADER)
    with pytest.raises(HeadstartError):
        append(path, [NewLabel(B, "", "one"), row])
    assert path.read_text("utf-8") == HEADER


def test_a_file_that_another_program_holds_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, HEADER)

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(HeadstartError, match=r"labels.csv cannot be read \(.*cannot access.*; close it in other"):
        read(path)


def test_labels_of_two_branches_both_count(tmp_path: Path) -> None:
    project = tmp_path / "project"
    append(project / "data/labels.csv", [NewLabel(A, "", "one")])
    shutil.copy(ROOT / ".gitattributes", project)
    git(project, "init", "-q", "-b", "main")
    for row_id, command in ((B, ("checkout", "-qb", "other")), (C, ("checkout", "-q", "main"))):
        git(project, "add", "-A")
        git(project, "commit", "-qm", "labels")
        git(project, *command)
        append(project / "data/labels.csv", [NewLabel(row_id, "", "two")])
    git(project, "commit", "-qam", "labels")
    git(project, "merge", "-q", "-m", "both", "other")
    assert set(labels(project / "data/labels.csv")) == {A, B, C}


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, HEADER)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(HeadstartError, match=r"labels.csv cannot be written \(.*No space left on device\)"):
        append(path, [NewLabel(A, "", "one")])
    assert path.read_text("utf-8") == HEADER


def test_a_file_that_dvc_links_to_its_cache_is_not_written(tmp_path: Path) -> None:
    cached = file(tmp_path, HEADER)
    path = tmp_path / "linked.csv"
    os.link(cached, path)
    cached.chmod(0o444)
    with pytest.raises(HeadstartError, match="dvc unprotect"):
        append(path, [NewLabel(A, "", "one")])
    assert cached.read_text("utf-8") == HEADER


def test_a_locked_file_is_waited_for_and_then_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, HEADER)
    monkeypatch.setattr(labels_file, "MAX_WAIT", 0.1)
    locks.lock_file(path).parent.mkdir(parents=True, exist_ok=True)
    with (
        FileLock(locks.lock_file(path)),
        pytest.raises(HeadstartError, match=r"labels.csv is being written by another process"),
    ):
        append(path, [NewLabel(A, "", "one")])
    append(path, [NewLabel(A, "", "one")])


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    rows = [NewLabel(f"{n:032x}", f"row {n}", "one") for n in range(24)]
    code = f"""
from pathlib import Path
from stages.tables.labels_file import NewLabel, append
for n in range(100, 120):
    append(Path({str(path)!r}), [NewLabel(f"{{n:032x}}", "row", "two")])
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as other, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda row: append(path, [row]), rows))
    assert other.returncode == 0
    assert len(labels(path)) == 44 and not read(path).remarks
    assert path.read_text("utf-8").count(HEADER) == 1
