"""Keep all vectors that a backbone has computed between runs, outside the outputs of DVC.

There is one SQLite file per backbone fingerprint, which several processes can use at once. A checksum over key and
vector finds damage; a damaged vector counts as missing.

Table `vectors` holds one record per row, in the order of writing. Table `batches` holds the keys of every put as one
blob. All keys are searched in memory, at 24 bytes a key: with a million rows, an SQL index over the keys makes put four
times and get twice as slow.
"""

import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Literal, Self

import numpy as np
from filelock import FileLock

from stages.common.errors import counted
from stages.extraction import row_cache_files

NO_ROW = -1  # the row number of a key without a vector
MAX_OPEN_ATTEMPTS = 100
SETTINGS = "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF"

BATCHES = "batches (first INTEGER PRIMARY KEY, keys BLOB NOT NULL)"
ROW_IS_GIVEN = "row IN (SELECT value FROM json_each(?))"
# One statement cuts one blob into records, without a Python call per row.
INSERT = """WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
    INSERT INTO vectors SELECT ?2 + i, substr(?3, i * ?4 + 1, ?4) FROM n"""

FAILURES = (sqlite3.Error, UnicodeDecodeError, OSError)  # the second if SQLite's message quotes damaged bytes
# SQLite's codes for a damaged file; SQLITE_ERROR means that a table is gone.
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT}
DAMAGE |= {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}


class OtherFormError(sqlite3.DatabaseError):
    """A cache file that holds vectors of another shape, or was written by another version of Headstart."""


class RowCache:
    """The vectors of one backbone by key (32 hex characters). Use as a context manager, from one thread at a time.

    A file that is damaged or holds vectors of another shape is replaced by an empty one. All methods raise
    HeadstartError for any other obstacle, such as a full disk or a folder without write permission.
    """

    def __init__(self, fingerprint: str, *, dim: int, dtype: Literal["float16", "float32"], limit_bytes: int) -> None:
        """Open the file of `fingerprint`; `limit_bytes` limits the files of all backbones together."""
        self._path = row_cache_files.folder() / f"{fingerprint}.sqlite"
        self._dim, self._dtype, self._limit = dim, np.dtype(dtype), limit_bytes
        self._words = 1 + -(-dim * self._dtype.itemsize // 8)  # of 8 bytes in a record: checksum, vector, zeros
        # Weights of the checksum. They are odd, so that a change within one word always changes the sum.
        digest = hashlib.shake_256(b"headstart row").digest(8 * (2 * self._words + 3))
        self._weights = np.frombuffer(digest, "<u8") | np.uint64(1)
        self._resources = ExitStack()
        self._connection: sqlite3.Connection | None  # None: this run does not use the cache
        self._index: np.ndarray  # (3, keys) int64: both halves of the key, row; sorted
        self._next: int  # the first row that is not in the index
        self._stores, self._damaged = True, 0
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file, and warn about damaged vectors."""
        self._resources.close()
        if self._damaged:
            self._warn(f"is damaged in {counted(self._damaged, 'row')}, to be computed again")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until no other process computes vectors of this backbone, which may then be in the cache."""
        with ExitStack() as stack:
            try:
                stack.enter_context(FileLock(self._path.with_suffix(".turn")))
            except OSError as error:
                raise row_cache_files.unusable(self._path, error) from None
            yield

    def get(self, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Look up the vectors of a window of rows.

        Args:
            keys: (rows,), with or without repetitions.

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
            known, vectors = self._read(self._connection, rows, halves[first])
            mask[:] = known[inverse]
            X[mask] = vectors[inverse[mask]]
        except FAILURES as error:
            self._open(error)
        return mask, X

    def put(self, keys: Sequence[str], X: np.ndarray) -> None:
        """Store a window of rows (below 1 GB), all or none; they are on the disk when this returns.

        Args:
            keys: (rows,); a known key keeps its vector, a repeated one gets that of its first row.
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
                query = f"SELECT row FROM vectors WHERE {ROW_IS_GIVEN} AND length(record) > 0"
                known = connection.execute(query, (json.dumps(rows.tolist()),)).fetchall()
                first = np.sort(np.unique(halves[:, 0], return_index=True)[1])
                new = first[~np.isin(rows[first], known)]
                if len(new) and self._make_room(connection, len(new)):
                    records = np.zeros((len(new), self._words), "<u8")
                    records[:, 1:].view(self._dtype)[:, : self._dim] = X[new]
                    records[:, 0] = self._sums(halves[new], records)
                    connection.execute("INSERT INTO batches VALUES (?, ?)", (self._next, halves[new].tobytes()))
                    connection.execute(INSERT, (len(new), self._next, records.tobytes(), 8 * self._words))
        except FAILURES as error:
            self._open(error)

    def _read(
        self, connection: sqlite3.Connection, rows: np.ndarray, keys: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read the vectors of rows, and empty the records whose checksum is wrong.

        Args:
            rows: (rows,) row numbers in ascending order, NO_ROW among them.
            keys: (rows, 2) their keys.

        Returns:
            known: (rows,) bool, true where there is a vector with the right checksum.
            vectors: (rows, dim); undefined where `known` is false.
        """
        query = f"SELECT row, record FROM vectors WHERE {ROW_IS_GIVEN}"
        stored = connection.execute(query, (json.dumps(rows.tolist()),)).fetchall()
        if len(stored) != np.count_nonzero(rows != NO_ROW):
            raise sqlite3.DatabaseError("rows are gone")
        complete = [pair for pair in stored if isinstance(pair[1], bytes) and len(pair[1]) == 8 * self._words]
        at = np.searchsorted(rows, np.array([row for row, _ in complete], np.int64))
        # records: (complete, words) uint64
        records = np.frombuffer(b"".join([record for _, record in complete]), "<u8").reshape(-1, self._words)
        right = records[:, 0] == self._sums(keys[at], records)
        known, vectors = np.zeros(len(rows), bool), np.empty((len(rows), self._dim), self._dtype)
        known[at[right]] = True
        vectors[at[right]] = records[:, 1:].view(self._dtype)[right, : self._dim]
        if damaged := {row for row, record in stored if record} - set(rows[known].tolist()):
            self._damaged += len(damaged)
            with suppress(sqlite3.OperationalError):  # on a full disk, the next run reports them again
                query = f"UPDATE vectors SET record = x'' WHERE {ROW_IS_GIVEN}"
                connection.execute(query, (json.dumps(list(damaged)),))
        return known, vectors

    def _sums(self, keys: np.ndarray, records: np.ndarray) -> np.ndarray:
        """Compute the checksums of keys with their vectors, (rows,) uint64, in a third of the time of a CRC per row.

        32-bit words times random 64-bit weights miss a change with a chance of 2^-32 (multilinear hashing; Lemire and
        Kaser, Strongly universal string hashing is fast, 2014).
        """
        parts = ((keys, self._weights[1:5]), (records[:, 1:], self._weights[5:]))
        sums = [np.einsum("ij,j->i", part.view("<u4"), weights, dtype=np.uint64) for part, weights in parts]
        return np.asarray(sums[0] + sums[1] + self._weights[0])

    def _refresh(self, connection: sqlite3.Connection) -> None:
        """Add the keys that any process has stored since the last call to the index."""
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
            # A stable sort keeps a key that was stored again after damage behind its older row; the last one counts.
            self._index = np.take(index, np.argsort(index[0], kind="stable"), axis=1)

    def _find(self, keys: np.ndarray) -> np.ndarray:
        """Look up the row numbers of keys, NO_ROW for an unknown key: (rows,) int64."""
        at = np.searchsorted(self._index[0], keys[:, 0], side="right") - 1
        return np.where((self._index[:2, at] == keys.T).all(axis=0), self._index[2, at], NO_ROW)

    def _make_room(self, connection: sqlite3.Connection, rows: int) -> bool:
        """Tell whether `rows` more fit into the limit, after deleting the least recently used other files."""
        pages, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        own = pages * page + rows * (8 * self._words + 32)
        others = [file for file in row_cache_files.by_last_use() if file[2] != self._path]
        total = own + sum(size for _, size, _ in others)
        for _, size, path in others if own <= self._limit else ():
            total -= size if total > self._limit and row_cache_files.delete(path) else 0
        if total > self._limit:
            self._stores = False
            self._warn(f"has reached the limit of {self._limit:,} bytes; this run stores no more rows")
        return self._stores

    def _open(self, error: Exception | None = None) -> None:
        """Open the file, or a new one if `error` says that it is damaged."""
        self._connection = None
        if not error or self._discard(error):
            for _ in range(MAX_OPEN_ATTEMPTS):
                try:
                    self._connection = self._connect()
                    return
                except FAILURES as another:
                    self._discard(another)
                    time.sleep(0.05)  # another process may be creating this file, or deleting it as damaged
        self._warn("is damaged or locked, and another process has it open; this run does not use it")

    def _connect(self) -> sqlite3.Connection:
        """Open the file with a shared lock, create its tables if it is new, and read its keys.

        Raises:
            sqlite3.DatabaseError: it is damaged.
            OtherFormError: it holds vectors of another shape.
        """
        self._index, self._next = np.array([[-(2**63)], [0], [NO_ROW]]), 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._resources.enter_context(row_cache_files.lock(self._path).read_lock())
        timeout = row_cache_files.LOCK_TIMEOUT_SECONDS
        connection = sqlite3.connect(self._path, timeout=timeout, isolation_level=None, check_same_thread=False)
        self._resources.enter_context(closing(connection))
        connection.text_factory = bytes  # a blob that damage turned into text need not be UTF-8
        vectors = f"vectors (row INTEGER PRIMARY KEY, record BLOB NOT NULL /* checksum, {self._dim} {self._dtype} */)"
        tables = "; ".join(f"CREATE TABLE IF NOT EXISTS {table}" for table in (BATCHES, vectors))
        connection.executescript(f"{SETTINGS}; BEGIN IMMEDIATE; {tables}; COMMIT")
        existing = connection.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
        if existing != [(f"CREATE TABLE {table}".encode(),) for table in (BATCHES, vectors)]:
            raise OtherFormError
        self._refresh(connection)
        os.utime(self._path)
        return connection

    def _discard(self, error: Exception) -> bool:
        """Close the file, and delete it if it is damaged; false if another process prevents that."""
        self._resources.close()
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)  # raised in this file, it has no code
        if code & 255 == sqlite3.SQLITE_BUSY:
            return False
        if isinstance(error, OSError) or DAMAGE.isdisjoint((code, code & 255)):
            raise row_cache_files.unusable(self._path, error) from None
        if deleted := row_cache_files.delete(self._path):
            is_other = isinstance(error, OtherFormError)
            problem = "has the form of another version of Headstart" if is_other else f"is damaged ({error})"
            self._warn(f"{problem} and starts empty")
        return deleted

    def _warn(self, message: str) -> None:
        print(f"warning: the row cache {self._path} {message}", file=sys.stderr)


def _parse(keys: Sequence[str]) -> np.ndarray:
    """Split keys into two halves: (rows, 2) int64."""
    return np.frombuffer(bytes.fromhex("".join(keys)), "<i8").reshape(len(keys), 2)
