"""Small objects in packs: the plans, the passes, and what happens when a pass dies anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gateway.cloud import GatewayCloud, told

from holdfast.files.records import Version
from holdfast.files.small_rows import Pack
from holdfast.files.smalls import PackUse, Waiting
from holdfast.files.tending.endings import StreamUploads
from holdfast.gateway.packs import Packs
from holdfast.gateway.writing import Writer
from holdfast.protocol.control import Operation, UploadBegin, UploadCommit, UploadTicket
from holdfast.upkeep.plans.packing import PackingRules, plan_compaction, plan_packing
from holdfast.world.clock import MICROSECONDS
from holdfast.world.simulated.chance import SimulatedChance

FULL = 1 << 20
NOW = 10**15
RULES = PackingRules()
chance = SimulatedChance("contents")


# --- the plans -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waits", "seconds", "packed"),
    [
        (FULL, 0, True),
        (FULL - 1, 0, False),
        (1, 4.9, False),
        (1, 5, True),
    ],
)
def test_a_class_is_packed_when_a_chunk_is_full_or_something_waited_long_enough(
    waits: int, seconds: float, packed: bool
) -> None:
    waiting = [Waiting("standard", waits, NOW - round(seconds * MICROSECONDS))]
    plan = plan_packing(waiting, {"standard": FULL}, RULES, NOW)
    assert [name for name, _ in plan.classes] == (["standard"] if packed else [])
    assert len(plan.lines()) == len(plan.classes)


def test_what_is_of_a_class_that_is_gone_waits_until_it_is_back() -> None:
    assert plan_packing([Waiting("gone", 9 * FULL, 0)], {"standard": FULL}, RULES, NOW).classes == ()


def use(size: int, live: int, *, stream: int = 1, storage_class: str = "standard", age: int = 61) -> PackUse:
    pack = Pack(
        stream, f"pack-{stream}", "t", storage_class, 8, 12, 10, FULL, 1, size, "", "gateway", b"", b"", b"",
        NOW - age * MICROSECONDS,
    )  # fmt: skip
    return PackUse(pack, 1 if live else 0, live)


uses = st.lists(
    st.builds(
        lambda size, part, storage_class, age: (size, int(size * part), storage_class, age),
        st.integers(1, FULL),
        st.floats(0, 1),
        st.sampled_from(["standard", "wide", "gone"]),
        st.integers(0, 200),
    ),
    max_size=12,
).map(
    lambda rows: [
        use(size, live, stream=number, storage_class=name, age=age)
        for number, (size, live, name, age) in enumerate(rows, 1)
    ]
)


@given(uses)
def test_compaction_ends_the_empty_rewrites_the_wasteful_and_leaves_the_rest(page: list[PackUse]) -> None:
    plan = plan_compaction(page, {"standard": FULL, "wide": FULL}, RULES, NOW)
    settled = [each for each in page if NOW - each.pack.created >= RULES.settled]
    assert set(plan.empty) == {each for each in settled if not each.live_bytes}
    chosen = [each for group in plan.rewritings for each in group.uses]
    assert len(chosen) == len(set(chosen))
    for group in plan.rewritings:
        assert {each.pack.storage_class for each in group.uses} == {group.storage_class}
        assert sum(each.live_bytes for each in group.uses) <= FULL
    for each in settled:
        known = each.pack.storage_class != "gone"
        wasteful = 0 < each.live_bytes * 2 < each.pack.size
        if known and wasteful:
            assert each in chosen
        elif each in chosen:
            assert each.pack.size * 4 <= FULL
    assert all(each in settled for each in chosen)
    assert len(plan.lines()) == len(plan.empty) + len(plan.rewritings)


def test_one_thin_pack_is_left_alone_and_two_become_one() -> None:
    thin = [use(100, 100), use(200, 200, stream=2)]
    assert plan_compaction(thin[:1], {"standard": FULL}, RULES, NOW).rewritings == ()
    [group] = plan_compaction(thin, {"standard": FULL}, RULES, NOW).rewritings
    assert list(group.uses) == thin


# --- the passes ------------------------------------------------------------------------------------------


async def some(cloud: GatewayCloud, count: int, prefix: str = "k") -> list[tuple[Version, bytes]]:
    made = []
    for number in range(count):
        content = chance.bytes(1 + number * 997 % 60_000)
        made.append((await cloud.put(f"{prefix}{number}", content), content))
    return made


async def check(cloud: GatewayCloud, made: list[tuple[Version, bytes]]) -> None:
    """Also of a gateway that remembers nothing."""
    cloud.gateway.reader.forget()
    for version, content in made:
        assert await cloud.get(version) == content
        assert await cloud.get(version, len(content) // 3, len(content)) == content[len(content) // 3 :]


def test_packed_objects_read_as_before_and_their_bytes_leave_the_database() -> None:
    async def story(cloud: GatewayCloud) -> int:
        made = await some(cloud, 40)
        smalls = cloud.gateway.kit.smalls
        [waiting] = await smalls.waiting()
        assert waiting.sealed_bytes == sum(len(content) + 17 for _, content in made)
        assert await cloud.packing() == 1
        assert await smalls.waiting() == []
        [one] = await smalls.uses(0, 10)
        assert (one.smalls, one.live_bytes, one.pack.size) == (40, waiting.sealed_bytes, waiting.sealed_bytes)
        rows = [await smalls.find(version.small or 0) for version, _ in made]
        assert all(kept is not None and kept.small.sealed is None and kept.pack == one.pack for kept in rows)
        await check(cloud, made)
        assert await cloud.packing() == 0
        return await cloud.shards()

    assert told(story) == 12


def test_objects_of_several_classes_share_packs_only_with_their_like() -> None:
    async def story(cloud: GatewayCloud) -> None:
        made = [
            (await cloud.put(f"{name}{n}", content := chance.bytes(500), storage_class=name), content)
            for n in range(3)
            for name in ("tiny", "small")
        ]
        await cloud.packing()
        found = await cloud.gateway.kit.smalls.uses(0, 10)
        assert sorted((each.pack.storage_class, each.smalls) for each in found) == [("small", 3), ("tiny", 3)]
        await check(cloud, made)

    told(story)


def test_deleting_gives_the_place_in_a_pack_back() -> None:
    async def story(cloud: GatewayCloud) -> int:
        made = await some(cloud, 30)
        await cloud.packing()
        for number in range(30):
            if number % 5:
                await cloud.histories.delete(cloud.bucket, f"k{number}")
        # The trash of the cluster keeps for a minute.
        await cloud.world_turns(200)
        smalls = cloud.gateway.kit.smalls
        [before] = await smalls.uses(0, 10)
        assert before.smalls == 6
        assert await cloud.compaction() == 1
        [after] = await smalls.uses(0, 10)
        assert (after.smalls, after.live_bytes) == (6, after.pack.size)
        assert after.pack.stream != before.pack.stream
        left = made[::5]
        await check(cloud, left)
        for version, _ in left:
            await cloud.histories.delete(cloud.bucket, version.name)
        await cloud.world_turns(200)
        assert await cloud.compaction() == 1
        assert await smalls.uses(0, 10) == []
        return await cloud.shards()

    assert told(story) == 0


def test_thin_packs_are_put_together() -> None:
    async def story(cloud: GatewayCloud) -> None:
        made = []
        for turn in range(3):
            made += await some(cloud, 2, f"turn-{turn}-")
            await cloud.packing()
        assert len(await cloud.gateway.kit.smalls.uses(0, 10)) == 3
        await cloud.compaction()
        [one] = await cloud.gateway.kit.smalls.uses(0, 10)
        assert one.smalls == 6
        await check(cloud, made)

    told(story)


def test_an_object_replaced_while_it_is_packed_is_the_new_one() -> None:
    async def story(cloud: GatewayCloud) -> None:
        made = await some(cloud, 10)
        await asyncio.sleep(6)
        packing = asyncio.create_task(cloud.gateway.packs.pack("small"))
        await asyncio.sleep(0.01)
        version = await cloud.put("k3", b"the new one")
        await packing
        assert await cloud.get(await cloud.histories.find(cloud.bucket, "k3")) == b"the new one"
        await check(cloud, [*made[:3], *made[4:], (version, b"the new one")])

    told(story)


def test_two_that_pack_at_once_leave_every_object_in_one_place() -> None:
    async def story(cloud: GatewayCloud) -> int:
        made = await some(cloud, 20)
        packs = cloud.gateway.packs
        await asyncio.gather(packs.pack("small"), packs.pack("small"))
        [one] = await cloud.gateway.kit.smalls.uses(0, 10)
        assert one.smalls == 20
        await check(cloud, made)
        return await cloud.shards()

    assert told(story) == 12


def test_packs_are_repaired_like_everything_else() -> None:
    async def story(cloud: GatewayCloud) -> None:
        made = await some(cloud, 10)
        await cloud.packing()
        cluster = cloud.cluster
        for node in cluster.nodes[:4]:
            await cluster.power_cut(node)
        await cloud.world_turns(600)
        await cluster.repair(2)
        for node in cluster.nodes[4:6]:
            await cluster.power_cut(node)
        await cloud.world_turns(60)
        await check(cloud, made)

    told(story)


# --- dying anywhere --------------------------------------------------------------------------------------


class Mortal:
    """Where a process stops for good: the first time that it comes to this point, and everywhere after."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.dead = asyncio.Event()

    async def reach(self, point: str) -> None:
        if point == self.point:
            self.dead.set()
        if self.dead.is_set():
            await asyncio.Event().wait()


class MortalHandlers(dict[type[Operation], Any]):
    """The files room's handlers, called by such a process."""

    def __init__(self, handlers: Mapping[type[Operation], Any], mortal: Mortal) -> None:
        super().__init__({kind: self._of(kind, handler, mortal) for kind, handler in handlers.items()})

    def _of(self, kind: type[Operation], handler: Any, mortal: Mortal) -> Any:
        async def answer(tenant: str, request: Any) -> Any:
            await mortal.reach(f"before {kind.name}")
            reply = await handler(tenant, request)
            await mortal.reach(f"after {kind.name}")
            return reply

        return answer


class MortalUploads(StreamUploads):
    """The same of the operations that only the gateway knows."""

    mortal: Mortal

    async def begin_nameless(self, tenant: str, request: UploadBegin) -> UploadTicket:
        await self.mortal.reach("before begin")
        ticket = await super().begin_nameless(tenant, request)
        await self.mortal.reach("after begin")
        return ticket

    async def commit_as(self, tenant: str, request: UploadCommit, become: Any) -> Any:
        await self.mortal.reach("before commit")
        made = await super().commit_as(tenant, request, become)
        await self.mortal.reach("after commit")
        return made


def mortal_packs(cloud: GatewayCloud, mortal: Mortal) -> Packs:
    kit = cloud.gateway.kit
    uploads = MortalUploads(**cloud.seams)
    uploads.mortal = mortal
    return Packs(
        database=cloud.cluster.database, kit=replace(kit, handlers=MortalHandlers(kit.handlers, mortal)),
        reader=cloud.gateway.reader, writer=Writer(kit), uploads=uploads, people=cloud.cluster.rooms.people,
    )  # fmt: skip


POINTS = ("before begin", "after begin", "before commit", "after commit")


@pytest.mark.parametrize("point", POINTS)
def test_a_packer_that_dies_anywhere_loses_nothing_and_the_next_one_goes_on(point: str) -> None:
    async def story(cloud: GatewayCloud) -> None:
        made = await some(cloud, 12)
        mortal = Mortal(point)
        packing = asyncio.create_task(mortal_packs(cloud, mortal).pack("small"))
        await mortal.dead.wait()
        packing.cancel()
        await check(cloud, made)
        await cloud.packing()
        [one] = await cloud.gateway.kit.smalls.uses(0, 10)
        assert one.smalls == 12
        assert await cloud.gateway.kit.smalls.waiting() == []
        await check(cloud, made)

    told(story)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_compaction_that_dies_anywhere_loses_nothing_and_the_next_one_goes_on(point: str) -> None:
    async def story(cloud: GatewayCloud) -> None:
        made = await some(cloud, 12)
        await cloud.packing()
        for number in range(9):
            await cloud.histories.delete(cloud.bucket, f"k{number}")
        await cloud.world_turns(200)
        left = made[9:]
        mortal = Mortal(point)
        uses_before = await cloud.gateway.kit.smalls.uses(0, 10)
        rewriting = asyncio.create_task(mortal_packs(cloud, mortal).rewrite("small", uses_before))
        await mortal.dead.wait()
        rewriting.cancel()
        await check(cloud, left)
        await cloud.world_turns(1000)
        await cloud.compaction()
        [one] = await cloud.gateway.kit.smalls.uses(0, 10)
        assert (one.smalls, one.live_bytes) == (3, one.pack.size)
        await check(cloud, left)

    told(story)
