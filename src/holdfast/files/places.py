"""What this room asks of the fleet: classes, places for new shards, and who holds the old ones.

`Places` is the seam; `FleetPlaces` answers from the fleet's snapshot in memory, so nothing here waits. Grants
are bound to the session they are asked for, and booked to an account.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from holdfast.nodes import placement
from holdfast.nodes.classes import Classes
from holdfast.nodes.fleet import Fleet, Member
from holdfast.nodes.grants import Issuer
from holdfast.nodes.placement import PlacementRequest
from holdfast.nodes.states import State
from holdfast.protocol.grants import Action
from holdfast.protocol.nouns import ClassInfo, NodeAddress, RedundancyInfo, Source, Target
from holdfast.world.chance import Chance
from holdfast.world.errors import Refusal


class Holder(NamedTuple):
    """A node as far as stored shards are concerned."""

    alias: int
    node_id: bytes
    node_name: str
    online: bool
    last_seen: int
    """Microseconds since the epoch."""
    leaving: bool
    """On its way out in good order: what it holds should be copied away, and can be read meanwhile."""
    given_up: bool
    """Silent for so long that what it holds counts as lost."""
    address: NodeAddress


class ShardWish(NamedTuple):
    """For whom, in which session and for which chunk shards are to be placed or read."""

    account: str
    session_key: bytes
    chunk_id: bytes
    shard_length: int


class Places(Protocol):
    """The fleet as seen from stored objects."""

    def storage_class(self, name: str | None) -> ClassInfo:
        """The class of this name, or the default one; raises Refusal("class.unknown")."""
        ...

    def outlook(self, storage_class: ClassInfo, size: int | None) -> list[str]:
        """Warnings about rules that cannot be kept; raises Refusal("fleet.too_small" | "node.full")."""
        ...

    def targets(
        self, storage_class: str, redundancy: RedundancyInfo, wish: ShardWish
    ) -> tuple[list[Target], list[str]]:
        """Places on distinct nodes, with grants, and warnings; raises Refusal("fleet.too_small").

        All n of them, but for those of nodes that left this moment.
        """
        ...

    def replacements(
        self,
        storage_class: str,
        redundancy: RedundancyInfo,
        wish: ShardWish,
        *,
        indexes: Sequence[int],
        holding: Sequence[bytes],
        excluded: Sequence[bytes] = (),
    ) -> list[Target]:
        """Places for some shards on nodes neither holding one nor excluded; as many as there are.

        The rules count what the holding nodes have of the chunk already.
        """
        ...

    def source(self, holder: Holder, wish: ShardWish, index: int) -> Source:
        """Where and with which grant a shard can be read."""
        ...

    def holder(self, alias: int) -> Holder | None:
        """The node of this alias; None if it left the fleet."""
        ...

    def alias_of(self, node_id: bytes) -> int | None:
        """The alias of a node that belongs to the fleet."""
        ...


class FleetPlaces:
    """Places in the fleet of this coordinator."""

    def __init__(self, *, fleet: Fleet, classes: Classes, issuer: Issuer, chance: Chance) -> None:
        self._fleet = fleet
        self._classes = classes
        self._issuer = issuer
        self._chance = chance

    def storage_class(self, name: str | None) -> ClassInfo:
        return self._fleet.class_info(self._classes.get(name))

    def outlook(self, storage_class: ClassInfo, size: int | None) -> list[str]:
        redundancy = storage_class.redundancy
        shard_length = max(1, storage_class.chunk_size // redundancy.k)
        if size is not None:
            shard_length = max(1, min(shard_length, size // redundancy.k))
        request = self._request(storage_class.class_name, redundancy, shard_length)
        warnings = self._choose(request).warnings
        if size is not None:
            self._check_room(size * redundancy.n // redundancy.k)
        return list(warnings)

    def targets(
        self, storage_class: str, redundancy: RedundancyInfo, wish: ShardWish
    ) -> tuple[list[Target], list[str]]:
        chosen = self._choose(self._request(storage_class, redundancy, wish.shard_length))
        return self._granted(wish, list(enumerate(chosen.aliases))), list(chosen.warnings)

    def replacements(
        self,
        storage_class: str,
        redundancy: RedundancyInfo,
        wish: ShardWish,
        *,
        indexes: Sequence[int],
        holding: Sequence[bytes],
        excluded: Sequence[bytes] = (),
    ) -> list[Target]:
        if not indexes:
            return []
        request = PlacementRequest(
            n=redundancy.n,
            k=redundancy.k,
            shard_length=wish.shard_length,
            count=len(indexes),
            holders=self._aliases(holding),
            excluded=frozenset(self._aliases(excluded)),
            class_name=storage_class,
        )
        chosen = placement.replace(self._fleet.snapshot(), request, self._chance)
        return self._granted(wish, list(zip(indexes, chosen.aliases, strict=False)))

    def source(self, holder: Holder, wish: ShardWish, index: int) -> Source:
        grant = self._grant(Action.GET, holder.node_id, wish, index)
        return Source(index=index, node=holder.address, grant=grant)

    def holder(self, alias: int) -> Holder | None:
        member = self._fleet.member(alias)
        if member is None:
            return None
        return Holder(
            alias=alias,
            node_id=member.node_id,
            node_name=member.node_name,
            online=member.online,
            last_seen=member.last_heartbeat,
            leaving=member.state is State.DRAINING,
            given_up=member.state is State.LOST and not member.online,
            address=_address(member),
        )

    def alias_of(self, node_id: bytes) -> int | None:
        return self._fleet.alias_of(node_id)

    def _request(self, storage_class: str, redundancy: RedundancyInfo, shard_length: int) -> PlacementRequest:
        return PlacementRequest(
            n=redundancy.n, k=redundancy.k, shard_length=shard_length, class_name=storage_class
        )

    def _choose(self, request: PlacementRequest) -> placement.Placement:
        return placement.choose(self._fleet.snapshot(), request, self._chance, self._classes)

    def _check_room(self, needed: int) -> None:
        snapshot = self._fleet.snapshot()
        free = int(snapshot.free[snapshot.weight > 0].sum(dtype=np.float64))
        if needed > free:
            raise Refusal(
                "node.full",
                f"The object needs {needed} bytes on the nodes; {free} are free on all of them together.",
                advice="Add nodes or allocate more space to them.",
                needed=needed,
                free=free,
            )

    def _granted(self, wish: ShardWish, places: Sequence[tuple[int, int]]) -> list[Target]:
        targets = []
        for index, alias in places:
            member = self._fleet.member(alias)
            # It may have left since the snapshot was taken: its shard has no place yet, and the client, who
            # sees that, asks for one.
            if member is not None:
                grant = self._grant(Action.PUT, member.node_id, wish, index)
                targets.append(Target(index=index, node=_address(member), grant=grant))
        return targets

    def _grant(self, action: Action, node_id: bytes, wish: ShardWish, index: int) -> bytes:
        return self._issuer.grant(
            action,
            node_id=node_id,
            session_key=wish.session_key,
            chunk_id=wish.chunk_id,
            index=index,
            max_bytes=wish.shard_length,
            account=wish.account,
        )

    def _aliases(self, node_ids: Sequence[bytes]) -> list[int]:
        found = (self._fleet.alias_of(node_id) for node_id in dict.fromkeys(node_ids))
        return [alias for alias in found if alias is not None]


def _address(member: Member) -> NodeAddress:
    return NodeAddress(node_id=member.node_id, addresses=list(member.addresses))
