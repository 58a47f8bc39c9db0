"""Row caches to test, whose vectors are functions of their keys, and processes that use one."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

import numpy as np

from stages.extraction.row_cache import RowCache
from tests.projects import ROOT

DIM = 20


MANY = 10**12  # bytes


# What a child process starts with: the vector of a key is a function of it, so that any process can check any other's.
CHILD = """
from tests.extraction.row_caches import names, open_cache, vectors
print("ready", flush=True)
input()
"""


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


def stored(keys: Sequence[str], fingerprint: str = "f") -> np.ndarray:
    """The mask of `keys`, (keys,) bool, after a check that every stored vector is the right one."""
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
