"""Sealing and opening on one thread, by stage, beside what each stage's library does when it is called bare.

`measure()` gives figures, `table()` words. Speeds are GB/s (10^9 bytes) of plain bytes, so that the times of
the stages add up; the best of several rounds counts, because whatever else runs only makes one slower.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.chunks import checksum, layout, tree
from holdfast.chunks.buffers import Pool
from holdfast.chunks.cipher import RecordCipher
from holdfast.chunks.erasure import best_erasure
from holdfast.chunks.field import parity_rows
from holdfast.chunks.packing import Packer
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Opener, Sealer

CHUNK_SIZES = (1 << 20, 5 << 20, 16 << 20, 64 << 20)
REDUNDANCY = Redundancy(10, 14, 12)
SECONDS_PER_FIGURE = 0.4
KEY = bytes(range(32))
CHUNK_ID = bytes(16)


def best_seconds(work: Callable[[], object]) -> float:
    """The least time of several calls, after one that is not counted."""
    work()
    best = float("inf")
    end = time.perf_counter() + SECONDS_PER_FIGURE
    while time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def memory(size: int, content: bytes = b"") -> memoryview:
    """Touched memory, from a pool as in production."""
    view = Pool(size, 1).take()
    view[:] = content or bytes(size)
    return view


class Bench:
    """All that one chunk size needs: a random chunk, a slot with it sealed, room to open it."""

    def __init__(self, size: int, redundancy: Redundancy = REDUNDANCY) -> None:
        self.size, self.redundancy = size, redundancy
        self.erasure = best_erasure()
        self.sealer = Sealer(self.erasure, compress=False)
        self.opener = Opener(self.erasure)
        self.plain = memory(size, os.urandom(size))
        self.into = memory(size)
        self.slot = memory(layout.slot_length(size, redundancy))
        self.chunk = self.seal()
        self.shard_length = self.chunk.record.shard_length

    def seal(self) -> Any:
        """Seals the chunk, as `measure` times it."""
        return self.sealer.seal(
            self.plain,
            data_key=KEY,
            chunk_id=CHUNK_ID,
            number=0,
            redundancy=self.redundancy,
            slot=self.slot,
        )

    def open_without(self, missing: int) -> None:
        """Opens the chunk from verified shards, the first `missing` data shards being lost."""
        k = self.redundancy.k
        shards = {i: self.chunk.shards[i] for i in range(missing, missing + k)}
        for index, shard in shards.items():
            tree.verify_shard(
                shard, index, roots=self.chunk.roots, record=self.chunk.record, redundancy=self.redundancy
            )
        self.opener.open(self.chunk.record, self.redundancy, shards, data_key=KEY, into=self.into)

    def limits(self) -> dict[str, Callable[[], object]]:
        """Each stage's library called bare, in one call, on as many bytes as the stage sees."""
        k, n, length = self.redundancy.k, self.redundancy.n, self.shard_length
        cipher = AESGCM(KEY)
        rows = [self.slot[i * length : (i + 1) * length] for i in range(n)]
        matrix = parity_rows(k, range(k, n))
        sealed = memory(self.size + 16)
        cipher.encrypt_into(bytes(12), self.plain, None, sealed)
        return {
            "memcpy": lambda: self.into.__setitem__(slice(None), self.plain),
            "aes-gcm": lambda: cipher.encrypt_into(bytes(12), self.plain, None, self.slot[: self.size + 16]),
            "aes-gcm open": lambda: cipher.decrypt_into(bytes(12), sealed, None, self.into),
            "reed-solomon": lambda: self.erasure.kernel.multiply(matrix, rows[:k], rows[k:]),
            "blake3 of n shards": lambda: blake3(self.slot[: n * length]).digest(),
            "blake3 of k shards": lambda: blake3(self.slot[: k * length]).digest(),
            "crc64": lambda: checksum.crc64(self.plain),
            "sha256": lambda: hashlib.sha256(self.plain).digest(),
        }

    def stages(self) -> dict[str, Callable[[], object]]:
        """The parts of sealing and opening as they are, and both whole."""
        length, record = self.shard_length, self.chunk.record
        shards = [self.slot[i * length : (i + 1) * length] for i in range(self.redundancy.n)]
        packer = Packer()
        words = {"number": 0, "plain_length": self.size, "packed_length": self.size, "compressed": False}
        cipher = RecordCipher(data_key=KEY, chunk_id=record.chunk_id, **words)
        return {
            "probe": lambda: packer.pack(self.plain),
            "records": lambda: cipher.seal(self.plain, self.slot),
            "parity": lambda: self.erasure.encode(self.slot, self.redundancy, length),
            "leaves": lambda: tree.roots_of(shards),
            "crc": lambda: checksum.crc64(self.plain),
            "seal": self.seal,
            "open, 0 missing": lambda: self.open_without(0),
            "open, n-k missing": lambda: self.open_without(self.redundancy.parity),
        }


def measure_size(size: int) -> dict[str, Any]:
    """Speeds of all stages and limits for one chunk size, and how far sealing is from its limits."""
    bench = Bench(size)
    limits = {name: best_seconds(work) for name, work in bench.limits().items()}
    stages = {name: best_seconds(work) for name, work in bench.stages().items()}
    seal_limit = sum(limits[name] for name in ("aes-gcm", "reed-solomon", "blake3 of n shards", "crc64"))
    open_limit = sum(limits[name] for name in ("aes-gcm open", "blake3 of k shards", "crc64"))
    gigabytes = size / 1e9
    return {
        "chunk_bytes": size,
        "limits_gb_per_s": {name: round(gigabytes / seconds, 2) for name, seconds in limits.items()},
        "stages_gb_per_s": {name: round(gigabytes / seconds, 2) for name, seconds in stages.items()},
        "seal_limit_gb_per_s": round(gigabytes / seal_limit, 2),
        "open_limit_gb_per_s": round(gigabytes / open_limit, 2),
        "seal_over_limit": round(stages["seal"] / seal_limit, 2),
        "open_over_limit": round(stages["open, 0 missing"] / open_limit, 2),
    }


def measure() -> dict[str, Any]:
    """The figures for every chunk size, with what they were measured on; prints their table."""
    figures = _figures()
    print(table(figures))
    return figures


def _figures() -> dict[str, Any]:
    return {
        "redundancy": str(REDUNDANCY),
        "kernel": best_erasure().kernel.name,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "sizes": [measure_size(size) for size in CHUNK_SIZES],
    }


def table(figures: dict[str, Any]) -> str:
    """The figures in columns, one per chunk size."""
    sizes = figures["sizes"]
    lines = [f"seal and open, {figures['redundancy']}, one thread, GB/s of plain bytes ({figures['kernel']})"]

    def row(name: str, values: list[Any]) -> None:
        lines.append(f"{name:<28}" + "".join(f"{value:>10}" for value in values))

    row("chunk", [f"{size['chunk_bytes'] >> 20} MiB" for size in sizes])
    for kind, title in (("stages_gb_per_s", ""), ("limits_gb_per_s", "bare: ")):
        for name in sizes[0][kind]:
            row(title + name, [size[kind][name] for size in sizes])
    row("sum of seal's limits", [size["seal_limit_gb_per_s"] for size in sizes])
    row("sum of open's limits", [size["open_limit_gb_per_s"] for size in sizes])
    row("seal time / limit", [size["seal_over_limit"] for size in sizes])
    row("open time / limit", [size["open_over_limit"] for size in sizes])
    return "\n".join(lines)


if __name__ == "__main__":
    result = measure()
    if "--json" in sys.argv:
        print(json.dumps(result))
