"""Features without transfer: a logistic head on them is the baseline that a pretrained backbone has to beat.

Texts: TF-IDF of single words, with vocabulary and document frequencies from the head's own training rows.
Images: their pixels at 32 x 32.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.evaluation.learning_curve import Vectors
from stages.tables import prepared
from stages.tables.features import Matrix

# Maps indices of rows to train on, and of rows to judge on, to the vectors of both.
FoldVectors: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[Matrix, Matrix]]


def load(prepared_folder: Path, modality: Modality, train: Sequence[str], test: Sequence[str]) -> Vectors | None:
    """Load the rows and return a function from training rows to the features of these rows and of the test rows.

    Args:
        train: ids of the training rows; the function takes indices into it.
        test: ids of the test rows.

    Returns:
        The function, or None where no training text holds a word.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    vectors = load_splits(prepared_folder, modality, {"train": train, "test": test}, words_of=len(train))
    if vectors is None:
        return None
    held_out = np.arange(len(train), len(train) + len(test))
    return lambda rows: vectors(rows, held_out)


def load_splits(
    prepared_folder: Path, modality: Modality, ids: Mapping[str, Sequence[str]], *, words_of: int | None = None
) -> FoldVectors | None:
    """Load rows of several splits and return a function from rows to train on and to judge on to the features of both.

    Args:
        ids: of every split; the function takes indices into the rows of all splits, one after another.
        words_of: only words of so many rows, the first ones, count; None for all.

    Returns:
        The function, or None where no text holds a word.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    encode: Callable[[list[Any]], Iterable[Any]] = list
    if modality == "image":
        pixels = backbones.load(
            BackboneParams(family="pixels", name="rgb"), ExtractParams(), RuntimeParams(), modality="image"
        )
        encode = pixels.encode
    rows = [
        row
        for split, part in ids.items()
        if len(part)
        for row in prepared.map_by_id(prepared_folder, split, modality, part, encode)
    ]
    if modality == "image":
        X = np.stack(rows)
        return lambda training, held_out: (X[training], X[held_out])
    vectorizer, first = CountVectorizer(dtype=np.float32), len(rows) if words_of is None else words_of
    try:
        counts = vectorizer.fit_transform(rows[:first])
    except ValueError:
        return None
    if first < len(rows):
        counts = sparse.vstack([counts, vectorizer.transform(rows[first:])], format="csr")
    return lambda training, held_out: _tfidf(counts[training], counts[held_out])


def _tfidf(train: sparse.csr_matrix, test: sparse.csr_matrix) -> tuple[Matrix, Matrix]:
    """Weigh word counts, (rows, words), as TfidfVectorizer does when it is fitted on the training texts."""
    seen = np.flatnonzero(train.getnnz(axis=0))
    if not len(seen):  # these training texts hold no word: one feature that is 0 everywhere
        return tuple(sparse.csr_matrix((counts.shape[0], 1), dtype=np.float32) for counts in (train, test))
    tfidf = TfidfTransformer()
    return tfidf.fit_transform(train[:, seen]), tfidf.transform(test[:, seen])
