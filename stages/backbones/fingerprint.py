"""The fingerprint of a backbone: equal if and only if the same input gives the same vector."""

import functools
import hashlib
import json
from pathlib import Path


def from_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex; a process reads a file that did not change once."""
    stat = path.stat()
    return _from_version(path.absolute(), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@functools.cache
def _from_version(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_parts(**parts: object) -> str:
    """Return the SHA-256, in hex, of everything that decides a vector: family, name, revision, weights, pooling, …"""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
