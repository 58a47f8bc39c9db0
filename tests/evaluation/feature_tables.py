"""Feature tables made by hand."""

import numpy as np

from stages.common.params import BackboneParams, ExtractParams
from stages.tables import features


def table(X: np.ndarray, labels: list[str]) -> features.Features:
    metadata = features.Metadata(
        backbone=BackboneParams(family="pixels", name="rgb"),
        extract=ExtractParams(),
        fingerprint="0" * 64,
        dim=X.shape[1],
        sparse=False,
        input="image",
        modality="image",
        max_side=None,
    )
    ids = np.array([str(row) for row in range(len(X))], dtype=object)
    return features.Features(ids, np.array(labels, dtype=object), X.astype(np.float32), metadata)
