"""Every codec back end of this machine, for tests that run on each."""

from __future__ import annotations

import pytest

from holdfast.chunks import isal
from holdfast.chunks.erasure import Erasure
from holdfast.chunks.slow import SlowKernel

_FAST = isal.load()
KERNELS = [SlowKernel(), *([_FAST] if _FAST else [])]
ERASURES = [Erasure(kernel) for kernel in KERNELS]
on_every_kernel = pytest.mark.parametrize("erasure", ERASURES, ids=lambda erasure: erasure.kernel.name)


def content(length: int, seed: bytes = b"") -> bytes:
    """`length` bytes that look random, always the same."""
    from blake3 import blake3

    return blake3(b"holdfast test content\0" + seed).digest(length)
