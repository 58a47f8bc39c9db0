"""What prepare kept and left out: whether a model can be trained on it, the summary, and remarks."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.common.errors import HeadstartError, counted, did_you_mean, listed
from stages.common.prepare_params import PrepareParams
from stages.sources import image_folders, label_values, similar_labels, table_folders, values
from stages.sources.counts import MIN_DIVIDED_ROWS, Counts
from stages.sources.selection import KINDS, Selection
from stages.tables import prepared, splitting

LABEL = "`python -m stages.label`"
RANDOM_ONES = "labels of random ones"
MAX_STEPS = 10  # classes 1, 2, 3 and so on up to this may be meant as steps, such as stars; more are class numbers


def in_words(counts: Counts) -> str:
    """Say what labels the rows have."""
    match counts.task:
        case "multilabel":
            return f"with {counted(len(counts.labels()), 'label')}"
        case "regression":
            return "with numbers" if counts.lowest is None else f"with numbers from {counts.lowest} to {counts.highest}"
        case _:
            return f"in {counted(len(counts.labels()), 'class', 'classes')}"


def problem(counts: Counts, settings: PrepareParams, *, is_tested: bool) -> str | None:
    """Say why no model can be trained and judged on these rows, and what to do; None where it can."""
    ask = f"; {_asks(counts, 'labels')}" if counts.unlabelled else ""
    if too_alike := _too_alike(counts, settings):
        return f"{settings.data} {too_alike}{ask}"
    if missing := counts.untrained():
        return (  # while rows wait for labels, the selection leaves such classes out
            f"{settings.data}: no training row for {listed(missing, limit=10)}, since the data gives all of its rows to"
            f" other splits; add training rows of it, or leave it out{_similar(counts.labels())}"
        )
    if not counts.rows("train"):
        return f"{settings.data} has no labelled rows for training; give some of them to train{ask}"
    hint = f"; {hint}" if (hint := _numbers_hint(counts, settings)) else ""
    if is_tested and not counts.rows("test"):
        more = "raise prepare.test, or add rows"
        more += ": a class needs two for one to test" if counts.has_one_class_per_row else ""
        return f"{settings.data} leaves no test rows; {_asks(counts, RANDOM_ONES) if counts.unlabelled else more}{hint}"
    if not is_tested and not counts.can_be_divided():
        need = "two classes of two rows" if counts.has_one_class_per_row else f"{MIN_DIVIDED_ROWS} rows"
        return (
            f"{settings.data} leaves no test rows, since prepare.test is 0, and a cross-validation needs {need};"
            f" add rows{ask}{hint}"
        )
    return None


def check(counts: Counts, settings: PrepareParams, *, is_tested: bool) -> None:
    """Check that a model can be trained and judged on these rows, unless some wait for labels.

    Raises:
        HeadstartError: it cannot.
    """
    if not counts.unlabelled and (sentence := problem(counts, settings, is_tested=is_tested)):
        raise HeadstartError(sentence)


def check_unknown(counts: Counts, settings: PrepareParams, *, is_tested: bool) -> None:
    """Check that the class `prepare.unknown` has rows, and that it can be judged.

    Raises:
        HeadstartError: it has none, rows have several labels, an order or numbers, or there are no test rows.
    """
    if settings.unknown is None:
        return
    named, remedy = f"prepare.unknown is {settings.unknown!r}", "correct it, or set it to null"
    if counts.task != "single":
        raise HeadstartError(f"{named}, which is for rows of one class each, but the task is {counts.task}; {remedy}")
    if not counts.unknown and not counts.unlabelled:
        hint = did_you_mean(settings.unknown, counts.labels())
        raise HeadstartError(f"{named}, but {settings.data} has no row of that class{hint}; {remedy}")
    if not is_tested:
        raise HeadstartError(f"{named}, whose rows are judged as test rows, but prepare.test is 0; raise it")


def _too_alike(counts: Counts, settings: PrepareParams) -> str:
    """Say that a model cannot learn from rows that all have the same label, or that there are none; empty if it can."""
    labels, is_folder = counts.labels(), image_folders.is_image_folder(Path(settings.data))
    columns = (settings.label,) if isinstance(settings.label, str) else settings.label
    where = "" if is_folder else f" in column {' and '.join(columns)}"
    if not counts.kept.total():
        nothing = "no labelled rows" if counts.unlabelled else "no usable rows"
        needs = "a regression needs numbers" if counts.task == "regression" else "a classifier needs two classes"
        return f"has {nothing}; {needs}{where}"
    match counts.task:
        case "regression":
            if counts.lowest == counts.highest:
                return f"has only one number, {counts.lowest!r}; a regression needs numbers that differ{where}"
        case "multilabel":
            if not labels:
                return f"has no row with a label; a classifier needs labels that apply to rows{where}"
            if all(counts.classes["train"][label] == counts.rows("train") for label in labels):
                same = listed(labels, limit=10)
                return f"has the same labels in every training row, {same}; a classifier needs rows that differ{where}"
        case _:
            if len(labels) < 2:
                return f"has only one class, {labels[0]}; a classifier needs two classes{where}"
    return ""


def _numbers_hint(counts: Counts, settings: PrepareParams) -> str:
    """Recommend another task where the classes of `prepare.task: auto` are numbers, but not counted as classes are."""
    labels = counts.labels()
    if settings.task != "auto" or counts.task != "single" or len(labels) < 3:
        return ""
    if not all(map(label_values.NUMBER.fullmatch, labels)):
        return ""
    numbers = sorted(map(float, labels))
    first = 1 if len(labels) > MAX_STEPS and numbers[0] == 1 else 0
    if numbers == list(range(first, first + len(numbers))):
        return ""
    return (
        f"the {len(labels):,} classes are numbers from {numbers[0]:g} to {numbers[-1]:g}, taken as names without an"
        " order: prepare.task: regression learns them as numbers, ordinal as classes in their order"
    )


def _asks(counts: Counts, labels: str) -> str:
    """Say how unlabelled rows get labels."""
    if counts.task == "single":
        return f"{LABEL} asks you for {labels}"
    return "write their labels into the table, or into the file prepare.labels"


def _similar(labels: list[str]) -> str:
    """Say which labels look like one class, the first three groups of them; empty where none do."""
    return "".join(f"; {' and '.join(names)} look like one class" for names in similar_labels.groups(labels)[:3])


def summary(rows: int, counts: Counts) -> dict[str, Any]:
    """Return the content of summary.json."""
    labels = counts.labels()
    content: dict[str, Any] = {
        "rows": rows,
        "kept": {split: counts.rows(split) for split in prepared.SPLITS},
        "left_out": {kind: counts.left_out[kind] for kind in KINDS},
        "classes": {label: {split: counts.classes[split][label] for split in prepared.SPLITS} for label in labels},
    }
    if counts.task != "single":
        content["task"] = counts.task
    if counts.task == "regression":
        content["numbers"] = {"lowest": counts.lowest, "highest": counts.highest}
    if counts.unlabelled:
        content["unlabelled"] = counts.unlabelled
    if counts.unknown:
        content["unknown"] = {split: counts.unknown[split] for split in prepared.SPLITS}
    if similar := similar_labels.groups(labels):
        content["similar_classes"] = similar
    return content


def similar_classes(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for all labels that look like one class, by the content of summary.json."""
    for names in summary.get("similar_classes", ()):
        yield f"{' and '.join(map(repr, names))} look like one class; correct the table if they are"


def remarks(selection: Selection, counts: Counts, data: Path) -> Iterator[str]:
    """Yield sentences on unlabelled rows, labels that may be none, what was left out, few test rows, and DVC's view."""
    if counts.unlabelled:
        yield (
            f"{counted(counts.unlabelled, 'row')} without a label {'waits' if counts.unlabelled == 1 else 'wait'} to be"
            f" used: {_asks(counts, 'their labels, those worth most first')}"
            f"{'; `python -m stages.suggest` names those worth most' if counts.task == 'multilabel' else ''}"
        )
        if trouble := problem(counts, selection.settings, is_tested=selection.is_tested):
            yield trouble
    if unclear := [label for label in counts.labels() if values.looks_missing(label)]:
        number = sum(map(counts.labelled, unclear))
        rows = f"{counted(number, 'row')} of class {' and '.join(map(repr, unclear))} {'is' if number == 1 else 'are'}"
        yield f"{rows} kept; if that stands for no label, leave it empty"
    yield from _left_out(selection, counts)
    if hint := _numbers_hint(counts, selection.settings):
        yield hint
    if selection.cuts_test and 0 < counts.rows("test") < splitting.MIN_TEST_ROWS:
        remedy = f"with prepare.test: 0, evaluate judges all {counts.kept.total():,} rows by cross-validation instead"
        yield (
            f"{counted(counts.rows('test'), 'test row')} {_how_sure(counts)};"
            # The suggested rows of a file of labels are the hard ones, by which nothing should be judged.
            f" {_asks(counts, RANDOM_ONES) if selection.labels_file_splits and counts.unlabelled else remedy}"
        )
    if selection.names_files and data.is_file():
        yield (
            f"DVC watches {data}, but not the images that it names; to have both watched, name the table"
            f" {table_folders.train_name(data)} and set prepare.data to its folder"
        )


def _left_out(selection: Selection, counts: Counts) -> Iterator[str]:
    """Yield sentences on classes that are left out, and on those that are not judged."""
    if selection.rare_classes:
        names = "labels" if counts.task == "multilabel" else "classes"
        yield (
            f"{names} with fewer than prepare.min_rows = {selection.settings.min_rows:,} rows are left out:"
            f" {listed(selection.rare_classes)}"
        )
    classes = selection.untrained_classes
    if classes and counts.task == "multilabel":
        yield (
            f"no training row for {listed(classes, limit=10)}: {'this label is' if len(classes) == 1 else 'these are'}"
            f" taken out of {counted(sum(classes.values()), 'row')} of other splits"
        )
    elif classes:
        hint = _similar(sorted([*counts.labels(), *classes]))
        yield (
            f"no training row yet for {listed(classes, limit=10)}: {counted(sum(classes.values()), 'row')} of"
            f" {'that class is' if len(classes) == 1 else 'these classes are'} left out until there is one{hint};"
            f" {LABEL} suggests rows for training"
        )
    untested = counts.untested() if counts.task == "multilabel" and counts.rows("test") else []
    if untested:
        yield f"no test row for {listed(untested, limit=10)}, which is learned, but cannot be judged"
    without_rows = [name for name in selection.settings.order or () if name not in counts.labels()]
    if without_rows:
        yield f"prepare.order has classes without a row: {listed(without_rows, limit=10)}"


def _how_sure(counts: Counts) -> str:
    """Say how little the test rows tell."""
    if not counts.has_one_class_per_row:
        return "are few to judge by"
    return f"will tell the accuracy to about ±{splitting.widest_half(counts.rows('test')):.2f}"
