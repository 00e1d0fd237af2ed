"""A request whose answer was lost is asked again as it was, token and all."""

from __future__ import annotations

from typing import Any

import pytest
from tests.client.party import KEY

from holdfast.client.session import AsyncSession
from holdfast.protocol import control as c
from holdfast.protocol.nouns import BucketInfo, VersionInfo
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.simulated.world import World, simulate

INFO = BucketInfo(bucket="b", created=1, storage_class="test")
VERSION = VersionInfo(
    bucket="b", key="k", version_id="v", size=0, created=1, storage_class="test", checksum="", chunk_count=0
)
REPLIES = {"bucket-make": INFO, "bucket-remove": c.Done(), "object-remove": VERSION}


class Forgetful:
    """A coordinator whose first answers get lost."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.asked: list[Any] = []

    async def call(self, request: c.Operation) -> Any:
        self.asked.append(request)
        if len(self.asked) <= self.lost:
            raise Trouble("endpoint.unreachable", "It hung up.")
        if isinstance(request, c.BucketList):
            return c.Buckets(buckets=[])
        return REPLIES[request.name]

    async def close(self) -> None:
        pass


def session(world: World, control: Forgetful) -> AsyncSession:
    machine = world.machine("client")
    return AsyncSession(
        control, network=machine.network, clock=machine.clock, chance=machine.chance,
        offload=machine.offload(), key=KEY,
    )  # fmt: skip


def test_what_must_not_be_done_twice_is_asked_again_with_the_same_token() -> None:
    async def story(world: World) -> None:
        tokens = set()
        for work in (
            lambda one: one.make_bucket("b"),
            lambda one: one.remove_bucket("b"),
            lambda one: one.remove("b", "k"),
        ):
            control = Forgetful(0)
            one = session(world, control)
            await one.buckets()
            control.asked.clear()
            control.lost = 3
            await work(one)
            first, *again = control.asked
            assert again == [first] * 3
            assert len(first.token) == c.TOKEN_BYTES
            tokens.add(first.token)
            await work(one)
            assert control.asked[-1].token not in tokens
        assert len(tokens) == 3

    simulate(story, 1)


def test_a_refusal_is_told_at_once() -> None:
    class Refusing(Forgetful):
        async def call(self, request: c.Operation) -> Any:
            self.asked.append(request)
            raise Refusal("bucket.exists", "It is there.")

    async def story(world: World) -> None:
        control = Refusing(0)
        with pytest.raises(Refusal):
            await session(world, control).make_bucket("b")
        assert len(control.asked) == 1

    simulate(story, 1)
