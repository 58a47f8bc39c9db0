"""The row cache: what comes back is what was stored, whatever happened to the file in between."""

import hashlib
import os
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from stages.common.errors import HeadstartError
from stages.extraction import row_cache
from stages.extraction.row_cache import RowCache
from tests.conftest import ROOT

DIM = 20
MANY = 10**12  # bytes

# What a child process starts with: the vector of a key is a function of it, so that any process can check any other's.
CHILD = """
from tests.extraction.test_row_cache import names, open_cache, vectors
print("ready", flush=True)
input()
"""


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's files."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rows"


def names(*numbers: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in numbers]


def vectors(keys: Sequence[str], dim: int = DIM, dtype: str = "float16") -> np.ndarray:
    seeds = [np.random.default_rng(int(key, 16)) for key in keys]
    return np.array([seed.normal(size=dim) for seed in seeds], dtype).reshape(len(keys), dim)


def open_cache(
    fingerprint: str = "f",
    dim: int = DIM,
    dtype: Literal["float16", "float32"] = "float16",
    limit: int = MANY,
) -> RowCache:
    return RowCache(fingerprint, dim=dim, dtype=dtype, limit_bytes=limit)


def fill(*numbers: int, fingerprint: str = "f") -> list[str]:
    keys = names(*numbers)
    with open_cache(fingerprint) as cache:
        cache.put(keys, vectors(keys))
    return keys


def found(keys: Sequence[str], fingerprint: str = "f") -> np.ndarray:
    """The mask of `keys`, (keys,) bool, after a check that every vector found is the right one."""
    with open_cache(fingerprint) as cache:
        mask, X = cache.get(keys)
    assert (X[mask] == vectors(keys)[mask]).all()
    return mask


def start(script: str) -> "subprocess.Popen[str]":
    """Run a script of its own after CHILD; it waits for a line on stdin when this returns."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD + script], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout and child.stdout.readline() == "ready\n"
    return child


def go(child: "subprocess.Popen[str]") -> None:
    assert child.stdin
    child.stdin.write("\n")
    child.stdin.flush()


def start_and_put(fingerprint: str, number: int) -> "subprocess.Popen[str]":
    """A process that has put one row and keeps the file open."""
    child = start(f"""
cache = open_cache({fingerprint!r})
cache.put(names({number}), vectors(names({number})))
print("put", flush=True)
input()
""")
    go(child)
    assert child.stdout and child.stdout.readline() == "put\n"
    return child


# What is stored.


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("dim", [1, 3, 384])  # 3: a vector that does not fill its 8-byte words
def test_vectors_come_back_in_the_order_asked_for(dtype: Literal["float16", "float32"], dim: int) -> None:
    keys = names(*range(500))
    X = vectors(keys, dim, dtype)
    with open_cache(dim=dim, dtype=dtype) as cache:
        for part in (slice(0, 100), slice(100, 101), slice(101, 500)):
            cache.put(keys[part], X[part])
    asked = np.random.default_rng(0).permutation([*range(600), 7, 7, 499, 555])  # repeated ones, and unknown ones
    with open_cache(dim=dim, dtype=dtype) as cache:
        mask, Y = cache.get(names(*asked))
    assert (mask == (asked < 500)).all()
    assert Y.dtype == dtype and Y.shape == (604, dim)
    assert (Y[mask] == X[asked[mask]]).all()


def test_the_first_vector_of_a_key_stays() -> None:
    a, b = names(1, 2)
    with open_cache() as cache:
        cache.put([a, a], np.array([[1.0] * DIM, [2.0] * DIM]))
        cache.put([a, b], np.array([[3.0] * DIM, [4.0] * DIM]))
        mask, X = cache.get([b, a])
    assert mask.all() and X[:, 0].tolist() == [4, 1]
    assert row_cache.info()[0][1] == 2


def test_a_put_rounds_to_the_stored_type() -> None:
    keys = names(1)
    X = np.full((1, DIM), 0.1, np.float64)
    with open_cache() as cache:
        cache.put(keys, X)
        assert (cache.get(keys)[1] == X.astype(np.float16)).all()


def test_no_rows_are_no_trouble() -> None:
    with open_cache() as cache:
        cache.put([], np.empty((0, DIM)))
        mask, X = cache.get([])
    assert mask.shape == (0,) and X.shape == (0, DIM)


def test_keys_that_share_a_half_are_never_mixed_up(capfd: pytest.CaptureFixture[str]) -> None:
    key = names(1)[0]
    keys = [key, key[:16] + "0" * 16, "0" * 16 + key[16:], "0" * 32, "f" * 32, "0" * 15 + "8" + "0" * 16]
    with open_cache() as cache:
        for _ in range(2):
            for one in keys:
                cache.put([one], vectors([one]))
                mask, X = cache.get(keys)
                assert mask[keys.index(one)] and (X[mask] == vectors(keys)[mask]).all()
    assert not capfd.readouterr().err


def test_backbones_are_kept_apart(store: Path) -> None:
    keys = fill(*range(10), fingerprint="a")
    assert not found(keys, "b").any() and found(keys, "a").all()
    assert {path.name for path in store.glob("*.sqlite*")} == {"a.sqlite", "b.sqlite"}


def test_an_open_cache_sees_what_another_one_stores() -> None:
    keys = names(*range(30))
    with open_cache() as one, open_cache() as other:
        one.put(keys[:10], vectors(keys[:10]))
        assert other.get(keys)[0].sum() == 10
        other.put(keys[5:20], vectors(keys[5:20]))
        one.put(keys[15:], vectors(keys[15:]))
        for cache in (one, other):
            mask, X = cache.get(keys)
            assert mask.all() and np.array_equal(X, vectors(keys))
    assert row_cache.info()[0][1] == 30


# Several processes, and their deaths.


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
    assert found(names(*range(700))).all()
    assert row_cache.info()[0][1] == 700  # those that two wrote are there once
    assert not list(store.glob("*.sqlite-*"))


def test_what_a_killed_process_had_put_is_there_and_nothing_half() -> None:
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
        said = child.stdout.read().split("\n")[:-1]  # the last line may be cut
        child.wait()
        before, count = count, int(said[-1]) if said else count + 50
        mask = found(names(*range(count + 100)))
        assert mask[:count].all(), "a put that had returned is lost"
        count = int(mask.sum())
        assert count % 50 == 0 and mask[:count].all(), "a put is there in part"
        assert count > before


def test_files_that_a_process_has_open_are_not_deleted(store: Path) -> None:
    fill(*range(10), fingerprint="closed")
    keys = fill(*range(10), fingerprint="open")
    child = start_and_put("open", 10)
    assert row_cache.clear()[0] == 1
    assert [entry[0] for entry in row_cache.info()] == ["open"]
    child.kill()
    child.wait()
    assert found([*keys, *names(10)], "open").all()
    child = start_and_put("open", 11)
    child.kill()
    child.wait()
    assert (store / "open.sqlite-wal").exists()
    assert row_cache.clear()[0] == 1 and not list(store.glob("*.sqlite*"))


# Damage.


def flip(path: Path, wanted: bytes) -> None:
    """Change one bit within the only place of `wanted` in a file."""
    content = bytearray(path.read_bytes())
    assert content.count(wanted) == 1
    content[content.index(wanted) + len(wanted) // 2] ^= 16
    path.write_bytes(content)


def test_a_flipped_bit_in_a_vector_is_noticed(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = fill(*range(100))
    flip(store / "f.sqlite", vectors(keys[42:43]).tobytes())
    flip(store / "f.sqlite", vectors(keys[77:78]).tobytes())
    with open_cache() as cache:
        for _ in range(2):  # the second time they are gone, and not counted again
            mask, X = cache.get(keys)
            assert np.flatnonzero(~mask).tolist() == [42, 77]
            assert (X[mask] == vectors(keys)[mask]).all()
        cache.put(keys, vectors(keys))
    warning = f"warning: the row cache {store / 'f.sqlite'} is damaged in 2 rows; they are computed again\n"
    assert capfd.readouterr().err == warning
    assert found(keys).all()
    assert not capfd.readouterr().err


def test_a_vector_under_another_key_is_noticed(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = fill(*range(100))
    database = sqlite3.connect(store / "f.sqlite")
    with database:
        database.execute("UPDATE vectors SET record = (SELECT record FROM vectors WHERE row = 1) WHERE row = 2")
    database.close()
    assert np.flatnonzero(~found(keys)).tolist() == [1]
    assert "damaged in 1 rows" in capfd.readouterr().err


def test_a_record_of_another_length_or_type_is_noticed(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = fill(*range(100))
    database = sqlite3.connect(store / "f.sqlite")
    with database:
        for row, record in enumerate([b"short", bytes(1000), 7, "\xe9", 0.5], start=1):
            database.execute("UPDATE vectors SET record = ? WHERE row = ?", (record, row))
        database.execute("UPDATE vectors SET record = CAST(x'ff' AS TEXT) WHERE row = 6")
    database.close()
    assert np.flatnonzero(~found(keys)).tolist() == [0, 1, 2, 3, 4, 5]
    assert "damaged in 6 rows" in capfd.readouterr().err


@pytest.mark.parametrize("case", ["garbage", "cut", "dim", "dtype", "tables", "schema", "row gone", "keys gone"])
def test_a_damaged_file_starts_empty(case: str, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = fill(*range(1000))
    path = store / "f.sqlite"
    if case == "garbage":
        path.write_bytes(random.Random(0).randbytes(20_000))
    elif case == "cut":
        os.truncate(path, path.stat().st_size // 2)
    elif case in ("dim", "dtype"):
        path.unlink()
        open_cache(dim=DIM - (case == "dim"), dtype="float32" if case == "dtype" else "float16").__exit__()
    elif case == "schema":  # what SQLite says of it is no UTF-8
        path.write_bytes(path.read_bytes().replace(b"CREATE TABLE vectors (", b"CREATE TABLE vectors \xff"))
    else:
        database = sqlite3.connect(path)
        statements = {
            "tables": "ALTER TABLE vectors ADD COLUMN other",
            "row gone": "DELETE FROM vectors WHERE row = 10",
            "keys gone": "UPDATE batches SET keys = x'00'",
        }
        with database:
            database.execute(statements[case])
        database.close()
    assert not capfd.readouterr().err
    with open_cache() as cache:
        assert not cache.get(keys)[0].any()
        cache.put(keys, vectors(keys))
        assert cache.get(keys)[0].all()
    pattern = rf"warning: the row cache {re.escape(str(path))} is damaged \(.+\) and starts empty\n"
    assert re.fullmatch(pattern, capfd.readouterr().err)
    assert found(keys).all()
    assert not capfd.readouterr().err


def test_an_empty_file_is_one_to_fill(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store.mkdir(parents=True)
    (store / "f.sqlite").touch()
    assert found(fill(*range(10))).all()
    assert not capfd.readouterr().err


def test_random_damage_never_gives_a_wrong_vector_or_an_error(store: Path) -> None:
    keys = names(*range(600))
    with open_cache() as cache:
        for first in range(0, 600, 100):
            cache.put(keys[first : first + 100], vectors(keys[first : first + 100]))
    whole = (store / "f.sqlite").read_bytes()
    right = vectors(keys)
    chance = random.Random(0)
    for trial in range(48):
        content = bytearray(whole)
        at = chance.randrange(len(content) if trial % 4 else 100)  # a quarter in the header
        size = chance.choice([1, 8, 512, 8192])
        if trial % 3 == 0:
            content[at] ^= 1 << chance.randrange(8)
        elif trial % 3 == 1:
            content[at : at + size] = chance.randbytes(len(content[at : at + size]))
        else:
            del content[at:]
        for path in store.iterdir():
            path.unlink()
        (store / "f.sqlite").write_bytes(content)
        with open_cache() as cache:
            for _ in range(2):
                mask, X = cache.get(keys)
                assert (X[mask] == right[mask]).all(), trial
                cache.put(keys, right)
            assert cache.get(keys)[0].all(), trial


def test_a_log_without_its_database_is_dropped(store: Path) -> None:
    """Killed while it deletes a file, a process leaves the log of it."""
    child = start_and_put("f", 1)
    child.kill()
    child.wait()
    (store / "f.sqlite").unlink()
    assert (store / "f.sqlite-wal").stat().st_size
    assert not found(names(1)).any()
    assert found(fill(1)).all()


def test_a_damaged_file_that_is_in_use_is_left_alone(
    store: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.extraction.row_cache.time.sleep", lambda _: None)
    keys = fill(*range(1000))
    with open_cache():
        (store / "f.sqlite").write_bytes(bytes(20_000))
        with open_cache() as other:
            other.put(keys, vectors(keys))
            assert not other.get(keys)[0].any()
    assert capfd.readouterr().err.count("this run goes without it") == 1
    assert (store / "f.sqlite").exists()


# Space, rights, and places.


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
    assert found(keys).all() and not found(more).any()


@pytest.mark.parametrize("at", [".", "rows", "rows/f.sqlite", "rows/f.lock"])
def test_a_place_that_cannot_be_written_is_one_sentence(at: str, store: Path) -> None:
    """Tests may run as root, whom no permission stops: a file is where the folder should be, or the other way round."""
    place = store.parent / at
    if "." in place.name:
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    with pytest.raises(HeadstartError, match=r"f\.sqlite cannot be used \(.+\); .+HEADSTART_CACHE.+row_cache: false$"):
        open_cache()


def test_what_cannot_be_deleted_is_one_sentence(store: Path) -> None:
    (store / "f.sqlite").mkdir(parents=True)
    with pytest.raises(HeadstartError, match=r"f\.sqlite cannot be used \(Is a directory\); "):
        row_cache.clear()


def test_a_file_that_stays_locked_is_done_without(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_cache, "LOCK_TIMEOUT_SECONDS", 0.05)
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
    assert found(keys).all()


def test_the_least_recently_used_files_make_room(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for age, fingerprint in enumerate("dbca"):
        fill(*range(1000), fingerprint=fingerprint)
        os.utime(store / f"{fingerprint}.sqlite", (1000 - age, 1000 - age))  # a is the oldest, then c, b, d
    size = (store / "a.sqlite").stat().st_size
    found(names(1), "c")  # used again: now b is older
    limit = 4 * size + 60_000  # what SQLite keeps beside an open file takes 32 kB
    # a stays, although it is the oldest: it is open.
    with open_cache("a"), open_cache("e", limit=limit) as cache:
        os.utime(store / "a.sqlite", (1, 1))
        cache.put(names(*range(1000)), vectors(names(*range(1000))))
        assert {entry[0] for entry in row_cache.info()} == {"a", "c", "d", "e"}
        more = names(*range(1000, 2000))
        cache.put(more, vectors(more))
    assert {entry[0] for entry in row_cache.info()} == {"a", "c", "e"}
    assert sum(entry[2] for entry in row_cache.info()) <= limit
    assert found(names(*range(2000)), "e").all()
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
    assert found(keys, "other").all() and not found(keys).any()


def test_info_and_clear(store: Path) -> None:
    assert row_cache.info() == [] and row_cache.clear() == (0, 0)
    before = time.time() - 2
    fill(*range(1000), fingerprint="b")
    fill(*range(10), fingerprint="a")
    os.utime(store / "b.sqlite", (100, 100))
    (store / "c.sqlite").write_text("garbage")
    (b, a, c), sizes = row_cache.info(), {path.stem: path.stat().st_size for path in store.glob("*.sqlite")}
    assert b == ("b", 1000, sizes["b"], 100.0)
    assert a[:3] == ("a", 10, sizes["a"]) and before <= a[3] <= time.time() + 2
    assert c[:3] == ("c", 0, 7)
    assert row_cache.clear() == (3, sum(sizes.values()))
    assert row_cache.info() == [] and not list(store.glob("*.sqlite*"))


def test_opening_a_file_is_using_it(store: Path) -> None:
    fill(1)
    os.utime(store / "f.sqlite", (100, 100))
    assert row_cache.info()[0][3] == 100.0
    found(names(1))
    assert row_cache.info()[0][3] > 100


def test_the_place_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "own"))
    assert row_cache.folder() == tmp_path / "own" / "rows"
    monkeypatch.setenv("HEADSTART_CACHE", "~/own")
    assert row_cache.folder() == tmp_path / "home" / "own" / "rows"
    monkeypatch.setenv("HEADSTART_CACHE", "")
    assert row_cache.folder() == tmp_path / "xdg" / "headstart" / "rows"
    monkeypatch.delenv("HEADSTART_CACHE")
    assert row_cache.folder() == tmp_path / "xdg" / "headstart" / "rows"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert row_cache.folder() == tmp_path / "home" / ".cache" / "headstart" / "rows"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert row_cache.folder() == tmp_path / "home" / ".cache" / "headstart" / "rows"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(HeadstartError, match="set HEADSTART_CACHE"):
        open_cache()


def test_the_cache_is_light_to_import() -> None:
    code = "import sys, stages.extraction.row_cache; "
    code += "print(sorted({'torch', 'pyarrow', 'scipy', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
