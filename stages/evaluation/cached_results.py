"""Results that are slow to compute, cached between runs outside of what DVC tracks.

The learning curves do not depend on the head: training another one takes seconds, and computing them again would double
these. Explanations depend on the model and on the rows that it mistakes.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from stages.common import atomic, cache_cleaning, cache_folder, package
from stages.heads import model_card
from stages.tables.features import Features

KEEP_RESULTS_DAYS = 30  # since a result was last used
PACKAGES = ("cleanlab", "numpy", "scikit-learn", "scipy")

Arrays = dict[str, np.ndarray]


def result(train: Features, test: Features, settings: Mapping[str, Any], compute: Callable[[], Arrays]) -> Arrays:
    """Return the cached result of `compute` for these rows and settings, or compute and cache it.

    Code, libraries, rows and settings are part of the key. A damaged file is computed again.

    Args:
        train: the training rows that `compute` uses.
        test: the test rows.
        settings: all settings that `compute` uses.
        compute: returns the result; called only where the cache has none.
    """
    return stored(_key(train, test, settings), compute)


def stored(key: str, compute: Callable[[], Arrays]) -> Arrays:
    """Return the cached result under `key`, which covers all that decides it, or compute and cache it."""
    path = cache_folder.folder("evaluations") / f"{key}.npz"
    with suppress(OSError, ValueError, EOFError, zipfile.BadZipFile), np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
        path.touch()
        return arrays
    arrays = compute()
    with suppress(OSError):  # without a writable folder the result is computed every time
        with atomic.file(path) as out, out.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        cache_cleaning.delete("evaluations", unused_days=KEEP_RESULTS_DAYS)
    return arrays


def _key(train: Features, test: Features, settings: Mapping[str, Any]) -> str:
    """Hash rows, settings, libraries, and the code of the whole package."""
    decisive = [settings, model_card.versions(*PACKAGES), package.digest()]
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
    for features in (train, test):
        columns = [features.ids, features.labels, features.groups, features.splits]  # groups and splits decide folds
        identities = [None if column is None else list(column) for column in columns]
        digest.update(json.dumps([features.metadata.model_dump(), *identities]).encode())
        X: Any = features.X
        for part in (X,) if isinstance(X, np.ndarray) else (X.data, X.indices, X.indptr):
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()[:32]
