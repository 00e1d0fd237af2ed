"""What every read and write of the gateway works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.chunks.keys import TenantKey
from holdfast.chunks.seal import Opener, Sealer
from holdfast.client.gear import Gear
from holdfast.client.memory import Memory
from holdfast.client.peers import Peers
from holdfast.files.operations import Handler
from holdfast.files.places import Places
from holdfast.files.smalls import Smalls
from holdfast.files.streams import Streams
from holdfast.gateway.keyring import Keyring
from holdfast.gateway.memory import Budget
from holdfast.protocol.control import Control, Operation
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.offload import Offload


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """One per process, shared by all requests. `sealer` compresses, `plain_sealer` does not."""

    handlers: Mapping[type[Operation], Handler]
    streams: Streams
    smalls: Smalls
    places: Places
    keyring: Keyring
    peers: Peers
    session_public: bytes
    budget: Budget
    sealer: Sealer
    plain_sealer: Sealer
    opener: Opener
    clock: Clock
    chance: Chance
    offload: Offload

    def gear(
        self, control: Control, key: TenantKey, memory: Memory, *, window: int, compress: bool = True
    ) -> Gear:
        """What the SDK's transfers are handed."""
        return Gear(
            control=control,
            peers=self.peers,
            clock=self.clock,
            chance=self.chance,
            offload=self.offload,
            reading=self.offload,
            memory=memory,
            sealer=self.sealer if compress else self.plain_sealer,
            opener=self.opener,
            key=key,
            session_public=self.session_public,
            window=window,
        )
