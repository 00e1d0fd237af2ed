"""The fleet at one moment, as arrays that placement can draw from. Pure: numbers in, numbers out.

Every column is indexed by alias; entry 0 is nobody. A *domain* is a group of nodes that may fail together:
the nodes of one provider, in one subnet (/24, /64) or in one zone. A node that declares no zone, or whose
address tells no subnet, is in domain NONE of that kind, which is no group: those are not counted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

KINDS: Final = ("provider", "subnet", "zone")
"""The kinds of domain, the rule to be given up last first."""

NONE: Final = -1
CAP_MAX: Final = 256
"""More shards than any chunk has: a cap of this size forbids nothing."""
CAPS_KEPT_MAX: Final = 1000


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What placement knows of the fleet.

    `weight` is how readily a node is drawn relative to others, 0 for one that takes nothing now. `free` is
    in bytes. `domains` holds, for each of `KINDS`, the index of each node's domain; `names` what they mean.
    """

    taken: int
    free: Longs
    weight: Floats
    domains: tuple[Ints, Ints, Ints]
    names: tuple[Sequence[str], Sequence[str], Sequence[str]]
    region: Ints
    region_names: Sequence[str] = ()
    _views: dict[tuple[int, str | None], View] = field(default_factory=dict, repr=False)

    def view(self, shard_length: int, region: str | None = None) -> View:
        """The nodes to draw from for shards of about this length, all of them usable and in the region.

        Made once for each power of two below the length, so a node in it may lack the last bytes of room: the
        caller asks `free`. Costs a pass over the fleet the first time (20 ms for a million nodes).
        """
        room = 1 << max(0, shard_length.bit_length() - 1)
        found = self._views.get((room, region))
        if found is None:
            found = self._views[room, region] = View(self, room, region)
        return found

    def domain_of(self, kind: int, alias: int) -> int:
        """The index of a node's domain; NONE for a node that the snapshot does not know."""
        return int(self.domains[kind][alias]) if 0 < alias < len(self.free) else NONE


class View:
    """The usable nodes with room for a size of shard, ready to be drawn from by weight.

    `cumulative[i]` is the weight of `members[:i + 1]`; `free` are the bytes they have free in all;
    `counts[kind][domain]` is how many members a domain has, `filled[kind]` how many domains have any,
    `alone[kind]` the one that has all (or NONE); `capacity[kind][c]` is how many shards fit if no domain of
    the kind takes more than c.
    """

    def __init__(self, snapshot: Snapshot, room: int, region: str | None) -> None:
        usable = (snapshot.weight > 0) & (snapshot.free >= room)
        if region is not None:
            known = list(snapshot.region_names)
            usable &= snapshot.region == (known.index(region) if region in known else len(known))
        self.mask: Flags = usable
        self.members: Ints = np.flatnonzero(usable).astype(np.int32)
        self.cumulative: Floats = np.cumsum(snapshot.weight[self.members])
        self.total = float(self.cumulative[-1]) if len(self.members) else 0.0
        self.free = int(snapshot.free[self.members].sum(dtype=np.float64))
        self.counts = tuple(
            domain_counts(snapshot.domains[kind][self.members], len(snapshot.names[kind]))
            for kind in range(len(KINDS))
        )
        self.capacity = tuple(capacity(counts, len(self.members)) for counts in self.counts)
        self.filled = tuple(int(np.count_nonzero(counts)) for counts in self.counts)
        self.alone = tuple(
            int(counts.argmax()) if len(self.members) and counts.max(initial=0) == len(self.members) else NONE
            for counts in self.counts
        )
        self.caps_found: dict[tuple[int, int, int], tuple[int, ...]] = {}
        """Caps that placement found to work, by (strict cap, shards, shard length)."""

    def __len__(self) -> int:
        return len(self.members)

    def remember_caps(self, key: tuple[int, int, int], caps: tuple[int, ...]) -> None:
        """Keeps what a search for caps found, for the next chunk of the same shape."""
        if len(self.caps_found) >= CAPS_KEPT_MAX:
            self.caps_found.clear()
        self.caps_found[key] = caps

    def has(self, alias: int) -> bool:
        """Whether this node is a member."""
        return 0 < alias < len(self.mask) and bool(self.mask[alias])


def domain_counts(domains: Ints, size: int) -> Longs:
    """How many nodes each of `size` domains has; those in NONE are left out."""
    return np.bincount(domains[domains != NONE], minlength=size).astype(np.int64)


def capacity(counts: Longs, nodes: int) -> list[int]:
    """For each cap from 0 to CAP_MAX, how many of `nodes` fit under it; nodes in no domain always fit.

    Raising a cap from c - 1 to c lets in one more node of every domain that has at least c of them.
    """
    at_least = np.bincount(np.minimum(counts, CAP_MAX), minlength=CAP_MAX + 1)[::-1].cumsum()[::-1]
    at_least[0] = nodes - int(counts.sum())
    fits: list[int] = at_least.cumsum().tolist()
    return fits
