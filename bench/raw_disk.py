"""What the disk does without us, and how to measure on a machine whose memory comes from a host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PIECE = 8 << 20
PIECES = 32
LEFT_FREE_BYTES = 1 << 30


@contextmanager
def warm_memory(folder: Path) -> Iterator[None]:
    """While it lasts, hardly any memory is free: what is written or asked for takes the place of idle cache.

    A virtual machine may get each page of its memory from its host at the first touch, at ten times the price
    of a copy, and give it back soon after it is freed. Then a benchmark measures the host. So free memory is
    filled with the cached pages of a hole in a file, which the kernel drops first: pages that stay in the
    machine's hands cost what they cost on a machine of one's own.
    """
    path = folder / "warm"
    into = memoryview(bytearray(PIECE))
    with path.open("wb+", buffering=0) as file:
        size = psutil.virtual_memory().total
        os.ftruncate(file.fileno(), size)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        offset = 0
        while offset < size and psutil.virtual_memory().free > LEFT_FREE_BYTES:
            offset += os.preadv(file.fileno(), [into], offset)
        try:
            yield
        finally:
            path.unlink()


def raw_appends(folder: Path) -> dict[str, Any]:
    """MB/s of a plain loop of writes of 8 MiB to a fresh file, each made durable."""
    path = folder / "raw"
    content = os.urandom(PIECE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    began = time.perf_counter()
    for _ in range(PIECES):
        os.write(descriptor, content)
        os.fdatasync(descriptor)
    seconds = time.perf_counter() - began
    os.close(descriptor)
    path.unlink()
    return {"mb_per_s": round(PIECE * PIECES / seconds / 1e6, 1)}
