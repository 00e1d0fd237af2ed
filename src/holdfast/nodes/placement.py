"""Which nodes hold a new chunk: a pure function of a snapshot, a request and chance.

The rules: distinct nodes, with room, always. At most (n - k) / 2 shards of a chunk (at least 1) with one
provider, in one subnet and in one zone, so that a domain that fails takes half of what the chunk can spare.
Where the fleet cannot keep a cap, it is raised by as little as will do, and the placement says so in words.
Among the nodes the rules allow, the draw is random by weight.

How it is quick: nodes are drawn from the whole fleet by weight, and those the rules forbid are thrown away.
That gives each node exactly the chance it has in a draw from the allowed ones, at a cost that does not grow
with the fleet. When too much is thrown away, a pass over the whole fleet decides instead (`_Careful`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from holdfast.nodes.classes import BUILT_IN, StorageClass
from holdfast.nodes.snapshot import (
    CAP_MAX,
    KINDS,
    NONE,
    Floats,
    Ints,
    Snapshot,
    View,
    capacity,
    domain_counts,
)
from holdfast.world.chance import Chance
from holdfast.world.errors import Refusal

Caps = tuple[int, ...]
"""For each of KINDS, the most shards of the chunk that one domain may hold."""

BATCHES: Final = (1, 4, 16)
"""Draws in each round of the quick way, in multiples of what is needed twice over; then the careful way."""

_MANTISSA: Final = 2.0**-53


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What is to be placed.

    `holders` hold a shard of this chunk already: they are not chosen again, and count in the caps. `excluded`
    are not chosen. `count` is how many nodes are wanted (None: n), `at_least` how many will do (None: all).
    """

    n: int
    k: int
    shard_length: int
    count: int | None = None
    at_least: int | None = None
    holders: Sequence[int] = ()
    excluded: frozenset[int] = frozenset()
    region: str | None = None
    class_name: str = ""

    @property
    def wanted(self) -> int:
        """How many nodes to choose."""
        return self.n if self.count is None else self.count

    @property
    def cap(self) -> int:
        """The most shards that one domain should hold."""
        return max(1, (self.n - self.k) // 2)


class Relaxed(NamedTuple):
    """A cap that was raised: which kind of domain, from what to what, and how many such domains there are."""

    kind: str
    cap: int
    raised_to: int
    domains: int
    name: str
    """The domain's name if there is only one, else empty."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The chosen nodes in shard order, which rules were relaxed, and the warnings that say so in words."""

    aliases: tuple[int, ...]
    relaxed: tuple[Relaxed, ...]
    warnings: tuple[str, ...]


def choose(
    snapshot: Snapshot,
    request: PlacementRequest,
    chance: Chance,
    classes: Iterable[StorageClass] = BUILT_IN,
) -> Placement:
    """Distinct nodes for the shards of a chunk, in shard order.

    `classes` are those to suggest when there are too few nodes. Raises Refusal("fleet.too_small"), which says
    how many nodes are missing and which classes would work.
    """
    view = snapshot.view(request.shard_length, request.region)
    caps = _caps_for(snapshot, view, request)
    chosen = _draw(snapshot, view, request, caps, chance)
    if chosen is None:
        careful = _Careful(snapshot, view, request, chance)
        needed = request.wanted if request.at_least is None else request.at_least
        if careful.wanted < needed:
            raise _too_small(request, needed, careful.wanted, classes)
        chosen, caps = careful.choose()
        if not careful.barred and careful.wanted == request.wanted:
            view.remember_caps(_caps_key(request), caps)
    relaxed = _relaxed(snapshot, view, request, caps, chosen)
    return Placement(tuple(chosen), relaxed, tuple(_words(request, relaxed, len(chosen))))


def replace(snapshot: Snapshot, request: PlacementRequest, chance: Chance) -> Placement:
    """As many of the wanted nodes as there are, down to none: for shards that found no place, or were lost.

    The caps count what the `holders` hold, so that a chunk does not gather in one domain over its repairs.
    """
    some = PlacementRequest(
        n=request.n,
        k=request.k,
        shard_length=request.shard_length,
        count=request.wanted,
        at_least=0,
        holders=request.holders,
        excluded=request.excluded,
        region=request.region,
        class_name=request.class_name,
    )
    return choose(snapshot, some, chance)


# --- caps ------------------------------------------------------------------------------------------------


class _Barred:
    """Nodes that may not be chosen: per kind, how many shards each domain holds, and members it has lost."""

    def __init__(self, snapshot: Snapshot, view: View, request: PlacementRequest) -> None:
        self.aliases = request.excluded.union(request.holders)
        self.members = 0
        self.held: list[dict[int, int]] = [{} for _ in KINDS]
        self.lost: list[dict[int, int]] = [{} for _ in KINDS]
        for alias in request.holders:
            _count(snapshot, alias, self.held)
        for alias in self.aliases:
            if view.has(alias):
                self.members += 1
                _count(snapshot, alias, self.lost)


def _count(snapshot: Snapshot, alias: int, counted: list[dict[int, int]]) -> None:
    for kind, counts in enumerate(counted):
        domain = snapshot.domain_of(kind, alias)
        counts[domain] = counts.get(domain, 0) + 1


def _caps_for(snapshot: Snapshot, view: View, request: PlacementRequest) -> Caps:
    """For each kind by itself, the lowest cap (the strict one if possible) under which the shards fit."""
    if not request.holders and not request.excluded:
        found = view.caps_found.get(_caps_key(request))
        if found is None:
            found = tuple(_lowest(fits, request.cap, request.wanted) for fits in view.capacity)
            view.remember_caps(_caps_key(request), found)
        return found
    barred = _Barred(snapshot, view, request)
    return tuple(
        _lowest_beside(
            view.capacity[kind],
            [
                (int(view.counts[kind][domain]), barred.held[kind].get(domain, 0), lost.get(domain, 0))
                for domain in barred.held[kind] | lost
                if domain != NONE
            ],
            lost.get(NONE, 0),
            request,
        )
        for kind, lost in enumerate(barred.lost)
    )


def _caps_key(request: PlacementRequest) -> tuple[int, int, int]:
    return request.cap, request.wanted, request.shard_length


def _lowest(fits: Sequence[int], strict: int, wanted: int) -> int:
    return next((cap for cap in range(strict, CAP_MAX) if fits[cap] >= wanted), CAP_MAX)


def _lowest_beside(
    fits: Sequence[int], touched: Sequence[tuple[int, int, int]], lost_alone: int, request: PlacementRequest
) -> int:
    """As `_lowest`, where `touched` domains have (members, shards held already, members barred)."""
    for cap in range(request.cap, CAP_MAX):
        room = fits[cap] - lost_alone
        for members, held, lost in touched:
            room += min(members - lost, max(0, cap - held)) - min(members, cap)
        if room >= request.wanted:
            return cap
    return CAP_MAX


# --- the quick way ---------------------------------------------------------------------------------------


class _Draw:
    """Nodes taken one after another as drawn, those that the rules forbid left out."""

    def __init__(self, snapshot: Snapshot, request: PlacementRequest, caps: Caps) -> None:
        self.chosen: list[int] = []
        self._wanted = request.wanted
        self._caps = caps
        self._seen = set(request.holders) | request.excluded
        # Those in no domain are counted too, from so far below that they never reach a cap.
        self._counted: list[dict[int, int]] = [{NONE: -CAP_MAX} for _ in KINDS]
        for alias in request.holders:
            _count(snapshot, alias, self._counted)

    def full(self, kind: int) -> list[int]:
        """The domains of a kind that can take no more."""
        return [domain for domain, count in self._counted[kind].items() if count >= self._caps[kind]]

    def take(self, drawn: Iterable[tuple[int, int, int, int]]) -> bool:
        """Takes from (alias, provider, subnet, zone) until there are enough; whether there are."""
        providers, subnets, zones = self._counted
        cap_provider, cap_subnet, cap_zone = self._caps
        for alias, provider, subnet, zone in drawn:
            if (
                alias in self._seen
                or providers.get(provider, 0) >= cap_provider
                or subnets.get(subnet, 0) >= cap_subnet
                or zones.get(zone, 0) >= cap_zone
            ):
                continue
            self._seen.add(alias)
            self.chosen.append(alias)
            providers[provider] = providers.get(provider, 0) + 1
            subnets[subnet] = subnets.get(subnet, 0) + 1
            zones[zone] = zones.get(zone, 0) + 1
            if len(self.chosen) == self._wanted:
                return True
        return False


def _draw(
    snapshot: Snapshot, view: View, request: PlacementRequest, caps: Caps, chance: Chance
) -> list[int] | None:
    """Nodes drawn by weight, the forbidden ones thrown away; None if too many were."""
    wanted = request.wanted
    if not wanted:
        return []
    if len(view) < wanted:
        return None
    draw = _Draw(snapshot, request, caps)
    for batch in BATCHES:
        drawn = _drawn(view, batch * (2 * wanted + 8), chance)
        domains = [column[drawn] for column in snapshot.domains]
        allowed = snapshot.free[drawn] >= request.shard_length
        if batch > 1:
            # Much is being thrown away: let whole domains that are full go before the slow loop sees them.
            for kind, column in enumerate(domains):
                allowed &= ~np.isin(column, draw.full(kind))
        rows = zip(*(column[allowed].tolist() for column in (drawn, *domains)), strict=True)
        if draw.take(rows):
            return draw.chosen
    return None


def _drawn(view: View, count: int, chance: Chance) -> Ints:
    """`count` members drawn by weight, with repeats."""
    units = (np.frombuffer(chance.bytes(8 * count), "<u8") >> np.uint64(11)).astype(np.float64)
    places = np.searchsorted(view.cumulative, units * (_MANTISSA * view.total), side="right")
    drawn: Ints = view.members[np.minimum(places, len(view) - 1)]
    return drawn


# --- the careful way -------------------------------------------------------------------------------------


class _Careful:
    """Decides with the whole fleet before it: exact counts of what has room, every raise of a cap tried.

    The nodes are put in an order and taken greedily. Orders are tried in turn: two random ones by weight
    (exponential keys divided by weight give the same draw as picking one after another by weight), then the
    scarcest domains first, then the heaviest nodes first. If no order fits all shards under the caps, the
    caps are raised by one, zones first, providers last, and all orders are tried again.
    """

    def __init__(self, snapshot: Snapshot, view: View, request: PlacementRequest, chance: Chance) -> None:
        self.barred = request.excluded.union(request.holders)
        fits = view.members[snapshot.free[view.members] >= request.shard_length]
        self.nodes: Ints = fits[~np.isin(fits, list(self.barred))] if self.barred else fits
        self.wanted = min(request.wanted, len(self.nodes))
        self._domains = tuple(domains[self.nodes] for domains in snapshot.domains)
        self._weights = snapshot.weight[self.nodes]
        self._random = np.random.Generator(np.random.PCG64(int.from_bytes(chance.bytes(16), "big")))
        self._held: list[dict[int, int]] = [{} for _ in KINDS]
        for alias in request.holders:
            _count(snapshot, alias, self._held)
        self._counts = tuple(
            domain_counts(domains, len(names))
            for domains, names in zip(self._domains, snapshot.names, strict=True)
        )
        self._lowest = tuple(self._lowest_cap(kind, request.cap) for kind in range(len(KINDS)))

    def choose(self) -> tuple[list[int], Caps]:
        """All wanted nodes, and the caps under which they fitted."""
        for caps in self._raised():
            for keys in self._orders():
                chosen = self._take(keys, caps)
                if len(chosen) == self.wanted:
                    return [int(self.nodes[place]) for place in chosen], caps
        raise AssertionError("with caps that forbid nothing, every order takes all wanted nodes")

    def _lowest_cap(self, kind: int, strict: int) -> int:
        held = self._held[kind]
        touched = {domain: count for domain, count in held.items() if domain != NONE}
        counts = self._counts[kind]
        fits = capacity(counts, len(self.nodes))
        for cap in range(strict, CAP_MAX):
            room = fits[cap]
            for domain, count in touched.items():
                members = int(counts[domain])
                room += min(members, max(0, cap - count)) - min(members, cap)
            if room >= self.wanted:
                return cap
        return CAP_MAX

    def _raised(self) -> Iterator[Caps]:
        caps = list(self._lowest)
        yield tuple(caps)
        while min(caps) < CAP_MAX:
            for kind in reversed(range(len(KINDS))):
                if caps[kind] < CAP_MAX:
                    caps[kind] += 1
                    yield tuple(caps)

    def _orders(self) -> Iterator[Floats]:
        for _ in range(2):
            yield self._random.standard_exponential(len(self.nodes)) / self._weights
        scarce = np.zeros(len(self.nodes))
        for domains, counts in zip(self._domains, self._counts, strict=True):
            if len(counts):
                scarce += np.where(domains == NONE, 0, counts[domains])
        yield scarce
        yield -self._weights

    def _take(self, keys: Floats, caps: Caps) -> list[int]:
        """Places of the nodes taken greedily, smallest key first, as far as the caps allow."""
        keys = keys.copy()
        counted = [dict(held) for held in self._held]
        for kind, counts in enumerate(counted):
            for domain, count in counts.items():
                if domain != NONE and count >= caps[kind]:
                    keys[self._domains[kind] == domain] = np.inf
        taken: list[int] = []
        while len(taken) < self.wanted:
            place = int(keys.argmin())
            if keys[place] == np.inf:
                break
            keys[place] = np.inf
            taken.append(place)
            for kind, counts in enumerate(counted):
                domain = int(self._domains[kind][place])
                if domain == NONE:
                    continue
                counts[domain] = counts.get(domain, 0) + 1
                if counts[domain] >= caps[kind]:
                    keys[self._domains[kind] == domain] = np.inf
        return taken


# --- saying it -------------------------------------------------------------------------------------------


def _relaxed(
    snapshot: Snapshot, view: View, request: PlacementRequest, caps: Caps, chosen: Sequence[int]
) -> tuple[Relaxed, ...]:
    """The kinds of which one domain really holds more than it should."""
    found = []
    for kind, cap in enumerate(caps):
        if cap <= request.cap:
            continue
        domains = [snapshot.domain_of(kind, alias) for alias in (*request.holders, *chosen)]
        worst = max((domains.count(domain) for domain in set(domains) - {NONE}), default=0)
        if worst <= request.cap:
            continue
        name = snapshot.names[kind][view.alone[kind]] if view.alone[kind] != NONE else ""
        found.append(Relaxed(KINDS[kind], request.cap, worst, view.filled[kind], name))
    return tuple(found)


def _words(request: PlacementRequest, relaxed: Sequence[Relaxed], placed: int) -> Iterator[str]:
    alone = [f"{known.kind} {known.name}" for known in relaxed if known.name]
    if alone:
        yield f"All nodes with room are in {' and '.join(alone)}: one failure there can take every shard."
    for known in relaxed:
        if known.name:
            continue
        words = (
            f"One {known.kind} holds {known.raised_to} of the {request.n} shards of a chunk, where "
            f"{known.cap} is the rule: the nodes with room are in {known.domains} {known.kind}s only"
        )
        fatal = known.raised_to > request.n - request.k
        yield words + ("; losing one of them can lose data." if fatal else ".")
    if placed < request.wanted and request.at_least:
        yield f"Only {placed} of {request.wanted} shards have a node; the others wait for repair."


def _too_small(
    request: PlacementRequest, needed: int, usable: int, classes: Iterable[StorageClass]
) -> Refusal:
    fitting = sorted(
        (known for known in classes if known.redundancy.n <= usable),
        key=lambda known: (-known.redundancy.n, known.class_name),
    )
    works = ", ".join(known.class_name for known in fitting)
    name = f"The storage class '{request.class_name}'" if request.class_name else "This redundancy"
    where = f" in the region '{request.region}'" if request.region else ""
    return Refusal(
        "fleet.too_small",
        f"{name} needs {needed} nodes with room{where}; {usable} are usable now: {needed - usable} missing.",
        advice=(f"Classes that would work: {works}; or add nodes." if works else "Add nodes."),
        missing=needed - usable,
        usable=usable,
        needed=needed,
        works=works,
    )
