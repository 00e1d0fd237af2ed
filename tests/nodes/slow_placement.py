"""The slow, obvious twin of placement: filter all nodes, sort them, take greedily, rule by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.nodes.stand_in import Node

from holdfast.nodes.placement import PlacementRequest

KINDS = ("provider", "subnet", "zone")


def fitting(nodes: Sequence[Node], request: PlacementRequest) -> list[int]:
    """The aliases that the hard rules leave."""
    return [
        alias
        for alias, node in enumerate(nodes, 1)
        if node.weight > 0
        and node.free >= request.shard_length
        and alias not in request.excluded
        and alias not in request.holders
        and request.region in {None, node.region}
    ]


def domain_loads(nodes: Sequence[Node], aliases: Sequence[int], kind: str) -> Counter[str]:
    """How many of these nodes each domain has."""
    loads = Counter(getattr(nodes[alias - 1], kind) for alias in aliases)
    del loads[""]
    return loads


def take_under(nodes: Sequence[Node], request: PlacementRequest, cap: int) -> list[int] | None:
    """As many nodes as wanted, heaviest first, with at most `cap` in any domain; None if that fails."""
    taken: list[int] = []
    for alias in sorted(fitting(nodes, request), key=lambda alias: -nodes[alias - 1].weight):
        if len(taken) == request.wanted:
            break
        held = [*request.holders, *taken]
        if all(
            getattr(nodes[alias - 1], kind) == ""
            or domain_loads(nodes, held, kind)[getattr(nodes[alias - 1], kind)] < cap
            for kind in KINDS
        ):
            taken.append(alias)
    return taken if len(taken) == request.wanted else None
