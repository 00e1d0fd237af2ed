"""One object, or a range of it, on its way back: fetched, verified and opened, several chunks at a time.

The law: a byte is handed on only after its shard, its record and its chunk were found good; a full read ends
with the checksum of the whole object. How many chunks are under way is bounded by the session's memory and
the window, also while a slow consumer is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from holdfast.chunks import checksum
from holdfast.client.attempts import Attempts
from holdfast.client.chunk_reader import ChunkReader, slot_bytes
from holdfast.client.memory import Lease
from holdfast.client.progress import Meter, ProgressCallback
from holdfast.client.sinks import ByteSink, FileSink
from holdfast.client.threads import run_whole
from holdfast.client.version import Version
from holdfast.protocol.nouns import ChunkRecord, ChunkSources
from holdfast.world.errors import Trouble

AGAIN_SECONDS = (0.1, 2.0)
"""Pauses before a chunk that could not be read is tried again."""
FEEDER = -1
"""Tag of the task that starts the others, beside chunk numbers."""


@dataclass(slots=True)
class _Queue:
    """Chunks of an ordered read: how many more may start, what they hold, which are done."""

    room: asyncio.Semaphore
    leases: dict[int, Lease] = field(default_factory=dict)
    done: dict[int, ChunkRecord] = field(default_factory=dict)


@dataclass(slots=True)
class Download:
    """Reads of one version. The methods may be used one after another."""

    version: Version
    progress: ProgressCallback | None = None

    async def pieces(self, start: int, stop: int) -> AsyncGenerator[memoryview]:
        """Plain bytes [start, stop) in order. A piece is valid until the next one is asked for.

        Close the iterator (`aclosing`) if it is left early.
        """
        meter = Meter(stop - start, self.progress)
        numbers = self._numbers(start, stop)
        total = _Total(self.version, whole=(start, stop) == (0, self.version.size))
        queue = _Queue(asyncio.Semaphore(self.version.gear.window))
        try:
            async with Attempts[int, ChunkRecord | None]() as under_way:
                under_way.start(FEEDER, self._feed(queue, under_way, start, stop))
                for number in numbers:
                    while number not in queue.done:
                        ending = await under_way.settled()
                        record = ending.result()
                        if record is not None:
                            queue.done[ending.tag] = record
                    record = queue.done.pop(number)
                    low, high = self._part(record, start, stop)
                    plain = queue.leases[number].plain[: high - low]
                    total.add(record)
                    yield plain
                    meter.add(len(plain))
                    queue.leases.pop(number).close()
                    queue.room.release()
            total.check()
        finally:
            for lease in queue.leases.values():
                lease.close()

    async def _feed(
        self, queue: _Queue, under_way: Attempts[int, ChunkRecord | None], start: int, stop: int
    ) -> None:
        """Starts the chunks one after another, as room and memory allow.

        Memory is leased in the order of the bytes: a later chunk never holds what an earlier one waits for.
        """
        numbers = self._numbers(start, stop)
        for number in numbers:
            await queue.room.acquire()
            sources = await self.version.sources(number, last=numbers.stop - 1)
            low, high = self._part(sources.chunk, start, stop)
            queue.leases[number] = await self._lease(sources.chunk, low, high)
            under_way.start(number, self._load(sources, queue.leases[number], low, high))

    async def to_sink(self, sink: ByteSink) -> None:
        """Writes the whole object; into a file in the order in which chunks arrive."""
        if sink.ordered:
            done = 0
            async with aclosing(self.pieces(0, self.version.size)) as pieces:
                async for piece in pieces:
                    await sink.write(done, piece)
                    done += len(piece)
            return
        meter = Meter(self.version.size, self.progress)
        numbers = self._numbers(0, self.version.size)
        total = _Total(self.version, whole=True)
        records: dict[int, ChunkRecord] = {}
        async with Attempts[int, ChunkRecord]() as under_way:
            for number in numbers:
                while under_way.busy >= self.version.gear.window:
                    ending = await under_way.settled()
                    records[ending.tag] = ending.result()
                under_way.start(number, self._move(number, sink, meter, last=numbers.stop - 1))
            while under_way.busy:
                ending = await under_way.settled()
                records[ending.tag] = ending.result()
        for number in numbers:
            total.add(records[number])
        total.check()

    def _numbers(self, start: int, stop: int) -> range:
        if start >= stop:
            return range(0)
        return range(start // self.version.chunk_size, -(-stop // self.version.chunk_size))

    async def _move(self, number: int, sink: ByteSink, meter: Meter, *, last: int) -> ChunkRecord:
        offset = number * self.version.chunk_size
        if isinstance(sink, FileSink) and sink.resumed > offset:
            record = (await self.version.sources(number, last=last)).chunk
            if await self._is_there(sink, offset, record):
                meter.add(record.plain_length, skipped=True)
                return record
        sources = await self.version.sources(number, last=last)
        lease = await self._lease(sources.chunk, 0, sources.chunk.plain_length)
        try:
            record = await self._load(sources, lease, 0, sources.chunk.plain_length)
            await sink.write(offset, lease.plain[: record.plain_length])
        finally:
            lease.close()
        meter.add(record.plain_length)
        return record

    async def _is_there(self, sink: FileSink, offset: int, record: ChunkRecord) -> bool:
        """Whether an earlier attempt wrote this very chunk."""
        lease = await self._lease(record, 0, record.plain_length)
        try:
            plain = lease.plain[: record.plain_length]
            if await sink.read(offset, plain) != len(plain):
                return False
            return await run_whole(self.version.gear.offload, checksum.crc64, plain) == record.checksum
        finally:
            lease.close()

    def _part(self, record: ChunkRecord, start: int, stop: int) -> tuple[int, int]:
        """The part of a chunk that lies in [start, stop) of the object."""
        offset = record.number * self.version.chunk_size
        return max(start - offset, 0), min(stop - offset, record.plain_length)

    async def _lease(self, record: ChunkRecord, low: int, high: int) -> Lease:
        version = self.version
        plain, slot = high - low, slot_bytes(record, version.redundancy, low, high)
        if version.info.chunk_count > 1 and plain == record.plain_length:
            # Whole chunks of one object share one kind of buffers, however well each was compressed.
            plain, slot = version.chunk_size, max(slot, version.slot_bytes_max)
        return await version.gear.memory.lease(self, plain=plain, slot=slot)

    async def _load(self, sources: ChunkSources, lease: Lease, low: int, high: int) -> ChunkRecord:
        """Plain bytes [low, high) of a chunk to the start of the lease's plain buffer; slot given back."""
        number = sources.chunk.number
        for seconds in (*AGAIN_SECONDS, None):
            try:
                await self._read(number, sources, lease, low, high)
                break
            except Trouble as trouble:
                if trouble.code != "chunk.lost" or seconds is None:
                    raise
                # Nodes may come back, and shards be repaired elsewhere: the coordinator knows where.
                await asyncio.sleep(seconds)
                sources = await self.version.sources(number, last=number, fresh=True)
        lease.give_slot()
        return sources.chunk

    async def _read(self, number: int, sources: ChunkSources, lease: Lease, low: int, high: int) -> None:
        version = self.version
        await ChunkReader(
            gear=version.gear,
            redundancy=version.redundancy,
            data_key=version.data_key,
            sources=sources,
            slot=lease.slot,
            plain=lease.plain,
            report=lambda source, fault: version.report(number, source, fault),
        ).read(low, high)


@dataclass(slots=True)
class _Total:
    """The checksum of a whole object, from those of its chunks in order. Each chunk's own was checked."""

    version: Version
    whole: bool
    crc: int = 0

    def add(self, record: ChunkRecord) -> None:
        self.crc = checksum.combine(self.crc, record.checksum, record.plain_length)

    def check(self) -> None:
        if self.whole and checksum.text(self.crc) != self.version.info.checksum:
            raise Trouble(
                "metadata.forged",
                f"The object's bytes have {checksum.text(self.crc)}, not {self.version.info.checksum}.",
                retry=False,
                advice="Do not trust this copy of the object; tell the operator.",
            )
