"""What it costs to move shards and small calls over node connections, beside a protocol that counts bytes.

Client and nodes run in processes of their own on this machine, so that each side's CPU time is its own:
14 nodes' worth of connections, all in one node process; one client. `python -m bench.links` prints a table;
`measure()` gives the figures. CPU-seconds are of user and system time of both sides, per GB (10^9) of bodies.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, Final

import uvloop

from holdfast.doors.hub.relay import open_relay
from holdfast.links.peer import Peer, dial
from holdfast.links.serving import Incoming, Outgoing, serve
from holdfast.protocol.grants import Action, issue, issuers_by_id
from holdfast.protocol.messages import Fetched, Finished, GetShard, Ping, PutShard, Stored
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.network import Address, SystemNetwork, parse_address

SHARDS: Final = 14
SHARD_BYTES: Final = (512 << 10) + 64
SMALL_BYTES: Final = 4096
GB: Final = 1e9
HEAD_BYTES: Final = 16

NODE, CLIENT, ISSUER = SigningKey(b"n" * 32), SigningKey(b"c" * 32), SigningKey(b"i" * 32)
_CONTENT = bytes(range(256)) * (SHARD_BYTES // 256 + 1)
_RECEIPT = b"r" * 184
_LEAVES = b"l" * 32 * 33
_ROOTS = b"r" * 32 * SHARDS


def cpu_seconds() -> float:
    """User and system time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# --- the far side, in a process of its own ---------------------------------------------------------------


async def _answer(incoming: Incoming) -> Outgoing:
    match incoming.request:
        case PutShard():
            return Outgoing(Stored(receipt=_RECEIPT))
        case GetShard(length=length):
            body = memoryview(_CONTENT)[:length]
            return Outgoing(Fetched(shard_length=length, leaves=_LEAVES, roots=_ROOTS), [body])
        case _:
            return Outgoing(Finished())


class _Counter(asyncio.BufferedProtocol):
    """The bare measure: counts what comes; sends what is asked for (8 bytes of length before each body)."""

    def __init__(self) -> None:
        self._buffer = bytearray(256 << 10)
        self._head = bytearray()
        self._left = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """One request is 8 bytes up (how much follows), 8 bytes down (how much is wanted)."""
        at = 0
        while at < nbytes:
            if self._left:
                step = min(self._left, nbytes - at)
                self._left -= step
                at += step
                if not self._left:
                    self._transport.write(b"k" * 8)
                continue
            step = min(HEAD_BYTES - len(self._head), nbytes - at)
            self._head += self._buffer[at : at + step]
            at += step
            if len(self._head) == HEAD_BYTES:
                self._left = int.from_bytes(self._head[:8], "big")
                wanted = int.from_bytes(self._head[8:], "big")
                self._head.clear()
                if wanted:
                    self._transport.writelines([b"k" * 8, memoryview(_CONTENT)[:wanted]])
                elif not self._left:
                    self._transport.write(b"k" * 8)


async def _far_side(way: str, pipe: Connection) -> None:
    network, clock, chance = SystemNetwork(), SystemClock(), SystemChance()
    scheme = "tls" if way in ("tls", "tunnel") else "tcp"
    if way == "bare":
        listener: Any = await network.listen(parse_address("tcp://127.0.0.1:0"), _Counter)
    else:
        listener = await serve(
            network, parse_address(f"{scheme}://127.0.0.1:0"), node_key=NODE, handler=_answer,
            clock=clock, chance=chance,
        )  # fmt: skip
    pipe.send(str(listener.address))
    loop = asyncio.get_running_loop()
    while True:
        word = await loop.run_in_executor(None, pipe.recv)
        if word == "end":
            return
        pipe.send(cpu_seconds())


async def _relay_side(node: str, pipe: Connection) -> None:
    async def lookup(_node_id: bytes) -> list[str]:
        return [node]

    relay = await open_relay(
        SystemNetwork(), parse_address("tcp://127.0.0.1:0"), issuers=lambda: issuers_by_id([ISSUER.public]),
        lookup=lookup, clock=SystemClock(), chance=SystemChance(),
    )  # fmt: skip
    pipe.send(str(relay.address))
    loop = asyncio.get_running_loop()
    while True:
        word = await loop.run_in_executor(None, pipe.recv)
        if word == "end":
            return
        pipe.send(cpu_seconds())


def _run(side: Callable[..., Awaitable[None]], first: str, pipe: Connection) -> None:
    uvloop.run(side(first, pipe))


class _Far:
    """A process on the far side: where it listens, and its CPU time when asked."""

    def __init__(self, side: Callable[..., Awaitable[None]], first: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(side, first, theirs), daemon=True)
        self._process.start()
        self.address: str = self._pipe.recv()

    def cpu(self) -> float:
        self._pipe.send("cpu")
        seconds: float = self._pipe.recv()
        return seconds

    def end(self) -> None:
        self._pipe.send("end")
        self._process.join(5)


# --- the near side ---------------------------------------------------------------------------------------


class _BareCaller(asyncio.BufferedProtocol):
    """The client's side of the bare measure: one call at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray(256 << 10)
        self._due = 0
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._due -= nbytes
        if self._due <= 0 and self._done is not None and not self._done.done():
            self._done.set_result(None)

    async def call(self, body: bytes | memoryview, wanted: int) -> None:
        self._done = asyncio.get_running_loop().create_future()
        self._due += 8 + wanted
        head = len(body).to_bytes(8, "big") + wanted.to_bytes(8, "big")
        self._transport.writelines([head, body] if len(body) else [head])
        await self._done


Call = Callable[[int, int], Awaitable[object]]
"""Sends that many bytes and fetches that many, on one connection."""


def _peer_call(peer: Peer) -> Call:
    into = memoryview(bytearray(SHARD_BYTES))
    content = memoryview(_CONTENT)
    grant = b"g" * 232

    def call(up: int, down: int) -> Awaitable[object]:
        if up:
            return peer.call(PutShard(grant=grant, length=up, roots=_ROOTS), body=[content[:up]])
        if down:
            return peer.call(GetShard(grant=grant, length=down), into=into[:down])
        return peer.call(Ping())

    return call


@contextlib.asynccontextmanager
async def _calls(way: str) -> AsyncIterator[tuple[list[Call], list[_Far]]]:
    """SHARDS connections, and the processes at their other ends."""
    far = [_Far(_far_side, way)]
    network, node = SystemNetwork(), NodeAddress(node_id=NODE.public, addresses=[far[0].address])
    calls: list[Call] = []
    closers: list[Callable[[], Any]] = []
    relay = None
    grant = b""
    if way == "tunnel":
        far.append(_Far(_relay_side, far[0].address))
        relay = far[1].address
        now = SystemClock().now()
        grant = issue(
            ISSUER, action=Action.GET, serial=b"s" * 16, node_id=NODE.public, session_key=CLIENT.public,
            shard_id=b"h" * 18, max_bytes=1, created=now, expires=now + 600_000_000, account=b"a" * 32,
        )  # fmt: skip
    for _ in range(SHARDS):
        if way == "bare":
            address: Address = parse_address(far[0].address)
            transport, bare = await network.dial(address, _BareCaller)
            assert isinstance(bare, _BareCaller)
            calls.append(lambda up, down, bare=bare: bare.call(memoryview(_CONTENT)[:up], down))  # type: ignore[misc]
            closers.append(transport.close)
        else:
            peer = await dial(
                network, node, session_key=CLIENT, clock=SystemClock(), chance=SystemChance(),
                relay=relay, grant=grant,
            )  # fmt: skip
            calls.append(_peer_call(peer))
            closers.append(peer.close)
    try:
        yield calls, far
    finally:
        for closer in closers:
            result = closer()
            if result is not None:
                await result
        for process in far:
            process.end()


async def _spent(far: list[_Far], work: Callable[[], Awaitable[None]]) -> tuple[float, float, float]:
    """CPU-seconds here and there, and seconds by the clock."""
    there, here, began = sum(process.cpu() for process in far), cpu_seconds(), time.perf_counter()
    await work()
    seconds, here = time.perf_counter() - began, cpu_seconds() - here
    return here, sum(process.cpu() for process in far) - there, seconds


async def _way(way: str, rounds: int) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with _calls(way) as (calls, far):

        async def fan(up: int, down: int, times: int) -> None:
            for _ in range(times):
                await asyncio.gather(*(call(up, down) for call in calls))

        async def pipelined(up: int, down: int, times: int) -> None:
            deep = 1 if way == "bare" else 8
            for _ in range(times // deep):
                await asyncio.gather(*(call(up, down) for call in calls for _ in range(deep)))

        await fan(SHARD_BYTES, 0, 5)
        await fan(0, SHARD_BYTES, 5)
        for name, up, down in (("send", SHARD_BYTES, 0), ("fetch", 0, SHARD_BYTES)):
            here, there, seconds = await _spent(far, lambda up=up, down=down: fan(up, down, rounds))  # type: ignore[misc]
            gigabytes = rounds * SHARDS * SHARD_BYTES / GB
            figures[f"{name}_client_cpu_s_per_gb"] = here / gigabytes
            figures[f"{name}_node_cpu_s_per_gb"] = there / gigabytes
            figures[f"{name}_gb_per_s"] = gigabytes / seconds
        times = rounds * 8
        for name, up, down in (("put_4k", SMALL_BYTES, 0), ("get_4k", 0, SMALL_BYTES)):
            here, there, seconds = await _spent(far, lambda up=up, down=down: pipelined(up, down, times))  # type: ignore[misc]
            count = times * SHARDS
            figures[f"{name}_client_cpu_us"] = here / count * 1e6
            figures[f"{name}_node_cpu_us"] = there / count * 1e6
            figures[f"{name}_us"] = seconds / count * 1e6
    return figures


def measure(rounds: int = 100) -> dict[str, dict[str, float]]:
    """Prints and gives the figures by way; `rounds` fan-outs of SHARDS shards each (7.3 MB) for every one."""
    figures = {way: uvloop.run(_way(way, rounds)) for way in ("bare", "tcp", "tls", "tunnel")}
    print(table(figures))
    return figures


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures for people."""
    names = list(next(iter(figures.values())))
    lines = [f"{'':28}" + "".join(f"{way:>10}" for way in figures)]
    lines += [f"{name:28}" + "".join(f"{of[name]:10.3f}" for of in figures.values()) for name in names]
    return "\n".join(lines)


if __name__ == "__main__":
    measure()
