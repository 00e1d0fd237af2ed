"""Reed-Solomon over whole shards: encode a slot, rebuild any shards from any k others.

A `Kernel` multiplies a small matrix with long rows of bytes; that is all a back end does. What the matrices
are stands in `field`, so every kernel gives the same bytes. Equal slices of shards may be worked on like
whole shards: the code goes byte by byte.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Protocol

from holdfast.chunks import field
from holdfast.chunks.field import Matrix
from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Trouble


class Kernel(Protocol):
    """The seam of the codec back ends."""

    name: str

    def multiply(self, matrix: Matrix, sources: Sequence[memoryview], targets: Sequence[memoryview]) -> None:
        """targets[r] = sum of matrix[r][c] * sources[c] over GF(2^8), byte by byte.

        All rows are of one length; targets are writable and overlap no source. Safe from several threads.
        """
        ...


@functools.lru_cache(maxsize=256)
def _encode_rows(k: int, n: int) -> Matrix:
    return field.parity_rows(k, range(k, n))


class Erasure:
    """The code over one kernel. Holds no state of its own: one serves all threads."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def encode(self, slot: memoryview, redundancy: Redundancy, shard_length: int) -> None:
        """Writes the parity shards of a slot behind its k data shards: n * `shard_length` bytes in all."""
        k, n = redundancy.k, redundancy.n
        assert len(slot) >= n * shard_length, "the slot holds n shards"
        if n == k:
            return
        rows = [slot[i * shard_length : (i + 1) * shard_length] for i in range(n)]
        self.kernel.multiply(_encode_rows(k, n), rows[:k], rows[k:])

    def rebuild(
        self, redundancy: Redundancy, present: Mapping[int, memoryview], wanted: Mapping[int, memoryview]
    ) -> None:
        """Writes the shards `wanted` (index to writable memory), data or parity, from any k of `present`.

        All views are of one length: whole shards, or the same slice of each. Raises Trouble("chunk.lost")
        when fewer than k are present.
        """
        k = redundancy.k
        if len(present) < k:
            raise Trouble(
                "chunk.lost",
                f"{len(present)} good shards are at hand; {k} are needed.",
                have=len(present),
                need=k,
            )
        if not wanted:
            return
        # Data shards sort first, and each one used is one row less to solve.
        have = tuple(sorted(present)[:k])
        want = tuple(sorted(wanted))
        assert have[0] >= 0, "shard indexes count from 0"
        assert max(*have, *want) < redundancy.n, "shard indexes end below n"
        rows = field.recovery_rows(k, have, want)
        self.kernel.multiply(rows, [present[i] for i in have], [wanted[i] for i in want])


@functools.lru_cache(maxsize=1)
def best_erasure() -> Erasure:
    """The fastest back end at hand: ISA-L where it loads and passes its self-test, else the slow one."""
    from holdfast.chunks import isal

    kernel = isal.load()
    if kernel is not None:
        return Erasure(kernel)
    # Its numpy takes a tenth of a second to import: too long for a command that does not need it.
    from holdfast.chunks.slow import SlowKernel

    return Erasure(SlowKernel())
