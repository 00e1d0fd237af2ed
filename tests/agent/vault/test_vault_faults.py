"""What a vault promises when the disk fills up, fails, loses power or forgets bits."""

import asyncio
from random import Random

import pytest
from tests.agent.vault.conftest import body, code_of, fetched, root, shard, store
from tests.agent.vault.sabotaged_disk import SabotagedDisk

from holdfast.agent.volume import name_of
from holdfast.world.errors import Refusal
from holdfast.world.simulated.chance import SimulatedChance


@pytest.fixture
def disk() -> SabotagedDisk:
    return SabotagedDisk()


@pytest.mark.parametrize("reserve", [0, 300_000])
async def test_the_reserve_of_the_disk_is_kept_whoever_puts_at_once(opened, reserve):
    disk = SabotagedDisk(capacity=1_000_000)
    async with opened(disk=disk, reserve=reserve) as vault:
        outcomes = await asyncio.gather(
            *(store(vault, number, 50_000) for number in range(40)), return_exceptions=True
        )
        assert {one.code for one in outcomes if isinstance(one, Refusal)} == {"node.full"}
        assert reserve <= disk.free() < reserve + 51_000
        assert vault.free == disk.free() - reserve
        disk.capacity = disk.used() + 1000
        await vault.delete(shard(0))
        assert not vault.holds(shard(0)), "deleting is what helps: it may use the reserve"


async def test_when_the_disk_fills_up_in_the_middle_exactly_that_group_fails_and_the_vault_goes_on(opened):
    disk = SabotagedDisk()
    async with opened(disk=disk) as vault:
        await store(vault, 1)
        # Somebody else takes the space after the vault looked: it may write some of the group only.
        honest = disk.free
        disk.free = lambda: honest() if disk.capacity < 2**40 else 2**40
        names = disk.names()
        size = disk.open(names[-1]).size()
        disk.capacity = disk.used() + 1500
        calls = iter([2**40])
        disk.free = lambda: next(calls, None) or honest()
        outcomes = await asyncio.gather(*(store(vault, number) for number in (2, 3)), return_exceptions=True)
        assert [(one.code, one.retry) for one in outcomes] == [("disk.full", False)] * 2
        assert disk.open(names[-1]).size() == size, "the torn tail is cut away"
        assert await fetched(vault, 1) == body(1, 1000)
        assert not vault.holds(shard(2))
        disk.capacity = 2**40
        await store(vault, 2)
        assert disk.open(names[-1]).size() > size, "the volume is used further"
    async with opened(disk=disk) as vault:
        assert await fetched(vault, 1) == body(1, 1000)
        assert await fetched(vault, 2) == body(2, 1000)
        assert not vault.holds(shard(3))


@pytest.mark.parametrize("cut_fails", [False, True])
async def test_after_a_failed_sync_the_volume_is_never_written_again(opened, cut_fails):
    disk = SabotagedDisk()
    async with opened(disk=disk) as vault:
        await store(vault, 1)
        disk.failing_syncs, disk.truncates_fail = 1.0, cut_fails
        outcomes = await asyncio.gather(*(store(vault, number) for number in (2, 3)), return_exceptions=True)
        assert [one.code for one in outcomes] == ["disk.failed"] * 2
        assert await code_of(vault.delete(shard(1))) == "disk.failed"
        disk.failing_syncs, disk.truncates_fail = 0.0, False
        size = disk.open(name_of(1)).size()
        assert await fetched(vault, 1) == body(1, 1000)
        assert not vault.holds(shard(2))
        # Acknowledged now, so it must beat whatever the failed group may have left on the disk.
        await vault.delete(shard(2))
        await store(vault, 1)
        await vault.put(shard(3), b"", [b"other"], root=root(33))
        assert disk.open(name_of(1)).size() == size
        assert any(name_of(number) in disk.names() for number in (2, 3))
    disk.crash()
    async with opened(disk=disk) as vault:
        assert await fetched(vault, 1) == body(1, 1000)
        assert not vault.holds(shard(2))
        assert (await vault.get(shard(3))).body == b"other"


@pytest.mark.parametrize("where", ["contents", "its tail"])
async def test_damaged_contents_are_not_believed_the_records_are_read_instead(opened, where):
    disk = SabotagedDisk()
    async with opened(disk=disk, settings={"volume_bytes": 20_000}) as vault:
        for number in range(40):
            await store(vault, number)
    end = disk.open(name_of(1)).size()
    disk.flip(name_of(1), 8 * (end - (300 if where == "contents" else 50)))
    async with opened(disk=disk, settings={"volume_bytes": 20_000}) as vault:
        assert vault.recovery.listed_volumes == vault.recovery.volumes - 1
        assert vault.shard_count == 40


async def test_an_acknowledged_shard_survives_any_single_flipped_bit_or_is_reported_lost(opened):
    random = Random(5)
    for _ in range(150):
        disk = SabotagedDisk()
        async with opened(disk=disk) as vault:
            for number in range(3):
                await store(vault, number, 40)
        disk.flip(name_of(1), random.randrange(disk.open(name_of(1)).size() * 8))
        async with opened(disk=disk) as vault:
            scrubbed = await vault.scrub()
            for number in range(3):
                if shard(number) not in vault.lost:
                    assert await fetched(vault, number) == body(number, 40)
            assert len(vault.lost) <= 1
            assert vault.recovery.damaged_bytes == 0
            assert set(scrubbed.lost) <= set(vault.lost)
            assert scrubbed.checked + len(vault.lost) - len(scrubbed.lost) == 3


async def test_a_shard_found_damaged_is_lost_until_it_is_put_again_or_deleted(opened):
    disk = SabotagedDisk()
    async with opened(disk=disk) as vault:
        for number in range(4):
            await store(vault, number)
        for number in (1, 2):
            offset = vault._catalogue.index.get(shard(number)).offset
            disk.flip(name_of(1), 8 * (offset + 500))
        scrubbed = await vault.scrub()
        assert sorted(scrubbed.lost) == vault.lost == sorted([shard(1), shard(2)])
        assert (scrubbed.checked, scrubbed.last) == (
            4,
            vault.ids()[-1] if shard(1) < shard(3) else scrubbed.last,
        )
        assert vault.why_lost(shard(1)) == "the body does not match its checksum"
        assert await code_of(vault.get(shard(1))) == "shard.unknown"
        assert not (await store(vault, 1)).again
        await vault.delete(shard(2))
        assert vault.lost == []
    async with opened(disk=disk) as vault:
        assert vault.lost == []
        assert await fetched(vault, 1) == body(1, 1000)
        assert sorted(vault.ids()) == sorted([shard(0), shard(1), shard(3)])


@pytest.mark.parametrize("power", ["cut", "kept"])
async def test_a_record_whose_head_and_tail_are_gone_is_lost_when_it_is_asked_for(opened, power):
    disk = SabotagedDisk()
    async with opened(disk=disk) as vault:
        for number in range(2):
            await store(vault, number)
        place = vault._catalogue.index.get(shard(0))
        disk.flip(name_of(1), 8 * (place.offset + 20))
        assert await fetched(vault, 0) == body(0, 1000), "the tail still knows"
        disk.flip(name_of(1), 8 * (place.offset + place.record_bytes - 20))
        assert await code_of(vault.get(shard(0))) == "shard.unknown"
        assert vault.lost == [shard(0)]
        if power == "cut":
            disk.crash()
    async with opened(disk=disk) as vault:
        if power == "cut":
            assert vault.recovery.damaged_bytes == place.record_bytes
        else:
            # The volume's contents still name what it lost.
            assert await code_of(vault.stat(shard(0))) == "shard.unknown"
            assert vault.lost == [shard(0)]
        assert await fetched(vault, 1) == body(1, 1000)
        await store(vault, 2)
    async with opened(disk=disk) as vault:
        assert await fetched(vault, 2) == body(2, 1000)


async def test_a_disk_that_refuses_to_read_is_trouble_and_no_loss(opened):
    disk = SabotagedDisk()
    async with opened(disk=disk) as vault:
        await store(vault, 1)
        disk.failing_reads = 1.0
        assert await code_of(vault.get(shard(1))) == "disk.failed"
        scrubbed = await vault.scrub()
        assert (scrubbed.unreadable, scrubbed.lost, vault.lost) == ([shard(1)], [], [])
        disk.failing_reads = 0.0
        assert await fetched(vault, 1) == body(1, 1000)


@pytest.mark.parametrize("file", ["key", "opening", "both"])
async def test_the_vaults_key_is_kept_twice(opened, file):
    disk = SabotagedDisk()
    async with opened(disk=disk) as vault:
        await store(vault, 1)
    if file != "opening":
        disk.flip("vault.key", 300)
    if file != "key":
        disk.flip(name_of(1), 300)
    async with opened(disk=disk, chance=SimulatedChance(8)) as vault:
        if file == "both":
            # Two faults at once: nothing can be believed, nothing is destroyed.
            assert vault.recovery.damaged_bytes > 1000
            assert await vault.compact() is None
            assert name_of(1) in disk.names()
        else:
            assert await fetched(vault, 1) == body(1, 1000)
        await store(vault, 2)
    async with opened(disk=disk) as vault:
        assert await fetched(vault, 2) == body(2, 1000)


async def test_what_a_restart_finds_in_the_page_cache_only_is_not_taken_as_stored(opened):
    disk = SabotagedDisk()
    async with opened(disk=disk) as vault:
        await store(vault, 1)
        disk.failing_syncs, disk.truncates_fail = 1.0, True
        assert await code_of(store(vault, 2)) == "disk.failed"
        disk.failing_syncs, disk.truncates_fail = 0.0, False
    async with opened(disk=disk) as vault:
        assert vault.holds(shard(2)), "the kernel still shows what it could not write"
        assert not (await store(vault, 2)).again
        assert (await store(vault, 2)).again
    disk.crash()
    async with opened(disk=disk) as vault:
        assert await fetched(vault, 1) == body(1, 1000)
        assert await fetched(vault, 2) == body(2, 1000)


@pytest.mark.parametrize("seed", range(8))
async def test_a_deleted_shard_does_not_come_back_with_a_volume_whose_removal_was_undone(opened, seed):
    disk = SabotagedDisk(seed=seed)
    async with opened(disk=disk, settings={"volume_bytes": 2000}) as vault:
        for number in range(4):
            await store(vault, number)
        await vault.delete(shard(0))
        for number in range(10, 14):
            await store(vault, number)
        while await vault.compact() is not None:
            # Before anything relies on it: the order in which a disk forgets names is its own.
            assert disk._safe_names.keys() == set(disk.names())
        assert vault._catalogue.delete_at(shard(0)) is None, "the delete has done its work"
    disk.crash()
    async with opened(disk=disk) as vault:
        assert not vault.holds(shard(0))
        assert vault.shard_count == 7
