"""A row cache that meets a full disk, missing rights, locks and its own limit."""

import os
from pathlib import Path

import pytest

from stages.common.errors import HeadstartError
from stages.extraction import row_cache_files
from tests.extraction.row_caches import fill, names, open_cache, stored, vectors


def test_a_full_disk_is_one_sentence_and_stores_nothing_half(store: Path) -> None:
    keys = fill(*range(1000))
    more = names(*range(1000, 9000))
    with open_cache() as cache:
        assert cache._connection
        pages = cache._connection.execute("PRAGMA page_count").fetchone()[0]
        cache._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        with pytest.raises(HeadstartError) as caught:
            cache.put(more, vectors(more))
    assert str(caught.value) == (
        f"the row cache {store / 'f.sqlite'} cannot be used (database or disk is full); free space on its disk,"
        " set HEADSTART_CACHE to another folder, or runtime.row_cache: false"
    )
    assert stored(keys).all() and not stored(more).any()


@pytest.mark.parametrize("at", [".", "rows", "rows/f.sqlite", "rows/f.lock"])
def test_a_place_that_cannot_be_written_is_one_sentence(at: str, store: Path) -> None:
    """Tests may run as root, whom no permission stops: a file is where the folder should be, or the other way round."""
    path = store.parent / at
    if "." in path.name:
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", "utf-8")
    with pytest.raises(HeadstartError, match=r"f\.sqlite cannot be used \(.+\); .+HEADSTART_CACHE.+row_cache: false$"):
        open_cache()


def test_a_file_that_cannot_be_deleted_is_one_sentence(store: Path) -> None:
    (store / "f.sqlite").mkdir(parents=True)
    with pytest.raises(HeadstartError, match=r"f\.sqlite cannot be used \(Is a directory\); "):
        row_cache_files.delete(store / "f.sqlite")


def test_a_file_that_stays_locked_is_done_without(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache_files, "LOCK_TIMEOUT_SECONDS", 0.05)
    keys = fill(*range(10))
    with open_cache() as one, open_cache() as other:
        assert one._connection
        one._connection.execute("BEGIN IMMEDIATE")
        assert other.get(keys)[0].all()  # reading needs no turn
        other.put(names(11), vectors(names(11)))
        other.put(names(12), vectors(names(12)))
        assert not other.get(keys)[0].any()
        one._connection.execute("ROLLBACK")
    assert capfd.readouterr().err.count("\n") == 1
    assert stored(keys).all()


def test_the_least_recently_used_files_make_room(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for age, fingerprint in enumerate("dbca"):
        fill(*range(1000), fingerprint=fingerprint)
        os.utime(store / f"{fingerprint}.sqlite", (1000 - age, 1000 - age))  # a is the oldest, then c, b, d
    size = (store / "a.sqlite").stat().st_size
    stored(names(1), "c")  # used again: now b is older
    limit = 4 * size + 60_000  # what SQLite keeps beside an open file takes 32 kB
    # a stays, although it is the oldest: it is open.
    with open_cache("a"), open_cache("e", limit=limit) as cache:
        os.utime(store / "a.sqlite", (1, 1))
        cache.put(names(*range(1000)), vectors(names(*range(1000))))
        assert {entry[0] for entry in row_cache_files.info()} == {"a", "c", "d", "e"}
        more = names(*range(1000, 2000))
        cache.put(more, vectors(more))
    assert {entry[0] for entry in row_cache_files.info()} == {"a", "c", "e"}
    assert sum(entry[2] for entry in row_cache_files.info()) <= limit
    assert stored(names(*range(2000)), "e").all()
    assert not capfd.readouterr().err


def test_nothing_is_stored_beyond_the_limit(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = names(*range(4000))
    with open_cache(limit=200_000) as cache:
        for first in range(0, 4000, 500):
            cache.put(keys[first : first + 500], vectors(keys[first : first + 500]))
        mask = cache.get(keys)[0]
    assert 500 <= mask.sum() < 4000 and mask[: mask.sum()].all()
    assert capfd.readouterr().err == (
        f"warning: the row cache {store / 'f.sqlite'} has reached the limit of 200,000 bytes;"
        " this run stores no more rows\n"
    )
    assert (store / "f.sqlite").stat().st_size <= 200_000


def test_no_file_is_deleted_for_one_that_is_beyond_the_limit_alone() -> None:
    keys = fill(*range(100), fingerprint="other")
    with open_cache(limit=1000) as cache:
        cache.put(keys, vectors(keys))
    assert stored(keys, "other").all() and not stored(keys).any()
