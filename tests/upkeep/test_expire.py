"""The trash: kept for its period, then freed row by row with every shard journalled."""

from __future__ import annotations

import asyncio

import pytest
from tests.files.cloud import Cloud

from holdfast.files import placed
from holdfast.files.tending.mending import Mending
from holdfast.files.tending.trash import Trash
from holdfast.protocol import control
from holdfast.protocol.messages import shard_id
from holdfast.upkeep import expire as expire_pass
from holdfast.upkeep.expire import Expire
from holdfast.upkeep.passes import Loop, dry_run, run_round
from holdfast.world.errors import Refusal, Trouble

DAY = 86400


def expire_of(cloud: Cloud) -> Expire:
    trash = Trash(database=cloud.database, journal=cloud.journal, clock=cloud.clock)
    return Expire(trash=trash, clock=cloud.clock)


async def shards(cloud: Cloud) -> dict[int, list[bytes]]:
    """(alias, shard ids) of everything that is placed."""
    mending = Mending(database=cloud.database, journal=cloud.journal, clock=cloud.clock)
    states, _ = await mending.page((0, -1), 1000)
    found: dict[int, list[bytes]] = {}
    for state in states:
        for index, alias in enumerate(state.aliases):
            if alias != placed.NOT_STORED:
                found.setdefault(alias, []).append(shard_id(state.record.chunk_id, index))
    return {alias: sorted(ids) for alias, ids in found.items()}


async def deletions(cloud: Cloud) -> dict[int, list[bytes]]:
    return {alias: sorted(ids) for alias, ids in (await cloud.deletions()).items()}


async def test_what_is_in_the_trash_is_kept_for_its_period_and_then_freed(cloud: Cloud) -> None:
    version = await cloud.put(chunks=7)
    everything = await shards(cloud)
    await cloud.ask(control.ObjectRemove(bucket="photos", key="cat"))
    opened = control.ReadOpen(bucket="photos", key="cat", version_id=version.version_id)
    cloud.clock.forward(30 * DAY)
    cloud.beat()
    await run_round(expire_of(cloud))
    assert (await cloud.ask(opened)).version == version
    assert await deletions(cloud) == {}
    cloud.clock.forward(1)
    lines = [line async for line in dry_run(expire_of(cloud))]
    assert "in the trash for 30 days" in lines[0]
    await run_round(expire_of(cloud))
    with pytest.raises(Refusal) as caught:
        await cloud.ask(opened)
    assert caught.value.code == "object.unknown"
    assert (await shards(cloud), await deletions(cloud)) == ({}, everything)
    assert await run_round(expire_of(cloud)) == 0


async def test_an_idle_upload_ends_and_an_active_one_does_not(cloud: Cloud) -> None:
    idle, active = await cloud.begin("idle"), await cloud.begin("active")
    for upload_id in (idle, active):
        done = await cloud.send(upload_id, [cloud.chunk(0), cloud.chunk(1)])
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
    everything = await shards(cloud)
    cloud.clock.forward(DAY - 60)
    cloud.beat()
    await cloud.plan(active, cloud.chunk(2))
    cloud.clock.forward(120)
    await run_round(expire_of(cloud))
    with pytest.raises(Refusal):
        await cloud.ask(control.UploadShow(upload_id=idle))
    assert len((await cloud.ask(control.UploadShow(upload_id=active))).chunks) == 2
    left, gone = await shards(cloud), await deletions(cloud)
    together = {alias: sorted(left.get(alias, []) + gone.get(alias, [])) for alias in everything}
    assert together == everything
    assert sum(map(len, gone.values())) == 10


async def test_an_upload_that_was_given_up_frees_its_shards_at_once(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    done = await cloud.send(upload_id, [cloud.chunk(0)])
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
    everything = await shards(cloud)
    await cloud.ask(control.UploadAbort(upload_id=upload_id))
    await run_round(expire_of(cloud))
    assert await deletions(cloud) == everything


async def test_a_committed_upload_is_forgotten_but_its_version_stays(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    version = await cloud.commit(upload_id, [])
    cloud.clock.forward(2 * DAY)
    await run_round(expire_of(cloud))
    assert (await cloud.ask(control.ReadOpen(bucket="photos", key="cat"))).version == version
    with pytest.raises(Refusal) as caught:
        await cloud.commit(upload_id, [])
    assert caught.value.code == "upload.unknown"


async def test_what_needs_many_transactions_is_freed_to_the_end(cloud: Cloud) -> None:
    chunks = 2 * expire_pass.CHUNKS_A_TRANSACTION
    upload_id = await cloud.begin()
    records = [cloud.chunk(number) for number in range(chunks)]
    for start in range(0, chunks, 50):
        done = await cloud.send(upload_id, records[start : start + 50], shards=[0, 1, 2])
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
    await cloud.ask(control.UploadAbort(upload_id=upload_id))
    assert await shards(cloud) == {}
    await run_round(expire_of(cloud))
    assert sum(map(len, (await deletions(cloud)).values())) == 3 * chunks


class Stumbling:
    """A pass whose every second round fails."""

    name = "stumbling"

    def __init__(self) -> None:
        self.rounds = 0
        self.enough = asyncio.Event()

    async def read(self, after):
        self.rounds += 1
        if self.rounds == 6:
            self.enough.set()
        if self.rounds % 2:
            raise Trouble("database.busy", "Not now.")
        return type("Reading", (), {"page": [], "after": None})

    def plan(self, page):
        return type("Plan", (), {"lines": lambda _self: []})()

    async def do(self, plan):
        return False


async def test_a_loop_goes_on_after_a_failure_until_it_is_stopped(cloud: Cloud) -> None:
    work = Stumbling()
    loop = Loop(work, period_seconds=0.001, chance=cloud.chance)
    loop.start()
    await work.enough.wait()
    await loop.stop()
    seen = work.rounds
    await asyncio.sleep(0.01)
    assert (work.rounds, loop.failures >= 3, loop.rounds >= 2) == (seen, True, True)
    await loop.stop()
