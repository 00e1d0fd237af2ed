"""Fleets for tests: snapshots written down node by node, and nodes that sign for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from holdfast.nodes.columns import Names
from holdfast.nodes.snapshot import Snapshot
from holdfast.protocol.fleet import NodeFacts, Register, Signed, SignedWelcome, Welcome
from holdfast.protocol.heartbeats import HEARTBEAT_DOMAIN, REGISTER_DOMAIN, seal_signed
from holdfast.protocol.signing import SigningKey
from holdfast.world.clock import Clock


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Node(NamedTuple):
    """A node of a snapshot; its alias is its place in the list, from 1."""

    provider: str = "p"
    subnet: str = ""
    zone: str = ""
    free: int = 1 << 30
    weight: float = 1.0
    region: str = ""


def snapshot_of(nodes: Sequence[Node]) -> Snapshot:
    providers, subnets, zones, regions = Names(), Names(), Names(), Names()
    nobody = Node(provider="", free=0, weight=0.0)
    rows = [nobody, *nodes]

    def column(names: Names, words: Sequence[str]) -> np.ndarray:
        return np.array([names.number(word) for word in words], np.int32)

    return Snapshot(
        taken=0,
        free=np.array([row.free for row in rows], np.int64),
        weight=np.array([row.weight for row in rows], np.float64),
        domains=(
            column(providers, [row.provider for row in rows]),
            column(subnets, [row.subnet for row in rows]),
            column(zones, [row.zone for row in rows]),
        ),
        names=(providers.words, subnets.words, zones.words),
        region=column(regions, [row.region for row in rows]),
        region_names=regions.words,
    )


def believed(answer: SignedWelcome) -> Welcome:
    """What an answer says, believed."""
    return msgspec.msgpack.decode(answer.payload, type=Welcome)


class Machine:
    """A node's side of the talk with the coordinator."""

    def __init__(self, number: int, clock: Clock, **facts: object) -> None:
        self.key = SigningKey(number.to_bytes(32, "big"))
        self.node_id = self.key.public
        self._clock = clock
        self._sequence = 0
        self.facts: dict[str, object] = {
            "version": "0.1.0",
            "addresses": [f"tcp://127.0.0.1:{10_000 + number}"],
            "allocated": 1 << 40,
            "used": 0,
            "free": 1 << 40,
            "shard_count": 0,
            "node_name": f"machine-{number}",
            **facts,
        }

    def tell(self, **facts: object) -> NodeFacts:
        self._sequence += 1
        told = {"node_id": self.node_id, "time": self._clock.now(), "sequence": self._sequence}
        return NodeFacts(**{**told, **self.facts, **facts})

    def registration(self, token: str, **facts: object) -> Signed:
        return seal_signed(self.key, REGISTER_DOMAIN, Register(token=token, facts=self.tell(**facts)))

    def heartbeat(self, **facts: object) -> Signed:
        return seal_signed(self.key, HEARTBEAT_DOMAIN, self.tell(**facts))
