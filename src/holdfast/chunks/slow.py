"""The plain kernel: table look-ups with numpy. For machines without ISA-L, and as the twin in tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from holdfast.chunks.field import PRODUCTS, Matrix


class SlowKernel:
    """One look-up per byte and coefficient: a hundredth of ISA-L's speed, the same bytes."""

    name = "slow"

    def multiply(self, matrix: Matrix, sources: Sequence[memoryview], targets: Sequence[memoryview]) -> None:
        inputs = [np.frombuffer(source, dtype=np.uint8) for source in sources]
        for row, target in zip(matrix, targets, strict=True):
            total = np.frombuffer(target, dtype=np.uint8)
            total[:] = 0
            for coefficient, data in zip(row, inputs, strict=True):
                if coefficient == 1:
                    total ^= data
                elif coefficient:
                    total ^= PRODUCTS[coefficient][data]
