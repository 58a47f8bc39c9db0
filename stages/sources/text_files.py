"""Text files of raw rows: plain or compressed, in UTF-8, in what their byte-order mark says, or in a given encoding."""

import bz2
import codecs
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, count
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, cast

import pyarrow as pa

from stages.common.errors import HeadstartError, listed, one_line
from stages.sources import clutter, encoding_guess
from stages.sources.row import Reading

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
DAMAGE = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError)
MARKS = {  # the longest first: UTF-32's begins as UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
UNMARKED = {  # two letters of ASCII without a mark
    re.compile(rb"[^\0]\0[^\0]\0"): "utf-16-le",
    re.compile(rb"\0[^\0]\0[^\0]"): "utf-16-be",
}
STARTS = {  # of files that are no text, whatever their suffix says
    b"PK\3\4": "a spreadsheet or an archive; name it .xlsx, .ods or .zip",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet; save it as .xlsx",
    b"PAR1": "Parquet; name it .parquet",
    b"\x1f\x8b": "packed by gzip; put .gz behind its name",
    b"\x28\xb5\x2f\xfd": "packed by zstd; put .zst behind its name",
    b"\xfd7zX": "packed by xz; put .xz behind its name",
    b"BZh9": "packed by bzip2; put .bz2 behind its name",
}
MAX_LINE = 2**26  # characters of a line or a field: far more than any text to classify, but safe for the memory
BLOCK = 2**18  # bytes that are read at a time
FIRST_BLOCK = 2**14  # likewise, since many readers look only at the first lines
MAX_SAMPLE = 2**14  # bytes of lines to guess an encoding from
MIN_PRINTABLE = 0.9  # share of the characters of a text


def suffix(path: Path) -> str:
    """Return the suffix of the format, in lower case, without that of a compression."""
    return PurePath(path.stem if path.suffix.lower() in COMPRESSED else path.name).suffix.lower()


@contextmanager
def opened(path: Path, reading: Reading) -> Iterator[Iterator[str]]:
    """Give the lines of a text file, with their line ends as they are.

    Raises:
        HeadstartError: the file is damaged or not in its encoding, which names a likely one, or a line has more than
            `MAX_LINE` characters.
    """
    encoding = encoding_of(path, reading)
    try:
        with _bytes(path) as stream:
            yield chain.from_iterable(_lines(path, stream, encoding))
    except UnicodeError:
        raise _wrong_encoding(path, encoding) from None


def encoding_of(path: Path, reading: Reading) -> str:
    """Return the encoding of a file: what its start says; UTF-8 if its bytes are that and no ASCII; else the given one.

    So a folder may hold files of both, and a model that was trained on a table in another encoding reads new ones.
    """
    with _bytes(path) as stream:
        sample = stream.read(MAX_SAMPLE)
    start = sample[:4]
    for mark, encoding in MARKS.items():
        if start.startswith(mark):
            return encoding
    for pattern, encoding in UNMARKED.items():
        if pattern.match(start) or _has_lines_in(sample, encoding):
            return encoding
    if kind := STARTS.get(start) or STARTS.get(start[:2]):
        raise HeadstartError(f"{path} is no text, but {kind}")
    return "utf-8" if reading.encoding == "utf-8" or _is_utf8_beyond_ascii(path) else reading.encoding


def _has_lines_in(sample: bytes, encoding: str) -> bool:
    """Return whether bytes without a mark are lines in UTF-16: most line ends are of two bytes."""
    text = sample[: len(sample) // 2 * 2].decode(encoding, "ignore")
    ends = text.count("\n") + text.count("\r")
    if ends * 2 <= sample.count(b"\n") + sample.count(b"\r"):
        return False
    return sum(letter.isprintable() or letter in "\t\r\n" for letter in text) >= MIN_PRINTABLE * len(text)


def _is_utf8_beyond_ascii(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    ascii_only = True
    with _bytes(path) as stream:
        while block := stream.read(BLOCK):
            ascii_only = ascii_only and block.isascii()
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return False
    return not ascii_only


def holds(path: Path, byte: bytes) -> bool:
    """Return whether a file holds this byte."""
    with _bytes(path) as stream:
        return any(byte in block for block in iter(partial(stream.read, BLOCK), b""))


@contextmanager
def _bytes(path: Path) -> Iterator[IO[bytes]]:
    """Give the bytes of a file, without its compression."""
    with ExitStack() as stack:
        try:
            yield _unpacked(path, stack)
        except DAMAGE as error:
            # The operating system's own errors, as of a network drive, have a number; damage has none.
            if path.suffix.lower() not in COMPRESSED or getattr(error, "errno", None):
                raise
            raise HeadstartError(f"{path} cannot be unpacked ({one_line(error)}); compress it again") from None


def _unpacked(path: Path, stack: ExitStack) -> IO[bytes]:
    match path.suffix.lower():
        case ".gz":
            return cast(IO[bytes], stack.enter_context(gzip.open(path)))
        case ".bz2":
            return stack.enter_context(bz2.open(path))
        case ".xz":
            return stack.enter_context(lzma.open(path))
        case ".zst":
            stream = stack.enter_context(pa.input_stream(str(path), compression="zstd"))
            return cast(IO[bytes], io.BufferedReader(stream))
        case ".zip":
            archive = stack.enter_context(zipfile.ZipFile(path))
            return stack.enter_context(archive.open(_only_file(path, archive)))
        case _:
            return stack.enter_context(path.open("rb"))


def _only_file(path: Path, archive: zipfile.ZipFile) -> str:
    files = (name for name in archive.namelist() if not name.endswith("/"))
    names = [name for name in files if not any(map(clutter.is_clutter, PurePosixPath(name).parts))]
    if len(names) != 1:
        raise HeadstartError(
            f"{path} holds {len(names)} files ({listed(names, limit=5)}), but must hold one table; unpack it"
        )
    return names[0]


def _lines(path: Path, stream: IO[bytes], encoding: str) -> Iterator[list[str]]:
    """Yield the lines of a file, many at a time, and refuse one of `MAX_LINE` characters without reading it whole."""
    decoder, number, rest, size = codecs.getincrementaldecoder(encoding)(), 1, "", FIRST_BLOCK
    while block := stream.read(size):
        size = max(BLOCK, len(rest))  # of a long line the more, so that it is not copied for every block of its
        lines = io.StringIO(rest + decoder.decode(block), newline="").readlines()
        # The last line may go on, as may the line end \r.
        rest = lines.pop() if lines and not lines[-1].endswith("\n") else ""
        _check_length(path, [*lines, rest], number)
        yield lines
        number += len(lines)
    lines = io.StringIO(rest + decoder.decode(b"", final=True), newline="").readlines()
    _check_length(path, lines, number)
    yield lines


def _check_length(path: Path, lines: list[str], first: int) -> None:
    """Raise a HeadstartError if a line is too long; `first`: the number of the first line."""
    if max(map(len, lines), default=0) >= MAX_LINE:
        number = first + next(place for place, line in enumerate(lines) if len(line) >= MAX_LINE)
        raise HeadstartError(f"{path} has more than {MAX_LINE:,} characters in line {number}; correct it")


def _wrong_encoding(path: Path, encoding: str) -> HeadstartError:
    """Return the error for a file that is not in `encoding`, and its first wrong line as it likely reads."""
    if encoding.startswith(("utf-16", "utf-32")):
        return HeadstartError(f"{path} starts as {encoding.upper()} but does not go on so; save it as UTF-8")
    first, sample = 0, b""
    with _bytes(path) as stream:
        for number in count(1):
            line = stream.readline(MAX_LINE)
            if not line or len(sample) > MAX_SAMPLE:
                break
            try:
                line.decode(encoding)
            except UnicodeError:
                first = first or number
                sample += line[:MAX_SAMPLE]
    name = "UTF-8" if encoding.startswith("utf-8") else encoding
    problem = f"{path} is not {name} in line {first}"
    likely = encoding_guess.likely(sample)
    if not likely:
        return HeadstartError(f"{problem}; save it as UTF-8")
    line = sample.splitlines()[0]
    readings = [f"{name}, in which the line is {line.decode(name, 'replace').strip()[:60]!r}" for name in likely]
    return HeadstartError(
        f"{problem}; it looks like {', or '.join(readings)}: if that is right, set prepare.encoding:"
        f" {' or '.join(likely)}, or save the file as UTF-8"
    )
