"""A damaged row cache is reported and rebuilt; it never gives a wrong vector."""

import os
import random
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.extraction.row_caches import DIM, fill, names, open_cache, start_and_put, stored, vectors


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
    warning = f"warning: the row cache {store / 'f.sqlite'} is damaged in 2 rows, to be computed again\n"
    assert capfd.readouterr().err == warning
    assert stored(keys).all()
    assert not capfd.readouterr().err


def test_a_vector_under_another_key_is_noticed(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = fill(*range(100))
    database = sqlite3.connect(store / "f.sqlite")
    with database:
        database.execute("UPDATE vectors SET record = (SELECT record FROM vectors WHERE row = 1) WHERE row = 2")
    database.close()
    assert np.flatnonzero(~stored(keys)).tolist() == [1]
    assert "damaged in 1 row," in capfd.readouterr().err


def test_a_record_of_another_length_or_type_is_noticed(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    keys = fill(*range(100))
    database = sqlite3.connect(store / "f.sqlite")
    with database:
        for row, record in enumerate([b"short", bytes(1000), 7, "\xe9", 0.5], start=1):
            database.execute("UPDATE vectors SET record = ? WHERE row = ?", (record, row))
        database.execute("UPDATE vectors SET record = CAST(x'ff' AS TEXT) WHERE row = 6")
    database.close()
    assert np.flatnonzero(~stored(keys)).tolist() == [0, 1, 2, 3, 4, 5]
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
    problem = (
        "has the form of another version of Headstart" if case in ("dim", "dtype", "tables") else r"is damaged \(.+\)"
    )
    pattern = rf"warning: the row cache {re.escape(str(path))} {problem} and starts empty\n"
    assert re.fullmatch(pattern, capfd.readouterr().err)
    assert stored(keys).all()
    assert not capfd.readouterr().err


def test_an_empty_file_is_one_to_fill(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store.mkdir(parents=True)
    (store / "f.sqlite").touch()
    assert stored(fill(*range(10))).all()
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
    assert not stored(names(1)).any()
    assert stored(fill(1)).all()


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
    assert capfd.readouterr().err.count("this run does not use it") == 1
    assert (store / "f.sqlite").exists()
