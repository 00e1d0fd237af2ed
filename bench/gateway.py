"""The gateway alone: a second one in this process, over a local cloud's nodes and database, without HTTP.

Large objects: CPU-seconds per GB of this process by stage (digests, sealing, opening, receipts, and all the
rest, which is moving bytes and bookkeeping), beside what the same bytes cost in one bare call of each library
in the same run. Small ones: how many a second so many callers get through together, and the CPU-microseconds
of each, database threads included; every put is durable (a real fsync) when it returns.

Run: `python -m bench gateway`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from bench.raw_disk import raw_appends, warm_memory
from holdfast.app.local import LocalCloud
from holdfast.app.rooms import open_rooms
from holdfast.chunks import checksum
from holdfast.chunks.erasure import best_erasure
from holdfast.chunks.layout import slot_length
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Opener, Sealer
from holdfast.files.records import Bucket, Version
from holdfast.gateway import small
from holdfast.gateway.body import BytesBody
from holdfast.gateway.objects import Gateway
from holdfast.gateway.wish import PutWish
from holdfast.world.offload import ThreadOffload

T = TypeVar("T")

MIB = 1 << 20
LARGE, LARGE_COUNT = 64 * MIB, 6
SMALL_BYTES = 4096
CALLERS = (1, 16, 64, 128)
SECONDS = 3.0
STAGES = {
    "Digests.feed.<locals>.all_quick": "digests",
    "HASH.update": "digests",
    "Upload._seal_and_send.<locals>.seal": "seal",
    "ChunkReader._check_and_open": "open",
    "Uploads._prove.<locals>.prove": "receipts",
}


def measure(folder: Path | None = None) -> dict[str, Any]:
    """Runs a cloud in `folder` (a temporary one by default), measures, removes it."""
    home = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=folder))
    try:
        with warm_memory(home):
            return uvloop.run(_measure(home))
    finally:
        shutil.rmtree(home, ignore_errors=True)


class MeteredOffload(ThreadOffload):
    """Threads that count the processor time of what they run, by stage."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, "metered")
        self.seconds: dict[str, float] = {}

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        name = STAGES.get(getattr(work, "__qualname__", ""), "other")

        def metered(*inner: object) -> T:
            began = time.thread_time()
            try:
                return work(*inner)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.thread_time() - began

        return await super().run(metered, *arguments)


async def _measure(home: Path) -> dict[str, Any]:
    results: dict[str, Any] = {"disk": raw_appends(home), "limits": limits()}
    print(f"  limits, CPU-s per GB: {results['limits']['cpu_s_per_gb']}")
    print(f"  limits, us each: {results['limits']['us']}")
    cloud = LocalCloud(home, node_count=16, port=0)
    try:
        await cloud.start(lambda _line: None)
        async with open_rooms(home / "coordinator") as rooms:
            await rooms.fleet.refresh()
            offload = MeteredOffload(os.cpu_count() or 1)
            s3 = rooms.open_s3(offload)
            tenant = (await rooms.people.create("bench")).tenant_id
            bucket = await s3.buckets.create(tenant, "bench", rooms.classes.default)
            for etag in ("md5", "opaque"):
                results[f"large, etag {etag}"] = await _large(s3.gateway, bucket, offload, etag)
            results["small"] = await _small(s3.gateway, bucket)
            await s3.close()
            offload.close()
    finally:
        await cloud.stop()
    return results


# --- limits ----------------------------------------------------------------------------------------------


def limits() -> dict[str, dict[str, float]]:
    """What the bytes cost in one bare call of each library, in processor time."""
    rule = Redundancy(10, 14, 12)
    plain = memoryview(bytearray(os.urandom(16 * MIB)))
    slot = memoryview(bytearray(slot_length(len(plain), rule)))
    sealer, opener = Sealer(best_erasure()), Opener(best_erasure())
    into = memoryview(bytearray(len(plain)))
    key, chunk_id = bytes(32), bytes(16)

    def seal() -> Any:
        return sealer.seal(plain, data_key=key, chunk_id=chunk_id, number=0, redundancy=rule, slot=slot)

    sealed = seal()
    shards = dict(enumerate(sealed.shards[: rule.k]))
    large = {
        "copy": lambda: into.__setitem__(slice(None), plain),
        "md5": lambda: hashlib.md5(plain, usedforsecurity=False).digest(),
        "sha256": lambda: hashlib.sha256(plain).digest(),
        "crc64": lambda: checksum.crc64(plain),
        "seal": seal,
        "open": lambda: opener.open(sealed.record, rule, shards, data_key=key, into=into),
    }
    content = os.urandom(SMALL_BYTES)
    few = {
        "md5": lambda: hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "crc64": lambda: checksum.crc64(content),
        "seal": lambda: small.seal(content, key, "tenant", "bucket/key"),
    }
    return {
        "cpu_s_per_gb": {name: round(_each(work, 8) / len(plain) * 1e9, 3) for name, work in large.items()},
        "us": {name: round(_each(work, 2000) * 1e6, 2) for name, work in few.items()},
    }


def _each(work: Callable[[], Any], times: int) -> float:
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


# --- large -----------------------------------------------------------------------------------------------


async def _large(gateway: Gateway, bucket: Bucket, offload: MeteredOffload, etag: Any) -> dict[str, Any]:
    content = os.urandom(LARGE)
    versions: list[Version] = []

    async def put(number: int) -> None:
        wish = PutWish(etag=etag)
        versions.append(await gateway.put(bucket, f"{etag}-{number}", BytesBody(content), wish))

    async def get(number: int) -> None:
        seen = 0
        async for piece in gateway.read(versions[number], 0, LARGE):
            seen += len(piece)
        assert seen == LARGE, "all of it came back"

    await put(-1)
    await get(0)
    found = {"put": await _metered(put, offload), "get": await _metered(get, offload)}
    for what, figures in found.items():
        print(f"  {LARGE // MIB} MiB {what}, etag {etag}: {figures}")
    return found


async def _metered(work: Callable[[int], Awaitable[None]], offload: MeteredOffload) -> dict[str, Any]:
    """MB/s, and CPU-seconds per GB by stage."""
    size = LARGE * LARGE_COUNT
    offload.seconds.clear()
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(LARGE_COUNT):
        await work(number)
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    stages = {name: round(used / size * 1e9, 3) for name, used in sorted(offload.seconds.items())}
    stages["rest"] = round((spent - sum(offload.seconds.values())) / size * 1e9, 3)
    return {
        "mb_per_s": round(size / seconds / 1e6, 1),
        "cpu_s_per_gb": round(spent / size * 1e9, 3),
        "stages": stages,
    }


# --- small -----------------------------------------------------------------------------------------------


async def _small(gateway: Gateway, bucket: Bucket) -> dict[str, Any]:
    content = os.urandom(SMALL_BYTES)
    versions: list[Version] = []
    numbers = itertools.count()
    wish = PutWish()

    async def put() -> None:
        key = f"small-{next(numbers)}"
        versions.append(await gateway.put(bucket, key, BytesBody(content), wish))

    async def get() -> None:
        version = versions[next(numbers) % len(versions)]
        async for piece in gateway.read(version, 0, SMALL_BYTES):
            assert len(piece) == SMALL_BYTES, "all of it came back"

    found: dict[str, Any] = {}
    for what, work in (("put", put), ("get", get)):
        found[what] = {}
        for callers in CALLERS:
            found[what][callers] = await _together(work, callers)
            print(f"  4 KiB {what}, {callers} at once: {found[what][callers]}")
    return found


async def _together(work: Callable[[], Awaitable[None]], callers: int) -> dict[str, float]:
    done = 0
    end = time.perf_counter() + SECONDS

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await work()
            done += 1

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(callers)))
    seconds = time.perf_counter() - began
    return {
        "per_s": round(done / seconds, 1),
        "cpu_us": round((time.process_time() - cpu) / done * 1e6, 1),
    }
