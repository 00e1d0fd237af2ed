"""Which chunks are repaired, which shards of them, and why: a pure function of a page of chunks.

A shard is *kept* while its node was seen within the containment time and nothing was reported against it: a
node that is silent for a night is not a node that left. Below `repair_at` kept shards all that are not kept
are rebuilt at once; above it, only shards that are in no placement, because they came too late or were proven
lost, and those not before the grace period is over, for their uploader may still be sending them. Reported
shards are checked first. Chunks with the fewest shards to spare go first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.files.mending import ChunkState
from holdfast.files.placed import NOT_STORED
from holdfast.files.places import Holder
from holdfast.world.clock import MICROSECONDS

HOUR = 3600 * MICROSECONDS


@dataclass(frozen=True)
class RepairRules:
    """Times in microseconds.

    `containment`: how long a silent node keeps its shards. `grace`: how long after it was recorded a chunk
    waits for shards that were never stored.
    """

    containment: int = 12 * HOUR
    grace: int = 10 * 60 * MICROSECONDS


@dataclass(frozen=True)
class ChunkRepair:
    """What one chunk needs: suspects to check, shards to build anew elsewhere, and why."""

    chunk: ChunkState
    check: tuple[tuple[int, int], ...]
    rebuild: tuple[int, ...]
    kept: int
    reachable: int
    reason: str

    @property
    def spare(self) -> int:
        """How many more shards the chunk can lose."""
        return self.kept - self.chunk.redundancy.k

    @property
    def possible(self) -> bool:
        """Whether enough shards can be read now; if not, only checks are made."""
        return self.reachable >= self.chunk.redundancy.k


@dataclass(frozen=True)
class RepairPlan:
    """The chunks of a page that need something, the most endangered first."""

    repairs: tuple[ChunkRepair, ...]

    def lines(self) -> Sequence[str]:
        """Each repair with its reason."""
        return [_line(repair) for repair in self.repairs]


def plan_repair(
    page: Sequence[ChunkState], holder_of: Callable[[int], Holder | None], rules: RepairRules, now: int
) -> RepairPlan:
    """What the chunks of a page need."""
    found = [repair for chunk in page if (repair := _look(chunk, holder_of, rules, now)) is not None]
    return RepairPlan(tuple(sorted(found, key=lambda repair: (repair.spare, repair.chunk.position))))


def _look(
    chunk: ChunkState, holder_of: Callable[[int], Holder | None], rules: RepairRules, now: int
) -> ChunkRepair | None:
    kept: list[int] = []
    unstored: list[int] = []
    gone: list[int] = []
    reachable = 0
    for index, alias in enumerate(chunk.aliases):
        holder = holder_of(alias) if alias != NOT_STORED else None
        suspect = (index, alias) in chunk.suspects
        if alias == NOT_STORED:
            unstored.append(index)
        elif holder is None or (not holder.online and now - holder.last_seen > rules.containment):
            gone.append(index)
        elif not suspect:
            kept.append(index)
        reachable += holder is not None and holder.online
    check = tuple(sorted(chunk.suspects))
    rebuild, reason = _decide(chunk, kept, unstored, gone, rules, now)
    if not rebuild and not check:
        return None
    return ChunkRepair(
        chunk=chunk,
        check=check,
        rebuild=rebuild,
        kept=len(kept),
        reachable=reachable,
        reason=reason or f"{len(check)} shards were reported and are checked",
    )


def _decide(
    chunk: ChunkState, kept: list[int], unstored: list[int], gone: list[int], rules: RepairRules, now: int
) -> tuple[tuple[int, ...], str]:
    repair_at = chunk.redundancy.repair_at
    if len(kept) < repair_at and (unstored or gone):
        return tuple(sorted(unstored + gone)), f"{len(kept)} shards are kept, repair at {repair_at}"
    if unstored and now - chunk.recorded > rules.grace:
        return tuple(unstored), f"{len(unstored)} shards are in no placement, the grace period is over"
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
