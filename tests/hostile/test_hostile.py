"""What was thrown at the verbs, and what came back: one sentence and exit code 1, or a result, in bounded memory."""

import io
import itertools
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from tests import conftest
from tests.conftest import make_project, set_params

MEMORY = 3 * 2**30  # bytes of address space; a limit on what a hostile input can make a verb take


def run(project: Path, *command: str, memory: int = MEMORY) -> subprocess.CompletedProcess[str]:
    """Run a verb with its memory limited."""
    return conftest.run(project, sys.executable, "-m", *command, check=False, memory=memory)


def gigabyte_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"text,label\n")
        for _ in range(1000):
            file.write(b"a" * 10**6)


def open_quote(path: Path) -> None:
    path.write_bytes(b'text,label\n"' + b"lol,\n" * 20_000_000)


def nul_bytes(path: Path) -> None:
    path.write_bytes(b"text,label\nfine,a\nal\0so,b\n" + b"\0" * 1000 + b",a\n")


def many_columns(path: Path) -> None:
    names = ",".join(f"c{number}" for number in range(100_000))
    path.write_text(f"text,label,{names}\n" + "".join(f"x{row},{'ab'[row % 2]}{',1' * 100_000}\n" for row in range(40)))


def million_classes(path: Path) -> None:
    with path.open("w") as file:
        file.write("text,label\n")
        for number in range(1_000_000):
            file.write(f"text {number},label {number}\n")


def wrong_types(path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([{"a": 1}] * 4), "label": [[1], [2], [3], [4]]}), path)


def corrupt_footer(path: Path) -> None:
    pq.write_table(pa.table({"text": ["x"] * 10, "label": ["a", "b"] * 5}), path)
    content = bytearray(path.read_bytes())
    content[-40:-8] = b"\xff" * 32
    path.write_bytes(content)


def hostile_sizes(path: Path) -> None:
    pq.write_table(pa.table({"text": ["x"] * 10, "label": ["a", "b"] * 5}), path)
    content = bytearray(path.read_bytes())
    content[-8:-4] = (2**31 - 1).to_bytes(4, "little")  # the footer says that it is 2 GB long
    path.write_bytes(content)


def compressed_bomb(path: Path) -> None:
    """A small file of one text of a billion characters."""
    text = pa.array(["a" * 10**8], pa.large_string())
    pq.write_table(pa.table({"text": pa.concat_arrays([text] * 10), "label": ["a", "b"] * 5}), path, compression="zstd")


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a CSV of one line of a gigabyte": ("rows.csv", gigabyte_line, "has more than 67,108,864 characters in line 2"),
    "a quote that is never closed": ("rows.csv", open_quote, "field larger than field limit"),
    "a table of a million classes": ("rows.csv", million_classes, "no training row for label 0, label 1, label 10,"),
    "Parquet of lists and structs": ("rows.parquet", wrong_types, "4 of 4 rows cannot be used"),
    "Parquet with a damaged footer": ("rows.parquet", corrupt_footer, "is not readable Parquet"),
    "Parquet whose footer claims 2 GB": ("rows.parquet", hostile_sizes, "is not readable Parquet"),
    "Parquet of texts of a hundred million characters": ("rows.parquet", compressed_bomb, "is not readable Parquet"),
    "a text file that is no table": ("rows.csv", lambda path: path.write_bytes(b"\xff\xfe" * 5000), "is not UTF-8"),
    "a FIFO in place of a table": ("rows.csv", os.mkfifo, "is no file"),
    "a device in place of a table": ("rows.csv", lambda path: path.symlink_to("/dev/zero"), "is no file"),
    "a table that is a link to itself": ("rows.csv", lambda path: path.symlink_to(path), "does not exist"),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = make_project(tmp_path / "project")
    set_params(folder, prepare__label="label")
    return folder


@pytest.mark.parametrize("what", REFUSED)
def test_tables_that_are_refused(project: Path, what: str) -> None:
    name, make, words = REFUSED[what]
    make(project / "data" / name)
    set_params(project, prepare__data=f"data/{name}")
    refused(run(project, "stages.prepare", "data/prepared"), words)
    assert not (project / "data/prepared").exists() and not list((project / "data").glob(".*.tmp"))


def refused(done: subprocess.CompletedProcess[str], words: str) -> None:
    """One sentence on stderr, and exit code 1."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr


def bomb(section: str) -> str:
    """YAML of a few lines whose value has 9 to the power of 9 elements."""
    lists = "&a [1, 1, 1, 1, 1, 1, 1, 1, 1]"
    for before, name in itertools.pairwise("abcdefghi"):
        lists += f", &{name} [{', '.join([f'*{before}'] * 9)}]"
    return f"{section}: [{lists}]\n"


PARAMS = {
    "a YAML bomb as a value": (bomb("train_head: {C") + "}", "must be a valid number"),
    "a YAML bomb as a section": (bomb("train_head"), "train_head is"),
    "a tag that makes an object": ("train_head: !!python/object/apply:os.system [touch harmed]", "is not valid YAML"),
    "a list in place of settings": ("train_head: [1]", "train_head is [1], but must be a mapping"),
    "ten thousand brackets": ("train_head: " + "[" * 10_000, "is not valid YAML"),
    "bytes that are no text": ("train_head: \udcff", "is not UTF-8"),
}


@pytest.mark.parametrize("what", PARAMS)
def test_settings_that_are_refused(project: Path, what: str) -> None:
    content, words = PARAMS[what]
    settings = yaml.safe_load((project / "params.yaml").read_text())
    del settings["train_head"]
    text = yaml.safe_dump(settings) + content + "\n"
    (project / "params.yaml").write_bytes(text.encode(errors="surrogateescape"))
    refused(run(project, "stages.prepare", "data/prepared"), words)
    assert not (project / "harmed").exists()


def prepared(project: Path, lines: list[str]) -> dict[str, Any]:
    """summary.json of a table that is fine."""
    (project / "data/rows.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    set_params(project, prepare__data="data/rows.csv")
    done = run(project, "stages.prepare", "data/prepared")
    assert done.returncode == 0, done.stderr
    return {**json.loads((project / "data/prepared/summary.json").read_text()), "said": done.stdout}


def test_classes_that_look_like_one_are_said(project: Path) -> None:
    names = ["caf\u00e9", "cafe\u0301", "bar", "Bar ", "bar  stool", "bar stool", "inn"]
    lines = [f"row {number},{names[number % 7]}" for number in range(210)]
    found = prepared(project, lines)
    assert sorted(map(sorted, found["similar_classes"])) == [
        ["Bar", "bar"], ["bar  stool", "bar stool"], sorted(names[:2])
    ]  # fmt: skip
    assert found["said"].count("look like one") == 3 and len(found["classes"]) == 7, "and nothing is changed"
    assert "similar_classes" not in prepared(project, [f"row {number},{'ab'[number % 2]}" for number in range(60)])


def test_nul_bytes_and_a_hundred_thousand_columns(project: Path) -> None:
    lines = [f"al\0so {number},{'ab'[number % 2]}" for number in range(60)]
    assert prepared(project, lines)["rows"] == 60
    many_columns(project / "data/rows.csv")
    done = run(project, "stages.prepare", "data/prepared")
    assert done.returncode == 0, done.stderr


def test_names_with_line_breaks_leading_dashes_and_loops(project: Path) -> None:
    folder = project / "data/-photos\n of * things"
    for label, shade in {"-rf": 50, "$(touch harmed)": 200}.items():
        (folder / label).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (20, 20), (shade, number, 0)).save(folder / label / f"-{number}\n.png")
    (folder / "-rf/loop").symlink_to(folder, target_is_directory=True)
    set_params(project, prepare__data=f"data/{folder.name}", backbone__family="pixels", backbone__name="rgb")
    done = run(project, "stages.prepare", "data/prepared")
    assert done.returncode == 0, done.stderr
    found = json.loads((project / "data/prepared/summary.json").read_text())
    assert found["rows"] == 40 and not list(project.rglob("harmed"))


def test_a_picture_that_is_something_else_too(project: Path) -> None:
    """A PNG with a ZIP archive behind it, and a ZIP archive named .png."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x.py", "1 / 0")
    for label, shade in {"a": 50, "b": 200}.items():
        (project / "data/photos" / label).mkdir(parents=True)
        for number in range(20):
            path = project / f"data/photos/{label}/{number}.png"
            Image.new("RGB", (20, 20), (shade, number, 0)).save(path)
            path.write_bytes(path.read_bytes() + archive.getvalue())
    (project / "data/photos/a/archive.png").write_bytes(archive.getvalue())
    changes = {"backbone__family": "pixels", "backbone__name": "rgb", "prepare__max_rejected": 0.1}
    set_params(project, prepare__data="data/photos", **changes)
    assert run(project, "stages.prepare", "data/prepared").returncode == 0
    found = json.loads((project / "data/prepared/summary.json").read_text())
    assert found["left_out"]["unreadable"] == 1 and sum(found["kept"].values()) == 40
