"""What a node says to the coordinator, and what that answers: both are signed, whatever carries them.

A node registers once with a token, then sends heartbeats. Byte by byte: docs/formats/fleet.md.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from holdfast.protocol.nouns import Struct
from holdfast.world.errors import Refusal
from holdfast.world.untrusted import UNREADABLE

FLEET_VERSION = 1
HEARTBEAT_SECONDS = 30


class Signed(Struct, frozen=True, kw_only=True):
    """A MessagePack payload with the node's signature over a domain tag and the payload."""

    node_id: bytes
    payload: bytes
    signature: bytes


class NodeFacts(Struct, frozen=True, kw_only=True):
    """What a node tells of itself. Bytes; `sequence` only grows, so that a replayed heartbeat is refused."""

    node_id: bytes
    time: int
    sequence: int
    version: str
    addresses: list[str]
    allocated: int
    used: int
    free: int
    """What it can still take: the least of allocation left and disk left above the reserve."""
    shard_count: int
    zone: str = ""
    node_name: str = ""
    deletions_done: int = 0
    """Sequence of the last deletion carried out durably."""
    lost: list[bytes] = msgspec.field(default_factory=list)
    """Shard ids the node found missing or damaged itself, at most 1,000 a heartbeat."""
    stopping: bool = False
    """It is about to stop in an orderly way: nothing is to be placed on it until its next heartbeat."""


class Register(Struct, frozen=True, kw_only=True):
    """The payload of a registration: the facts and the one-time token."""

    token: str
    facts: NodeFacts

    def __repr__(self) -> str:
        return f"Register(facts={self.facts!r})"


class Deletion(Struct, frozen=True, kw_only=True):
    """One entry of a node's journal of deletions; sequences grow by one."""

    sequence: int
    shard_ids: list[bytes]


class Welcome(Struct, frozen=True, kw_only=True):
    """The answer to registration and to every heartbeat: whom and what it answers, and what is to be done."""

    time: int
    issuer_keys: list[bytes]
    """Ed25519 public keys whose grants, and whose welcomes, the node believes from now on."""
    heartbeat_seconds: int
    node_id: bytes
    sequence: int
    """Of the message that this answers: an old welcome is worth nothing."""
    version: int = FLEET_VERSION
    deletions: list[Deletion] = msgspec.field(default_factory=list)
    notices: list[str] = msgspec.field(default_factory=list)
    """Things its owner should know (clock off, version old), in words."""


class SignedWelcome(Struct, frozen=True, kw_only=True):
    """A Welcome in MessagePack with an issuer's signature over a domain tag and the payload.

    What it says decides which grants a node accepts and what it deletes, so it is believed only from an
    issuer that the node believed before; the first is named by the invitation. See `heartbeats.open_welcome`.
    """

    issuer: bytes
    """The public key."""
    payload: bytes
    signature: bytes


class Coordinator(Protocol):
    """The node's seam to the coordinator: HTTP in production, a plain call in simulation."""

    async def register(self, signed: Signed) -> SignedWelcome:
        """Raises Refusal("invitation.invalid" | "signature.invalid" | "clock.skewed")."""
        ...

    async def heartbeat(self, signed: Signed) -> SignedWelcome:
        """Raises Refusal("node.unknown" | "signature.invalid" | "clock.skewed")."""
        ...

    async def close(self) -> None:
        """Gives connections back."""
        ...


def decode_as(payload: bytes, kind: Any) -> Any:
    """The struct in `payload`; raises Refusal("request.invalid")."""
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except UNREADABLE as error:
        raise Refusal("request.invalid", f"The request does not follow the protocol: {error}.") from error
