"""Arithmetic in GF(2^8) and the code's matrices: which bytes multiply which, the same for every kernel.

The field has the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d). Parity row i (k <= i < n) of the generator is
the Cauchy row 1 / (i xor j) for j < k, scaled so that its first entry is 1:

    g[i][j] = i / (i xor j)

Every square part of a Cauchy matrix can be inverted, and scaling rows keeps that, so any k of n shards
reopen a chunk, for all n <= 255. With k = 1 every parity entry is 1: replication is the same code. A row does
not depend on n: shards can be added to a chunk later and the old ones stay as they are.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.uint8]

POLYNOMIAL = 0x11D


def _multiplication_table() -> Matrix:
    """256 x 256 products, from the powers of the generator 2."""
    exponents = np.zeros(512, dtype=np.intp)
    logarithms = np.zeros(256, dtype=np.intp)
    value = 1
    for power in range(255):
        exponents[power] = exponents[power + 255] = value
        logarithms[value] = power
        value <<= 1
        if value & 0x100:
            value ^= POLYNOMIAL
    table = exponents[logarithms[:, None] + logarithms[None, :]]
    table[0, :] = 0
    table[:, 0] = 0
    return np.asarray(table, dtype=np.uint8)


PRODUCTS = _multiplication_table()
"""PRODUCTS[a, b] = a times b."""
INVERSES = np.argmax(PRODUCTS == 1, axis=1).astype(np.uint8)
"""INVERSES[a] = 1 / a; 0 for 0."""


def parity_rows(k: int, rows: range) -> Matrix:
    """The generator's rows `rows` (each in k..n-1), k columns."""
    assert k <= rows.start, "rows below k are the data themselves"
    i = np.arange(rows.start, rows.stop, dtype=np.uint8)[:, None]
    j = np.arange(k, dtype=np.uint8)[None, :]
    return np.asarray(PRODUCTS[i, INVERSES[i ^ j]])


def product(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product over the field."""
    columns = [np.bitwise_xor.reduce(PRODUCTS[left, column], axis=1) for column in right.T]
    return np.stack(columns, axis=1)


def inverse(matrix: Matrix) -> Matrix:
    """The inverse of a square matrix that has one, by Gauss-Jordan elimination."""
    size = matrix.shape[0]
    work = np.concatenate([matrix, np.eye(size, dtype=np.uint8)], axis=1)
    for column in range(size):
        pivot = column + int(np.argmax(work[column:, column] != 0))
        assert work[pivot, column] != 0, "every matrix of this code can be inverted"
        if pivot != column:
            work[[column, pivot]] = work[[pivot, column]]
        work[column] = PRODUCTS[INVERSES[work[column, column]], work[column]]
        factors = work[:, column].copy()
        factors[column] = 0
        work ^= PRODUCTS[factors[:, None], work[column][None, :]]
    return work[:, size:].copy()


@functools.lru_cache(maxsize=1024)
def recovery_rows(k: int, have: tuple[int, ...], want: tuple[int, ...]) -> Matrix:
    """The rows that turn the k shards `have` (ascending) into the shards `want`.

    Only the part that concerns missing data is inverted: as many rows as `have` holds parity shards.
    """
    assert len(have) == k, "exactly k shards make the others"
    at = {shard: position for position, shard in enumerate(have)}
    missing = [shard for shard in range(k) if shard not in at]
    parity = [shard for shard in have if shard >= k]
    # data = from_have x have: unit rows for what is here, solved rows for what is not.
    data = np.zeros((k, k), dtype=np.uint8)
    for shard, position in at.items():
        if shard < k:
            data[shard, position] = 1
    if missing:
        rows = np.concatenate([parity_rows(k, range(p, p + 1)) for p in parity])
        solve = inverse(rows[:, missing])
        known = [shard for shard in range(k) if shard in at]
        data[np.ix_(missing, [at[p] for p in parity])] = solve
        if known:
            data[np.ix_(missing, [at[d] for d in known])] = product(solve, rows[:, known])
    rows_wanted = [data[w : w + 1] if w < k else product(parity_rows(k, range(w, w + 1)), data) for w in want]
    return np.concatenate(rows_wanted)
