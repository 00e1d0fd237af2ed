"""What repair reads and changes of stored chunks: pages of all chunks, and moves by compare-and-swap.

A pass that repairs knows chunks only by `ChunkState`, and every change it makes is refused when the chunk is
no longer at the revision it was read at: a racing write, delete or other repair wins, and nothing is half
done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from holdfast.chunks.metadata import CHUNK_ID_BYTES
from holdfast.files import placed
from holdfast.files.recording import Journal
from holdfast.files.stores import store_chunks, store_references
from holdfast.files.stores.store_chunks import Chunk, Fault
from holdfast.files.tending import faults
from holdfast.nodes.journal import Loss, Losses, awaits_deletion
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import ChunkRecord, RedundancyInfo
from holdfast.world.clock import Clock
from holdfast.world.database import Database

Position = tuple[int, int]
"""(stream, number) of a chunk: the order in which passes read all of them."""


@dataclass(frozen=True)
class ChunkState:
    """A chunk as a pass read it.

    `suspects`: (index, alias) of shards that were reported and not yet checked. `losers`: (alias, time) of
    nodes that were proven to have lost a shard of it.
    """

    stream: int
    record: ChunkRecord
    redundancy: RedundancyInfo
    storage_class: str
    aliases: tuple[int, ...]
    suspects: frozenset[tuple[int, int]]
    losers: tuple[tuple[int, int], ...]
    recorded: int
    revision: int

    @property
    def position(self) -> Position:
        """Where it stands among all chunks."""
        return self.stream, self.record.number


def page(connection: Connection, after: Position, limit: int) -> tuple[list[ChunkState], Position | None]:
    """The chunks that come after a position, but for those of doomed streams, and where to go on."""
    found = store_chunks.chunks_after(connection, *after, limit)
    known = store_chunks.faults_of_chunks(connection, [(chunk.stream, chunk.number) for chunk in found])
    by_chunk: dict[Position, list[Fault]] = {}
    for fault in known:
        by_chunk.setdefault((fault.stream, fault.number), []).append(fault)
    classes = store_references.classes_of(connection, sorted({chunk.stream for chunk in found}))
    states = [
        _state(chunk, by_chunk.get((chunk.stream, chunk.number), []), classes[chunk.stream])
        for chunk in found
        if chunk.stream in classes
    ]
    return states, (found[-1].stream, found[-1].number) if len(found) == limit else None


def _state(chunk: Chunk, known: list[Fault], storage_class: str) -> ChunkState:
    aliases = placed.unpack(chunk.placement)
    suspects = {(fault.shard_index, fault.alias) for fault in known if fault.state == "suspect"}
    return ChunkState(
        stream=chunk.stream,
        record=chunk.record,
        redundancy=RedundancyInfo(k=chunk.k, n=len(aliases), repair_at=chunk.repair_at),
        storage_class=storage_class,
        aliases=aliases,
        suspects=frozenset(suspects & set(enumerate(aliases))),
        losers=tuple((fault.alias, fault.last_reported) for fault in known if fault.state == "confirmed"),
        recorded=chunk.recorded,
        revision=chunk.revision,
    )


def _as_read(connection: Connection, state: ChunkState) -> Chunk | None:
    """The chunk's row if it still is as it was read."""
    chunk = store_chunks.chunk_numbered(connection, *state.position)
    same = chunk is not None and (chunk.chunk_id, chunk.revision) == (state.record.chunk_id, state.revision)
    return chunk if same else None


def move(
    connection: Connection, state: ChunkState, moves: Sequence[tuple[int, int]], journal: Journal, now: int
) -> ChunkState | None:
    """Puts shards, already stored there, under new aliases; None if the chunk had changed meanwhile.

    What the shards' former nodes may still hold is journalled for deletion; so is what was stored in vain, if
    the chunk had changed, or where a deletion of that very shard is still to be carried out.
    """
    chunk = _as_read(connection, state)
    chunk_id = state.record.chunk_id
    if chunk is None:
        # Whoever was faster may have put the same shard in the same place: that one is not in vain.
        current = store_chunks.chunk_by_id(connection, chunk_id)
        held = set(enumerate(placed.unpack(current.placement))) if current is not None else set()
        vain = [(alias, shard_id(chunk_id, index)) for index, alias in moves if (index, alias) not in held]
        journal(connection, vain, now)
        return None
    doomed = doomed_among(connection, chunk_id, moves)
    journal(connection, [(alias, shard_id(chunk_id, index)) for index, alias in doomed], now)
    moves = [move for move in moves if move not in doomed]
    if not moves:
        return state
    placement = placed.change(chunk.placement, moves)
    swapped = store_chunks.swap_placement(connection, chunk, placement)
    assert swapped, "the row was read in this transaction"
    left = [(state.aliases[index], shard_id(chunk_id, index)) for index, _ in moves if state.aliases[index]]
    journal(connection, left, now)
    return replace(state, aliases=placed.unpack(placement), revision=state.revision + 1)


def doomed_among(
    connection: Connection, chunk_id: bytes, places: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Those of the places (index, alias) whose node is still to delete this very shard of the chunk."""
    return [
        (index, alias)
        for index, alias in places
        if awaits_deletion(connection, alias, shard_id(chunk_id, index))
    ]


def confirm(
    connection: Connection, state: ChunkState, lost: Sequence[faults.Report], journal: Journal, now: int
) -> ChunkState | None:
    """Takes shards that were proven lost out of the placement; None if the chunk had changed meanwhile."""
    chunk = _as_read(connection, state)
    if chunk is None:
        return None
    changed = faults.confirm(connection, chunk, list(lost), journal, now)
    assert changed is not None, "the row was read in this transaction"
    gone = {(report.index, report.alias) for report in lost}
    return replace(
        state,
        aliases=placed.unpack(changed.placement),
        suspects=state.suspects - gone,
        revision=changed.revision,
    )


def dismiss(connection: Connection, state: ChunkState, good: Sequence[faults.Report], now: int) -> None:
    """Notes that suspects were checked and are good."""
    chunk = _as_read(connection, state)
    if chunk is not None:
        for report in good:
            faults.dismiss(connection, chunk, report, now)


def take_loss(connection: Connection, loss: Loss, journal: Journal, now: int) -> bool:
    """Takes a shard that its own node reported lost out of the placement; False if it is not placed there."""
    chunk_id, index = loss.shard_id[:CHUNK_ID_BYTES], int.from_bytes(loss.shard_id[CHUNK_ID_BYTES:], "big")
    chunk = store_chunks.chunk_by_id(connection, chunk_id)
    Losses.settle(connection, loss)
    if chunk is None or placed.unpack(chunk.placement)[index : index + 1] != (loss.alias,):
        return False
    report = faults.Report(index, loss.alias, "missing", "its node reported it")
    changed = faults.confirm(connection, chunk, [report], journal, now)
    assert changed is not None, "the row was read in this transaction"
    return True


class Mending:
    """Stored chunks as passes read and change them."""

    def __init__(self, *, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    async def page(self, after: Position, limit: int) -> tuple[list[ChunkState], Position | None]:
        """Up to `limit` chunks after a position, and where to go on (None: that was all). (0, -1) begins."""
        return await self._database.read(page, after, limit)

    async def move(self, state: ChunkState, moves: Sequence[tuple[int, int]]) -> ChunkState | None:
        """Puts stored shards (index, alias) in the placement; None if the chunk had changed meanwhile."""
        return await self._database.transact(move, state, moves, self._journal, self._clock.now())

    async def doomed(self, state: ChunkState, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the places (index, alias) that cannot take their shard of the chunk now."""
        return await self._database.read(doomed_among, state.record.chunk_id, places)

    async def confirm(self, state: ChunkState, lost: Sequence[faults.Report]) -> ChunkState | None:
        """Takes lost shards out of the placement; None if the chunk had changed meanwhile."""
        return await self._database.transact(confirm, state, lost, self._journal, self._clock.now())

    async def take_loss(self, loss: Loss) -> bool:
        """Believes a node that it lost a shard; False if the shard is not placed there any more."""
        return await self._database.transact(take_loss, loss, self._journal, self._clock.now())

    async def dismiss(self, state: ChunkState, good: Sequence[faults.Report]) -> None:
        """Notes that suspects were checked and are good."""
        await self._database.transact(dismiss, state, good, self._clock.now())
