"""What the page says of the work so far, in plain words."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.common.errors import counted
from stages.labelling.learner import Accuracy
from stages.labelling.queues import Queue
from stages.labelling.snapshot import Snapshot
from stages.suggestion.future_splits import FutureSplits
from stages.tables.splitting import MIN_TEST_ROWS, widest_half


def test_rows(future: FutureSplits, new: Mapping[str, int], *, has_random: bool) -> dict[str, Any]:
    """Say how many test rows there are, how many more there should be, and why.

    Args:
        new: rows that were labelled since the tables were made, by split.
        has_random: whether a row of the random queue is left to label.
    """
    rows = future.labelled["test"].num_rows + new.get("test", 0)
    count = {"rows": rows, "needed": MIN_TEST_ROWS}
    if "test" in future.given:
        return count | {"say": "Your data has test rows of its own. " + _validation(future)}
    if not future.share("test"):
        judged = "evaluate judges by cross-validation"
        if rows:  # labelled when prepare.test was not 0
            judged = f"no more rows test, but the {counted(rows, 'test row')} of the file of labels still do"
        return count | {"needed": 0, "say": f"prepare.test is 0: {judged}. {_validation(future)}"}
    if rows >= MIN_TEST_ROWS:
        return count | {
            "say": f"Enough for an honest test: the accuracy will be known to about ±{widest_half(rows):.2f}."
        }
    missing = MIN_TEST_ROWS - rows
    if not has_random:
        return count | {
            "say": f"The accuracy is known to about ±{widest_half(max(rows, 1)):.2f}, and no random row is left: add"
            " rows without a label to your data."
        }
    random = math.ceil(missing * (future.share("test") + future.share("validation")) / future.share("test"))
    return count | {
        "say": f"{missing} more, about {counted(random, 'random row')}: with {MIN_TEST_ROWS} test rows, the accuracy is"
        f" known to about ±{widest_half(MIN_TEST_ROWS):.2f}. Suggested rows cannot test, since they are the hard ones."
    }


def _validation(future: FutureSplits) -> str:
    """Say what random rows are good for where none of them tests."""
    if future.share("validation"):
        return "Random rows only validate: they tell how accuracy grows."
    return "No random rows are needed."


def nothing_left(queue: Queue, snapshot: Snapshot) -> str:
    """Say why a queue has no row."""
    if queue == "random":
        future = snapshot.future
        if not future.share("test") and not future.share("validation"):
            return "No random rows are needed, as no row is taken for validation or test by chance."
        return "No random row is left. Suggested rows are in the other queue."
    if snapshot.vectors:
        return "Nothing is left to suggest: all other rows with vectors are nearly copies of labelled ones."
    return "All rows for training have a label."


def curve(accuracy: Accuracy | None, future: FutureSplits) -> dict[str, Any]:
    """Give the points of the curve, and say how good the head is."""
    if accuracy is None:
        say = "It shows once two classes have training rows and some random rows validate."
        if not future.share("validation") and not future.labelled["validation"].num_rows:
            say = "There are no validation rows to measure it on, as prepare.validation is 0."
        return {"points": [], "say": say}
    last = accuracy.points[-1]
    return {
        "points": [[point.labels, round(point.accuracy, 4)] for point in accuracy.points],
        "say": f"{last.accuracy:.0%} of {counted(accuracy.rows, 'validation row')} are right"
        f" ({accuracy.low:.0%} to {accuracy.high:.0%}), with {counted(last.labels, 'training row')}.",
    }


def notes(
    snapshot: Snapshot, path: Path, remarks: Sequence[str], troubles: Mapping[str, str], *, counts: bool
) -> list[str]:
    """List what is wrong, and what to do."""
    return [
        *([not_joined(path)] if not counts else []),
        *([f"Rows come in random order and without guesses: {snapshot.no_vectors}."] if snapshot.no_vectors else []),
        *(f"{sentence}." for sentence in (*troubles.values(), *remarks)),
    ]


def not_joined(path: Path) -> str:
    """Say that prepare does not read the labels."""
    return f"Labels do not count yet: set prepare.labels to {path.as_posix()} in params.yaml, then run `dvc repro`."
