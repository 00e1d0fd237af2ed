"""Opens one chunk, or a range of it, from whichever nodes answer with good bytes.

The law: nothing is opened that did not match its hash first; a shard that does not is reported, and another
one is taken. A small range is read from the one or two data shards that hold it; if those are slow or wrong,
the same window of any k shards stands in for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.chunks import layout, tree
from holdfast.chunks.layout import Slice
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Piece
from holdfast.client.attempts import Attempts
from holdfast.client.gather import Gather, Got, Report, fetch
from holdfast.client.gear import Gear
from holdfast.client.threads import run_whole
from holdfast.protocol.nouns import ChunkRecord, ChunkSources, Source
from holdfast.world.errors import Failure, Trouble

DIRECT = "direct"


def window_of(slices: Sequence[Slice]) -> tuple[int, int]:
    """(offset, length) of the least window of a shard that holds every slice."""
    offset = min(part.offset for part in slices)
    return offset, max(part.offset + part.length for part in slices) - offset


def slot_bytes(record: ChunkRecord, redundancy: Redundancy, start: int, stop: int) -> int:
    """Bytes of slot that reading plain bytes [start, stop) of a chunk may need."""
    if (start, stop) == (0, record.plain_length):
        return redundancy.n * record.shard_length
    return redundancy.n * window_of(layout.slices_for_range(record, start, stop))[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkReader:
    """One chunk to be opened; `slot` and `plain` are the caller's buffers."""

    gear: Gear
    redundancy: Redundancy
    data_key: bytes = field(repr=False)
    sources: ChunkSources
    slot: memoryview
    plain: memoryview
    report: Report

    @property
    def record(self) -> ChunkRecord:
        """What the chunk is."""
        return self.sources.chunk

    async def read(self, start: int, stop: int) -> None:
        """Writes plain bytes [start, stop) of the chunk to the start of `plain`.

        Raises Trouble("chunk.lost"), Trouble("metadata.forged") or Refusal("format.*").
        """
        layout.check_record(self.record, self.redundancy)
        if (start, stop) == (0, self.record.plain_length):
            await self._read_window(0, self.record.shard_length, start, stop)
            return
        slices = layout.slices_for_range(self.record, start, stop)
        offset, length = window_of(slices)
        direct = self._direct_sources(slices)
        if direct is None:
            await self._read_window(offset, length, start, stop)
            return
        async with Attempts[str, None]() as attempts:
            attempts.start(DIRECT, self._read_direct(slices, direct, start, stop))
            expected = max(
                self.gear.peers.expected(source.node.node_id, part.length)
                for source, part in zip(direct, slices, strict=True)
            )
            ending = await attempts.next(self.gear.hedge.allowance([], expected, len(slices)))
            if ending is not None and not isinstance(ending.failure, Failure):
                ending.result()
                return
        # The direct way is stopped before another is tried: both would write to the same buffers.
        await self._read_window(offset, length, start, stop)

    def _direct_sources(self, slices: Sequence[Slice]) -> list[Source] | None:
        """The sources that hold the slices themselves; None unless all are there and fit to be asked."""
        by_index = {source.index: source for source in self.sources.sources}
        found = [by_index.get(part.index) for part in slices]
        fit = [
            source
            for source in found
            if source is not None and not self.gear.peers.resting(source.node.node_id)
        ]
        return fit if len(fit) == len(slices) else None

    async def _read_direct(
        self, slices: Sequence[Slice], sources: Sequence[Source], start: int, stop: int
    ) -> None:
        pieces: dict[int, tuple[Got, int]] = {}
        async with Attempts[int, Got]() as attempts:
            at = 0
            for position, (part, source) in enumerate(zip(slices, sources, strict=True)):
                into = self.slot[at : at + part.length]
                attempts.start(position, fetch(self.gear.peers, source, part.offset, into))
                at += part.length
            for _ in slices:
                ending = await attempts.settled()
                part = slices[ending.tag]
                pieces[part.index] = (ending.result(), part.offset)
        wrong = await run_whole(self.gear.offload, self._check_and_open, pieces, start, stop)
        for index, failure in wrong.items():
            self.report(pieces[index][0].source, "corrupt")
            raise failure

    async def _read_window(self, offset: int, length: int, start: int, stop: int) -> None:
        gear = self.gear
        async with Gather(
            self.sources,
            self.redundancy,
            self.slot,
            peers=gear.peers,
            clock=gear.clock,
            hedge=gear.hedge,
            report=self.report,
            offset=offset,
            length=length,
        ) as gather:
            while True:
                good = await gather.enough()
                pieces = {index: (got, offset) for index, got in good.items()}
                wrong = await run_whole(gear.offload, self._check_and_open, pieces, start, stop)
                if not wrong:
                    return
                for index, failure in wrong.items():
                    gather.reject(index, failure.message)

    def _check_and_open(self, found: dict[int, tuple[Got, int]], start: int, stop: int) -> dict[int, Failure]:
        """Verifies every piece, and opens if all are good; the wrong ones, by index. Runs in a thread."""
        wrong: dict[int, Failure] = {}
        for index in sorted(found):
            try:
                self._verify(index, *found[index])
            except Trouble as trouble:
                wrong[index] = trouble
        if wrong:
            return wrong
        pieces = {index: Piece(offset, got.data) for index, (got, offset) in sorted(found.items())}
        whole = (start, stop) == (0, self.record.plain_length)
        if not self._has_all_data(pieces):
            self._add_zeros(pieces)
        if whole:
            shards = {index: piece.data for index, piece in pieces.items()}
            self.gear.opener.open(
                self.record, self.redundancy, shards, data_key=self.data_key, into=self.plain
            )
        else:
            self.gear.opener.open_range(
                self.record,
                self.redundancy,
                pieces,
                start=start,
                stop=stop,
                data_key=self.data_key,
                into=self.plain,
            )
        return wrong

    def _verify(self, index: int, got: Got, offset: int) -> None:
        if len(got.data) == self.record.shard_length:
            tree.verify_shard(
                got.data, index, roots=got.roots, record=self.record, redundancy=self.redundancy
            )
        else:
            tree.verify_slice(
                got.data,
                index,
                offset,
                leaves=got.leaves,
                roots=got.roots,
                record=self.record,
                redundancy=self.redundancy,
            )

    def _has_all_data(self, pieces: dict[int, Piece]) -> bool:
        return all(index < self.redundancy.k for index in pieces)

    def _add_zeros(self, pieces: dict[int, Piece]) -> None:
        """Data shards behind the sealed bytes are zeros: known, so never fetched, yet needed to rebuild."""
        count = layout.data_shard_count(self.record.sealed_length, self.record.shard_length)
        if count < self.redundancy.k:
            offset, length = next((piece.offset, len(piece.data)) for piece in pieces.values())
            zeros = memoryview(bytes(length))
            for index in range(count, self.redundancy.k):
                pieces[index] = Piece(offset, zeros)
