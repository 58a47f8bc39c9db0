"""Hashes of many rows at a time: those of `prepared.content_id` and `prepared.uniform`, with less work for each."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

KEY_BYTES = 16  # of the hash that is a row's id


def content_keys(texts: Iterable[str]) -> np.ndarray:
    """Return the ids of texts as bytes: (texts, 16) uint8."""
    sha256 = hashlib.sha256
    hashes = b"".join([sha256(text.encode()).digest() for text in texts])
    return np.frombuffer(hashes, np.uint8).reshape(-1, 2 * KEY_BYTES)[:, :KEY_BYTES]


def ids(keys: np.ndarray) -> pa.Array:
    """Return the ids of rows in hex, as one column; keys: (rows, 16) uint8."""
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * (2 * KEY_BYTES)
    letters = keys.tobytes().hex().encode()
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(letters))


def uniforms(start: str, ends: Iterable[str]) -> np.ndarray:
    """Return `prepared.uniform` of keys that all start with `start`: (ends,) float64."""
    sha256 = hashlib.sha256
    hashes = b"".join([sha256(f"{start}{end}".encode()).digest() for end in ends])
    return np.frombuffer(hashes, ">u8")[::4] / 2**64
