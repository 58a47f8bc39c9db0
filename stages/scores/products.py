"""Products of all rows with all rows, also of sparse features that are partly dense, as those of joined backbones."""

from collections.abc import Callable

import numpy as np
import scipy

FULL_SHARE = 0.5  # of the rows, from which a column with so many values is multiplied as a dense one


def with_transposed(
    B: "np.ndarray | scipy.sparse.csr_matrix",
) -> "Callable[[np.ndarray | scipy.sparse.csr_matrix], np.ndarray]":
    """Return a function that multiplies a matrix A, (rows of A, dim), with B transposed: (rows of A, rows of B).

    scipy multiplies two sparse matrices value by value: 384 full columns of 10,000 rows would take minutes.
    """
    if isinstance(B, np.ndarray):
        return lambda A: np.asarray(A @ B.T)
    is_full = np.bincount(B.indices, minlength=B.shape[1]) > FULL_SHARE * B.shape[0]
    full, rest = B[:, is_full].toarray().T, B[:, ~is_full].T

    def product(A: "np.ndarray | scipy.sparse.csr_matrix") -> np.ndarray:
        columns = scipy.sparse.csr_matrix(A)
        return np.asarray(columns[:, is_full].toarray() @ full + (columns[:, ~is_full] @ rest).toarray())

    return product
