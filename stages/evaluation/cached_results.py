"""Results that take long and that no head changes, kept between runs in the cache folder, outside of what DVC tracks.

A changed head costs seconds; the learning curves, which it leaves as they are, would double them.
"""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import stages
from stages.common import atomic, cache_folder
from stages.heads import model_card
from stages.tables.features import Features

KEEP_DAYS = 30  # since a result was last asked for
PACKAGES = ("cleanlab", "numpy", "scikit-learn", "scipy")

Arrays = dict[str, np.ndarray]


def result(train: Features, test: Features, settings: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """What `compute` gives for these rows and settings, from the last time where nothing that decides it has changed.

    Args:
        settings: all else that decides it, but for the code and the libraries, which are looked at here.
    """
    path = cache_folder.folder("evaluations") / f"{_key(train, test, settings)}.npz"
    with suppress(OSError, ValueError, EOFError, zipfile.BadZipFile), np.load(path, allow_pickle=False) as kept:
        found = dict(kept)
        path.touch()
        return found
    found = compute()
    with suppress(OSError):  # a folder that cannot be written: computed every time
        with atomic.file(path) as out, out.open("wb") as file:
            np.savez(file, allow_pickle=False, **found)
        for other in path.parent.iterdir():
            if time.time() - other.stat().st_mtime > KEEP_DAYS * 86_400:
                other.unlink(missing_ok=True)
    return found


def _key(train: Features, test: Features, settings: Mapping[str, Any]) -> str:
    """A hash of rows, settings, code and libraries."""
    digest = hashlib.sha256(json.dumps([settings, model_card.versions(*PACKAGES)], sort_keys=True).encode())
    for source in sorted(Path(stages.__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    for features in (train, test):
        digest.update(
            json.dumps([features.metadata.model_dump(), *map(list, (features.ids, features.labels))]).encode()
        )
        X: Any = features.X
        for part in (X,) if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:32]
