"""Tables that prepare refuses in one sentence and in bounded memory."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hostile.verbs import Way, refused, ways
from tests.projects import set_params


def gigabyte_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"text,label\n")
        for _ in range(1000):
            file.write(b"a" * 10**6)


def open_quote(path: Path) -> None:
    path.write_bytes(b'text,label\n"' + b"lol,\n" * 20_000_000)


def classes(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for number in range(count):
            file.write(f"text {number},label {number}\n")


def fifo(path: Path) -> None:
    os.mkfifo(path)


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
    "a quote that is never closed": ("rows.csv", open_quote, "opens a quote in line 2 that is never closed"),
    "a table of a hundred thousand classes": (
        "rows.csv",
        lambda path: classes(path, 100_000),
        "leaves no test rows; raise prepare.test, or add rows",
    ),
    "a table of a million classes": (
        "rows.csv",
        lambda path: classes(path, 1_000_000),
        "leaves no test rows; raise prepare.test, or add rows",
    ),
    "Parquet of lists and structs": ("rows.parquet", wrong_types, "4 of 4 rows cannot be used"),
    "Parquet with a damaged footer": ("rows.parquet", corrupt_footer, "is not readable Parquet"),
    "Parquet whose footer claims 2 GB": ("rows.parquet", hostile_sizes, "is not readable Parquet"),
    "Parquet of texts of a hundred million characters": ("rows.parquet", compressed_bomb, "is not readable Parquet"),
    "a text file that is no table": (
        "rows.csv",
        lambda path: path.write_bytes(b"\xff\xfe" * 5000),
        "has no column text",
    ),
    "a FIFO in place of a table": ("rows.csv", fifo, "is not a file"),
    "a device in place of a table": ("rows.csv", lambda path: path.symlink_to("/dev/zero"), "is not a file"),
    "a table that is a link to itself": ("rows.csv", lambda path: path.symlink_to(path), "does not exist"),
}


SLOW = ["a table of a million classes", "Parquet of texts of a hundred million characters"]
POSIX_ONLY = ["a FIFO in place of a table", "a table that is a link to itself"]
LARGE = [name for name in REFUSED if re.search("gigabyte|never closed|hundred thousand classes|2 GB|device", name)]


@pytest.mark.parametrize(("case", "way"), ways(REFUSED, large=LARGE, slow=SLOW, posix=POSIX_ONLY))
def test_tables_that_are_refused(project: Path, case: str, way: Way) -> None:
    name, make, words = REFUSED[case]
    make(project / "data" / name)
    set_params(project, prepare__data=f"data/{name}")
    refused(way(project, "prepare"), words)
    assert not (project / "data/prepared").exists() and not list((project / "data").glob(".*.tmp"))
