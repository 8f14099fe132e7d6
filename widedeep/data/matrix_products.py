"""Sparse products and top-k selections in bounded memory, from which similarities are computed.

Legend: A rows of the left matrix, B rows of the right one, C columns of both, k columns kept.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp

from widedeep.common.machine import available_cores

# Rows multiplied at once; each thread holds the sparse product of one block.
ROWS_PER_BLOCK = 512


def dense_product(left: sp.csr_matrix, right: sp.csr_matrix) -> np.ndarray:
    """[A, C] x [B, C] -> [A, B] float32, left @ right.T. Threads share the rows: SciPy releases the GIL."""
    rows, columns = len(left.indptr) - 1, len(right.indptr) - 1
    out = np.empty((rows, columns), np.float32)
    transposed = right.T.tocsr()

    def fill(block: slice) -> None:
        out[block] = (left[block] @ transposed).toarray()

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(fill, row_blocks(rows)))
    return out


def square_elements(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Square every element."""
    return matrix.multiply(matrix).tocsr()


def row_blocks(count: int) -> Iterator[slice]:
    """Yield slices of ROWS_PER_BLOCK that cover `count` rows."""
    for low in range(0, count, ROWS_PER_BLOCK):
        yield slice(low, min(low + ROWS_PER_BLOCK, count))


def top_k_columns(weights: np.ndarray, k: int) -> np.ndarray:
    """[A, B] -> [A, min(k, B)] int64 columns of the highest weights of each row, highest first; ties in any order."""
    k = min(k, weights.shape[1])
    if not k:
        return np.empty((len(weights), 0), np.int64)
    columns = np.argpartition(weights, -k, axis=1)[:, -k:]
    order = np.argsort(-np.take_along_axis(weights, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def sparse_from_top_k(columns: np.ndarray, weights: np.ndarray, width: int) -> sp.csr_matrix:
    """[A, k] columns and weights -> sparse [A, width] float32, without explicit zeros."""
    starts = np.arange(0, columns.size + 1, columns.shape[1]) if columns.size else np.zeros(len(columns) + 1, np.int64)
    matrix = sp.csr_matrix(
        (weights.ravel().astype(np.float32), columns.ravel().astype(np.int32), starts), shape=(len(columns), width)
    )
    matrix.eliminate_zeros()
    return matrix
