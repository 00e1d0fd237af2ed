"""Which chunks are repaired, which shards of them, and why: a pure function of a page of chunks.

A shard is *kept* while its node was seen within the containment time and nothing was reported against it: a
node that is silent for a night is not a node that left. Below `repair_at` kept shards all that are not kept
are placed anew at once. Above it, only shards that are in no placement, because they came too late or were
proven lost, and those not before the grace period is over, for their uploader may still be sending them; and
those of a node that is leaving, while they can still be copied. Reported shards are checked first. Chunks
with the fewest shards to spare go first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.files.placed import NOT_STORED
from holdfast.files.places import Holder
from holdfast.files.tending.mending import ChunkState
from holdfast.world.clock import MICROSECONDS

HOUR = 3600 * MICROSECONDS


@dataclass(frozen=True)
class RepairRules:
    """Times in microseconds.

    `containment`: how long a silent node keeps its shards. `grace`: how long after it was recorded a chunk
    waits for shards that were never stored. `deletion_delay`: how long a node that was proven to have lost
    a shard gets no other of that chunk, so that the deletion of what is left there cannot hit a new copy.
    """

    containment: int = 12 * HOUR
    grace: int = 10 * 60 * MICROSECONDS
    deletion_delay: int = HOUR


@dataclass(frozen=True)
class ChunkRepair:
    """What one chunk needs: suspects to check, shards to place anew, and why."""

    chunk: ChunkState
    check: tuple[tuple[int, int], ...]
    rebuild: tuple[int, ...]
    kept: tuple[int, ...]
    """Shard indexes."""
    barred: tuple[int, ...]
    """Aliases that get no shard of this chunk now."""
    reachable: int
    reason: str

    @property
    def spare(self) -> int:
        """How many more shards the chunk can lose."""
        return len(self.kept) - self.chunk.redundancy.k

    @property
    def possible(self) -> bool:
        """Whether enough shards may be read now; if not, only checks are made."""
        return self.reachable >= self.chunk.redundancy.k


@dataclass(frozen=True)
class RepairPlan:
    """The chunks of a page that need something, the most endangered first."""

    repairs: tuple[ChunkRepair, ...]

    def lines(self) -> Sequence[str]:
        """Each repair with its reason."""
        return [_line(repair) for repair in self.repairs]


@dataclass(frozen=True)
class _Shards:
    """The shard indexes of a chunk, by how they fare."""

    kept: list[int]
    leaving: list[int]
    gone: list[int]
    unstored: list[int]
    reachable: int


def plan_repair(
    page: Sequence[ChunkState], holder_of: Callable[[int], Holder | None], rules: RepairRules, now: int
) -> RepairPlan:
    """What the chunks of a page need."""
    # Chunks of a page share their nodes: each is asked about once, and so is seen alike by all.
    asked = functools.cache(holder_of)
    found = [repair for chunk in page if (repair := _look(chunk, asked, rules, now)) is not None]
    return RepairPlan(tuple(sorted(found, key=lambda repair: (repair.spare, repair.chunk.position))))


def _look(
    chunk: ChunkState, holder_of: Callable[[int], Holder | None], rules: RepairRules, now: int
) -> ChunkRepair | None:
    shards = _sort(chunk, holder_of, rules, now)
    check = tuple(sorted(chunk.suspects))
    rebuild, reason = _decide(chunk, shards, rules, now)
    if not rebuild and not check:
        return None
    return ChunkRepair(
        chunk=chunk,
        check=check,
        rebuild=rebuild,
        kept=tuple(shards.kept),
        barred=tuple(sorted({alias for alias, time in chunk.losers if now - time < rules.deletion_delay})),
        reachable=shards.reachable,
        reason=reason or "they were reported",
    )


def _sort(
    chunk: ChunkState, holder_of: Callable[[int], Holder | None], rules: RepairRules, now: int
) -> _Shards:
    shards = _Shards([], [], [], [], 0)
    reachable = 0
    for index, alias in enumerate(chunk.aliases):
        holder = holder_of(alias) if alias != NOT_STORED else None
        if alias == NOT_STORED:
            shards.unstored.append(index)
        elif holder is None or _counts_as_gone(holder, rules, now):
            shards.gone.append(index)
        elif (index, alias) not in chunk.suspects:
            (shards.leaving if holder.leaving else shards.kept).append(index)
        reachable += holder is not None and holder.online
    return _Shards(shards.kept, shards.leaving, shards.gone, shards.unstored, reachable)


def _counts_as_gone(holder: Holder, rules: RepairRules, now: int) -> bool:
    return holder.given_up or (not holder.online and now - holder.last_seen > rules.containment)


def _decide(chunk: ChunkState, shards: _Shards, rules: RepairRules, now: int) -> tuple[tuple[int, ...], str]:
    repair_at = chunk.redundancy.repair_at
    missing = shards.unstored + shards.gone
    kept = len(shards.kept) + len(shards.leaving)
    if kept < repair_at and missing:
        return tuple(sorted(missing + shards.leaving)), f"{kept} shards are kept, repair at {repair_at}"
    if shards.unstored and now - chunk.recorded > rules.grace:
        wanted = tuple(sorted(shards.unstored + shards.leaving))
        return wanted, f"{len(shards.unstored)} shards are in no placement, the grace period is over"
    if shards.leaving:
        return tuple(shards.leaving), f"{len(shards.leaving)} shards are on nodes that are leaving"
    return (), ""


def _line(repair: ChunkRepair) -> str:
    chunk = repair.chunk
    wants = []
    if repair.check:
        wants.append(f"check shards {', '.join(str(index) for index, _ in repair.check)}")
    if repair.rebuild:
        verb = "rebuild" if repair.possible else "cannot yet rebuild"
        wants.append(f"{verb} shards {', '.join(map(str, repair.rebuild))}")
    return (
        f"chunk {chunk.record.chunk_id.hex()}: {'; '.join(wants)} "
        f"({repair.reason}; can lose {max(0, repair.spare)} more, {repair.reachable} are reachable)"
    )
