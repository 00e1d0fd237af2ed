"""The node's vault: shards in append-only volumes, durable when `put` returns.

An acknowledged shard is there after any restart, or is reported in `lost`; bytes that differ from what was
stored are found by `scrub` and, through their hash tree, by whoever fetches them. Nothing is stored beyond
the allocation or into the reserve of the disk. One process at a time may have a folder open as a vault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from holdfast.agent import compaction
from holdfast.agent.append import Appender, Change, Draft
from holdfast.agent.catalogue import DELETE_BYTES, Catalogue, victim
from holdfast.agent.commit import GroupCommit
from holdfast.agent.compaction import Compaction
from holdfast.agent.index import Place
from holdfast.agent.reading import Held, Scrubbed, Stat, check_content, fetch, fetch_at_hand, look
from holdfast.agent.record import ID_BYTES, RECORD_EXTRA_BYTES, ROOT_BYTES, Kind
from holdfast.agent.recovery import Recovered, Recovery, recover
from holdfast.agent.shelf import GoneError, Shelf
from holdfast.agent.volume import OPENING_BYTES
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.disk import Buffer, Disk
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.offload import Offload

T = TypeVar("T")

RESERVE_BYTES: Final = 1_000_000_000
VOLUME_BYTES_MIN: Final = 64 << 10
AT_HAND_BYTES: Final = 2 << 20
"""Up to here what is cached is read in the event loop: handing a read to a thread costs more than a copy."""
VOLUMES_WANTED: Final = 128
"""An allocation is filled by this many volumes at least, so that compaction needs little room."""


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """How a vault works; the defaults suit a node from a few GB to many TB.

    Attributes:
        volume_bytes: size of a finished volume at most; less for allocations under VOLUMES_WANTED times as
            much.
        group_records: records that share one sync at most.
        group_bytes: bytes that share one sync, unless one record alone has more.
        dead_share: share of a volume that must be dead to compact it.
        dead_share_pressed: the same while more than `pressed_share` of the allocation is used.
        pressed_share: when the vault counts as nearly full.
        compact_bytes_per_second: how fast compaction copies at most.
        compact_batch_bytes: what it holds in memory at a time.
        files_max: volumes kept open for reading.
    """

    volume_bytes: int = 1 << 30
    group_records: int = 256
    group_bytes: int = 32 << 20
    dead_share: float = 0.25
    dead_share_pressed: float = 0.05
    pressed_share: float = 0.8
    compact_bytes_per_second: int = 64 << 20
    compact_batch_bytes: int = 4 << 20
    files_max: int = 128


class StoredAt(NamedTuple):
    """When a shard became durable here, in microseconds; `again` if it already was."""

    written: int
    again: bool


class Vault:
    """See the module. Made by `open`; every call may be made concurrently from one event loop."""

    def __init__(
        self,
        disk: Disk,
        shelf: Shelf,
        recovered: Recovered,
        *,
        allocated: int,
        reserve: int,
        offload: Offload,
        clock: Clock,
        settings: VaultSettings,
    ) -> None:
        self.reserve = reserve
        self.recovery: Recovery = recovered.report
        self._disk = disk
        self._shelf = shelf
        self._offload = offload
        self._clock = clock
        self._settings = settings
        self._catalogue: Catalogue = recovered.catalogue
        self._appender = Appender(
            shelf,
            clock,
            key=recovered.key,
            reserve=reserve,
            volume_bytes=settings.volume_bytes,
            number_next=recovered.number_next,
        )
        self._commit = GroupCommit(
            self._appender.commit,
            self._settle,
            offload,
            records_max=settings.group_records,
            bytes_max=settings.group_bytes,
        )
        self.allocated = allocated
        # Who waits for the one that changes this shard now, if anybody does.
        self._busy: dict[bytes, asyncio.Future[None] | None] = {}
        self._compacting = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        disk: Disk,
        *,
        allocated: int,
        offload: Offload,
        clock: Clock,
        chance: Chance,
        reserve: int = RESERVE_BYTES,
        settings: VaultSettings | None = None,
    ) -> Vault:
        """Reads what the disk holds, mends torn ends, and is ready; `recovery` and `lost` say what was found.

        Raises Refusal("format.newer") and the disk's Trouble.
        """
        settings = settings or VaultSettings()
        shelf = Shelf(disk, settings.files_max)
        recovered = await offload.run(recover, disk, shelf, clock, chance)
        return cls(
            disk,
            shelf,
            recovered,
            allocated=allocated,
            reserve=reserve,
            offload=offload,
            clock=clock,
            settings=settings,
        )

    async def close(self) -> None:
        """Finishes what was begun and gives the files back."""
        await self._commit.close()
        self._settle((), await self._offload.run(self._appender.seal))
        await self._offload.run(self._shelf.close)

    @property
    def allocated(self) -> int:
        """Bytes that the vault's files may take together; may be set at any time.

        The size of volumes follows it: those that are begun from then on have the new one.
        """
        return self._allocated

    @allocated.setter
    def allocated(self, allocated: int) -> None:
        settings = self._settings
        self._allocated = allocated
        self._volume_bytes = min(settings.volume_bytes, max(VOLUME_BYTES_MIN, allocated // VOLUMES_WANTED))
        # What puts leave of the allocation for copies of a compaction, for deletes and contents.
        self._margin = self._volume_bytes + self._volume_bytes // 8
        self._appender.volume_bytes = self._volume_bytes
        self._commit.bytes_max = min(settings.group_bytes, self._volume_bytes // 2)

    # What it holds.

    @property
    def used(self) -> int:
        """Bytes of all the vault's files: bodies, what stands beside them, dead space not yet regained."""
        return self._catalogue.used + OPENING_BYTES

    @property
    def body_bytes(self) -> int:
        """Bytes of the bodies of all shards."""
        return self._catalogue.body_bytes

    @property
    def dead_bytes(self) -> int:
        """Bytes that compaction can regain."""
        return sum(tally.dead for tally in self._catalogue.volumes.values())

    @property
    def free(self) -> int:
        """Bytes of further records that allocation and disk have room for now. Asks the disk."""
        try:
            on_disk = self._disk.free() - self.reserve
        except Trouble:
            return 0
        return max(0, min(self._room() - self._margin, on_disk - self._commit.pending_bytes))

    @property
    def shard_count(self) -> int:
        """Shards that it holds."""
        return len(self._catalogue.index)

    @property
    def lost(self) -> list[bytes]:
        """Ids of shards found damaged, sorted. Each stays until it is put again or deleted."""
        return sorted(self._catalogue.lost)

    def why_lost(self, shard_id: bytes) -> str | None:
        """What was found wrong with a lost shard."""
        return self._catalogue.lost.get(shard_id)

    def holds(self, shard_id: bytes) -> bool:
        """Whether the shard is stored here."""
        return self._catalogue.index.get(shard_id) is not None

    def ids(self, after: bytes = b"", limit: int = 1000) -> list[bytes]:
        """A page of the ids it holds, in order, above `after`."""
        return self._catalogue.index.after(after, limit)

    def index_memory_bytes(self) -> int:
        """What the index takes in memory."""
        return self._catalogue.index.memory_bytes()

    # What is done to shards.

    async def put(self, shard_id: bytes, meta: Buffer, parts: Sequence[Buffer], *, root: bytes) -> StoredAt:
        """Stores a shard; durable on return. Buffers hold single bytes and stay as they are meanwhile.

        The same shard again (same root) succeeds again. Raises Refusal("shard.exists") for another root,
        Refusal("node.full"), and the disk's Trouble, after which the shard is not stored.
        """
        shard_id = _checked(shard_id)
        assert len(root) == ROOT_BYTES, "a root is 32 bytes"
        length = sum(map(len, parts))
        if shard_id in self._busy:
            await self._turn(shard_id)
        self._busy[shard_id] = None
        try:
            place = self._catalogue.index.get(shard_id)
            if place is not None:
                held = await self._look(shard_id, place)
                if held is not None and held.root != root:
                    raise Refusal(
                        "shard.exists",
                        "Another shard is stored under this id.",
                        advice="Use a new chunk id whenever the content differs.",
                    )
                if held is not None and shard_id not in self._catalogue.unsettled:
                    return StoredAt(held.written, again=True)
            self._check_room(RECORD_EXTRA_BYTES + len(meta) + length)
            draft = Draft(
                Kind.PUT, shard_id, self._next_sequence(), self._clock.now(), meta, parts, length, root
            )
            await self._commit.submit(draft)
            return StoredAt(draft.written, again=False)
        finally:
            self._end(shard_id)

    async def get(
        self, shard_id: bytes, offset: int = 0, length: int | None = None, *, into: memoryview | None = None
    ) -> Held:
        """The shard's meta and `length` bytes of its body from `offset` (None: to the end).

        The body is read into the beginning of `into` if given, as much as fits; a cancelled caller stays
        until nobody writes there any more. It is not checked here: whoever asked checks its hash tree.

        Raises Refusal("shard.unknown"), Refusal("request.invalid") for a range outside the body, and the
        disk's Trouble.
        """
        while True:
            place = self._catalogue.index.get(shard_id)
            if place is None:
                raise self._unknown(shard_id)
            start, stop = _range(offset, length, place.body_length)
            try:
                held = None
                if into is not None and stop - start <= AT_HAND_BYTES:
                    held = fetch_at_hand(self._shelf, shard_id, place, start, stop, into)
                if held is None:
                    reading = self._offload.run(fetch, self._shelf, shard_id, place, start, stop, into)
                    held = await (reading if into is None else _to_its_end(reading))
            except GoneError:
                continue
            if held is not None:
                return held
            self._catalogue.lose(shard_id, place, "head and tail of its record are damaged")

    async def stat(self, shard_id: bytes) -> Stat:
        """What is known of a shard without its bytes; raises Refusal("shard.unknown")."""
        while True:
            place = self._catalogue.index.get(shard_id)
            if place is None:
                raise self._unknown(shard_id)
            stat = await self._look(shard_id, place)
            if stat is not None:
                return stat

    async def delete(self, shard_id: bytes) -> None:
        """Forgets a shard, durably; a missing one is fine. A lost shard is settled by it."""
        shard_id = _checked(shard_id)
        if shard_id in self._busy:
            await self._turn(shard_id)
        self._busy[shard_id] = None
        try:
            catalogue = self._catalogue
            if (
                catalogue.index.get(shard_id) is None
                and shard_id not in catalogue.lost
                and shard_id not in catalogue.unsettled
            ):
                return
            if self._room() < DELETE_BYTES:
                await self.compact()
            await self._commit.submit(Draft(Kind.DELETE, shard_id, self._next_sequence(), self._clock.now()))
        finally:
            self._end(shard_id)

    # Upkeep.

    async def scrub(self, after: bytes = b"", limit: int = 100) -> Scrubbed:
        """Reads a page of shards in full and checks them; the damaged ones are lost from then on.

        A shard that the disk refuses to read is only named: the disk may come back.
        """
        scrubbed = Scrubbed()
        for shard_id in self.ids(after, limit):
            place = self._catalogue.index.get(shard_id)
            if place is None:
                continue
            try:
                damage = await self._offload.run(check_content, self._shelf, shard_id, place)
            except GoneError:
                damage = None
            except Trouble:
                scrubbed.unreadable.append(shard_id)
                damage = None
            if damage is not None and self._catalogue.lose(shard_id, place, damage):
                scrubbed.lost.append(shard_id)
            scrubbed.checked += 1
            scrubbed.checked_bytes += place.record_bytes
            scrubbed.last = shard_id
        return scrubbed

    async def compact(self) -> Compaction | None:
        """Compacts the volume that regains most; None if none is worth it. Copies at a bounded rate.

        Stops, and says so, where the copies would take the vault over its allocation or the disk under its
        reserve.
        """
        async with self._compacting:
            number = self._victim()
            if number is None:
                return None
            before = self.used
            end = self._catalogue.certain_end(number)
            surveyed = await self._offload.run(compaction.survey, self._shelf, number, end)
            copied = 0
            for batch in compaction.batches(self._catalogue, surveyed, self._settings.compact_batch_bytes):
                began = self._clock.monotonic()
                drafts, damaged = await self._offload.run(compaction.load, self._shelf, number, batch)
                for header, offset in damaged:
                    place = Place(number, offset, header.meta_length, header.body_length, header.sequence)
                    self._catalogue.lose(header.shard_id, place, "the body does not match its checksum")
                outcomes = await asyncio.gather(*map(self._commit.submit, drafts), return_exceptions=True)
                for outcome in outcomes:
                    if isinstance(outcome, Failure):
                        return Compaction(number, copied, 0, outcome.code)
                    if outcome is not None:
                        raise outcome
                size = sum(draft.record_bytes for draft in drafts)
                copied += size
                took = self._clock.monotonic() - began
                await asyncio.sleep(max(0.0, size / self._settings.compact_bytes_per_second - took))
            try:
                await self._offload.run(compaction.remove, self._shelf, number)
            except Trouble as trouble:
                # The file may be there again after a power cut: its records stay counted until a restart.
                self._catalogue.volumes[number].sealed = False
                return Compaction(number, copied, 0, trouble.code)
            self._catalogue.remove_volume(number, surveyed.puts.elements())
            return Compaction(number, copied, before - self.used)

    def _victim(self) -> int | None:
        settings = self._settings
        pressed = self.used > settings.pressed_share * self.allocated
        share = settings.dead_share_pressed if pressed else settings.dead_share
        return victim(
            self._catalogue.volumes, room=self._room(), share=share, small_bytes=self._volume_bytes // 8
        )

    # How writes are ordered and counted.

    def _room(self) -> int:
        return self.allocated - self.used - self._commit.pending_bytes

    def _check_room(self, size: int) -> None:
        room = self._room() - self._margin
        if size > room:
            raise Refusal(
                "node.full",
                "The node's allocation is full.",
                advice="Store the shard on another node.",
                needed=size,
                room=max(0, room),
            )

    def _next_sequence(self) -> int:
        sequence = self._catalogue.sequence_next
        self._catalogue.sequence_next += 1
        return sequence

    def _settle(self, drafts: Sequence[Draft], change: Change) -> None:
        """Takes what a group did into the catalogue."""
        catalogue = self._catalogue
        for number, size in change.sizes.items():
            if number in catalogue.volumes:
                catalogue.resize(number, size)
            else:
                catalogue.add_volume(number, size)
        for draft in drafts:
            if draft.header is not None:
                catalogue.apply(draft.header, draft.volume, draft.offset)
            elif draft.suspect:
                catalogue.suspect(draft.volume, draft.offset, draft.shard_id, draft.kind)
        for number, size in change.contents_bytes.items():
            catalogue.volumes[number].overhead += size
        for number in change.sealed:
            catalogue.seal(number)

    async def _turn(self, shard_id: bytes) -> None:
        """Waits until nobody else changes this shard; `_end` lets the next one in."""
        while shard_id in self._busy:
            waiting = self._busy[shard_id]
            if waiting is None:
                waiting = self._busy[shard_id] = asyncio.get_running_loop().create_future()
            await asyncio.shield(waiting)

    def _end(self, shard_id: bytes) -> None:
        waiting = self._busy.pop(shard_id)
        if waiting is not None:
            waiting.set_result(None)

    async def _look(self, shard_id: bytes, place: Place) -> Stat | None:
        """The facts of the record there; None if the shard was lost or moved: the catalogue knows."""
        try:
            stat = await self._offload.run(look, self._shelf, shard_id, place)
        except GoneError:
            return None
        if stat is None:
            self._catalogue.lose(shard_id, place, "head and tail of its record are damaged")
        return stat

    def _unknown(self, shard_id: bytes) -> Refusal:
        if shard_id in self._catalogue.lost:
            return Refusal(
                "shard.unknown", "The node has lost this shard.", advice="Fetch others.", lost=True
            )
        return Refusal("shard.unknown", "The node does not hold this shard.", lost=False)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; cancelling does not leave it running behind the caller's back."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise


def _checked(shard_id: bytes) -> bytes:
    if len(shard_id) != ID_BYTES:
        raise Refusal("request.invalid", f"A shard id has {ID_BYTES} bytes, not {len(shard_id)}.")
    return bytes(shard_id)


def _range(offset: int, length: int | None, body_length: int) -> tuple[int, int]:
    stop = body_length if length is None else offset + length
    if not 0 <= offset <= stop <= body_length:
        raise Refusal(
            "request.invalid",
            f"Bytes {offset} to {stop} are not all in a shard of {body_length} bytes.",
        )
    return offset, stop
