"""Places for shards, with the grants to use them: what the rooms above ask of the fleet, in one object.

Everything is answered from memory and may be asked from any thread. An `account` is the id of the tenant that
pays; a `session_key` the 32-byte public key that the caller proves to the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from holdfast.nodes.classes import Classes
from holdfast.nodes.fleet import Fleet, Member
from holdfast.nodes.grants import Issuer
from holdfast.nodes.placement import PlacementRequest, choose, replace
from holdfast.protocol.grants import Action
from holdfast.protocol.nouns import ClassInfo, NodeAddress, RedundancyInfo, Source, Target
from holdfast.world.chance import Chance
from holdfast.world.errors import Refusal


class Addressed(Protocol):
    """Whatever knows a node's address."""

    @property
    def address(self) -> NodeAddress:
        """Where it answers."""
        ...


class Assignments:
    """Assigns nodes of one fleet."""

    def __init__(self, fleet: Fleet, classes: Classes, issuer: Issuer, chance: Chance) -> None:
        self._fleet = fleet
        self._classes = classes
        self._issuer = issuer
        self._chance = chance

    def storage_class(self, name: str | None) -> ClassInfo:
        """The class of this name, or the default one; raises Refusal("class.unknown")."""
        return self._fleet.class_info(self._classes.get(name))

    def classes(self) -> list[ClassInfo]:
        """All classes, and whether the fleet has nodes enough for each now."""
        return [self._fleet.class_info(known) for known in self._classes]

    def outlook(self, storage_class: ClassInfo, size: int | None) -> list[str]:
        """What to expect of an upload of so many bytes: warnings about rules that cannot be kept.

        Raises Refusal("fleet.too_small" | "node.full") for what cannot succeed now.
        """
        redundancy = storage_class.redundancy
        shard_length = max(1, storage_class.chunk_size // redundancy.k)
        request = _request(storage_class.class_name, redundancy, shard_length)
        placement = choose(self._fleet.snapshot(), request, self._chance, self._classes)
        free = self._fleet.snapshot().view(shard_length).free
        needed = (size or 0) * redundancy.n // redundancy.k
        if needed > free:
            raise Refusal(
                "node.full",
                f"The nodes have {free} bytes free in all; the object would take {needed} bytes.",
                advice="Add nodes, or give them more space.",
                free=free,
                needed=needed,
            )
        return list(placement.warnings)

    def targets(
        self,
        storage_class: str,
        redundancy: RedundancyInfo,
        *,
        account: str,
        session_key: bytes,
        chunk_id: bytes,
        shard_length: int,
    ) -> tuple[list[Target], list[str]]:
        """All n places on distinct nodes, with grants, and warnings; raises Refusal("fleet.too_small")."""
        request = _request(storage_class, redundancy, shard_length)
        placement = choose(self._fleet.snapshot(), request, self._chance, self._classes)
        targets = [
            self._target(
                index,
                alias,
                account=account,
                session_key=session_key,
                chunk_id=chunk_id,
                shard_length=shard_length,
            )
            for index, alias in enumerate(placement.aliases)
        ]
        return targets, list(placement.warnings)

    def replacements(
        self,
        storage_class: str,
        redundancy: RedundancyInfo,
        *,
        account: str,
        session_key: bytes,
        chunk_id: bytes,
        shard_length: int,
        indexes: Sequence[int],
        holding: Sequence[bytes],
        excluded: Sequence[bytes] = (),
    ) -> list[Target]:
        """Places for some shards on nodes neither holding one nor excluded; as many as there are.

        The rules count what the holding nodes have of the chunk already.
        """
        request = _request(
            storage_class,
            redundancy,
            shard_length,
            count=len(indexes),
            holders=self._aliases(holding),
            excluded=frozenset(self._aliases(excluded)),
        )
        placement = replace(self._fleet.snapshot(), request, self._chance)
        return [
            self._target(
                index,
                alias,
                account=account,
                session_key=session_key,
                chunk_id=chunk_id,
                shard_length=shard_length,
            )
            for index, alias in zip(indexes, placement.aliases, strict=False)
        ]

    def source(
        self, holder: Addressed, *, account: str, session_key: bytes, chunk_id: bytes, index: int, length: int
    ) -> Source:
        """Where and with which grant a shard can be read."""
        grant = self._issuer.grant(
            Action.GET,
            node_id=holder.address.node_id,
            session_key=session_key,
            chunk_id=chunk_id,
            index=index,
            max_bytes=length,
            account=account,
        )
        return Source(index=index, node=holder.address, grant=grant)

    def member(self, alias: int) -> Member | None:
        """The node of this alias; None if it left the fleet."""
        return self._fleet.member(alias)

    def alias_of(self, node_id: bytes) -> int | None:
        """The alias of a node that belongs to the fleet."""
        return self._fleet.alias_of(node_id)

    def _aliases(self, node_ids: Sequence[bytes]) -> tuple[int, ...]:
        found = (self._fleet.alias_of(node_id) for node_id in dict.fromkeys(node_ids))
        return tuple(alias for alias in found if alias is not None)

    def _target(
        self, index: int, alias: int, *, account: str, session_key: bytes, chunk_id: bytes, shard_length: int
    ) -> Target:
        address = self._fleet.address(alias)
        grant = self._issuer.grant(
            Action.PUT,
            node_id=address.node_id,
            session_key=session_key,
            chunk_id=chunk_id,
            index=index,
            max_bytes=shard_length,
            account=account,
        )
        return Target(index=index, node=address, grant=grant)


def _request(
    storage_class: str,
    redundancy: RedundancyInfo,
    shard_length: int,
    *,
    count: int | None = None,
    holders: tuple[int, ...] = (),
    excluded: frozenset[int] = frozenset(),
) -> PlacementRequest:
    return PlacementRequest(
        n=redundancy.n,
        k=redundancy.k,
        shard_length=shard_length,
        count=count,
        holders=holders,
        excluded=excluded,
        class_name=storage_class,
    )
