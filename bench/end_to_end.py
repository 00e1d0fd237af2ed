"""A local cloud of 16 node processes on this machine: large objects and many small ones, through the SDK.

Where each CPU-second goes is told by process: the client (seals, opens, hashes), the nodes together, the
coordinator. Beside it stands what the disk takes without us in the same run; it gets 1.4 bytes for each
byte stored. The machine's memory is kept warm (`bench/raw_disk.py` says why), and the first objects, for
which links are dialled and buffers made, are not counted.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import uvloop

from bench.raw_disk import raw_appends, warm_memory
from holdfast.app.local import LocalCloud
from holdfast.client.session import AsyncSession

MIB = 1 << 20
LARGE = (("64 MiB", 64 * MIB, 6), ("1 GiB", 1024 * MIB, 1))
SMALL_BYTES = 4096
SMALL_AT_ONCE = (1, 16, 64)
SMALL_SECONDS = 6.0
BUCKET = "bench"


def measure(folder: Path | None = None) -> dict[str, Any]:
    """Runs a cloud in `folder` (a temporary one by default), measures, removes it."""
    home = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=folder))
    try:
        with warm_memory(home):
            return uvloop.run(_measure(home))
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Meter:
    """CPU seconds of client, nodes and coordinator since `start`."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._processes = {
            "client": [psutil.Process()],
            "nodes": [psutil.Process(node.child.pid) for node in cloud.nodes],
            "coordinator": [psutil.Process(cloud.coordinator.pid)],
        }
        self.start()

    def start(self) -> None:
        self._began = time.perf_counter()
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        return {
            name: sum(t.user + t.system for t in (process.cpu_times() for process in group))
            for name, group in self._processes.items()
        }

    def bytes_moved(self, size: int) -> dict[str, float]:
        """MB/s and CPU-seconds per GB since the start, for `size` bytes."""
        seconds = time.perf_counter() - self._began
        per_gb = {f"{name}_cpu_s_per_gb": round(cpu / size * 1e9, 3) for name, cpu in self._spent().items()}
        return {"mb_per_s": round(size / seconds / 1e6, 1), **per_gb}

    def calls_made(self, count: int) -> dict[str, float]:
        """Calls a second and CPU-milliseconds for each since the start."""
        seconds = time.perf_counter() - self._began
        per_call = {f"{name}_cpu_ms": round(cpu / count * 1e3, 2) for name, cpu in self._spent().items()}
        return {"per_s": round(count / seconds, 1), **per_call}

    def _spent(self) -> dict[str, float]:
        return {name: now - self._before[name] for name, now in self._now().items()}

    def memory(self) -> dict[str, float]:
        """Resident MB: of one node, of the coordinator, of this client."""
        rss = {
            name: [process.memory_info().rss / 1e6 for process in group]
            for name, group in self._processes.items()
        }
        return {f"{name}_rss_mb": round(max(values), 1) for name, values in rss.items()}


async def _measure(home: Path) -> dict[str, Any]:
    results: dict[str, Any] = {"disk": raw_appends(home)}
    print(f"  disk: {results['disk']['mb_per_s']} MB/s raw appends with fdatasync every 8 MiB")
    cloud = LocalCloud(home, node_count=16, port=0)
    try:
        began = time.perf_counter()
        await cloud.start(lambda _line: None)
        results["start_seconds"] = round(time.perf_counter() - began, 1)
        meter = Meter(cloud)
        async with await AsyncSession.open(cloud.profile, resume=False) as session:
            await session.make_bucket(BUCKET)
            await _warm_up(session)
            for name, size, count in LARGE:
                results[name] = await _large(session, meter, name, size, count)
            results["4 KiB"] = await _small(session, meter)
        results["memory"] = meter.memory()
        print(f"  memory: {results['memory']}")
    finally:
        await cloud.stop()
    return results


async def _large(session: AsyncSession, meter: Meter, name: str, size: int, count: int) -> dict[str, Any]:
    content = os.urandom(size)
    keys = [f"{name}-{number}" for number in range(count)]
    meter.start()
    for key in keys:
        await session.put(content, BUCKET, key)
    put = meter.bytes_moved(size * count)
    meter.start()
    for key in keys:
        await _read(session, key, size)
    get = meter.bytes_moved(size * count)
    for what, figures in (("put", put), ("get", get)):
        print(f"  {name} {what}: {figures}")
    return {"put": put, "get": get}


async def _warm_up(session: AsyncSession) -> None:
    """Links to all nodes, buffers, imports: what the first transfers of a session pay once."""
    size = 64 * MIB
    for number in range(3):
        await session.put(os.urandom(size), BUCKET, f"warm-{number}")
        await _read(session, f"warm-{number}", size)


async def _read(session: AsyncSession, key: str, size: int) -> None:
    seen = 0
    async for piece in session.stream(BUCKET, key):
        seen += len(piece)
    assert seen == size, "all of it came back"


async def _small(session: AsyncSession, meter: Meter) -> dict[str, Any]:
    content = os.urandom(SMALL_BYTES)
    results: dict[str, Any] = {}
    for at_once in SMALL_AT_ONCE:
        stored: list[str] = []

        async def put(number: int, stored: list[str] = stored, at_once: int = at_once) -> None:
            key = f"small-{at_once}-{number}"
            await session.put(content, BUCKET, key)
            stored.append(key)

        async def get(number: int, stored: list[str] = stored) -> None:
            await session.read(BUCKET, stored[number % len(stored)])

        figures = {"put": await _rate(put, at_once, meter), "get": await _rate(get, at_once, meter)}
        results[f"{at_once} at once"] = figures
        for what, found in figures.items():
            print(f"  4 KiB, {at_once} at once, {what}: {found}")
    return results


async def _rate(work: Callable[[int], Awaitable[None]], at_once: int, meter: Meter) -> dict[str, float]:
    """How many a second, over SMALL_SECONDS, and what each takes of the processors."""
    deadline = time.perf_counter() + SMALL_SECONDS
    done = 0

    async def run() -> None:
        nonlocal done
        while time.perf_counter() < deadline:
            number, done = done, done + 1
            await work(number)

    meter.start()
    await asyncio.gather(*(run() for _ in range(at_once)))
    return meter.calls_made(done)
