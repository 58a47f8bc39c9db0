"""Rows are noted in a few numbers, and their distinct contents found by a sort."""

import tracemalloc

import numpy as np
import pytest

from stages.sources.contents import Contents
from stages.tables.prepared import content_id

A, B, C = (content_id(letter) for letter in "abc")


def test_the_first_row_of_the_highest_rank_is_kept() -> None:
    contents = Contents()
    contents.add(A, 0, 0, label="x", origin="train.csv:2", group="g")
    contents.add(B, 1, 0, label="x", origin="train.csv:3", group=None)
    contents.add(A, 2, 2, label="x", origin="test.csv:2", group="h")
    contents.add(A, 3, 2, label="y", origin="test.csv:3", group=None)
    contents.add(A, 4, 0, label="x", origin="train.csv:9", group=None)
    first = contents.position(A)
    assert first is not None and contents.position(C) is None
    assert (contents.kept(first), contents.origin(first), contents.labels(first)) == (2, "test.csv:2", ("x", "y"))
    assert list(contents.labelled()) == [(B, 0, None, "x")], "a content with two labels has none"


def test_groups_and_ranks_are_told() -> None:
    contents = Contents()
    contents.add(C, 0, 1, label="x", origin="a:1", group="")
    contents.add(A, 1, 0, label="y", origin="a:2", group="x")
    assert sorted(contents.labelled()) == sorted([(C, 1, "", "x"), (A, 0, "x", "y")])


@pytest.mark.parametrize(
    "origin", ["rows.csv:7", "rows.csv:0", "rows.csv:07", "a:b/c.png", "c.png", "", ":", "x:\u0663", "x:" + "9" * 30]
)
def test_origins_come_back_as_they_were(origin: str) -> None:
    contents = Contents()
    contents.add(A, 0, 0, label="x", origin=origin, group=None)
    assert contents.origin(0) == origin


def test_origins_of_rows_in_turn_come_back_as_they_were() -> None:
    contents = Contents()
    origins = [":5", "a.csv:2", "a.csv:03", "a.csv:3:4", "a.csv:3", "a:1", ":5", "a.csv:-1", "a.csv:", "a.csv:5"]
    ids = [content_id(str(number)) for number in range(len(origins))]
    for number, (row_id, origin) in enumerate(zip(ids, origins, strict=True)):
        contents.add(row_id, number, 0, label="x", origin=origin, group=None)
    assert [contents.origin(contents.position(row_id) or 0) for row_id in ids] == origins


def test_a_text_takes_less_than_200_bytes_while_contents_are_found() -> None:
    count = 20_000
    ids = [content_id(str(number)) for number in range(count)]
    tracemalloc.start()
    try:
        contents = Contents()
        for number, row_id in enumerate(ids):
            contents.add(row_id, number, 0, label=str(number % 10), origin=f"rows.csv:{number}", group=None)
        assert len(contents) == count
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 100 * count and peak < 200 * count


def test_rows_that_are_added_together_are_noted_as_one_by_one() -> None:
    rows = [(A, 0, "x", None), (B, 2, "x", "g"), (A, 1, "y", "h"), (C, 0, "z", None), (B, 2, "x", None)]
    single, together = Contents(), Contents()
    for number, (row_id, rank, label, group) in enumerate(rows):
        single.add(row_id, number, rank, label=label, origin=f"rows.csv:{number + 2}", group=group)
    ids, ranks, labels, groups = zip(*rows, strict=True)
    together.add_all(
        np.frombuffer(bytes.fromhex("".join(ids)), np.uint8).reshape(-1, 16),
        np.arange(5),
        np.array(ranks, np.int8),
        labels=labels,
        file="rows.csv",
        lines=np.arange(2, 7),
        groups=groups,
    )
    assert list(together.labelled()) == list(single.labelled())
    for at in range(3):
        ways = [(contents.kept(at), contents.origin(at), contents.labels(at)) for contents in (single, together)]
        assert ways[0] == ways[1]


def test_ids_that_start_alike_are_distinct() -> None:
    contents, start = Contents(), "0" * 16
    ids = [start + end for end in ("2" * 16, "1" * 16, "2" * 16)]
    for number, row_id in enumerate(ids):
        contents.add(row_id, number, 0, label="x", origin=f"rows.csv:{number}", group=None)
    assert [contents.kept(contents.position(row_id) or 0) for row_id in ids] == [0, 1, 0]
    assert contents.position(start + "3" * 16) is None


def test_rows_tell_their_contents_and_whether_they_are_kept() -> None:
    contents = Contents()
    for number, row_id in ((3, A), (5, B), (6, A), (9, C)):  # the others have no label
        contents.add(row_id, number, 0, label="x", origin=f"rows.csv:{number}", group=None)
    numbers, positions, are_kept = contents.rows(4, 8)
    assert numbers.tolist() == [5, 6] and are_kept.tolist() == [True, False]
    assert positions.tolist() == [contents.position(B), contents.position(A)]


def test_contents_tell_which_of_others_they_hold() -> None:
    contents, others = Contents(), Contents()
    start = "0" * 16
    for number, row_id in enumerate((A, start + "1" * 16, C, A)):
        contents.add(row_id, number, 0, label="x", origin="", group=None)
    ids = [B, C, start + "2" * 16, start + "1" * 16]
    for number, row_id in enumerate(ids):
        others.add(row_id, number, 0, label="", origin="", group=None)
    are_here = contents.holds(others)
    assert [bool(are_here[others.position(row_id) or 0]) for row_id in ids] == [False, True, False, True]
