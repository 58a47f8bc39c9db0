"""The split that an unlabelled row will get is the one that prepare gives it once it has a label."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.common import params
from stages.suggestion.future_splits import FutureSplits
from stages.tables import labels_file, prepared
from stages.tables.labels_file import NewLabel
from tests.projects import run_stages, set_params

ROWS = 300


def write(project: Path, labelled: int, *, given: bool = False) -> None:
    """Write a table of two classes and of groups of three rows; with `given`, every fifth row of it tests."""
    with (project / "data/rows.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["text", "label", "group", "split"])
        for row in range(ROWS):
            split = "test" if row % 5 == 0 and row < 100 else "train"
            label = ["a", "b"][row % 2] if row < labelled else ""
            out.writerow([f"text {row}", label, f"g{row // 3}", split if given else ""])


def tables(project: Path, **changes: Any) -> dict[str, dict[str, str | None]]:
    """Prepare, and give the group of every row by table and id."""
    set_params(project, prepare__data="data/rows.csv", prepare__label="label", prepare__min_rows=1, **changes)
    run_stages(project, "prepare")
    by_table = {}
    for table in prepared.TABLES:
        rows = prepared.identities(project / "data/prepared", table)
        by_table[table] = dict(zip(rows["id"].to_pylist(), rows["group"].to_pylist(), strict=True))
    return by_table


CUT: list[dict[str, Any]] = [{}, {"prepare__group": "group"}, {"prepare__test": 0.0}]


@pytest.mark.parametrize(
    ("labelled", "changes"),
    [*((labelled, changes) for labelled in (0, 1, 100) for changes in CUT), (100, {"prepare__split": "split"})],
    ids=str,
)
def test_a_row_gets_the_split_that_was_told(project: Path, labelled: int, changes: dict[str, Any]) -> None:
    is_given = "prepare__split" in changes
    write(project, labelled, given=is_given)
    waiting = tables(project, **changes)["unlabelled"]
    future = FutureSplits(project / "data/prepared", params.load(project / "params.yaml").prepare)
    told = future.unlabelled()
    assert [*told] == [*waiting]
    assert future.given == (("test",) if is_given else ())
    write(project, ROWS, given=is_given)
    after = tables(project, **changes)
    assert told == {row_id: split for split in prepared.SPLITS for row_id in after[split] if row_id in waiting}
    if not is_given and not changes.get("prepare__test", 1.0):
        assert future.share("test") == 0 and "test" not in told.values()
    shares = {split: np.mean([name == split for name in told.values()]) for split in prepared.SPLITS[1:]}
    assert shares == pytest.approx({split: future.share(split) for split in shares}, abs=0.08)


@pytest.mark.parametrize("change", [{"prepare__seed": 1}, {"prepare__test": 0.05}], ids=str)
@pytest.mark.parametrize("group", [None, "group"])
def test_labels_of_an_earlier_seed_or_share_are_no_given_split(
    project: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], group: str | None
) -> None:
    """Labels of the page keep the split that they got; rows of other groups still come at random for the test."""
    monkeypatch.chdir(project)
    write(project, 0)
    settings = params.load(project / "params.yaml").prepare
    waiting = tables(project, prepare__group=group)["unlabelled"]
    rows = [*waiting][::2] if group is None else [*waiting][::3][:60]  # one row of a group, so that others wait
    told = FutureSplits(project / "data/prepared", settings).unlabelled()
    splits = [told[row] for row in rows]
    pairs = enumerate(zip(rows, splits, strict=True))
    new = [NewLabel(row, "", ["a", "b"][number % 2], split) for number, (row, split) in pairs]
    labels_file.append(project / "data/labels.csv", new)
    after = tables(project, **change)
    assert all(row in after[split] for row, split in zip(rows, splits, strict=True))
    settings = params.load(project / "params.yaml").prepare
    future = FutureSplits(project / "data/prepared", settings)
    assert future.given == () and future.share("test") == settings.test
    told = future.unlabelled()
    bound = {waiting[row]: split for row, split in zip(rows, splits, strict=True)}
    assert "test" in told.values()
    more = [NewLabel(row, "", "a", split) for row, split in told.items()]
    if group:
        assert all(bound.get(after["unlabelled"][line.id], line.split) == line.split for line in more)
    labels_file.append(project / "data/labels.csv", more)
    whole = tables(project)  # a group in two splits would be an error
    assert all(line.id in whole[line.split] for line in (*new, *more))
