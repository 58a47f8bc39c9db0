"""The row cache: each vector that a backbone ever made, kept between runs in a store outside the DVC outputs.

One SQLite file per backbone fingerprint, in `rows/` of the cache folder; several processes may use it. A checksum over
key and vector makes sure that what comes back is what was stored, or counts as missing.

`vectors` holds a record for each row in the order written, `batches` the keys of each put in one blob; all keys are
searched in memory, 24 bytes each. At a million rows, an SQL index over such keys stored at a quarter of the speed, and
found at half.
"""

import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Literal, Self

import numpy as np
from filelock import FileLock, ReadWriteLock, Timeout

from stages.common import cache_folder
from stages.common.errors import HeadstartError

NONE = -1  # the row number of a key without a vector
LOCK_TIMEOUT_SECONDS = 60  # seconds to wait for another process's put
SETTINGS = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF"

BATCHES = "batches (first INTEGER PRIMARY KEY, keys BLOB NOT NULL)"
AMONG = "row IN (SELECT value FROM json_each(?))"
# One statement cuts one blob into records: no Python for each row.
INSERT = """WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
    INSERT INTO vectors SELECT ?2 + i, substr(?3, i * ?4 + 1, ?4) FROM n"""

FAILURES = (sqlite3.Error, UnicodeDecodeError, OSError)  # the second where a message quotes damage
# What SQLite says of a file that is not as it was written; SQLITE_ERROR: a table is gone.
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT}
DAMAGE |= {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}


class RowCache:
    """The vectors of one backbone. Use as a context manager, from one thread at a time.

    Each key is 32 hex characters. A damaged file, or one of other vectors, starts empty. Any other obstacle, such as a
    full disk or a folder that cannot be written, is a HeadstartError, from every method.
    """

    def __init__(self, fingerprint: str, *, dim: int, dtype: Literal["float16", "float32"], limit_bytes: int) -> None:
        """Open the file of `fingerprint`; `limit_bytes` is the most that all files together may take."""
        self._path = folder() / f"{fingerprint}.sqlite"
        self._dim, self._dtype, self._limit = dim, np.dtype(dtype), limit_bytes
        self._words = 1 + -(-dim * self._dtype.itemsize // 8)  # of 8 bytes in a record: checksum, vector, zeros
        # The weights of the checksum: odd, so that a change within one word always changes the sum.
        digest = hashlib.shake_256(b"headstart row").digest(8 * (2 * self._words + 3))
        self._weights = np.frombuffer(digest, "<u8") | np.uint64(1)
        self._resources = ExitStack()
        self._connection: sqlite3.Connection | None  # None: this run goes without the cache
        self._index: np.ndarray  # (3, keys) int64: both halves of the key, row; sorted
        self._next: int  # the first row that is not in the index
        self._stores, self._damaged = True, 0
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, and say how many vectors were damaged."""
        self._resources.close()
        if self._damaged:
            self._warn(f"is damaged in {self._damaged:,} rows; they are computed again")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process computes vectors of this backbone; they may be known then."""
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self._path.with_suffix(".turn")))
            except OSError as error:
                raise _unusable(self._path, error) from None
            yield

    def get(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Look up a window of rows; of `keys`, (rows,), any may repeat.

        Returns:
            mask: (rows,) bool, true where the vector is known.
            X: (rows, dim) in the stored type and the order of `keys`; undefined where `mask` is false.
        """
        halves = _parse(keys)
        mask, X = np.zeros(len(halves), bool), np.empty((len(halves), self._dim), self._dtype)
        if not self._connection:
            return mask, X
        try:
            self._refresh(self._connection)
            rows, first, inverse = np.unique(self._find(halves), return_index=True, return_inverse=True)
            query = f"SELECT row, record FROM vectors WHERE {AMONG}"
            found = self._connection.execute(query, (json.dumps(rows.tolist()),)).fetchall()
            if len(found) != np.count_nonzero(rows != NONE):
                raise sqlite3.DatabaseError("rows are gone")
            whole = [pair for pair in found if isinstance(pair[1], bytes) and len(pair[1]) == 8 * self._words]
            at = np.searchsorted(rows, np.array([row for row, _ in whole], np.int64))
            # records: (whole, words) uint64
            records = np.frombuffer(b"".join([record for _, record in whole]), "<u8").reshape(-1, self._words)
            right = records[:, 0] == self._sums(halves[first[at]], records)
            place = np.full(len(rows), NONE)  # of each row in `records`
            place[at[right]] = np.flatnonzero(right)
            mask[:] = (place != NONE)[inverse]
            X[mask] = records[:, 1:].view(self._dtype)[:, : self._dim][place[inverse[mask]]]
            if damaged := {row for row, record in found if record} - set(rows[at[right]].tolist()):
                self._damaged += len(damaged)
                with suppress(sqlite3.OperationalError):  # no space to write in: the next run finds them again
                    query = f"UPDATE vectors SET record = x'' WHERE {AMONG}"
                    self._connection.execute(query, (json.dumps(list(damaged)),))
        except FAILURES as error:
            self._open(error)
        return mask, X

    def put(self, keys: Sequence[str], X: np.ndarray) -> None:
        """Store a window of rows (below 1 GB), all or none; they are on the disk when this returns.

        Args:
            keys: (rows,); those that are known keep their vector, and of one that repeats the first row counts.
            X: (rows, dim), rounded to the stored type here.
        """
        if not self._connection or not self._stores:
            return
        halves = _parse(keys)
        try:
            with self._connection as connection:  # commits, or rolls back
                connection.execute("BEGIN IMMEDIATE")
                self._refresh(connection)
                rows = self._find(halves)
                query = f"SELECT row FROM vectors WHERE {AMONG} AND length(record) > 0"
                held = connection.execute(query, (json.dumps(rows.tolist()),)).fetchall()
                first = np.sort(np.unique(halves[:, 0], return_index=True)[1])
                new = first[~np.isin(rows[first], held)]
                if len(new) and self._make_room(connection, len(new)):
                    records = np.zeros((len(new), self._words), "<u8")
                    records[:, 1:].view(self._dtype)[:, : self._dim] = X[new]
                    records[:, 0] = self._sums(halves[new], records)
                    connection.execute("INSERT INTO batches VALUES (?, ?)", (self._next, halves[new].tobytes()))
                    connection.execute(INSERT, (len(new), self._next, records.tobytes(), 8 * self._words))
        except FAILURES as error:
            self._open(error)

    def _sums(self, keys: np.ndarray, records: np.ndarray) -> np.ndarray:
        """(rows,) uint64: the checksum of each key with its vector; a third of the time of a CRC per row.

        32-bit words times random 64-bit weights miss a change with a chance of 2^-32 (multilinear hashing; Lemire and
        Kaser, Strongly universal string hashing is fast, 2014).
        """
        parts = ((keys, self._weights[1:5]), (records[:, 1:], self._weights[5:]))
        sums = [np.einsum("ij,j->i", part.view("<u4"), weights, dtype=np.uint64) for part, weights in parts]
        return np.asarray(sums[0] + sums[1] + self._weights[0])

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Learn the keys that this process or another one has stored since the last time."""
        query = "SELECT first, keys FROM batches WHERE first >= ? ORDER BY first"
        batches = connection.execute(query, (self._next,)).fetchall()
        start = self._next
        for first, keys in batches:
            if first != self._next or not isinstance(keys, bytes) or len(keys) % 16:
                raise sqlite3.DatabaseError("keys are gone")
            self._next += len(keys) // 16
        if batches:
            halves = np.frombuffer(b"".join([keys for _, keys in batches]), "<i8").reshape(-1, 2)
            index = np.hstack([self._index, [*halves.T, np.arange(start, self._next)]])
            # Stable: of a key that was stored again after damage, the last row comes last, and counts.
            self._index = np.take(index, np.argsort(index[0], kind="stable"), axis=1)

    def _find(self, keys: np.ndarray) -> np.ndarray:
        """(rows,) int64: the row number of each key, NONE where there is none."""
        at = np.searchsorted(self._index[0], keys[:, 0], side="right") - 1
        return np.where((self._index[:2, at] == keys.T).all(axis=0), self._index[2, at], NONE)

    def _make_room(self, connection: sqlite3.Connection, rows: int) -> bool:
        """Whether `rows` more fit in the limit, once the least recently used other files are deleted."""
        pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        own = pages * page + rows * (8 * self._words + 32)
        others = [file for file in _files() if file[2] != self._path]
        total = own + sum(size for _, size, _ in others)
        for _, size, path in others if own <= self._limit else ():
            total -= size if total > self._limit and _delete(path) else 0
        if total > self._limit:
            self._stores = False
            self._warn(f"has reached the limit of {self._limit:,} bytes; this run stores no more rows")
        return self._stores

    def _open(self, error: Exception | None = None) -> None:
        """Open the file; where `error` says that it is damaged, a new one."""
        self._connection = None
        if not error or self._discard(error):
            for _ in range(100):
                try:
                    self._connection = self._connect()
                    return
                except FAILURES as another:
                    self._discard(another)
                    time.sleep(0.05)  # another process may be making this very file, or deleting it as damaged
        self._warn("is damaged or locked, and another process has it open; this run goes without it")

    def _connect(self) -> sqlite3.Connection:
        self._index, self._next = np.array([[-(2**63)], [0], [NONE]]), 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._resources.enter_context(_lock(self._path).read_lock())
        connection = sqlite3.connect(self._path, LOCK_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
        self._resources.enter_context(closing(connection))
        connection.text_factory = bytes  # a blob that damage made a text need not be UTF-8
        vectors = f"vectors (row INTEGER PRIMARY KEY, record BLOB NOT NULL /* checksum, {self._dim} {self._dtype} */)"
        tables = "; ".join(f"CREATE TABLE IF NOT EXISTS {table}" for table in (BATCHES, vectors))
        connection.executescript(f"{SETTINGS}; BEGIN IMMEDIATE; {tables}; COMMIT")
        found = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
        if found != [(f"CREATE TABLE {table}".encode(),) for table in (BATCHES, vectors)]:
            raise sqlite3.DatabaseError("it holds other vectors")
        self._refresh(connection)
        os.utime(self._path)
        return connection

    def _discard(self, error: Exception) -> bool:
        """Close the file, and delete it if it is damaged; false where another process is in the way."""
        self._resources.close()
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # without one: raised in this file
        if code & 255 == sqlite3.SQLITE_BUSY:
            return False
        if isinstance(error, OSError) or DAMAGE.isdisjoint((code, code & 255)):
            raise _unusable(self._path, error) from None
        if deleted := _delete(self._path):
            self._warn(f"is damaged ({error}) and starts empty")
        return deleted

    def _warn(self, what: str) -> None:
        print(f"warning: the row cache {self._path} {what}", file=sys.stderr)


def folder() -> Path:
    """Where the files are, whether or not it exists."""
    return cache_folder.folder("rows")


def info() -> list[tuple[str, int, int, float]]:
    """Fingerprint, rows, bytes and last use (seconds since 1970) of each file, the least recently used first."""
    found = []
    for used, size, path in _files():
        rows = 0  # where the file cannot be read
        with suppress(sqlite3.Error, OSError), ExitStack() as stack:
            stack.enter_context(_lock(path).read_lock())
            connection = stack.enter_context(closing(sqlite3.connect(path, LOCK_TIMEOUT_SECONDS)))
            rows = connection.execute("SELECT coalesce(sum(length(keys)), 0) / 16 FROM batches").fetchone()[0]
        found.append((path.stem, rows, size, used))
    return found


def clear() -> tuple[int, int]:
    """Delete the files that no process has open; give how many, and their bytes."""
    sizes = [size for _, size, path in _files() if _delete(path)]
    return len(sizes), sum(sizes)


def _parse(keys: Sequence[str]) -> np.ndarray:
    """(rows, 2) int64: both halves of each key."""
    return np.frombuffer(bytes.fromhex("".join(keys)), "<i8").reshape(len(keys), 2)


def _files() -> list[tuple[float, int, Path]]:
    """Last use, bytes and path of each file, the least recently used first."""
    files = []
    for path in folder().glob("*.sqlite"):
        with suppress(FileNotFoundError):
            size = sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*"))
            files.append((path.stat().st_mtime, size, path))
    return sorted(files)


def _delete(path: Path) -> bool:
    """Delete a file that no process has open: on closing it, SQLite would delete the log of its successor by name."""
    try:
        with _lock(path).write_lock(blocking=False):
            for part in sorted(path.parent.glob(f"{path.name}*")):  # the log after the database: SQLite drops it then
                part.unlink(missing_ok=True)
    except Timeout:
        return False
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from None
    return True


def _lock(path: Path) -> ReadWriteLock:
    """The lock that whoever has the file open shares, and whoever deletes it has alone."""
    return ReadWriteLock(path.with_suffix(".lock"), is_singleton=False)


def _unusable(path: Path, error: Exception) -> HeadstartError:
    reason = getattr(error, "strerror", None) or error
    remedy = "free space on its disk, set HEADSTART_CACHE to another folder, or runtime.row_cache: false"
    return HeadstartError(f"the row cache {path} cannot be used ({reason}); {remedy}")
