"""The pass that repairs: it checks reported shards, rebuilds what is missing and places it anew.

What is sealed stays sealed: repair works on shards alone and has no keys. Every byte fetched is verified
against the chunk's root before it is used, so a wrong byte never spreads; what fails is a proven loss, with
evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from holdfast.chunks import tree
from holdfast.chunks.erasure import Erasure
from holdfast.chunks.redundancy import Redundancy
from holdfast.files.placed import NOT_STORED
from holdfast.files.places import Holder, Places, ShardWish
from holdfast.files.tending.faults import Report
from holdfast.files.tending.mending import ChunkState, Mending, Position
from holdfast.protocol.nouns import Source, Target
from holdfast.upkeep.passes import Reading
from holdfast.upkeep.plans.repair import HOUR, ChunkRepair, RepairPlan, RepairRules, plan_repair
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Trouble
from holdfast.world.offload import Offload

PAGE = 500
CHUNKS_AT_A_TIME = 4
HOPELESS_REST = 24 * HOUR
"""Microseconds before a chunk is read again that was coded wrongly: it never gets better."""
ACCOUNT = "upkeep"
"""Whom the grants of repairs are booked to."""

log = structlog.get_logger()


class Carrier(Protocol):
    """Moves shards to and from nodes, in one session of its own."""

    session_key: bytes
    """Public: what grants are bound to."""

    async def fetch(self, source: Source, length: int, into: memoryview) -> bytes:
        """Reads a whole shard into memory, unverified; the chunk's shard roots as the node has them.

        Raises Trouble("node.unreachable"), Refusal("shard.unknown"), Trouble("node.corrupt"), or others.
        """
        ...

    async def store(self, target: Target, chunk_id: bytes, shard: memoryview, roots: bytes) -> bytes:
        """Stores a shard; its receipt, which was checked. Raises Trouble or Refusal."""
        ...


@dataclass
class _Bench:
    """One chunk under repair: the shards at hand, and what was found out about the others."""

    repair: ChunkRepair
    slot: bytearray
    shards: dict[int, memoryview] = field(default_factory=dict)
    roots: bytes = b""
    lost: list[Report] = field(default_factory=list)
    good: list[Report] = field(default_factory=list)

    @property
    def chunk(self) -> ChunkState:
        return self.repair.chunk

    @property
    def redundancy(self) -> Redundancy:
        known = self.chunk.redundancy
        return Redundancy(k=known.k, n=known.n, repair_at=known.repair_at)

    def room(self, index: int) -> memoryview:
        """The memory of shard `index`."""
        length = self.chunk.record.shard_length
        return memoryview(self.slot)[index * length : (index + 1) * length]


class Repair:
    """All chunks in turn, the most endangered of a page first, a few at a time."""

    name = "repair"

    def __init__(
        self,
        *,
        mending: Mending,
        places: Places,
        carrier: Carrier,
        erasure: Erasure,
        clock: Clock,
        offload: Offload,
        rules: RepairRules | None = None,
    ) -> None:
        self._mending = mending
        self._places = places
        self._carrier = carrier
        self._erasure = erasure
        self._clock = clock
        self._offload = offload
        self._rules = rules or RepairRules()
        self._hopeless: dict[bytes, int] = {}

    async def read(self, after: Any) -> Reading[list[ChunkState]]:
        """A page of all chunks there are; `after` is a position."""
        start: Position = (0, -1) if after is None else after
        return Reading(*await self._mending.page(start, PAGE))

    def plan(self, page: list[ChunkState]) -> RepairPlan:
        """Which of them need what."""
        return plan_repair(page, self._places.holder, self._rules, self._clock.now())

    async def do(self, plan: RepairPlan) -> bool:
        """Carries the repairs out in the plan's order; one that fails is met again in the next round."""
        now = self._clock.now()
        self._hopeless = {chunk_id: until for chunk_id, until in self._hopeless.items() if until > now}
        waiting = iter([one for one in plan.repairs if one.chunk.record.chunk_id not in self._hopeless])

        async def work() -> None:
            for repair in waiting:
                await self._try(repair)

        await asyncio.gather(*(work() for _ in range(min(CHUNKS_AT_A_TIME, len(plan.repairs)))))
        return False

    async def _try(self, repair: ChunkRepair) -> None:
        try:
            await self._mend(repair)
        except Failure as failure:
            chunk_id = repair.chunk.record.chunk_id
            log.warning("repair failed", chunk=chunk_id.hex(), code=failure.code, why=failure.message)
            if failure.code == "metadata.forged":
                self._hopeless[chunk_id] = self._clock.now() + HOPELESS_REST
        except Exception:
            # One chunk that trips over a fault of ours must not keep all others from being repaired.
            log.exception("repair failed", chunk=repair.chunk.record.chunk_id.hex(), code="internal")

    async def _mend(self, repair: ChunkRepair) -> None:
        length = repair.chunk.record.shard_length
        bench = _Bench(repair, bytearray(repair.chunk.redundancy.n * length))
        await self._check(bench)
        if repair.rebuild and repair.possible:
            await self._gather(bench)
        chunk = await self._tell(bench)
        if chunk is None:
            return
        # What was just found to be lost is rebuilt along with the rest, while the shards are at hand.
        lost = {report.index for report in bench.lost}
        wanted = sorted(set(repair.rebuild) | lost)
        missing = [index for index in wanted if index not in bench.shards]
        if missing and len(bench.shards) >= chunk.redundancy.k:
            await self._offload.run(self._rebuild, bench, missing)
        at_hand = [index for index in wanted if index in bench.shards]
        if at_hand:
            await self._place(bench, chunk, at_hand)

    async def _check(self, bench: _Bench) -> None:
        """Reads the suspects."""
        await self._fetch_all(bench, [index for index, _ in bench.repair.check])

    async def _gather(self, bench: _Bench) -> None:
        """Reads what is to be placed anew where it still can be copied, else any k shards."""
        chunk, k = bench.chunk, bench.chunk.redundancy.k
        copies = [i for i in bench.repair.rebuild if i not in bench.shards and self._readable(chunk, i)]
        await self._fetch_all(bench, copies)
        if all(index in bench.shards for index in bench.repair.rebuild):
            return
        tried = set(copies) | {index for index, _ in bench.repair.check}
        others = [i for i in range(len(chunk.aliases)) if i not in tried and self._readable(chunk, i)]
        while len(bench.shards) < k and others:
            need = k - len(bench.shards)
            now, others = others[:need], others[need:]
            await self._fetch_all(bench, now)

    def _readable(self, chunk: ChunkState, index: int) -> bool:
        holder = self._holder(chunk, index)
        return holder is not None and holder.online

    def _holder(self, chunk: ChunkState, index: int) -> Holder | None:
        alias = chunk.aliases[index]
        return None if alias == NOT_STORED else self._places.holder(alias)

    async def _fetch_all(self, bench: _Bench, indexes: Sequence[int]) -> None:
        await asyncio.gather(*(self._fetch(bench, index) for index in indexes))

    async def _fetch(self, bench: _Bench, index: int) -> None:
        """Reads and verifies one shard; what becomes of it is noted on the bench."""
        chunk = bench.chunk
        holder = self._holder(chunk, index)
        if holder is None:
            return
        record = chunk.record
        source = self._places.source(holder, self._wish(chunk), index)
        room = bench.room(index)
        try:
            roots = await self._carrier.fetch(source, record.shard_length, room)
            await self._offload.run(_verify, room, index, roots, bench)
        except Failure as failure:
            kind = {"shard.unknown": "missing", "node.corrupt": "corrupt"}.get(failure.code)
            if kind is not None:
                evidence = f"repair read it: {failure.code}: {failure.message}"
                bench.lost.append(Report(index, holder.alias, kind, evidence))
            return
        bench.shards[index] = room
        bench.roots = roots
        if (index, holder.alias) in chunk.suspects:
            bench.good.append(Report(index, holder.alias, "none", "repair read it whole and it is good"))

    async def _tell(self, bench: _Bench) -> ChunkState | None:
        """Writes down what was found out; the chunk as it is now, None if it changed meanwhile."""
        if bench.good:
            await self._mending.dismiss(bench.chunk, sorted(bench.good, key=lambda report: report.index))
        if not bench.lost:
            return bench.chunk
        lost = sorted(bench.lost, key=lambda report: report.index)
        for report in lost:
            log.warning("shard lost", alias=report.alias, index=report.index, evidence=report.evidence)
        return await self._mending.confirm(bench.chunk, lost)

    def _rebuild(self, bench: _Bench, missing: list[int]) -> None:
        wanted = {index: bench.room(index) for index in missing}
        self._erasure.rebuild(bench.redundancy, bench.shards, wanted)
        for index, shard in wanted.items():
            if tree.root_of(shard) != tree.root_at(bench.roots, index):
                # Verified shards rebuild to others than the roots say only if they never were one code word.
                raise Trouble(
                    "metadata.forged",
                    f"Shard {index} cannot be rebuilt: whoever sealed the chunk coded it wrongly.",
                    retry=False,
                )
        bench.shards.update(wanted)

    async def _place(self, bench: _Bench, chunk: ChunkState, wanted: Sequence[int]) -> None:
        """Stores shards on new nodes and moves them in the placement."""
        record = chunk.record
        keeping = [alias for index, alias in enumerate(chunk.aliases) if alias and index not in wanted]
        leaving = [chunk.aliases[index] for index in wanted if chunk.aliases[index]]
        lost = [report.alias for report in bench.lost]
        targets = self._places.replacements(
            chunk.storage_class,
            chunk.redundancy,
            self._wish(chunk),
            indexes=wanted,
            holding=self._node_ids(keeping),
            excluded=self._node_ids([*leaving, *lost, *bench.repair.barred]),
        )
        stored = await asyncio.gather(
            *(self._store(bench, target) for target in await self._takers(chunk, targets))
        )
        moves = [move for move in stored if move is not None]
        if not moves:
            return
        moved = await self._mending.move(chunk, moves)
        log.info(
            "repaired" if moved is not None else "repaired in vain",
            chunk=record.chunk_id.hex(),
            shards=[index for index, _ in moves],
            missing=len(wanted) - len(moves),
        )

    async def _takers(self, chunk: ChunkState, targets: Sequence[Target]) -> list[Target]:
        """The targets without those that would delete the shard again, as they were told for an older one."""
        aliases = [(target, self._places.alias_of(target.node.node_id)) for target in targets]
        places = [(target.index, alias) for target, alias in aliases if alias is not None]
        doomed = await self._mending.doomed(chunk, places)
        return [target for target, alias in aliases if (target.index, alias) not in doomed]

    async def _store(self, bench: _Bench, target: Target) -> tuple[int, int] | None:
        alias = self._places.alias_of(target.node.node_id)
        try:
            await self._carrier.store(
                target, bench.chunk.record.chunk_id, bench.shards[target.index], bench.roots
            )
        except Failure as failure:
            log.info("shard not stored", node=target.node.node_id.hex()[:16], code=failure.code)
            return None
        return None if alias is None else (target.index, alias)

    def _wish(self, chunk: ChunkState) -> ShardWish:
        record = chunk.record
        return ShardWish(ACCOUNT, self._carrier.session_key, record.chunk_id, record.shard_length)

    def _node_ids(self, aliases: Iterable[int]) -> list[bytes]:
        holders = (self._places.holder(alias) for alias in sorted(set(aliases)))
        return [holder.node_id for holder in holders if holder is not None]


def _verify(shard: memoryview, index: int, roots: bytes, bench: _Bench) -> None:
    tree.verify_shard(shard, index, roots=roots, record=bench.chunk.record, redundancy=bench.redundancy)
