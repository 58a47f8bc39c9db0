"""A row cache that several processes use, some of which are killed."""

import random
import time
from pathlib import Path

from stages.extraction import row_cache_files
from tests.extraction.row_caches import fill, go, names, start, start_and_put, stored


def test_processes_make_and_fill_one_file_together(store: Path) -> None:
    script = """
me = {me}
with open_cache() as cache:
    for first in range(me * 100, me * 100 + 400, 20):
        keys = names(*range(first, first + 20))
        cache.put(keys, vectors(keys))
        mask, X = cache.get(keys)
        assert mask.all() and (X == vectors(keys)).all()
"""
    children = [start(script.replace("{me}", str(me))) for me in range(4)]
    assert not store.exists()
    for child in children:
        go(child)
    assert [child.wait(60) for child in children] == [0] * 4
    assert stored(names(*range(700))).all()
    assert row_cache_files.info()[0][1] == 700  # those that two wrote are there once
    assert not list(store.glob("*.sqlite-*"))


def test_batches_of_a_killed_process_are_stored_whole_or_not_at_all() -> None:
    script = """
first = int(input())
with open_cache() as cache:
    for first in range(first, 10**6, 50):
        keys = names(*range(first, first + 50))
        cache.put(keys, vectors(keys))
        print(first + 50, flush=True)
"""
    chance = random.Random(0)
    count = 0
    for _ in range(6):
        child = start(script)
        go(child)
        assert child.stdin and child.stdout
        child.stdin.write(f"{count}\n")
        child.stdin.flush()
        assert child.stdout.readline()
        time.sleep(chance.uniform(0, 0.1))
        child.kill()
        printed = child.stdout.read().split("\n")[:-1]  # the last line may be cut
        child.wait()
        before, count = count, int(printed[-1]) if printed else count + 50
        mask = stored(names(*range(count + 100)))
        assert mask[:count].all(), "a put that had returned is lost"
        count = int(mask.sum())
        assert count % 50 == 0 and mask[:count].all(), "a put is there in part"
        assert count > before


def test_files_that_a_process_has_open_are_not_deleted(store: Path) -> None:
    fill(*range(10), fingerprint="closed")
    keys = fill(*range(10), fingerprint="open")
    child = start_and_put("open", 10)
    assert row_cache_files.clear()[0] == 1
    assert [entry[0] for entry in row_cache_files.info()] == ["open"]
    child.kill()
    child.wait()
    assert stored([*keys, *names(10)], "open").all()
    child = start_and_put("open", 11)
    child.kill()
    child.wait()
    assert (store / "open.sqlite-wal").exists()
    assert row_cache_files.clear()[0] == 1 and not list(store.glob("*.sqlite*"))
