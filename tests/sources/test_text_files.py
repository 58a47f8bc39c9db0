"""Text files that are compressed, or not in UTF-8."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from stages.common.errors import HeadstartError
from stages.prepare import prepare
from stages.sources import Columns, Reading, rows, text_files
from stages.tables import prepared
from tests.tables_of_text import ROWS, csv_of, settings, split_ids

TEXT = "text,label\nM\u00fcller,a\n\u65e5\u672c,b\n"
COLUMNS = Columns("text", "label")


def zipped(content: bytes, *names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names or ("anything.csv",):
            archive.writestr(name, content)
    return out.getvalue()


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}


def texts(path: Path, reading: Reading = Reading()) -> list[str]:  # noqa: B008
    return [str(row.content) for row in rows(path, COLUMNS, "text", reading)]


@pytest.mark.parametrize("suffix", [*PACK, "zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json"])
def test_compressed_text_files_are_read(tmp_path: Path, suffix: str, kind: str) -> None:
    records = [{"text": "M\u00fcller", "label": "a"}, {"text": "\u65e5\u672c", "label": "b"}]
    contents = {"csv": TEXT, "tsv": TEXT.replace(",", "\t"), "json": json.dumps(records)}
    content = contents.get(kind, "\n".join(map(json.dumps, records))).encode()
    path = tmp_path / f"rows.{kind}.{suffix}"
    if suffix == "zst":
        with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
            stream.write(content)
    else:
        path.write_bytes(PACK[suffix](content))
    assert texts(path) == ["M\u00fcller", "\u65e5\u672c"]
    damaged = path.read_bytes()
    path.write_bytes(damaged[: len(damaged) // 2])
    with pytest.raises(HeadstartError, match=r"cannot be unpacked \(.*; compress it again"):
        texts(path)


def test_a_folder_of_compressed_tables(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name, part in {"train": ROWS[:150], "test": ROWS[150:]}.items():
        content = csv_of(part, tmp_path / "rows.csv").read_bytes()
        (tmp_path / f"data/{name}.csv.gz").write_bytes(gzip.compress(content))
    prepare(tmp_path / "out", settings(tmp_path / "data"))
    assert len(split_ids(tmp_path / "out")["test"]) == 50


def test_an_archive_holds_one_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.zip"
    path.write_bytes(zipped(TEXT.encode(), "a/", "a/rows.csv", "__MACOSX/a/._rows.csv", "a/.DS_Store"))
    assert texts(path) == ["M\u00fcller", "\u65e5\u672c"]
    path.write_bytes(zipped(TEXT.encode(), "train.csv", "test.csv"))
    with pytest.raises(HeadstartError, match=r"holds 2 files \(train\.csv, test\.csv\), but must hold one table"):
        texts(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_a_mark_tells_the_encoding(tmp_path: Path, encoding: str, kind: str) -> None:
    path = tmp_path / f"rows.{kind}"
    content = (
        TEXT if kind == "csv" else '{"text": "M\u00fcller", "label": "a"}\n{"text": "\u65e5\u672c", "label": "b"}\n'
    )
    path.write_bytes(content.encode(encoding))
    assert texts(path) == texts(path, Reading("cp1252")) == ["M\u00fcller", "\u65e5\u672c"]
    with_quotes = content.replace("M\u00fcller", 'M\u00fcller\\"' if kind != "csv" else '"M\u00fcller, ""x"""')
    path.write_bytes(with_quotes.encode(encoding))
    assert texts(path)[0].startswith("M\u00fcller")


def test_utf_16_with_big_ends_first(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert texts(tmp_path / "rows.csv") == ["M\u00fcller", "\u65e5\u672c"]
    (tmp_path / "rows.csv").write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be") + b"\xd8")
    with pytest.raises(HeadstartError, match="starts as UTF-16 but does not go on so; save it as UTF-8"):
        texts(tmp_path / "rows.csv")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_recognised(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "rows.csv").write_bytes(TEXT.encode(encoding))
    assert texts(tmp_path / "rows.csv") == ["M\u00fcller", "\u65e5\u672c"]
    for name in ("\u0442\u0435\u043a\u0441\u0442", "\u8bc4\u8bba"):
        for content in (f"{name},label\n{name},a\n\u65e5\u672c,b\n", f"{name};label\r{name};a\r\u65e5\u672c;b"):
            (tmp_path / "rows.csv").write_bytes(content.encode(encoding))
            read = rows(tmp_path / "rows.csv", Columns(name, "label"), "text")
            assert [row.content for row in read] == [name, "\u65e5\u672c"]


def test_utf_8_with_nul_characters_is_not_utf_16(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"text,label\na\0b,x\n\0,y\n")
    assert texts(tmp_path / "rows.csv") == ["a\0b", "\0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(b"x"), "a spreadsheet or an archive; name it .xlsx, .ods or .zip"),
        (gzip.compress(TEXT.encode()), "packed by gzip; put .gz behind its name"),
        (b"PAR1\0\0", "Parquet; name it .parquet"),
        (bz2.compress(TEXT.encode()), "packed by bzip2; put .bz2 behind its name"),
        (lzma.compress(TEXT.encode()), "packed by xz; put .xz behind its name"),
    ],
    ids=["zip", "gzip", "parquet", "bzip2", "xz"],  # not the bytes, which hold the time
)
@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "tsv.gz"])
def test_a_file_of_another_kind_is_told_from_its_start(tmp_path: Path, content: bytes, words: str, kind: str) -> None:
    (tmp_path / f"rows.{kind}").write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
    with pytest.raises(HeadstartError, match=f"is no text, but {words}"):
        texts(tmp_path / f"rows.{kind}")


LINES = {
    "cp1252": "M\u00fcller sagt: sch\u00f6ne Gr\u00fc\u00dfe",
    "cp1250": "P\u0159\u00edli\u0161 \u017elu\u0165ou\u010dk\u00fd k\u016f\u0148",
    "cp1251": "\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?",
    "koi8_r": "\u041f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430?",
    "cp1253": "\u039a\u03b1\u03bb\u03b7\u03bc\u03ad\u03c1\u03b1 \u03ba\u03cc\u03c3\u03bc\u03b5",
    "cp1254": "\u00c7ok g\u00fczel bir \u00fcr\u00fcn, te\u015fekk\u00fcrler",
    "gb18030": "\u8fd9\u4e2a\u4ea7\u54c1\u975e\u5e38\u597d\uff0c\u6211\u5f88\u559c\u6b22",
    "big5": "\u9019\u500b\u7522\u54c1\u975e\u5e38\u597d",
    "shift_jis": "\u3053\u306e\u88fd\u54c1\u306f\u3068\u3066\u3082\u826f\u3044\u3067\u3059",
    "euc_jp": "\u3053\u306e\u88fd\u54c1\u306f\u3068\u3066\u3082\u826f\u3044\u3067\u3059",
    "cp949": "\uc774 \uc81c\ud488\uc740 \uc815\ub9d0 \uc88b\uc544\uc694",
}


@pytest.mark.parametrize("encoding", LINES)
def test_another_encoding_is_guessed_and_read_once_it_is_set(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(f'text,label\nplain,a\n"{LINES[encoding]}",b\n'.encode(encoding))
    words = (
        rf"rows\.csv is not UTF-8 in line 3; it looks like {encoding}, in which the line is .*: if that is right, set"
    )
    with pytest.raises(
        HeadstartError, match=f"{words} prepare.encoding: {encoding}, or save the file as UTF-8"
    ) as error:
        texts(path)
    assert LINES[encoding][:5] in str(error.value)
    assert texts(path, Reading(encoding)) == ["plain", LINES[encoding]]


def test_bytes_that_are_no_text_are_not_guessed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label\n\x00\x01\xff\xfe\x00\x90,b\n")
    with pytest.raises(HeadstartError, match=r"rows\.csv is not UTF-8 in line 2; save it as UTF-8"):
        texts(path)


def test_utf_8_is_read_whatever_is_set(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    rows_of = {"train": ROWS[:150], "test": [*ROWS[150:], {"text": "M\u00fcller", "label": "a"}]}
    for name, encoding in {"train": "cp1252", "test": "utf-8"}.items():
        table = csv_of([*rows_of[name], {"text": f"\u00e9 {name}", "label": "b"}], tmp_path / "rows.csv")
        (tmp_path / f"data/{name}.csv").write_bytes(table.read_text("utf-8").encode(encoding))
    prepare(tmp_path / "out", settings(tmp_path / "data", encoding="cp1252"))
    written = [text for split in prepared.SPLITS for text in prepared.read(tmp_path / "out", split)["text"].to_pylist()]
    assert {"\u00e9 train", "\u00e9 test", "M\u00fcller"} <= set(written)
    assert prepared.read_info(tmp_path / "out").encoding == "cp1252"


def test_seven_bits_are_read_as_set(tmp_path: Path) -> None:
    content = "text,label\n\u3053\u306e\u88fd\u54c1,a\nx,b\n".encode("iso2022_jp")
    (tmp_path / "rows.csv").write_bytes(content)
    assert content.isascii() and texts(tmp_path / "rows.csv", Reading("iso2022_jp")) == [
        "\u3053\u306e\u88fd\u54c1",
        "x",
    ]


def test_both_encodings_are_named_where_one_word_reads_well_in_both(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("text,label\n\u0391\u03a1\u0399\u03a3\u03a4\u039f,a\n".encode("cp1253"))
    words = r"it looks like koi8_r, in which the line is '.*', or cp1253, in which the line is '\u0391\u03a1\u0399"
    with pytest.raises(HeadstartError, match=rf"{words}.*: if that is right, set prepare.encoding: koi8_r or cp1253"):
        texts(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_lines_are_whole_wherever_a_block_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, encoding: str
) -> None:
    lines = ["a\r\n", "\r\n", "\u65e5\u672c\n", "\n", "b\r", "\r", "\x0bc\u2028d\r", "\U0001f600 e"]
    path = tmp_path / "rows.txt"
    path.write_bytes("".join(lines).encode(encoding))
    monkeypatch.setattr(text_files, "MAX_SAMPLE", 4)  # of the marks
    monkeypatch.setattr(text_files, "FIRST_BLOCK", size)
    monkeypatch.setattr(text_files, "BLOCK", size)
    with text_files.opened(path, Reading()) as opened:
        assert list(opened) == lines


@pytest.mark.parametrize("size", [3, 100])
def test_a_line_that_is_too_long_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\nx,a\n" + "y" * 30 + ",b\nz,a\n", "utf-8")
    monkeypatch.setattr(text_files, "MAX_LINE", 20)
    monkeypatch.setattr(text_files, "FIRST_BLOCK", size)
    monkeypatch.setattr(text_files, "BLOCK", size)
    with (
        pytest.raises(HeadstartError, match="more than 20 characters in line 3"),
        text_files.opened(path, Reading()) as lines,
    ):
        list(lines)
