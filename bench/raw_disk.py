"""What the disk does without us: appends of 8 MiB, each made durable."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

PIECE = 8 << 20
PIECES = 32


def warm_memory(folder: Path, size: int = 6 << 30) -> None:
    """Has the page cache use `size` bytes of memory once.

    A virtual machine gets each page of its memory from its host at the first touch, at ten times the price of
    a copy: without this, the first benchmark of a fresh machine measures the host.
    """
    path = folder / "warm"
    with path.open("wb", buffering=0) as file:
        for _ in range(size // PIECE):
            file.write(bytes(PIECE))
    path.unlink()


def raw_appends(folder: Path) -> dict[str, Any]:
    """MB/s of a plain loop of write and fdatasync on a fresh file."""
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
