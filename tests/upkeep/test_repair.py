"""Repair: what is lost is rebuilt elsewhere from verified shards, and nothing else is touched."""

from __future__ import annotations

from tests.files.cloud import Cloud
from tests.upkeep.warehouse import Warehouse

from holdfast.chunks.erasure import best_erasure
from holdfast.files.places import Holder
from holdfast.files.tending.mending import Mending
from holdfast.nodes.journal import Losses, note_losses, settle_deletions
from holdfast.nodes.states import State
from holdfast.protocol import control
from holdfast.protocol.messages import shard_id
from holdfast.upkeep.losses import TakeLosses
from holdfast.upkeep.passes import dry_run, run_round
from holdfast.upkeep.repair import Repair

HOUR = 3600


def mending_of(cloud: Cloud) -> Mending:
    return Mending(database=cloud.database, journal=cloud.journal, clock=cloud.clock)


def repair_of(cloud: Cloud, warehouse: Warehouse) -> Repair:
    return Repair(
        mending=mending_of(cloud),
        places=cloud.places,
        carrier=warehouse,
        erasure=best_erasure(),
        clock=cloud.clock,
        offload=cloud.offload,
    )


async def aliases_of(cloud: Cloud) -> tuple[int, ...]:
    [state], _ = await mending_of(cloud).page((0, -1), 10)
    return state.aliases


async def chunk_id_of(cloud: Cloud) -> bytes:
    [state], _ = await mending_of(cloud).page((0, -1), 10)
    return state.record.chunk_id


async def stat(cloud: Cloud) -> control.ObjectHealth:
    return await cloud.ask(control.ObjectStat(bucket="photos", key="cat"))


def holder(cloud: Cloud, alias: int) -> Holder:
    found = cloud.places.holder(alias)
    assert found is not None
    return found


async def report(cloud: Cloud, version_id: str, index: int, fault: str = "corrupt") -> None:
    alias = (await aliases_of(cloud))[index]
    await cloud.ask(
        control.ShardReport(
            bucket="photos",
            version_id=version_id,
            number=0,
            index=index,
            node_id=holder(cloud, alias).node_id,
            fault=fault,
        )
    )


def good_shards(cloud: Cloud, warehouse: Warehouse, aliases: tuple[int, ...], chunk_id: bytes) -> int:
    """How many shards of the placement really lie where it says."""
    return sum(
        (holder(cloud, alias).node_id, shard_id(chunk_id, index)) in warehouse.shards
        for index, alias in enumerate(aliases)
        if alias
    )


async def test_a_healthy_chunk_is_left_alone(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    assert await run_round(repair_of(cloud, warehouse)) == 0
    assert (warehouse.fetched, warehouse.stored) == (0, 0)


async def test_shards_of_nodes_that_are_gone_are_rebuilt_elsewhere(
    cloud: Cloud, warehouse: Warehouse
) -> None:
    await warehouse.put(cloud)
    before = await aliases_of(cloud)
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=before[:2])
    assert (await stat(cloud)).survives == 1
    assert await run_round(repair_of(cloud, warehouse)) == 1
    after = await aliases_of(cloud)
    assert after[2:] == before[2:]
    assert len(set(after)) == 5
    assert not set(after[:2]) & set(before)
    assert good_shards(cloud, warehouse, after, await chunk_id_of(cloud)) == 5
    assert (await stat(cloud)).survives == 3
    # Two shards are read to make two; when the old nodes return, what they hold is deleted.
    assert (warehouse.fetched, warehouse.stored) == (2, 2)
    chunk_id = await chunk_id_of(cloud)
    assert await cloud.deletions() == {before[index]: [shard_id(chunk_id, index)] for index in (0, 1)}
    assert await run_round(repair_of(cloud, warehouse)) == 0


async def test_a_chunk_that_was_coded_wrongly_keeps_no_other_from_being_repaired(
    cloud: Cloud, warehouse: Warehouse
) -> None:
    """Its tenant can only hurt itself."""
    await warehouse.put(cloud, "cat", coded=False)
    await warehouse.put(cloud, "dog")
    states, _ = await mending_of(cloud).page((0, -1), 10)
    gone = {alias for state in states for alias in state.aliases[2:4]}
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=gone)
    repair = repair_of(cloud, warehouse)
    await run_round(repair)
    after, _ = await mending_of(cloud).page((0, -1), 10)
    assert after[0].aliases == states[0].aliases
    assert not set(after[1].aliases) & gone
    # It is not read over and over again either.
    fetched = warehouse.fetched
    await run_round(repair)
    assert warehouse.fetched == fetched


async def test_a_repair_in_vain_deletes_nothing_that_is_placed_by_now(
    cloud: Cloud, warehouse: Warehouse
) -> None:
    """A late shard of the client, or another coordinator's repair, may have come to the same place first."""
    await warehouse.put(cloud, indexes=range(3))
    mending = mending_of(cloud)
    [state], _ = await mending.page((0, -1), 10)
    first, second = sorted(set(cloud.rows) - set(state.aliases))[:2]
    moved = await mending.move(state, [(3, first)])
    assert moved is not None
    assert await mending.move(state, [(3, first), (4, second)]) is None
    [after], _ = await mending.page((0, -1), 10)
    assert after.aliases == (*state.aliases[:3], first, 0)
    assert await cloud.deletions() == {second: [shard_id(state.record.chunk_id, 4)]}


async def test_no_shard_is_placed_where_its_own_deletion_is_still_to_be_carried_out(
    cloud: Cloud, warehouse: Warehouse
) -> None:
    """The node may have the shard, from a late or vain try, and say so; and then delete it as it was told."""
    await warehouse.put(cloud)
    mending = mending_of(cloud)
    [state], _ = await mending.page((0, -1), 10)
    before, chunk_id = state.aliases, state.record.chunk_id
    others = sorted(set(cloud.rows) - set(before))
    for alias in others:
        for index in range(2):
            doomed = [(alias, shard_id(chunk_id, index))]
            await cloud.database.transact(cloud.journal, doomed, cloud.clock.now())
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=before[:2])
    repair = repair_of(cloud, warehouse)
    await run_round(repair)
    assert await aliases_of(cloud) == before
    assert warehouse.stored == 0
    # Whoever stored it nevertheless is not believed; what lies there is deleted again.
    [state], _ = await mending.page((0, -1), 10)
    assert await mending.move(state, [(0, others[0])]) == state
    assert (await cloud.deletions())[others[0]] == [shard_id(chunk_id, index) for index in (0, 1, 0)]
    # As soon as a node says that it is done, it is as good as any.
    await cloud.database.transact(settle_deletions, dict.fromkeys(others, 10))
    await run_round(repair)
    assert set((await aliases_of(cloud))[:2]) <= set(others)


async def test_a_night_of_silence_is_no_loss(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    aliases = await aliases_of(cloud)
    cloud.clock.forward(11 * HOUR)
    cloud.beat(silent=aliases[:2])
    assert await run_round(repair_of(cloud, warehouse)) == 0


async def test_a_node_that_was_given_up_counts_as_gone_at_once(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    before = await aliases_of(cloud)
    cloud.clock.forward(HOUR)
    cloud.beat(silent=before[:2], state=State.LOST, of=before[:2])
    assert await run_round(repair_of(cloud, warehouse)) == 1
    assert not set((await aliases_of(cloud))[:2]) & set(before)


async def test_shards_that_came_too_late_are_made_up_for_after_a_grace_period(
    cloud: Cloud, warehouse: Warehouse
) -> None:
    await warehouse.put(cloud, indexes=range(4))
    assert await run_round(repair_of(cloud, warehouse)) == 0
    cloud.clock.forward(HOUR)
    cloud.beat()
    before = await aliases_of(cloud)
    assert await run_round(repair_of(cloud, warehouse)) == 1
    after = await aliases_of(cloud)
    assert (after[:4], after[4] != 0) == (before[:4], True)
    assert (await stat(cloud)).survives == 3


async def test_a_corrupt_shard_is_proven_replaced_and_deleted(cloud: Cloud, warehouse: Warehouse) -> None:
    version = await warehouse.put(cloud)
    before, chunk_id = await aliases_of(cloud), await chunk_id_of(cloud)
    warehouse.corrupt(holder(cloud, before[1]).node_id, shard_id(chunk_id, 1))
    await report(cloud, version.version_id, 1)
    await run_round(repair_of(cloud, warehouse))
    assert (await aliases_of(cloud))[1] == 0
    shown = (await stat(cloud)).chunks[0].shards[1]
    assert (shown.state, shown.node_id) == ("lost", holder(cloud, before[1]).node_id)
    cloud.clock.forward(1800)
    cloud.beat()
    await run_round(repair_of(cloud, warehouse))
    after = await aliases_of(cloud)
    assert after[1] not in {0, before[1]}
    assert (await stat(cloud)).survives == 3
    assert await cloud.deletions() == {before[1]: [shard_id(chunk_id, 1)]}


async def test_a_report_that_proves_wrong_is_dismissed(cloud: Cloud, warehouse: Warehouse) -> None:
    version = await warehouse.put(cloud)
    await report(cloud, version.version_id, 1)
    assert (await stat(cloud)).survives == 2
    before = await aliases_of(cloud)
    await run_round(repair_of(cloud, warehouse))
    assert (await aliases_of(cloud), (await stat(cloud)).survives) == (before, 3)
    assert warehouse.fetched == 1


async def test_a_suspect_that_cannot_be_reached_stays_a_suspect(cloud: Cloud, warehouse: Warehouse) -> None:
    version = await warehouse.put(cloud)
    before = await aliases_of(cloud)
    await report(cloud, version.version_id, 1)
    warehouse.down.add(holder(cloud, before[1]).node_id)
    await run_round(repair_of(cloud, warehouse))
    assert (await aliases_of(cloud), (await stat(cloud)).survives) == (before, 2)


async def test_wrong_bytes_met_on_the_way_are_neither_used_nor_forgotten(
    cloud: Cloud, warehouse: Warehouse
) -> None:
    await warehouse.put(cloud)
    before, chunk_id = await aliases_of(cloud), await chunk_id_of(cloud)
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=before[3:])
    warehouse.corrupt(holder(cloud, before[0]).node_id, shard_id(chunk_id, 0))
    await run_round(repair_of(cloud, warehouse))
    after = await aliases_of(cloud)
    assert (after[1], after[2], len(set(after))) == (before[1], before[2], 5)
    assert not {after[0], after[3], after[4]} & {0, *before}
    assert (await stat(cloud)).survives == 3


async def test_below_k_nothing_is_done_and_said_so(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    before = await aliases_of(cloud)
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=before[:4])
    [line] = [line async for line in dry_run(repair_of(cloud, warehouse))]
    assert "cannot yet rebuild shards 0, 1, 2, 3" in line
    await run_round(repair_of(cloud, warehouse))
    assert (await aliases_of(cloud), warehouse.stored) == (before, 0)
    cloud.beat()
    assert (await stat(cloud)).survives == 3


async def test_a_leaving_node_is_copied_from_not_rebuilt(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    before = await aliases_of(cloud)
    cloud.beat(state=State.DRAINING, of=before[:1])
    await run_round(repair_of(cloud, warehouse))
    after = await aliases_of(cloud)
    assert (after[1:], after[0] in before) == (before[1:], False)
    assert (warehouse.fetched, warehouse.stored) == (1, 1)


async def test_a_node_without_room_is_left_for_the_next_round(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    before = await aliases_of(cloud)
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=before[:2])
    warehouse.full = {row.node_id for alias, row in cloud.rows.items() if alias not in before}
    await run_round(repair_of(cloud, warehouse))
    assert await aliases_of(cloud) == before
    warehouse.full.clear()
    await run_round(repair_of(cloud, warehouse))
    assert (await stat(cloud)).survives == 3


async def test_a_repair_that_lost_a_race_leaves_no_trace(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    before = await aliases_of(cloud)
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=before[:2])
    repair = repair_of(cloud, warehouse)
    stale = repair.plan((await repair.read(None)).page)
    await run_round(repair_of(cloud, warehouse))
    settled = await aliases_of(cloud)
    deletions = await cloud.deletions()
    chunk_id = await chunk_id_of(cloud)
    kept = set(warehouse.shards)
    await repair.do(stale)
    assert await aliases_of(cloud) == settled
    vain = {
        (holder(cloud, alias).node_id, shard)
        for alias, shards in (await cloud.deletions()).items()
        for shard in shards
        if shard not in deletions.get(alias, [])
    }
    assert set(warehouse.shards) - kept <= vain
    assert good_shards(cloud, warehouse, settled, chunk_id) == 5


async def test_a_node_is_believed_that_says_it_lost_a_shard(cloud: Cloud, warehouse: Warehouse) -> None:
    await warehouse.put(cloud)
    before, chunk_id = await aliases_of(cloud), await chunk_id_of(cloud)
    now = cloud.clock.now()
    lost = [shard_id(chunk_id, 2), shard_id(chunk_id, 3), shard_id(b"u" * 16, 0)]
    await cloud.database.transact(note_losses, before[2], lost, now)
    losses = Losses(cloud.database)
    assert await run_round(TakeLosses(losses=losses, mending=mending_of(cloud))) == 3
    assert await aliases_of(cloud) == (*before[:2], 0, *before[3:])
    assert await losses.page() == []
    cloud.clock.forward(1800)
    cloud.beat()
    await run_round(repair_of(cloud, warehouse))
    assert (await aliases_of(cloud))[2] not in {0, before[2]}


async def test_the_most_endangered_chunk_comes_first(cloud: Cloud, warehouse: Warehouse) -> None:
    for number in range(60):
        await warehouse.put(cloud, f"object-{number}")
    cloud.clock.forward(13 * HOUR)
    cloud.beat(silent=[1, 2, 3])
    repair = repair_of(cloud, warehouse)
    plan = repair.plan((await repair.read(None)).page)
    spares = [each.spare for each in plan.repairs]
    assert spares == sorted(spares)
    assert len(set(spares)) > 1
    await run_round(repair)
    assert await run_round(repair) == 0
