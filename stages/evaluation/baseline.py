"""Features without transfer: a logistic head on them is the baseline that a pretrained backbone has to beat.

Texts: TF-IDF of single words, with vocabulary and document frequencies from the head's own training rows.
Images: their pixels at 32 x 32.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.evaluation.learning_curve import Vectors
from stages.tables import prepared
from stages.tables.features import Matrix


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
    splits = {"train": train, "test": test}
    if modality == "image":
        pixels = backbones.load(
            BackboneParams(family="pixels", name="rgb"), ExtractParams(), RuntimeParams(), modality="image"
        )
        X, X_test = (
            np.stack(prepared.map_by_id(prepared_folder, split, modality, splits[split], pixels.encode))
            for split in splits
        )
        return lambda rows: (X[rows], X_test)
    texts = {split: prepared.map_by_id(prepared_folder, split, modality, splits[split], list) for split in splits}
    vectorizer = CountVectorizer(dtype=np.float32)
    try:
        counts = vectorizer.fit_transform(texts["train"])
    except ValueError:
        return None
    test_counts = vectorizer.transform(texts["test"])
    return lambda rows: _tfidf(counts[rows], test_counts)


def _tfidf(train: sparse.csr_matrix, test: sparse.csr_matrix) -> tuple[Matrix, Matrix]:
    """Weigh word counts, (rows, words), as TfidfVectorizer does when it is fitted on the training texts."""
    seen = np.flatnonzero(train.getnnz(axis=0))
    if not len(seen):  # these training texts hold no word: one feature that is 0 everywhere
        return tuple(sparse.csr_matrix((counts.shape[0], 1), dtype=np.float32) for counts in (train, test))
    tfidf = TfidfTransformer()
    return tfidf.fit_transform(train[:, seen]), tfidf.transform(test[:, seen])
