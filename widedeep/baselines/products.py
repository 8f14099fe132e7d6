"""Products of sparse matrices and what similarities are made of, in bounded memory.

Legend: A rows of the left matrix, B rows of the right one, C columns of both; I items, U users.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp

# Rows multiplied at once: each thread holds so many rows of the sparse result.
ROWS = 512


def dense_product(left: sp.csr_matrix, right: sp.csr_matrix) -> np.ndarray:
    """[A, C] x [B, C] -> [A, B] float32, left @ right.T; threads share the rows, as SciPy lets go of the GIL."""
    rows, columns = len(left.indptr) - 1, len(right.indptr) - 1
    out = np.empty((rows, columns), np.float32)
    turned = right.T.tocsr()

    def fill(low: int) -> None:
        out[low : low + ROWS] = (left[low : low + ROWS] @ turned).toarray()

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(fill, range(0, len(out), ROWS)))
    return out


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def squared(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Every element squared."""
    return matrix.multiply(matrix).tocsr()


def row_blocks(count: int) -> Iterator[slice]:
    """Slices of ROWS that cover `count` rows."""
    for low in range(0, count, ROWS):
        yield slice(low, min(low + ROWS, count))


def strongest(weights: np.ndarray, count: int) -> np.ndarray:
    """[A, min(count, B)] columns of the highest weights of each row, highest first; equal ones in any order."""
    count = min(count, weights.shape[1])
    if not count:
        return np.empty((len(weights), 0), np.int64)
    columns = np.argpartition(weights, -count, axis=1)[:, -count:]
    order = np.argsort(-np.take_along_axis(weights, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def at(columns: np.ndarray, weights: np.ndarray, width: int) -> sp.csr_matrix:
    """Weights [A, k] at columns [A, k] as a sparse [A, width] float32; zeros are left out."""
    starts = np.arange(0, columns.size + 1, columns.shape[1]) if columns.size else np.zeros(len(columns) + 1, np.int64)
    matrix = sp.csr_matrix(
        (weights.ravel().astype(np.float32), columns.ravel().astype(np.int32), starts), shape=(len(columns), width)
    )
    matrix.eliminate_zeros()
    return matrix
