"""Tables in spreadsheets: the first sheet of an .xlsx or .ods file, or the one that is named."""

import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError, did_you_mean, listed, one_line
from stages.sources.row import Columns, Reading, require

OPEN_DOCUMENT = ".ods"
SUFFIXES = (".xlsx", ".xlsm", OPEN_DOCUMENT)
MAX_UNPACKED = 2**30  # bytes: a spreadsheet of its largest number of rows needs less
ERRORS = ("#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A")  # of formulas


def records(path: Path, columns: Columns, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row in the sheet, column values) for each row below the header; rows without any value are none.

    Raises:
        HeadstartError: the file is damaged, has no such sheet, or lacks a column; or its reader is not installed.
    """
    header: list[str] | None = None
    read = _open_document_rows if path.suffix.lower() == OPEN_DOCUMENT else _excel_rows
    for number, cells in enumerate(read(path, reading.sheet), start=1):
        values = [None if value == "" or (isinstance(value, str) and value in ERRORS) else value for value in cells]
        if all(value is None for value in values):
            continue
        if header is None:
            header = ["" if value is None else str(value).strip() for value in values]
            require(path, columns, header)
            index = columns.positions(header)
        else:
            yield number, {name: values[at] if at < len(values) else None for name, at in index.items()}
    if header is None:
        raise HeadstartError(f"{path} has an empty sheet; it needs a header and rows, or set prepare.sheet to another")


def _excel_rows(path: Path, sheet: str | None) -> Iterator[Iterable[Any]]:
    """Yield the rows of an .xlsx file one by one: a forgotten cell at the end of a sheet takes no memory."""
    with _readable(path, "openpyxl"):
        import openpyxl

        book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
        try:
            pages = sorted(book.worksheets, key=lambda page: page.sheet_state != "visible")  # hidden ones last
            names = [page.title for page in pages]
            page = book[_sheet(path, sheet, names)]
            page.reset_dimensions()  # what a file says of its size may be wrong
            yield from page.iter_rows(values_only=True)
        finally:
            book.close()


def _open_document_rows(path: Path, sheet: str | None) -> Iterator[Iterable[Any]]:
    with _readable(path, "odfpy"):
        import pandas as pd

        with pd.ExcelFile(path, engine="odf") as book:
            name = _sheet(path, sheet, [str(name) for name in book.sheet_names])
            table = book.parse(name, header=None, dtype=object, na_filter=False)
        yield from table.itertuples(index=False, name=None)


def _sheet(path: Path, sheet: str | None, names: list[str]) -> str:
    """Return the name of the sheet to read."""
    if not names:
        raise HeadstartError(f"{path} has no sheet with cells; add one")
    if sheet is not None and sheet not in names:
        raise HeadstartError(
            f"{path} has no sheet {sheet}; it has {listed(names)}; rename one, or correct prepare.sheet"
            f"{did_you_mean(sheet, names)}"
        )
    return sheet or names[0]


@contextmanager
def _readable(path: Path, package: str) -> Iterator[None]:
    """Turn the errors of a reader into one sentence."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED:
                raise HeadstartError(f"{path} is larger than {MAX_UNPACKED:,} bytes unpacked; save it as CSV")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and forms that are not read
            yield
    except HeadstartError:
        raise
    except ImportError:
        raise HeadstartError(
            f"{path} needs the package {package}; run `pip install -e '.[spreadsheets]'`, or save the sheet as CSV"
        ) from None
    except MemoryError:
        raise HeadstartError(f"{path} has too many cells for the memory; save the sheet as CSV") from None
    except Exception as error:  # on damaged files, the readers raise errors of many types
        raise HeadstartError(f"{path} is not a readable spreadsheet ({one_line(error)}); save it again") from None
