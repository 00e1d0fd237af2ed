"""What every transfer of a session works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.chunks.keys import TenantKey
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Opener, Sealer
from holdfast.client.memory import Memory
from holdfast.client.patience import Hedge, Tail
from holdfast.client.peers import Peers
from holdfast.protocol.control import Control
from holdfast.protocol.nouns import RedundancyInfo
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.offload import Offload


@dataclass(frozen=True, slots=True, kw_only=True)
class Gear:
    """Handed from the session to its transfers; they add nothing to it."""

    control: Control
    peers: Peers
    clock: Clock
    chance: Chance
    offload: Offload
    """For work that keeps a processor busy."""
    reading: Offload
    """For reads and writes that may block for long."""
    memory: Memory
    sealer: Sealer
    opener: Opener
    key: TenantKey
    session_public: bytes
    """The public key that grants are bound to."""
    tail: Tail = field(default_factory=Tail)
    hedge: Hedge = field(default_factory=Hedge)
    window: int = 8
    """Chunks of one transfer under way at a time, if memory allows."""


def redundancy_of(info: RedundancyInfo) -> Redundancy:
    """The rule that the coordinator named; raises Refusal("config.invalid") for an impossible one."""
    return Redundancy(k=info.k, n=info.n, repair_at=info.repair_at)
