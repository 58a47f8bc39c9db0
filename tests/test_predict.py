"""predict: what it reads, what it writes, and what it says."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stages.heads import model_card
from tests.conftest import copy
from tests.hostile.verbs import here, refused
from tests.projects import TFIDF, UP_TO_HEAD, make_project, run_stages, set_params, stage

LINES = [f"subject;body;label\n{'order' if n % 2 else 'thanks'} {n};caf\u00e9 {n};{'ab'[n % 2]}\n" for n in range(60)]

# The columns that predict adds for labels a and b.
PREDICTIONS = ["predicted", "confidence", "p_a", "p_b", "accepted", "unfamiliar", "prediction_set", "rejected"]


def test_predict_asks_for_the_same_columns_in_the_same_encoding(project: Path) -> None:
    lines = [LINES[0], *(line.partition("\n")[2] for line in LINES[1:])]
    (project / "data/mails.csv").write_bytes("".join(lines).encode("cp1252"))
    changes = {"prepare__data": "data/mails.csv", "prepare__input": ["subject", "body"], "prepare__label": "label"}
    set_params(project, **changes, **TFIDF)
    refused(here(project, "prepare"), "it looks like cp1252, in which the line is")
    set_params(project, prepare__encoding="cp1252")
    run_stages(project, *UP_TO_HEAD)
    card = model_card.read_head(project / "data/head")
    assert (card.input, card.encoding) == (("subject", "body"), "cp1252")
    (project / "new.csv").write_bytes("body,subject\ncaf\u00e9,order\n,thanks\n,\n".encode("cp1252"))
    stage(project, "predict", "data/head", "new.csv", "out.parquet")
    out = pq.read_table(project / "out.parquet")
    assert out.column_names == ["source", "body", "subject", *PREDICTIONS]
    assert [(row["subject"], row["body"], row["predicted"], row["rejected"]) for row in out.to_pylist()] == [
        ("order", "caf\u00e9", "b", None),
        ("thanks", "", "a", None),
        ("", "", None, "subject and body are empty"),
    ]
    (project / "new.jsonl").write_text('{"subjects": "x", "body": "y"}', "utf-8")
    done = here(project, "predict", "data/head", "new.jsonl", "out.parquet")
    refused(done, "new.jsonl has no column subject; it has subjects, body; did you mean subjects?")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a head that tells orders from thanks by the column text."""
    project = make_project(tmp_path_factory.mktemp("predict") / "project")
    lines = ["text,label", *(f"{'order' if n % 2 else 'thanks'} {n},{'ab'[n % 2]}" for n in range(60))]
    (project / "data/rows.csv").write_text("\n".join(lines), "utf-8")
    set_params(project, **TFIDF, prepare__data="data/rows.csv", prepare__label="label")
    return run_stages(project, *UP_TO_HEAD)


@pytest.fixture
def trained(model: Path, tmp_path: Path) -> Path:
    return copy(model, tmp_path / "project")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of predictions, whatever their format; numbers of CSV are texts, and empty fields are None."""
    match path.suffix:
        case ".parquet":
            return pq.read_table(path).to_pylist()
        case ".jsonl":
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        case ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                return [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    header, *rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def predict(project: Path, new: str, out: str) -> tuple[list[dict[str, Any]], str]:
    """The predictions, and what was printed."""
    printed = stage(project, "predict", "data/head", new, out).stdout
    return read(project / out), printed


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_every_format_keeps_the_columns_and_is_replaced_and_read_again(trained: Path, suffix: str) -> None:
    new = 'id,text,note\n7,order,"=1+1"\n8,  ,\n9,"thanks, ""so"" much\nyes",caf\u00e9\n'
    (trained / "new.csv").write_text(new, "utf-8")
    rows, _ = predict(trained, "new.csv", f"out{suffix}")
    assert list(rows[0]) == ["source", "id", "text", "note", *PREDICTIONS]
    assert [(row["id"], row["note"] or "", row["predicted"], row["rejected"]) for row in rows] == [
        ("7", "=1+1", "b", None),
        ("8", "", None, "text is empty"),
        ("9", "caf\u00e9", "a", None),
    ]
    assert rows[2]["text"] == 'thanks, "so" much\nyes'
    assert 0.5 < float(rows[0]["p_b"]) == float(rows[0]["confidence"]) and rows[1]["p_a"] is None
    first = (trained / f"out{suffix}").read_bytes()
    again, printed = predict(trained, f"out{suffix}", f"again{suffix}")
    assert again[0]["predicted"] == "b" and again[0]["input_predicted"] == "b" and again[0]["input_source"]
    assert "source is input_source, predicted is input_predicted, confidence is input_confidence" in printed
    predict(trained, "new.csv", f"out{suffix}")
    if suffix != ".xlsx":  # which holds the time
        assert (trained / f"out{suffix}").read_bytes() == first


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_a_table_of_others_is_not_replaced(trained: Path, suffix: str) -> None:
    (trained / "new.csv").write_text("text\norder\n", "utf-8")
    for content in (b"text,rejected\nmine,1\n", b'{"text": "mine"}\n', b"\xff\xfe", b""):
        (trained / f"out{suffix}").write_bytes(content)
        done = here(trained, "predict", "data/head", "new.csv", f"out{suffix}")
        refused(done, f"out{suffix} is not replaced, as predict did not write it")
        assert (trained / f"out{suffix}").read_bytes() == content


def test_types_of_columns_are_kept_where_all_values_have_one(trained: Path) -> None:
    records = [{"text": "order", "n": 1, "x": 1, "odd": 1, "tags": ["u"], "deep": {"k": 1}}] * 5000
    records += [{"text": "thanks", "x": 2.5, "odd": "two", "late": True}]
    (trained / "new.jsonl").write_text("\n".join(map(json.dumps, records)), "utf-8")
    rows, _ = predict(trained, "new.jsonl", "out.parquet")
    types = {field.name: str(field.type) for field in pq.read_schema(trained / "out.parquet")}
    assert (types["n"], types["x"], types["odd"], types["late"]) == ("int64", "double", "string", "bool")
    assert (rows[0]["tags"], rows[0]["deep"], rows[-1]["odd"], rows[-1]["n"]) == (["u"], {"k": 1}, "two", None)
    rows, _ = predict(trained, "new.jsonl", "out.csv")
    assert (rows[0]["tags"], rows[0]["deep"]) == ('["u"]', '{"k": 1}')
    rows, _ = predict(trained, "new.jsonl", "out.jsonl")
    assert rows[0]["deep"] == {"k": 1} and rows[0]["n"] == 1


def test_odd_columns(trained: Path) -> None:
    """Bytes are left out and named; columns of one name, and values that UTF-8 cannot hold, are kept."""
    pq.write_table(pa.table({"text": ["order"], "blob": [b"\x00"], "x": [float("nan")]}), trained / "new.parquet")
    for suffix in (".jsonl", ".csv"):
        (row,), printed = predict(trained, "new.parquet", f"out{suffix}")
        assert row["x"] is None and "blob" not in row
        assert "columns of the input that hold bytes are left out: blob" in printed
    (trained / "new.csv").write_text("note,text,note,\n1,order,2,3\n", "utf-8")
    (row,), _ = predict(trained, "new.csv", "out.csv")
    assert (row["note"], row["note.1"], row[""]) == ("1", "2", "3")
    (trained / "half.jsonl").write_text(
        '{"text": "order", "n": "\\ud800", "\\ud801": 1, "big": 123456789012345678901}', "utf-8"
    )
    (row,), printed = predict(trained, "half.jsonl", "out.jsonl")
    assert "have another name" not in printed, "it is the same name, as it can be written"
    assert (row["n"], row["\\ud801"], row["big"], row["predicted"]) == ("\\ud800", 1, "123456789012345678901", "b")


def test_errors_speak_of_predict(trained: Path) -> None:
    """No sentence names a setting or a stage, of which a user with a model's folder alone has none."""
    (trained / "latin.csv").write_bytes("text\ncaf\u00e9 d'\u00e9t\u00e9\n".encode("latin-1") * 3)
    (trained / "two.csv").write_bytes("text\ncaf\u00e9 cr\u00e8me\n".encode("cp1252"))  # cp1252 or cp1250
    (trained / "empty").mkdir()
    (trained / "photos").mkdir()
    Image.new("RGB", (4, 4)).save(trained / "photos/one.png")
    (trained / "link.csv").write_text("text\n", "utf-8")
    (trained / "broken").mkdir()
    (trained / "broken/model.json").write_text("{", "utf-8")
    (trained / "tables").mkdir()
    (trained / "tables/test.csv").write_text("text\norder\n", "utf-8")
    openpyxl.Workbook().save(trained / "new.xlsx")
    damaged = Path(shutil.copytree(trained / "data/head", trained / "damaged"))
    for file in damaged.glob("*.s*"):
        file.write_bytes(b"x")
    arguments = [
        ("data/head", "latin.csv", "out.csv"),
        ("data/head", "two.csv", "out.csv"),
        ("data/head", "empty", "out.csv"),
        ("data/head", "photos", "out.csv"),
        ("data/head", "link.csv", "out.csv"),
        ("data/head", "missing.csv", "out.csv"),
        ("data/head", "new.xlsx", "out.csv"),
        ("data/head", "tables", "out.csv"),
        ("data/head", "data", "out.csv"),
        ("data/head", "latin.csv", "out.html"),
        ("data/head", "latin.csv", "out"),
        ("damaged", "data/rows.csv", "out.csv"),
        ("broken", "data/rows.csv", "out.csv"),
        ("data/nothing", "data/rows.csv", "out.csv"),
    ]
    for given in arguments:
        done = here(trained, "predict", *given)
        refused(done, "")
        assert not re.search(r"prepare\.|dvc|prepare follow|holds no images", done.stderr), (given, done.stderr)


def test_explain_adds_a_column_whose_shares_sum_to_the_probability(trained: Path) -> None:
    (trained / "new.csv").write_text("text,explanation\norder today,mine\n,\nthanks,\n", "utf-8")
    stage(trained, "predict", "data/head", "new.csv", "out.csv", "--explain")
    first, empty, last = read(trained / "out.csv")
    assert list(first)[-2:] == ["explanation", "rejected"] and first["input_explanation"] == "mine"
    assert not empty["explanation"] and empty["rejected"]
    for row in (first, last):
        explanation = json.loads(row["explanation"])
        assert explanation["output"] == pytest.approx(float(row["confidence"]), abs=1e-5)
        total = explanation["empty"] + sum(part["share"] for part in explanation["parts"])
        assert total == pytest.approx(explanation["output"], abs=1e-5)
        assert "".join(part["words"] for part in explanation["parts"]) == row["text"]
