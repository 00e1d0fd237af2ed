"""Places in a fleet that changes while they are chosen."""

from __future__ import annotations

import pytest
from tests.files.cloud import REDUNDANCY, SESSION, Cloud

from holdfast.files.places import ShardWish
from holdfast.nodes.fleet import SMALL_FLEET
from holdfast.nodes.states import State
from holdfast.protocol.nouns import RedundancyInfo
from holdfast.world.errors import Refusal

K_OF_N = RedundancyInfo(k=REDUNDANCY.k, n=REDUNDANCY.n, repair_at=REDUNDANCY.repair_at)
NODES = SMALL_FLEET + 1
"""The snapshot of a larger fleet is seconds old at times."""


def fill(cloud: Cloud, *, free: int = 1 << 40) -> None:
    """A fleet in memory that no database knows."""
    row = next(iter(cloud.rows.values()))
    for alias in range(1, NODES + 1):
        name = f"node-{alias}"
        cloud.rows[alias] = row._replace(
            alias=alias, node_id=alias.to_bytes(32, "big"), node_name=name, provider=name, zone=name,
            addresses=(f"tls://{name}:7000",), free=free, allocated=free,
        )  # fmt: skip
    cloud.fleet.note(cloud.rows.values())


async def test_a_node_that_leaves_between_the_choice_and_the_grant_is_left_out(cloud: Cloud) -> None:
    fill(cloud)
    cloud.clock.forward(5)
    cloud.beat()
    places = cloud.places
    wish = ShardWish("alice", SESSION.public, b"c" * 16, 64)
    targets, _ = places.targets("test", K_OF_N, wish)
    assert len(targets) == REDUNDANCY.n
    # All but two leave, and the snapshot does not know it yet.
    stay = {target.node.node_id for target in targets[:2]}
    leavers = [alias for alias, row in cloud.rows.items() if row.node_id not in stay]
    cloud.beat(state=State.EXITED, of=leavers)
    assert len(cloud.fleet.snapshot().view(64)) == NODES
    for _ in range(50):
        again, _ = places.targets("test", K_OF_N, wish)
        assert {target.node.node_id for target in again} <= stay
        replaced = places.replacements(
            "test", K_OF_N, wish, indexes=[1, 3], holding=[targets[0].node.node_id]
        )
        assert {target.node.node_id for target in replaced} <= stay
        assert {target.index for target in replaced} <= {1, 3}


async def test_no_claim_of_space_makes_the_fleet_seem_full(cloud: Cloud) -> None:
    fill(cloud, free=1 << 53)
    cloud.clock.forward(5)
    cloud.beat()
    await cloud.begin(size=10**11)
    fill(cloud, free=1 << 20)
    cloud.clock.forward(5)
    cloud.beat()
    with pytest.raises(Refusal) as caught:
        await cloud.begin(size=10**11)
    assert caught.value.code == "node.full"
