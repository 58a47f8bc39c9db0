"""What a column holds: texts, images, or images in a way that is not read."""

import base64
import json
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import sources
from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.sources import Columns, Reading
from stages.tables import prepared
from tests.pictures import png
from tests.projects import POSIX
from tests.tables_of_text import rejected, settings


def jsonl(path: Path, values: list[Any]) -> Path:
    path.write_text(
        "".join(json.dumps({"x": value, "y": "ab"[n % 2]}) + "\n" for n, value in enumerate(values)), "utf-8"
    )
    return path


def modality(path: Path, setting: Literal["auto", "text", "image"] = "auto", **reading: Any) -> str:
    return sources.modality(path, Columns("x"), setting, Reading(**reading))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty pictures with a suffix, and five without."""
    (tmp_path / "img").mkdir()
    for number in range(25):
        suffix = ".png" if number < 20 else ""
        (tmp_path / f"img/{number}{suffix}").write_bytes(png(number))
    return tmp_path


PATHS = [f"img/{number}.png" for number in range(20)]
IMAGES: dict[str, list[Any]] = {
    "paths, one of a kind that is not read": [*PATHS, "img/20.heic"],
    "paths, one without a suffix": [*PATHS, "img/20"],
    "paths without suffixes": [f"img/{number}" for number in range(20, 25)],
    "paths to files that are missing": [f"photos/{number}.JPG" for number in range(20)],
    "paths with spaces": [f"My Photos/img {number}.jpg" for number in range(20)],
    "paths of Windows": [path.replace("/", "\\") for path in PATHS],
    "absolute paths": [f"/home/me/{path}" for path in PATHS],
    "paths with a query": [f"{path}?size=200" for path in PATHS],
    "paths with many words": [f"My Photos/the {number} of all my birds.jpg" for number in range(20)],
    "paths in quotes and brackets": [f"['img/{number}.png']" for number in range(20)],
    "vector graphics": [f"{number}.svg" for number in range(20)],
    "paths with some texts": [*PATHS, *["not a picture"] * 9],
    "paths among empty values": ["", None, " ", *PATHS],
}
TEXTS: dict[str, list[Any]] = {
    "texts": ["good", "bad"] * 10,
    "sentences that end in a file name": ["the upload fails for my new holiday picture cat.png"] * 20,
    "texts with some paths": [*["a text"] * 20, *PATHS[:19]],
    "sentences with addresses": ["see https://example.org/cat.png?size=2 for what I mean"] * 20,
    "addresses of pages": [f"https://example.org/page/{number}" for number in range(20)],
    "words in the letters of base64": ["Qk" * 30, "internationalization" * 3] * 10,
    "numbers": list(range(20)),
    "names of files without a suffix that are not there": ["LICENSE", "Makefile"] * 10,
    "paths that leave the folder": ["../../etc/passwd"] * 20,
    "sentences about files": ["play the song.mp3", "read my thesis.pdf"] * 10,
    "names of texts": ["README.md"] * 20,
    "nothing": ["", None],
    "mappings": [{"a": 1}] * 4,
}


@pytest.mark.parametrize("case", IMAGES)
def test_the_majority_of_the_values_is_images(folder: Path, case: str) -> None:
    assert modality(jsonl(folder / "rows.jsonl", IMAGES[case])) == "image"


@pytest.mark.parametrize("case", TEXTS)
def test_the_majority_of_the_values_is_texts(folder: Path, case: str) -> None:
    (folder / "README.md").write_text("no picture", "utf-8")
    assert modality(jsonl(folder / "rows.jsonl", TEXTS[case])) == "text"


JPEG = base64.b64encode(b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(90))).decode()
PNG = base64.b64encode(png(0)).decode()
ADDRESSES = "holds web addresses of images; download the files and name their paths, relative to the table"
AS_TEXT = "holds images as base64 or other text; decode them to files and name their paths, relative to the table"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["https://example.org/cat.png?size=200"], ADDRESSES),
        (["http://example.org/a.JPG", "https://example.org/page"] * 9 + ["http://example.org/b.webp"], ADDRESSES),
        (["https://example.org/media/XYZ?format=jpg&name=small"], ADDRESSES),
        ([f"data:image/png;base64,{PNG}"], AS_TEXT),
        ([PNG, JPEG, JPEG.replace("/", "_").replace("+", "-")], AS_TEXT),
        (["\n".join([JPEG[:76], JPEG[76:]])], AS_TEXT),
        ([PNG, "a.png", PNG], AS_TEXT),
        ([png(0).hex(), f"0x{png(1).hex().upper()}"], AS_TEXT),
        ([repr(png(0)), str(bytes.fromhex("ffd8ffe000104a46"))], AS_TEXT),
        (["s3://bucket/1.jpg", "gs://bucket/2.png", "file:///data/3.jpg"], ADDRESSES),
    ],
)
def test_addresses_and_base64_have_a_sentence_of_their_own(folder: Path, values: list[str], words: str) -> None:
    path = jsonl(folder / "rows.jsonl", values)
    with pytest.raises(HeadstartError, match=f"x {words}, or set prepare.modality: text if they are texts"):
        modality(path)
    assert modality(path, "text") == "text"
    problems = [row.problem for row in sources.rows(path, Columns("x"), "image")]
    assert all(
        problem
        and (
            "web address" in problem
            or "does not exist" in problem
            or "as text" in problem
            or "cannot be read" in problem
        )
        for problem in problems
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([str(number) for number in range(20)], "names images without suffixes or folders; write paths such as"),
        ([f"img/{number}" for number in range(20)], "names images without suffixes or folders; write paths such as"),
        ([f"img\\{number}" for number in range(20)], "names images without suffixes or folders; write paths such as"),
        ([f"clips/{number}.wav" for number in range(20)], "names files that are no images; put their texts into"),
        (["a.PDF", "b.mp4", "c.npy", "a text"], "names files that are no images; put their texts into"),
    ],
)
def test_names_of_files_are_no_texts(folder: Path, values: list[str], words: str) -> None:
    path = jsonl(folder / "rows.jsonl", values)
    with pytest.raises(HeadstartError, match=f"x {words} .*, or set prepare.modality: text if they are texts"):
        modality(path)
    assert modality(path, "text") == "text"


STORED: dict[str, tuple[pa.Array, str]] = {
    "texts as bytes": (pa.array([b"good", "schön".encode()] * 5, pa.binary()), "text"),
    "texts as large bytes": (pa.array([b"good"] * 5, pa.large_binary()), "text"),
    "texts in a dictionary": (pa.array(["good", "bad"]).dictionary_encode(), "text"),
    "large texts": (pa.array(["good", "bad"], pa.large_string()), "text"),
    "paths in a dictionary": (pa.array(PATHS).dictionary_encode(), "image"),
    "paths as bytes": (pa.array([path.encode() for path in PATHS], pa.binary()), "image"),
    "images": (pa.array([png(n) for n in range(9)], pa.binary()), "image"),
    "images as large bytes": (pa.array([png(n) for n in range(9)], pa.large_binary()), "image"),
    "images of the hub": (pa.array([{"bytes": png(n), "path": None} for n in range(9)]), "image"),
    "paths of the hub": (pa.array([{"bytes": None, "path": path} for path in PATHS]), "image"),
    "mappings": (pa.array([{"a": 1}, {"a": 2}]), "text"),
    "numbers": (pa.array([1.5, 2.5]), "text"),
}


@pytest.mark.parametrize("case", STORED)
def test_what_parquet_holds_decides_not_how(folder: Path, case: str) -> None:
    values, expected = STORED[case]
    pq.write_table(pa.table({"x": values}), folder / "rows.parquet")
    assert modality(folder / "rows.parquet") == expected
    problems = {row.problem for row in sources.rows(folder / "rows.parquet", Columns("x"), expected)}  # type: ignore[arg-type]
    assert problems == ({"x is a mapping, not one value"} if case == "mappings" else {None})


def test_a_picture_of_another_kind_is_listed_and_not_a_text(folder: Path) -> None:
    path = jsonl(folder / "rows.jsonl", IMAGES["paths, one of a kind that is not read"])
    (folder / "img/20.heic").write_bytes(b"not to be read")
    prepare(folder / "out", settings(path, input="x", label="y", max_rejected=0.1))
    assert prepared.read_info(folder / "out").modality == "image"
    assert [source for source, _ in rejected(folder / "out")] == ["rows.jsonl:21"]


@POSIX
def test_links_out_of_the_folder_are_not_looked_into(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (inner / "link").symlink_to(folder / "img/20")
    path = jsonl(inner / "rows.jsonl", ["link"])
    assert modality(path) == "text" and modality(path, follow_links=True) == "image"
