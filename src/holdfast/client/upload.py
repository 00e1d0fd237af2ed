"""One object on its way to the nodes: read, sealed and sent chunk by chunk, all three at the same time.

The law: a chunk counts as stored on receipts only; the version appears with the commit or not at all. Bytes
are checksummed as they were read, so what is committed is what was read, and a file that changed meanwhile is
refused. How many chunks are under way is bounded by the session's memory and the window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from holdfast.chunks import checksum, keys, layout
from holdfast.chunks.metadata import CHUNK_ID_BYTES, KEY_BYTES, NONCE_BYTES
from holdfast.chunks.redundancy import Redundancy
from holdfast.client.attempts import Attempts
from holdfast.client.gear import Gear, redundancy_of
from holdfast.client.memory import Lease
from holdfast.client.planning import Planner, Recorder
from holdfast.client.progress import Meter, ProgressCallback
from holdfast.client.scatter import Cargo, Scatter
from holdfast.client.sources import ByteSource
from holdfast.client.threads import run_whole
from holdfast.protocol.control import (
    TOKEN_BYTES,
    UploadAbort,
    UploadBegin,
    UploadCommit,
    UploadReplace,
    UploadShow,
    UploadState,
    UploadTicket,
)
from holdfast.protocol.nouns import ChunkDone, ChunkRecord, Envelope, Target, VersionInfo
from holdfast.world.errors import Failure, Refusal

ABORT_SECONDS = 5.0
TIDY_SECONDS = 30.0
"""How long an upload that fails waits for what it sent to be acknowledged."""
TOLD_TOGETHER = 4
"""Finished chunks that are recorded at a time where no later attempt could go on from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Where an object shall go, and under which conditions."""

    bucket: str
    key: str
    storage_class: str | None = None
    if_absent: bool = False
    if_version: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    chunk_size: int | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload the coordinator knows: where it goes, its ticket and data key, what was recorded before.

    `chunk_ids` were drawn for the chunks 0, 1, ... that may be planned in the ticket.
    """

    bucket: str
    key: str
    ticket: UploadTicket
    data_key: bytes = field(repr=False)
    recorded: Mapping[int, ChunkRecord] = field(default_factory=dict)
    chunk_ids: Sequence[bytes] = ()
    envelope: Envelope | None = None


async def begin(gear: Gear, wish: Wish, size: int | None) -> Begun:
    """Opens an upload under a fresh data key; raises what the coordinator refuses."""
    data_key = gear.chance.bytes(KEY_BYTES)
    chunk_ids = [gear.chance.bytes(CHUNK_ID_BYTES)] if size != 0 else []
    envelope = keys.new_envelope(gear.key, data_key, gear.chance.bytes(NONCE_BYTES))
    ticket = await gear.control.call(
        UploadBegin(
            bucket=wish.bucket,
            key=wish.key,
            envelope=envelope,
            storage_class=wish.storage_class,
            size=size,
            chunk_size=wish.chunk_size,
            metadata=dict(wish.metadata),
            if_absent=wish.if_absent,
            if_version=wish.if_version,
            token=gear.chance.bytes(TOKEN_BYTES),
            session_key=gear.session_public,
            chunk_ids=chunk_ids,
        )
    )
    return Begun(wish.bucket, wish.key, _usable(ticket), data_key, chunk_ids=chunk_ids, envelope=envelope)


async def resume(gear: Gear, wish: Wish, upload_id: str) -> Begun | None:
    """An upload that was interrupted; None if the coordinator ended it, or it is not what is wished now."""
    recorded: dict[int, ChunkRecord] = {}
    following: int | None = 0
    state: UploadState | None = None
    while following is not None:
        try:
            state = await gear.control.call(UploadShow(upload_id=upload_id, chunks_from=following))
        except Refusal as refusal:
            if refusal.code == "upload.unknown":
                return None
            raise
        recorded |= {record.number: record for record in state.chunks}
        following = state.after
    assert state is not None, "the loop asks at least once"
    if (state.bucket, state.key, state.envelope.key_id) != (wish.bucket, wish.key, gear.key.key_id):
        return None
    data_key = keys.open_envelope(gear.key, state.envelope)
    return Begun(wish.bucket, wish.key, _usable(state.ticket), data_key, recorded)


def _usable(ticket: UploadTicket) -> UploadTicket:
    """Refuses rules under which nothing would be kept: a chunk of no bytes, an acknowledgement of nothing."""
    redundancy = redundancy_of(ticket.redundancy)
    enough = redundancy.k <= ticket.ack_at <= redundancy.n
    if not enough or not 1 <= ticket.chunk_size <= layout.CHUNK_BYTES_MAX:
        raise Refusal(
            "format.invalid",
            f"The coordinator asks for chunks of {ticket.chunk_size} bytes, acknowledged by {ticket.ack_at} "
            f"shards where {redundancy.k} are needed to read one.",
            advice="Is it of a newer version? Tell its operator.",
        )
    return ticket


async def abort(gear: Gear, upload_id: str) -> None:
    """Tells the coordinator to forget an upload, if it can be reached now; else it expires by itself."""
    with suppress(Failure, TimeoutError):
        async with asyncio.timeout(ABORT_SECONDS):
            await gear.control.call(UploadAbort(upload_id=upload_id))


class Upload:
    """One begun upload. Use once: `await Upload(...).run()`."""

    def __init__(
        self,
        gear: Gear,
        source: ByteSource,
        begun: Begun,
        *,
        resumable: bool = False,
        progress: ProgressCallback | None = None,
        beside: Callable[[memoryview], Awaitable[None]] | None = None,
        tidy: bool = False,
    ) -> None:
        """One that moves the source's bytes to the nodes.

        Args:
            gear: what the session's transfers work with.
            source: read once, from its beginning.
            begun: what the coordinator said.
            resumable: what is finished is recorded at once, for an attempt after this one to go on from.
            progress: told of what was moved.
            beside: given each chunk's plain bytes in order, one at a time, while they are sealed. It must not
                return before it is done with them, also when it is cancelled.
            tidy: when the source fails, or the upload is cancelled, chunks under way are let finish and all
                are recorded, so that aborting the upload deletes every shard that was sent. A cancellation
                takes effect when that is done; cancelled again, at once.
        """
        ticket = begun.ticket
        self._gear = gear
        self._source = source
        self._begun = begun
        self._ticket = ticket
        self._data_key = begun.data_key
        self._recorded = begun.recorded
        self._redundancy: Redundancy = redundancy_of(ticket.redundancy)
        self._chunk_size = ticket.chunk_size
        self._meter = Meter(source.size, progress)
        self._beside = beside
        self._tidy = tidy
        self._passing: dict[int, asyncio.Task[None]] = {}
        self._chunks: dict[int, ChunkRecord] = {}
        self._leases: dict[int, Lease] = {}
        self._planner = Planner(
            gear.control,
            upload_id=ticket.upload_id,
            session_key=gear.session_public,
            redundancy=self._redundancy,
            chunk_size=ticket.chunk_size,
            size=source.size,
            recorded=frozenset(begun.recorded),
            chance=gear.chance,
            chunk_ids=begun.chunk_ids,
            plans=ticket.plans,
        )
        self._recorder = Recorder(
            gear.control, upload_id=ticket.upload_id, together=1 if resumable else TOLD_TOGETHER
        )

    async def run(self) -> VersionInfo:
        """Moves everything and commits; raises the first failure, having stopped all that was under way."""
        try:
            async with Attempts[int, None]() as under_way:
                try:
                    await self._read_all(under_way)
                    while under_way.busy:
                        (await under_way.settled()).result()
                    await self._source.check()
                except BaseException:
                    if self._tidy:
                        await self._finish_what_began(under_way)
                    raise
            rest = await self._recorder.finish()
        finally:
            for number in list(self._passing):
                await self._let_pass(number)
            for lease in self._leases.values():
                # Only of chunks that were stopped before they began.
                lease.close()
            await self._planner.close()
            await self._recorder.close()
        return await self._commit(rest)

    async def _read_all(self, under_way: Attempts[int, None]) -> None:
        total, number = 0, 0
        while self._source.size is None or total < self._source.size:
            while under_way.busy >= self._gear.window:
                (await under_way.settled()).result()
            lease = await self._lease(total)
            try:
                count = await self._source.fill(lease.plain[: self._ahead(total)])
            except BaseException:
                lease.close()
                raise
            if count == 0:
                lease.close()
                break
            total += count
            self._leases[number] = lease
            if self._beside is not None:
                passing = self._pass_on(self._passing.get(number - 1), lease.plain[:count])
                self._passing[number] = asyncio.ensure_future(passing)
            under_way.start(number, self._store(number, lease, count))
            number += 1
            if count < self._ahead(total - count):
                break
        if self._source.size is not None and total != self._source.size:
            raise Refusal(
                "source.changed",
                f"{self._source.size} bytes were announced, but {total} came.",
                advice="Try again when nothing writes to the source.",
            )

    def _ahead(self, done: int) -> int:
        """How long the next chunk is, or may be, after `done` bytes."""
        if self._source.size is None:
            return self._chunk_size
        return min(self._chunk_size, self._source.size - done)

    async def _lease(self, done: int) -> Lease:
        # The last chunk of several gets buffers as long as the others', so that one kind serves them all.
        size = self._ahead(done) if done == 0 else self._chunk_size
        slot = layout.slot_length(size, self._redundancy)
        return await self._gear.memory.lease(self, plain=size, slot=slot)

    async def _pass_on(self, before: asyncio.Task[None] | None, plain: memoryview) -> None:
        """Hands a chunk to `beside`, after the one before it."""
        assert self._beside is not None, "there is somebody to hand it to"
        if before is not None:
            # Should that one have failed, then so has the upload; what it said is said by its own chunk.
            await asyncio.wait([before])
        await self._beside(plain)

    async def _passed(self, number: int) -> None:
        """Until nobody beside the sealing needs the chunk's plain bytes; raises what `beside` raised."""
        passing = self._passing.get(number)
        if passing is not None:
            await asyncio.shield(passing)

    async def _let_pass(self, number: int) -> None:
        """Until nobody beside the sealing needs the chunk's plain bytes, whatever became of it."""
        passing = self._passing.get(number)
        if passing is not None:
            await asyncio.wait([passing])
            if not passing.cancelled():
                passing.exception()
            self._passing.pop(number, None)

    async def _finish_what_began(self, under_way: Attempts[int, None]) -> None:
        """Waits a while for the chunks under way, and has all that are stored recorded."""
        with suppress(Failure, TimeoutError):
            async with asyncio.timeout(TIDY_SECONDS):
                while under_way.busy:
                    await under_way.settled()
                await self._recorder.tell(await self._recorder.finish())

    async def _store(self, number: int, lease: Lease, count: int) -> None:
        try:
            plain = lease.plain[:count]
            record = await self._kept(number, plain)
            if record is None:
                record = await self._seal_and_send(number, plain, lease)
                self._meter.add(count)
            else:
                self._meter.add(count, skipped=True)
            self._chunks[number] = record
        finally:
            await self._let_pass(number)
            del self._leases[number]
            lease.close()

    async def _kept(self, number: int, plain: memoryview) -> ChunkRecord | None:
        """The record of an earlier attempt, if it holds these very bytes."""
        record = self._recorded.get(number)
        if record is None or record.plain_length != len(plain):
            return None
        crc = await run_whole(self._gear.offload, checksum.crc64, plain)
        return record if crc == record.checksum else None

    async def _seal_and_send(self, number: int, plain: memoryview, lease: Lease) -> ChunkRecord:
        gear = self._gear
        chunk_id = self._planner.chunk_id(number)
        slot = await lease.slot_to_fill()

        def seal() -> tuple[ChunkRecord, Cargo]:
            sealed = gear.sealer.seal(
                plain,
                data_key=self._data_key,
                chunk_id=chunk_id,
                number=number,
                redundancy=self._redundancy,
                slot=slot,
            )
            return sealed.record, Cargo(number, sealed.shards, sealed.roots)

        record, cargo = await run_whole(gear.offload, seal)
        await self._passed(number)
        lease.give_plain()

        async def replace(indexes: list[int], used: list[bytes]) -> list[Target]:
            request = UploadReplace(
                upload_id=self._ticket.upload_id,
                session_key=gear.session_public,
                chunk_id=chunk_id,
                shard_length=record.shard_length,
                indexes=indexes,
                used=used,
            )
            targets: list[Target] = (await gear.control.call(request)).targets
            return targets

        scatter = Scatter(
            cargo=cargo,
            peers=gear.peers,
            clock=gear.clock,
            tail=gear.tail,
            ack_at=self._ticket.ack_at,
            replace=replace,
        )
        stored = await scatter.run(await self._planner.targets(number))
        self._recorder.add(ChunkDone(chunk=record, stored=stored, roots=cargo.roots))
        return record

    async def _commit(self, rest: list[ChunkDone]) -> VersionInfo:
        """Commits, and has the chunks that were not told before recorded with it."""
        ordered = [self._chunks[number] for number in range(len(self._chunks))]
        crc, size = 0, 0
        for record in ordered:
            crc = checksum.combine(crc, record.checksum, record.plain_length)
            size += record.plain_length
        chunk_ids = b"".join([record.chunk_id for record in ordered])
        whole = keys.Whole(self._begun.bucket, self._begun.key, size, chunk_ids, crc)
        closing = keys.close(self._data_key, whole, nonce=self._gear.chance.bytes(NONCE_BYTES))
        request = UploadCommit(
            upload_id=self._ticket.upload_id,
            size=size,
            chunk_count=len(ordered),
            checksum=checksum.text(crc),
            closing=closing,
        )
        try:
            version: VersionInfo = await self._recorder.tell_with(request, rest)
        except Refusal:
            # What was stored must be known to the coordinator to be deleted again when the upload ends.
            with suppress(Failure):
                await self._recorder.tell(rest)
            raise
        return version
