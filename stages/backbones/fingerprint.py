"""The fingerprint of a backbone: the same vectors for the same input, if and only if the same fingerprint."""

import hashlib
import json
from pathlib import Path


def from_file(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_parts(**parts: object) -> str:
    """SHA-256, in hex, over everything that decides a vector: family, name, revision, weights, pooling, …"""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
