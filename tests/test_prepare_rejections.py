"""prepare on tables of which too many rows cannot be used: what it says, lists and keeps."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.sources import Row
from stages.sources.rejections import Rejections
from tests.dvc_here import dvc
from tests.pictures import png
from tests.projects import TFIDF, contents, run, set_params
from tests.tables_of_text import ROWS, csv_of, settings

BAD = [{"text": f"bad {n}", "label": "a\0"} for n in range(5)] + [{"text": " ", "label": "a"}]


def listed(path: Path) -> list[tuple[str, str]]:
    return [(row["source"], row["reason"]) for row in pq.read_table(path).to_pylist()]


def refused(out: Path, data: Path, **changes: object) -> str:
    with pytest.raises(HeadstartError) as caught:
        prepare(out, settings(data, **changes))
    return str(caught.value)


def test_reasons_and_kinds_of_files_are_counted() -> None:
    unreadable = Rejections()
    for row in (
        Row("ant/1.jpg", b"", name="1.jpg", problem="1.jpg is empty (0 bytes)"),
        Row("ant/2.JPG", b"", name="2.JPG", problem="2.JPG is empty (0 bytes)"),
        Row("bee/3.png", b"", name="3.png", problem="3.png cannot be decoded (bad data at 7)"),
        Row("bee/4.png", b"", name="4.png", problem="4.png cannot be decoded (truncated)"),
        Row("bee/5.png", b"", name="5.png", problem="5.png cannot be decoded (truncated)"),
        Row("t.csv.gz:7", "", problem="part is 'tset', not train, validation or test"),
        Row("t.csv.gz:9", "", problem="part is 'tarin', not train, validation or test"),
        Row("bare", b"", name="bare", problem="bare is a folder"),
        Row("good.jpg", b"x", name="good.jpg"),
    ):
        unreadable.add(row)
    assert unreadable.in_words() == (
        "3 .png, such as bee/3.png: 3.png cannot be decoded (bad data at 7);"
        " 2 .jpg, such as ant/1.jpg: 1.jpg is empty (0 bytes);"
        " 2 .csv, such as t.csv.gz:7: part is 'tset', not train, validation or test;"
        " 1 without a suffix, such as bare is a folder"
    )
    for number in range(3):
        unreadable.add(Row(f"{number}.webp", b"", name="x", problem=f"is odd in way {'abc'[number]}"))
    assert unreadable.in_words().endswith("; 3 for other reasons")


def test_all_rejected_rows_are_listed_and_the_earlier_output_stays(tmp_path: Path) -> None:
    path, out, list_file = tmp_path / "rows.csv", tmp_path / "out", tmp_path / "out.rejected.parquet"
    prepare(out, settings(csv_of(ROWS, path)))
    before = contents(out)
    sentence = refused(out, csv_of([*ROWS, *BAD], path))
    assert sentence == (
        f"{path}: 6 of 206 rows cannot be used (5 such as rows.csv:202: label holds a NUL character; 1"
        " such as rows.csv:207: text is empty), more than prepare.max_rejected = 0.01 allows; correct them or raise it;"
        f" {list_file} lists all rows that are left out"
    )
    assert listed(list_file) == [
        *((f"rows.csv:{n}", "label holds a NUL character") for n in range(202, 207)),
        ("rows.csv:207", "text is empty"),
    ]
    assert contents(out) == before
    prepare(out, settings(csv_of(ROWS, path)))
    assert not list_file.exists(), "it is of no run that succeeds"


def test_rows_that_leave_too_few_classes_are_listed(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": "a"} for row in ROWS] + [{"text": "text number 1", "label": "b"}]
    sentence = refused(tmp_path / "out", csv_of(rows, tmp_path / "rows.csv"))
    list_file = tmp_path / "out.rejected.parquet"
    assert sentence.startswith(f"{tmp_path}/rows.csv has only one class, a; ") and f"; {list_file} lists" in sentence
    reason = "the same content is labelled a and b"
    assert listed(list_file) == [("rows.csv:3", reason), ("rows.csv:202", reason)]
    list_file.unlink()
    refused(tmp_path / "out", csv_of(rows[:-1], tmp_path / "rows.csv"))
    assert not list_file.exists(), "no row is left out"


def test_skipped_files_are_listed_too(tmp_path: Path) -> None:
    for name, content in {"a/1.png": png(1), "a/2.png": b"", "b/1.png": png(2), "README.md": b"hello"}.items():
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(content)
    assert "(1 such as a/2.png is empty (0 bytes))" in refused(tmp_path / "out", tmp_path / "photos")
    names = [source for source, _ in listed(tmp_path / "out.rejected.parquet")]
    assert names == ["a/2.png", "README.md"]


def test_a_file_of_that_name_by_others_is_kept(tmp_path: Path) -> None:
    pq.write_table(pa.table({"source": ["mine"], "note": ["precious"]}), tmp_path / "out.rejected.parquet")
    sentence = refused(tmp_path / "out", csv_of([*ROWS, *BAD], tmp_path / "rows.csv"))
    assert sentence.startswith(f"{tmp_path}/out.rejected.parquet is not replaced, as prepare did not write it")


def test_under_dvc_the_way_back_to_the_last_output_is_named(project: Path) -> None:
    csv_of(ROWS, project / "data/rows.csv")
    set_params(project, **TFIDF, prepare__data="data/rows.csv", prepare__label="label")
    dvc(project, "repro", "-q", "prepare")
    csv_of([*ROWS, *BAD], project / "data/rows.csv")
    done = dvc(project, "repro", "-q", "prepare", check=False)
    assert done.returncode and "`dvc checkout data/prepared` brings back the last output" in done.stderr, done.stderr
    assert len(listed(project / "data/prepared.rejected.parquet")) == 6
    dvc(project, "checkout", "-q", "--force", "data/prepared")
    assert (project / "data/prepared/summary.json").exists()
    assert "rejected" not in run(project, "git", "status", "--short").stdout, "Git ignores it"
