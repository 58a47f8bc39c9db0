"""What can be learned without transfer: features that know the training rows alone.

Texts: TF-IDF of single words, its vocabulary and document frequencies from the rows that the classifier is trained on.
Images: their pixels at 32 x 32. A logistic head on them is what a pretrained backbone has to beat.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from stages import backbones
from stages.common.params import BackboneParams, ExtractParams, Modality, RuntimeParams
from stages.tables import prepared
from stages.tables.features import Matrix, Vectors


def load(prepared_folder: Path, modality: Modality, train: Sequence[str], test: Sequence[str]) -> Vectors | None:
    """Features of any of the training rows, and of the test rows as these training rows see them.

    Args:
        train: ids of the rows that may be asked for; `Vectors` takes indices into it.
        test: ids of the test rows.

    Returns:
        None where no training text holds a word.

    Raises:
        HeadstartError: a row is missing from the prepared table.
    """
    splits = {"train": train, "test": test}
    if modality == "image":
        pixels = backbones.load(
            BackboneParams(family="pixels", name="rgb"), ExtractParams(), RuntimeParams(), modality="image"
        )
        X, T = (
            np.stack(prepared.map_by_id(prepared_folder, split, modality, splits[split], pixels.encode))
            for split in splits
        )
        return lambda rows: (X[rows], T)
    texts = {split: prepared.map_by_id(prepared_folder, split, modality, splits[split], list) for split in splits}
    vectorizer = CountVectorizer(dtype=np.float32)
    try:
        counts = vectorizer.fit_transform(texts["train"])
    except ValueError:
        return None
    test_counts = vectorizer.transform(texts["test"])
    return lambda rows: _tfidf(counts[rows], test_counts)


def _tfidf(train: sparse.csr_matrix, test: sparse.csr_matrix) -> tuple[Matrix, Matrix]:
    """What TfidfVectorizer makes of the texts whose counts these are, fitted on the training texts."""
    seen = np.flatnonzero(train.getnnz(axis=0))
    if not len(seen):  # no word at all: one that no text has
        return tuple(sparse.csr_matrix((part.shape[0], 1), dtype=np.float32) for part in (train, test))
    weigh = TfidfTransformer()
    return weigh.fit_transform(train[:, seen]), weigh.transform(test[:, seen])
