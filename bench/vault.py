"""What the node's vault does, beside what its disk does with bare appends in the same minute.

Run: `python -m bench.vault [FOLDER]`. The folder's file system is what is measured; it needs 1 GB.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from holdfast.agent.vault import Vault
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.offload import ThreadOffload
from holdfast.world.system_disk import SystemDisk

SIZES = (524_352, 4096)
PUTTERS = (1, 16, 64)
ROUNDS = 7
BYTES_PER_RUN = 96 << 20
RECORDS_PER_RUN_MAX = 4_096
RECORDS_PER_RUN_ALONE = 128
ELSEWHERE = "/var/tmp"  # by custom never in memory, as /tmp may be
RECOVERED_RECORDS = 100_000
META = os.urandom(14 * 32 + 33 * 32)

Figures = dict[str, float]


def records_for(size: int, putters: int) -> int:
    """How many records a run writes: fewer when each has a sync of its own."""
    records = min(BYTES_PER_RUN // size, RECORDS_PER_RUN_MAX)
    return min(records, RECORDS_PER_RUN_ALONE) if putters == 1 else records


def processor_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rates(records: int, size: int, seconds: float, processor: float) -> Figures:
    """Of one run: per second, MB/s and processor seconds per GB."""
    total = records * size
    return {
        "per_second": records / seconds,
        "megabytes_per_second": total / seconds / 1e6,
        "processor_seconds_per_gigabyte": processor / total * 1e9,
    }


def bare_disk(folder: Path, size: int, group: int) -> dict[str, Figures]:
    """A loop of writev and fdatasync with `group` records at a time, then one of preads: the limit."""
    folder.mkdir(parents=True)
    head, meta, body = os.urandom(104), META, os.urandom(size)
    records = records_for(size, group)
    descriptor = os.open(folder / "bare", os.O_RDWR | os.O_CREAT, 0o600)
    began, processor = time.perf_counter(), processor_seconds()
    for _ in range(records // group):
        os.writev(descriptor, [head, meta, body, head] * group)
        os.fdatasync(descriptor)
    seconds, processor = time.perf_counter() - began, processor_seconds() - processor
    shutil.rmtree(folder)
    written = rates(records // group * group, size, seconds, processor)
    began, processor = time.perf_counter(), processor_seconds()
    into = [memoryview(bytearray(size + len(head) + len(meta)))]
    for number in range(records // group * group):
        os.preadv(descriptor, into, number * (len(into[0]) + len(head)))
    seconds, processor = time.perf_counter() - began, processor_seconds() - processor
    os.close(descriptor)
    return {"write": written, "read": rates(records // group * group, size, seconds, processor)}


async def open_vault(folder: Path, offload: ThreadOffload) -> Vault:
    """A vault that is never full."""
    return await Vault.open(
        SystemDisk(folder),
        allocated=1 << 40,
        reserve=0,
        offload=offload,
        clock=SystemClock(),
        chance=SystemChance(),
    )


async def puts(vault: Vault, size: int, putters: int, records: int) -> tuple[Figures, list[bytes]]:
    """So many at a time, each waiting until its own record is durable."""
    body = memoryview(os.urandom(size))
    ids = [os.urandom(18) for _ in range(records)]
    left = iter(ids)

    async def putter() -> None:
        for shard_id in left:
            await vault.put(shard_id, META, [body], root=META[:32])

    began, processor = time.perf_counter(), processor_seconds()
    await asyncio.gather(*(putter() for _ in range(putters)))
    return rates(records, size, time.perf_counter() - began, processor_seconds() - processor), ids


async def gets(vault: Vault, ids: list[bytes], size: int, getters: int) -> Figures:
    """Whole shards out of the page cache, each into a buffer that is used again."""
    left = iter(ids)

    async def getter() -> None:
        into = memoryview(bytearray(size))
        for shard_id in left:
            await vault.get(shard_id, into=into)

    began, processor = time.perf_counter(), processor_seconds()
    await asyncio.gather(*(getter() for _ in range(getters)))
    return rates(len(ids), size, time.perf_counter() - began, processor_seconds() - processor)


async def one_round(folder: Path, size: int, putters: int) -> dict[str, Figures]:
    """The bare disk, then the vault: neighbours in time, because disks have moods."""
    bare = bare_disk(folder / "bare", size, putters)
    offload = ThreadOffload(4, "vault")
    vault = await open_vault(folder / "vault", offload)
    # A vault's first volume is made once, not for each few thousand records as here.
    await puts(vault, size, putters, putters)
    put, ids = await puts(vault, size, putters, records_for(size, putters))
    got = await gets(vault, ids, size, putters)
    await vault.close()
    offload.close()
    shutil.rmtree(folder / "vault")
    return {"bare": bare["write"], "bare_get": bare["read"], "put": put, "get": got}


async def recovery(folder: Path) -> Figures:
    """Starts of a vault of 100,000 small records: with contents, and by walking the records."""
    offload = ThreadOffload(4, "vault")
    vault = await open_vault(folder / "vault", offload)
    ids = [os.urandom(18) for _ in range(RECOVERED_RECORDS)]
    left = iter(ids)

    async def putter() -> None:
        for shard_id in left:
            await vault.put(shard_id, b"", [b"x" * 1024], root=META[:32])

    await asyncio.gather(*(putter() for _ in range(256)))
    index_bytes = vault.index_memory_bytes() / vault.shard_count
    walked = await open_vault(folder / "vault", offload)
    await vault.close()
    listed = await open_vault(folder / "vault", offload)
    assert walked.shard_count == listed.shard_count == RECOVERED_RECORDS
    offload.close()
    shutil.rmtree(folder / "vault")
    return {
        "records": RECOVERED_RECORDS,
        "index_bytes_per_shard": index_bytes,
        "seconds_by_contents": listed.recovery.seconds,
        "seconds_by_walking": walked.recovery.seconds,
    }


def measure(folder: str | Path = ELSEWHERE) -> dict[str, Any]:
    """All figures, also printed. `ratio`: puts to the bare appends just before, median of rounds."""
    base = Path(folder) / f"holdfast-bench-{os.getpid()}"
    runs = {}
    try:
        for size in SIZES:
            for putters in PUTTERS:
                rounds = [uvloop.run(one_round(base, size, putters)) for _ in range(ROUNDS)]
                runs[f"{size} x{putters}"] = _median(rounds)
        figures = {"runs": runs, "recovery": uvloop.run(recovery(base))}
    finally:
        shutil.rmtree(base, ignore_errors=True)
    print(table(figures))
    return figures


def _median(rounds: list[dict[str, Figures]]) -> dict[str, Any]:
    """The round in the middle by the ratio of vault to bare disk."""
    ratio: Callable[[dict[str, Figures]], float] = lambda one: (  # noqa: E731 - used twice below
        one["put"]["per_second"] / one["bare"]["per_second"]
    )
    return {
        **sorted(rounds, key=ratio)[len(rounds) // 2],
        "ratio": statistics.median(map(ratio, rounds)),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures for people."""
    head = (
        f"{'record putters':>15} |  bare/s   MB/s |   put/s   MB/s  CPU-s/GB of bare |"
        f"{'bare/s':>7} |   get/s   MB/s  CPU-s/GB"
    )
    lines = [head]
    for name, run in figures["runs"].items():
        bare, put, get = run["bare"], run["put"], run["get"]
        lines.append(
            f"{name:>15} |"
            f" {bare['per_second']:7.0f} {bare['megabytes_per_second']:6.0f} |"
            f" {put['per_second']:7.0f} {put['megabytes_per_second']:6.0f}"
            f" {put['processor_seconds_per_gigabyte']:9.2f} {run['ratio']:7.0%} |"
            f" {run['bare_get']['per_second']:6.0f} |"
            f" {get['per_second']:7.0f} {get['megabytes_per_second']:6.0f}"
            f" {get['processor_seconds_per_gigabyte']:9.2f}"
        )
    start = figures["recovery"]
    lines.append(
        f"Start with {start['records']} records: {start['seconds_by_contents']:.2f} s by contents,"
        f" {start['seconds_by_walking']:.2f} s by walking;"
        f" index {start['index_bytes_per_shard']:.0f} bytes a shard."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
