"""The plain kernel: table look-ups with numpy. For machines without ISA-L, and as the twin in tests."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from holdfast.chunks.field import Matrix, times


@functools.lru_cache(maxsize=256)
def _multiples(coefficient: int) -> npt.NDArray[np.uint8]:
    """The products of `coefficient` with every byte."""
    return np.array([times(coefficient, value) for value in range(256)], dtype=np.uint8)


class SlowKernel:
    """One look-up per byte and coefficient: a hundredth of ISA-L's speed, the same bytes."""

    name = "slow"

    def multiply(self, matrix: Matrix, sources: Sequence[memoryview], targets: Sequence[memoryview]) -> None:
        inputs = [np.frombuffer(source, dtype=np.uint8) for source in sources]
        for row, target in zip(matrix, targets, strict=True):
            total = np.frombuffer(target, dtype=np.uint8)
            total[:] = 0
            for coefficient, data in zip(row, inputs, strict=True):
                total ^= data if coefficient == 1 else _multiples(coefficient)[data]
