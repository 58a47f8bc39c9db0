"""The code of this package, as part of the keys of what is kept between runs."""

import hashlib
from pathlib import Path

import stages


def digest() -> str:
    """Return SHA-256 over all modules of `stages`, in hex: results of other code are not used again."""
    root = Path(stages.__file__).parent
    code = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        code.update(f"{path.relative_to(root).as_posix()}\0".encode())
        code.update(hashlib.sha256(path.read_bytes()).digest())
    return code.hexdigest()
