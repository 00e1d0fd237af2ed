"""A version opened for reading: its keys, its list of chunks, and where they lie.

The law: name, size, checksum, number and order of chunks are those that the writer sealed (the closing),
whatever the coordinator says; each chunk named by a plan is the one in that list. What cannot be told is
whether this is the newest version of its name (docs/decisions/0007-what-a-closing-binds.md).
"""

from __future__ import annotations

import asyncio

from holdfast.chunks import checksum, keys, layout
from holdfast.chunks.metadata import CHUNK_ID_BYTES
from holdfast.chunks.redundancy import Redundancy
from holdfast.client.gear import Gear, redundancy_of
from holdfast.protocol.control import (
    PLAN_CHUNKS_MAX,
    ReadChunkIds,
    ReadOpen,
    ReadPlan,
    ReadTicket,
    ShardReport,
)
from holdfast.protocol.nouns import ChunkSources, Source, VersionInfo
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Failure, Trouble

BATCH_MAX = 16
AT_ONCE_MAX = 4
"""Objects of up to this many chunks are planned whole when they are opened: one question less."""
KEPT_MAX = 256
KEPT_MICROSECONDS = 30 * 60 * MICROSECONDS
"""Grants live for an hour at most; plans that are half as old are asked for again."""

assert BATCH_MAX <= PLAN_CHUNKS_MAX


class Version:
    """Made by `open_version`. `info`, `redundancy` and `chunk_size` are what the coordinator says of it."""

    def __init__(self, gear: Gear, ticket: ReadTicket, data_key: bytes) -> None:
        self.gear = gear
        self.info: VersionInfo = ticket.version
        self.redundancy: Redundancy = redundancy_of(ticket.redundancy)
        self.chunk_size = ticket.chunk_size
        self.data_key = data_key
        self._ids = b""
        self._plans: dict[int, tuple[int, ChunkSources]] = {}
        self._asking = asyncio.Lock()
        self._batch = 1
        self._reports: dict[tuple[int, int], asyncio.Task[None]] = {}

    @property
    def size(self) -> int:
        """Plain bytes."""
        return self.info.size

    @property
    def slot_bytes_max(self) -> int:
        """Room for all shards of a full chunk that compression left as it was."""
        sealed = layout.sealed_length(self.chunk_size)
        return self.redundancy.n * layout.shard_length(sealed, self.redundancy.k)

    async def check(self, ticket: ReadTicket, bucket: str, key: str) -> None:
        """Believes the ticket only if it is what was sealed under this name; raises "metadata.forged"."""
        if (self.info.bucket, self.info.key) != (bucket, key):
            raise _forged("It is about another object than was asked for.")
        count = self.info.chunk_count
        if self.chunk_size <= 0 or count != -(-self.size // self.chunk_size):
            raise _forged("Its size and its number of chunks contradict each other.")
        if count <= AT_ONCE_MAX:
            found = self._keep(ticket.chunks, 0, count) if ticket.chunks else []
            if count and not found:
                found = await self._ask(0, count)
            self._ids = b"".join([sources.chunk.chunk_id for sources in found])
        else:
            self._ids = await self._all_ids()
        whole = keys.Whole(bucket, key, self.size, self._ids, checksum.parse(self.info.checksum))
        keys.check_closing(ticket.closing, whole, data_key=self.data_key)
        for number in list(self._plans):
            self._check_chunk(number, self._plans[number][1])

    async def sources(self, number: int, *, last: int, fresh: bool = False) -> ChunkSources:
        """Where chunk `number` lies, asked for together with the chunks up to `last` that follow it.

        `fresh` asks again although an answer is at hand: shards may have moved, or nodes come back.
        """
        kept = None if fresh else self._kept(number)
        if kept is not None:
            return kept
        async with self._asking:
            kept = None if fresh else self._kept(number)
            if kept is not None:
                return kept
            count = 1 if fresh else min(self._batch, last - number + 1)
            self._batch = min(2 * self._batch, BATCH_MAX)
            for sources in await self._ask(number, count):
                self._check_chunk(sources.chunk.number, sources)
            kept = self._kept(number)
            if kept is None:
                raise _forged(f"It does not know chunk {number} any more.")
            return kept

    def report(self, number: int, source: Source, fault: str) -> None:
        """Tells the coordinator of a wrong or missing shard, beside everything else and once for each."""
        if (number, source.index) in self._reports:
            return
        request = ShardReport(
            bucket=self.info.bucket,
            version_id=self.info.version_id,
            number=number,
            index=source.index,
            node_id=source.node.node_id,
            fault=fault,
        )
        self._reports[number, source.index] = asyncio.ensure_future(self._tell(request))

    async def close(self) -> None:
        """Waits until the reports are told; those that cannot be are left to the coordinator's audits."""
        for task in self._reports.values():
            await task
        self._reports.clear()

    async def _tell(self, request: ShardReport) -> None:
        try:
            await self.gear.control.call(request)
        except Failure:
            return

    async def _ask(self, first: int, count: int) -> list[ChunkSources]:
        request = ReadPlan(
            bucket=self.info.bucket,
            version_id=self.info.version_id,
            session_key=self.gear.session_public,
            first=first,
            count=count,
        )
        return self._keep((await self.gear.control.call(request)).chunks, first, count)

    def _keep(self, found: list[ChunkSources], first: int, count: int) -> list[ChunkSources]:
        """Takes over what the coordinator says of chunks first..first+count-1."""
        if [sources.chunk.number for sources in found] != list(range(first, first + count)):
            raise _forged(f"It does not name the chunks {first} to {first + count - 1} that were asked for.")
        now = self.gear.clock.now()
        for sources in found:
            self._plans.pop(sources.chunk.number, None)
            self._plans[sources.chunk.number] = (now, sources)
        while len(self._plans) > KEPT_MAX:
            del self._plans[next(iter(self._plans))]
        return found

    async def _all_ids(self) -> bytes:
        parts: list[bytes] = []
        following: int | None = 0
        while following is not None:
            reply = await self.gear.control.call(
                ReadChunkIds(bucket=self.info.bucket, version_id=self.info.version_id, first=following)
            )
            if not reply.ids and reply.after is not None:
                raise _forged("Its list of chunks does not end.")
            parts.append(reply.ids)
            following = reply.after
        return b"".join(parts)

    def _kept(self, number: int) -> ChunkSources | None:
        kept = self._plans.get(number)
        if kept is None or self.gear.clock.now() - kept[0] > KEPT_MICROSECONDS:
            return None
        return kept[1]

    def _check_chunk(self, number: int, sources: ChunkSources) -> None:
        layout.check_record(sources.chunk, self.redundancy)
        at = number * CHUNK_ID_BYTES
        plain_length = min(self.chunk_size, self.size - number * self.chunk_size)
        if (sources.chunk.number, sources.chunk.chunk_id, sources.chunk.plain_length) != (
            number,
            self._ids[at : at + CHUNK_ID_BYTES],
            plain_length,
        ):
            raise _forged(f"Chunk {number} is not the one that was sealed there.")


async def open_version(gear: Gear, bucket: str, key: str, version_id: str | None = None) -> Version:
    """The current version of a key, or the named one, ready to be read.

    Raises Refusal("object.unknown" | "bucket.unknown" | "key.unknown" | "key.wrong") or
    Trouble("metadata.forged").
    """
    ticket: ReadTicket = await gear.control.call(
        ReadOpen(
            bucket=bucket,
            key=key,
            version_id=version_id,
            session_key=gear.session_public,
            chunks_max=AT_ONCE_MAX,
        )
    )
    version = Version(gear, ticket, keys.open_envelope(gear.key, ticket.envelope))
    await version.check(ticket, bucket, key)
    return version


def _forged(why: str) -> Trouble:
    return Trouble(
        "metadata.forged",
        f"What the coordinator says of this object cannot be true. {why}",
        retry=False,
        advice="Try again once; if it stays, tell the operator.",
    )
