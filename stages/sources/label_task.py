"""Tell which task the labels are for, by the settings and by what the label column holds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from stages.common.errors import HeadstartError
from stages.common.prepare_params import PrepareParams
from stages.common.setting_types import TaskName
from stages.sources import table_files
from stages.sources.image_folders import is_image_folder
from stages.sources.label_values import LabelForm, as_list, shown
from stages.sources.row import Columns, Reading
from stages.sources.values import is_missing
from stages.tables.prepared import UNLABELLED

MAX_PEEK_ROWS = 10_000  # read to find the values
MAX_PEEK_VALUES = 200
MAX_EXAMPLES = 3
SEPARATORS = (";", "|", ",", "/", "+", "&", "\t")  # that people divide names with
JOINERS = SEPARATORS[:3]  # of these, those that are rare in the name of a class


@dataclass(frozen=True)
class _Labels:
    """Where labels are, in one column of a table and in the file `prepare.labels`."""

    data: Path
    columns: Columns
    reading: Reading
    given: Sequence[str]

    @property
    def column(self) -> str:
        """The one column with the labels."""
        (column,) = self.columns.labels()
        return column

    def in_table(self, limit: int | None = MAX_PEEK_ROWS) -> Iterator[Any]:
        """Yield those of the table that are not empty, in at most so many rows."""
        for record in islice(self._records(), limit):
            value = record[self.column]
            if not (is_missing(value) or (isinstance(value, str) and not value.strip())):
                yield value

    def _records(self) -> Iterator[dict[str, Any]]:
        alone = Columns(self.column)  # without images, which take long to read
        for path, split in table_files.tables(self.data).items():
            if split != UNLABELLED:
                # Which lines are rows is told by all columns.
                columns = self.columns if table_files.is_delimited(path) else alone
                yield from (record for _, record in table_files.records(path, columns, self.reading))


def choose(
    data: Path, settings: PrepareParams, columns: Columns, reading: Reading, given: Sequence[str]
) -> tuple[LabelForm, str | None]:
    """Return how labels are read, and for `prepare.task: auto` a sentence if that is not as one class per row.

    Args:
        columns: of the table.
        given: the texts of labels in the file `prepare.labels`, which tell the task where the table has none.

    Raises:
        HeadstartError: the settings do not fit the data: a folder of images has one class per image, the separator
            occurs in no row, or several labels per row are asked for, but are neither lists nor divided.
    """
    if is_image_folder(data):
        _check_folder(data, settings)
        return LabelForm(), None
    labels = _Labels(data, columns, reading, given)
    if form_and_reason := _from_settings(settings):
        form, reason = form_and_reason
        if form.separator:
            _check_separator(labels, form.separator)
        return form, f"the task is {form.task}, since {reason}" if settings.task == "auto" else None
    if settings.task == "single":
        return LabelForm(), None
    return _from_values(labels, settings.task)


def _from_settings(settings: PrepareParams) -> tuple[LabelForm, str] | None:
    """Return how labels are read, and why, where another setting than the task says so."""
    if not isinstance(settings.label, str):
        return LabelForm("multilabel"), "prepare.label names several columns"
    if settings.order:
        return LabelForm("ordinal", order=settings.order), "prepare.order is set"
    if settings.label_separator:
        return LabelForm("multilabel", settings.label_separator), "prepare.label_separator is set"
    return None


def _from_values(labels: _Labels, task: Literal["auto", TaskName]) -> tuple[LabelForm, str | None]:
    """Do what `choose` does for one column and no setting but the task."""
    values = list(islice(labels.in_table(), MAX_PEEK_VALUES)) or list(labels.given)
    lists = [as_list(value) is not None for value in values]
    if task != "auto":
        if task == "multilabel" and values and not any(lists):
            raise HeadstartError(
                f"{labels.data}: prepare.task is multilabel, but {labels.column} holds {_examples(values)}, which are"
                f" no lists; {_advice(values)}, write JSON lists, or name columns of yes and no as prepare.label"
            )
        return LabelForm(task), None
    if sum(isinstance(value, list) for value in values) * 2 > len(values):
        return LabelForm("multilabel"), f"the task is multilabel, since {labels.column} holds lists"
    if values and all(lists):
        return LabelForm("multilabel"), (
            f"the task is multilabel, since {labels.column} holds lists written as text, such as"
            f" {_examples(values[:1])}; prepare.task: single takes these texts for classes"
        )
    texts = [value for value in values if isinstance(value, str)]
    if mark := next((mark for mark in JOINERS if _are_joined(texts, mark)), None):
        example = next(text for text in texts if mark in text)
        return LabelForm(), (
            f"labels such as {shown(example)} are classes of their own; if they are several names, set"
            f" prepare.label_separator to {mark!r}, else prepare.task to single"
        )
    return LabelForm(), None


def _are_joined(texts: Sequence[str], mark: str) -> bool:
    """Tell whether a mark seems to divide names: most texts have it, and there are no more names than texts."""
    joined = {text for text in texts if mark in text}
    names = {name.strip() for text in joined for name in text.split(mark)}
    return 2 * sum(text in joined for text in texts) > len(texts) and len(names) <= len(joined)


def _check_folder(data: Path, settings: PrepareParams) -> None:
    """Raise a HeadstartError if the settings ask for other labels than the classes of a folder of images."""
    wrong = {
        "prepare.label names several columns": not isinstance(settings.label, str),
        "prepare.label_separator is set": settings.label_separator is not None,
        "prepare.order is set": settings.order is not None,
        f"prepare.task is {settings.task}": settings.task not in ("auto", "single"),
    }
    if problem := next((sentence for sentence, is_so in wrong.items() if is_so), None):
        raise HeadstartError(
            f"{problem}, but {data} is a folder of images, where each image is of the class of its folder; name a table"
            " of image paths and labels as prepare.data, or correct the setting"
        )


def _check_separator(labels: _Labels, separator: str) -> None:
    """Raise a HeadstartError if there are labels, but the separator occurs in none of them."""
    values: list[Any] = []
    for value in chain(labels.in_table(limit=None), labels.given):
        if isinstance(value, str) and separator in value:
            return
        if len(values) < MAX_PEEK_VALUES:
            values.append(value)
    if values:
        raise HeadstartError(
            f"{labels.data}: prepare.label_separator is {separator!r}, which occurs in no row of"
            f" {labels.column}; its values are such as {_examples(values)}; {_advice(values)}"
        )


def _examples(values: Sequence[Any]) -> str:
    return " and ".join([*dict.fromkeys(map(shown, values))][:MAX_EXAMPLES])


def _advice(values: Sequence[Any]) -> str:
    """Say which separators may divide the names in these values."""
    if any(isinstance(value, list) for value in values):
        return "set prepare.label_separator to null, as lists need none"
    counts = Counter(mark for value in values if isinstance(value, str) for mark in SEPARATORS if mark in value)
    likely = " or ".join(repr(mark) for mark, _ in counts.most_common(2))
    return f"set prepare.label_separator to {likely}" if likely else "set prepare.label_separator to what divides names"
