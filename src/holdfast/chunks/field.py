"""Arithmetic in GF(2^8) and the code's coefficients: which bytes multiply which, the same for every kernel.

The field has the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11d); sum and difference are both xor. Parity row i
(k <= i < n) of the code is a Cauchy row, scaled so that its first entry is 1:

    shard i = sum over j < k of g(i, j) * shard j        g(i, j) = i / (i - j)

Every square part of a Cauchy matrix can be inverted, and scaling rows keeps that, so any k of n shards reopen
a chunk, for all n <= 255. With k = 1 every entry is 1: replication is the same code. A row does not depend on
n: shards can be added to a chunk later and the old ones stay as they are.

No matrix is ever inverted. Let f be the polynomial of degree below k with f(j) = shard j * prod (j - l) over
the other l < k. Then shard i = f(i) * i / prod (i - j) over all j < k: every shard is f at its own index,
times a weight. So the shards one has give f anywhere by Lagrange's formula, and with it the shards one wants.
"""

from __future__ import annotations

import functools

POLYNOMIAL = 0x11D
_ORDER = 255

Matrix = tuple[bytes, ...]
"""Rows of coefficients."""


def _logarithm_tables() -> tuple[bytes, bytes]:
    """Powers of the generator 2, and their inverse; the logarithm of 0 is never asked for."""
    powers, logarithms = bytearray(_ORDER), bytearray(256)
    value = 1
    for exponent in range(_ORDER):
        powers[exponent] = value
        logarithms[value] = exponent
        value <<= 1
        if value & 0x100:
            value ^= POLYNOMIAL
    return bytes(powers), bytes(logarithms)


POWERS, LOGARITHMS = _logarithm_tables()


def times(a: int, b: int) -> int:
    """The product of two elements."""
    return POWERS[(LOGARITHMS[a] + LOGARITHMS[b]) % _ORDER] if a and b else 0


def parity_rows(k: int, rows: range) -> Matrix:
    """The coefficients of the parity shards `rows` (each at least k) of the k data shards."""
    assert k <= rows.start, "shards below k are the data themselves"
    log = LOGARITHMS
    return tuple(bytes([POWERS[(log[i] - log[i ^ j]) % _ORDER] for j in range(k)]) for i in rows)


@functools.lru_cache(maxsize=1024)
def recovery_rows(k: int, have: tuple[int, ...], want: tuple[int, ...]) -> Matrix:
    """The coefficients that make the shards `want` of the k other shards `have`."""
    assert len(have) == k, "exactly k shards make the others"
    log = LOGARITHMS
    # All products are sums of logarithms. Of the shard's weight and the basis polynomial of each one we have:
    basis = [_weight(k, h) + sum([log[h ^ g] for g in have if g != h]) for h in have]
    rows = []
    for t in want:
        assert t not in have, "what is at hand need not be made"
        over_all = _weight(k, t) + sum([log[t ^ g] for g in have])
        logs = zip(have, basis, strict=True)
        rows.append(bytes([POWERS[(over_all - log[t ^ h] - base) % _ORDER] for h, base in logs]))
    return tuple(rows)


@functools.lru_cache(maxsize=4096)
def _weight(k: int, shard: int) -> int:
    """The logarithm of what f(shard) is multiplied with to give the shard."""
    log = LOGARITHMS
    between = sum(log[shard ^ j] for j in range(k) if j != shard)
    return -between if shard < k else log[shard] - between
