"""Choosing nodes for a chunk in fleets of 16 to a million nodes, and what it takes to keep such a fleet.

Its peer is the bare minimum of the same work: drawing 14 random numbers and looking each up in the weights.
Times of single calls are processor time, so that neighbours on the machine show less.
Heartbeats are signed beforehand; taking one is checking its signature and a durable row in a SQLite file.

Run: `python -m bench placement`.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.nodes.fleet import Fleet
from holdfast.nodes.grants import Issuer
from holdfast.nodes.placement import PlacementRequest, choose, replace
from holdfast.nodes.roster import Roster
from holdfast.nodes.store import NodeRow
from holdfast.protocol.fleet import NodeFacts, Register
from holdfast.protocol.heartbeats import HEARTBEAT_DOMAIN, REGISTER_DOMAIN, seal_signed
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.migrations.upgrade import empty_image
from holdfast.world.sqlite import MemoryDatabase, SqliteDatabase

FLEETS = (16, 1_000, 100_000, 1_000_000)
ROUNDS = 3000
STANDARD = PlacementRequest(n=14, k=10, shard_length=524_352)
REPAIR = PlacementRequest(n=14, k=10, shard_length=524_352, count=3, holders=tuple(range(1, 12)))
BEATING = 2000

CHANCE, CLOCK = SystemChance(), SystemClock()


def rows(count: int) -> Iterator[NodeRow]:
    """A fleet as uneven as fleets are: providers with one node and with hundreds, disks of 32 GB to 16 TB."""
    draw = np.random.default_rng(count)
    providers = np.minimum(draw.zipf(1.6, count), count).tolist()
    free = (2 ** draw.uniform(35, 44, count)).astype(np.int64).tolist()
    now = CLOCK.now()
    for number in range(count):
        yield NodeRow(
            alias=number + 1,
            node_id=number.to_bytes(32, "big"),
            provider=f"t-{providers[number]}-{number % 997}",
            state="active",
            node_name=f"node-{number}",
            version="0.1.0",
            zone=f"r{number % 20}/z{number % 4000}",
            addresses=(f"tls://{10 + number % 200}.{number // 200 % 256}.{number // 51200}.1:7420",),
            allocated=1 << 44,
            used=0,
            free=free[number],
            shard_count=0,
            stopping=False,
            sequence=1,
            last_heartbeat=now,
            registered=0,
            changed=now,
        )


def spread(work: Callable[[], object], rounds: int) -> dict[str, float]:
    """Median and 99th percentile of a call, in microseconds of this thread's processor time."""
    work()
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        taken.append((time.thread_time() - began) * 1e6)
    cuts = statistics.quantiles(taken, n=100)
    return {"p50_us": cuts[49], "p99_us": cuts[98]}


def fleet_of(count: int) -> dict[str, Any]:
    """Figures for a fleet of `count` nodes."""
    gc.collect()
    fleet = Fleet(MemoryDatabase(), CLOCK)
    told, before = rows(count), _resident()
    new = beat = 0.0
    while batch := list(itertools.islice(told, 512)):
        began = time.thread_time()
        fleet.note(batch)
        halfway = time.thread_time()
        fleet.note(batch)
        new, beat = new + halfway - began, beat + time.thread_time() - halfway
    began = time.thread_time()
    snapshot = fleet.snapshot()
    halfway = time.thread_time()
    view = snapshot.view(STANDARD.shard_length)
    snapshot_seconds, view_seconds = halfway - began, time.thread_time() - halfway
    memory = _resident() - before

    def bare() -> object:
        draws = np.frombuffer(CHANCE.bytes(8 * 14), np.uint64) * (view.total * 2.0**-64)
        return view.members[np.minimum(np.searchsorted(view.cumulative, draws), len(view) - 1)].tolist()

    return {
        "nodes": count,
        "choose": spread(lambda: choose(snapshot, STANDARD, CHANCE), ROUNDS),
        "replace": spread(lambda: replace(snapshot, REPAIR, CHANCE), ROUNDS),
        "bare_draw": spread(bare, ROUNDS),
        "warnings": len(choose(snapshot, STANDARD, CHANCE).warnings),
        "new_us": new / count * 1e6,
        "beat_us": beat / count * 1e6,
        "snapshot_ms": snapshot_seconds * 1e3,
        "view_ms": view_seconds * 1e3,
        "bytes_per_node": max(0, memory) / count,
    }


async def heartbeats() -> dict[str, float]:
    """Heartbeats a second that one process takes, from many nodes at once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        path.write_bytes(empty_image())
        database = SqliteDatabase(path)
        issuer = Issuer(SigningKey(b"i" * 32), CLOCK, CHANCE)
        roster = Roster(
            database=database,
            fleet=Fleet(database, CLOCK),
            clock=CLOCK,
            chance=CHANCE,
            issuer=issuer,
        )
        keys = [SigningKey(number.to_bytes(32, "big")) for number in range(BEATING)]

        def facts(key: SigningKey, sequence: int) -> NodeFacts:
            return NodeFacts(
                node_id=key.public, time=CLOCK.now(), sequence=sequence, version="0.1.0",
                addresses=["tls://203.0.113.7:7420"], allocated=1 << 40, used=sequence, free=1 << 40,
                shard_count=sequence,
            )  # fmt: skip

        async def join(key: SigningKey) -> None:
            token = (await roster.invite("t-bench")).token
            said = Register(token=token, facts=facts(key, 1))
            await roster.register(seal_signed(key, REGISTER_DOMAIN, said))

        await asyncio.gather(*map(join, keys))
        best = 0.0
        processor = 0.0
        for sequence in range(2, 5):
            beats = [seal_signed(key, HEARTBEAT_DOMAIN, facts(key, sequence)) for key in keys]
            began, used = time.perf_counter(), time.process_time()
            await asyncio.gather(*map(roster.heartbeat, beats))
            rate = BEATING / (time.perf_counter() - began)
            if rate > best:
                best, processor = rate, (time.process_time() - used) / BEATING * 1e6
        await roster.close()
        await database.close()
    return {"per_second": best, "processor_us_each": processor, "nodes_at_30_s": best * 30}


def measure() -> dict[str, Any]:
    """All figures; prints them as a table."""
    print("    nodes | choose p50/p99 us | replace p50/p99 us | bare us | new/beat us | snapshot+view ms")
    fleets = {}
    for count in FLEETS:
        fleets[str(count)] = figures = fleet_of(count)
        chosen, replaced = figures["choose"], figures["replace"]
        print(
            f"{count:9,} | {chosen['p50_us']:7.1f} /{chosen['p99_us']:8.1f}"
            f" | {replaced['p50_us']:8.1f} /{replaced['p99_us']:8.1f}"
            f" | {figures['bare_draw']['p50_us']:7.1f}"
            f" | {figures['new_us']:5.1f} /{figures['beat_us']:4.1f}"
            f" | {figures['snapshot_ms']:7.2f} +{figures['view_ms']:7.2f}"
        )
    print(f"memory of the largest fleet: {figures['bytes_per_node']:.0f} bytes a node")
    beats = asyncio.run(heartbeats())
    print(
        f"heartbeats: {beats['per_second']:,.0f} a second and process,"
        f" {beats['processor_us_each']:.0f} us of CPU each: enough for {beats['nodes_at_30_s']:,.0f} nodes"
    )
    return {"fleets": fleets, "heartbeats": beats}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    measure()
