"""Products of all rows with all rows."""

import numpy as np
import pytest
from scipy import sparse

from stages.scores import products


@pytest.mark.parametrize("full_columns", [0, 3, 40])
def test_products_of_partly_dense_features_are_those_of_dense_ones(full_columns: int) -> None:
    generator = np.random.default_rng(0)
    A, B = (generator.normal(size=(rows, 40)) * (generator.random((rows, 40)) < 0.1) for rows in (7, 20))
    for X in (A, B):
        X[:, :full_columns] = generator.normal(size=(len(X), full_columns))
    product = products.with_transposed(sparse.csr_matrix(B))(sparse.csr_matrix(A))
    assert type(product) is np.ndarray and product.shape == (7, 20)
    np.testing.assert_allclose(product, A @ B.T, atol=1e-12)
    np.testing.assert_array_equal(products.with_transposed(B)(A), A @ B.T)


def test_no_row_has_no_product() -> None:
    A, none = sparse.csr_matrix((3, 5)), sparse.csr_matrix((0, 5))
    assert products.with_transposed(none)(A).shape == (3, 0)
    assert products.with_transposed(A)(none).shape == (0, 3)
