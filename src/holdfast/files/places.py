"""What this room asks of the fleet: classes, places for new shards, and who holds the old ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from holdfast.protocol.nouns import ClassInfo, NodeAddress, RedundancyInfo, Source, Target


class Holder(NamedTuple):
    """A node as far as stored shards are concerned."""

    alias: int
    node_id: bytes
    node_name: str
    online: bool
    last_seen: int
    """Microseconds since the epoch."""
    address: NodeAddress


class Places(Protocol):
    """The fleet as seen from stored objects; it answers from a snapshot in memory, so nothing waits."""

    def storage_class(self, name: str | None) -> ClassInfo:
        """The class of this name, or the default one; raises Refusal("class.unknown")."""
        ...

    def outlook(self, storage_class: ClassInfo, size: int | None) -> list[str]:
        """Warnings about rules that cannot be kept; raises Refusal("fleet.too_small" | "node.full")."""
        ...

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
        ...

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
        ...

    def source(
        self, holder: Holder, *, account: str, session_key: bytes, chunk_id: bytes, index: int, length: int
    ) -> Source:
        """Where and with which grant a shard can be read."""
        ...

    def holder(self, alias: int) -> Holder | None:
        """The node of this alias; None if it left the fleet."""
        ...

    def alias_of(self, node_id: bytes) -> int | None:
        """The alias of a node that belongs to the fleet."""
        ...
