"""When small objects are packed, and when packs are written anew: pure functions of counts and ages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.files.smalls import PackUse, Waiting
from holdfast.world.clock import MICROSECONDS


@dataclass(frozen=True)
class PackingRules:
    """`age`: microseconds that a small object waits at most for others to share a pack with.

    A pack of which less than 1 in `alive_part` bytes live is written anew; one that is no longer than 1 in
    `thin_part` of a chunk is put together with others like it. `settled`: microseconds that a pack is left
    alone after it was written.
    """

    age: int = 5 * MICROSECONDS
    alive_part: int = 2
    thin_part: int = 4
    settled: int = 60 * MICROSECONDS


@dataclass(frozen=True)
class PackingPlan:
    """Classes to pack, each with why."""

    classes: tuple[tuple[str, str], ...]

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        return [f"pack small objects of class {name}: {why}" for name, why in self.classes]


def plan_packing(
    waiting: Sequence[Waiting], chunk_sizes: Mapping[str, int], rules: PackingRules, now: int
) -> PackingPlan:
    """Packs a class when a chunk's worth waits, or something has waited long enough."""
    classes = []
    for each in waiting:
        full = chunk_sizes.get(each.storage_class)
        if full is None:
            # A class of settings that are gone: what is in it waits until they are back.
            continue
        if each.sealed_bytes >= full:
            classes.append((each.storage_class, f"{each.sealed_bytes} bytes fill a chunk"))
        elif now - each.oldest >= rules.age:
            classes.append((each.storage_class, f"some waited {(now - each.oldest) / MICROSECONDS:.0f} s"))
    return PackingPlan(tuple(classes))


@dataclass(frozen=True)
class Rewriting:
    """Packs whose living objects go into one new one."""

    storage_class: str
    uses: tuple[PackUse, ...]
    why: str


@dataclass(frozen=True)
class CompactionPlan:
    """Packs to end, and packs to write anew."""

    empty: tuple[PackUse, ...]
    rewritings: tuple[Rewriting, ...]

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        ended = [f"end pack {use.pack.name}: nothing lives in it" for use in self.empty]
        return ended + [
            f"write {len(each.uses)} packs of class {each.storage_class} anew: {each.why}"
            for each in self.rewritings
        ]


def plan_compaction(
    uses: Sequence[PackUse], chunk_sizes: Mapping[str, int], rules: PackingRules, now: int
) -> CompactionPlan:
    """What becomes of a page of packs."""
    old = [use for use in uses if now - use.pack.created >= rules.settled]
    empty = tuple(use for use in old if not use.smalls)
    rewritings: list[Rewriting] = []
    for name, full in sorted(chunk_sizes.items()):
        mine = [use for use in old if use.smalls and use.pack.storage_class == name]
        wasteful = [use for use in mine if use.live_bytes * rules.alive_part < use.pack.size]
        thin = [use for use in mine if use not in wasteful and use.pack.size * rules.thin_part <= full]
        for group in _groups(wasteful + thin, full):
            # One thin pack alone would only become another one.
            if len(group) > 1 or group[0] in wasteful:
                live, size = sum(use.live_bytes for use in group), sum(use.pack.size for use in group)
                why = f"{live} of their {size} bytes live"
                rewritings.append(Rewriting(name, tuple(group), why))
    return CompactionPlan(empty, tuple(rewritings))


def _groups(uses: Sequence[PackUse], full: int) -> list[list[PackUse]]:
    """Packs in a row whose living bytes fit into one."""
    groups: list[list[PackUse]] = []
    room = 0
    for use in uses:
        if not groups or use.live_bytes > room:
            groups.append([])
            room = full
        groups[-1].append(use)
        room -= use.live_bytes
    return groups
