"""What a vault promises, on every disk."""

import asyncio

import pytest
from tests.agent.vault.conftest import body, code_of, fetched, root, shard, store
from tests.agent.vault.sabotaged_disk import SabotagedDisk

from holdfast.agent.vault import AT_HAND_BYTES, StoredAt, Vault
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Refusal
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.system_disk import SystemDisk

EXTRA = 208


async def test_what_was_put_is_got_before_and_after_a_restart(opened):
    async with opened() as vault:
        for number, length in enumerate([0, 1, 1000, 524_352]):
            stored = await store(vault, number, length)
            assert not stored.again
            stat = await vault.stat(shard(number))
            assert stat == (shard(number), root(number), len(b"meta%d" % number), length, stored.written)
            assert await fetched(vault, number) == body(number, length)
    async with opened() as vault:
        for number, length in enumerate([0, 1, 1000, 524_352]):
            assert await fetched(vault, number) == body(number, length)
        assert (vault.shard_count, vault.body_bytes) == (4, 525_353)
        assert (vault.recovery.records, vault.recovery.torn_bytes, vault.lost) == (4, 0, [])


async def test_a_range_is_read_as_asked_and_into_the_buffer_given(opened):
    async with opened() as vault:
        await store(vault, 1, 10_000)
        content = body(1, 10_000)
        for offset, length in [(0, 10_000), (0, 16), (16, None), (9_999, 1), (10_000, 0), (10_000, None)]:
            stop = 10_000 if length is None else offset + length
            held = await vault.get(shard(1), offset, length)
            assert (held.body, held.offset, held.body_length) == (content[offset:stop], offset, 10_000)
            buffer = bytearray(b"." * 10_001)
            held = await vault.get(shard(1), offset, length, into=memoryview(buffer))
            assert held.body == content[offset:stop]
            assert held.meta == b"meta1"
            assert buffer == content[offset:stop].ljust(10_001, b".")
        for offset, length in [(0, 10_001), (10_001, None), (-1, 5), (5, -1)]:
            assert await code_of(vault.get(shard(1), offset, length)) == "request.invalid"


async def test_the_same_shard_again_succeeds_and_another_under_its_id_is_refused(opened):
    async with opened() as vault:
        first = await store(vault, 1)
        used = vault.used
        assert await store(vault, 1) == StoredAt(first.written, again=True)
        assert await code_of(vault.put(shard(1), b"", [b"else"], root=root(2))) == "shard.exists"
        assert vault.used == used
        assert await fetched(vault, 1) == body(1, 1000)


async def test_of_two_who_put_the_same_id_at_once_one_writes(opened):
    async with opened() as vault:
        same = await asyncio.gather(*(store(vault, 1) for _ in range(5)))
        assert [one.again for one in same] == [False, True, True, True, True]
        different = await asyncio.gather(
            *(vault.put(shard(2), b"", [b"x%d" % number], root=root(number)) for number in range(3)),
            return_exceptions=True,
        )
        assert [getattr(one, "code", "stored") for one in different] == [
            "stored",
            "shard.exists",
            "shard.exists",
        ]
        assert vault.shard_count == 2


async def test_a_deleted_shard_stays_deleted_and_may_come_again(opened):
    async with opened() as vault:
        await store(vault, 1)
        await vault.delete(shard(1))
        await vault.delete(shard(1))
        await vault.delete(shard(2))
        assert await code_of(vault.get(shard(1))) == "shard.unknown"
        assert await code_of(vault.stat(shard(1))) == "shard.unknown"
        assert (vault.shard_count, vault.body_bytes, vault.holds(shard(1))) == (0, 0, False)
    async with opened() as vault:
        assert not vault.holds(shard(1))
        await vault.put(shard(1), b"", [b"new"], root=root(9))
    async with opened() as vault:
        assert (await vault.get(shard(1))).body == b"new"


async def test_ids_are_paged_in_order(opened):
    async with opened() as vault:
        await asyncio.gather(*(store(vault, number, 10) for number in range(10)))
        ids = sorted(map(shard, range(10)))
        assert vault.ids() == ids
        assert vault.ids(ids[3], 4) == ids[4:8]
        assert vault.ids(ids[-1]) == []


async def test_many_puts_that_wait_together_share_one_sync(opened, disk):
    async with opened() as vault:
        await store(vault, 0)
        if isinstance(disk, SabotagedDisk):
            before = disk.syncs
            await asyncio.gather(*(store(vault, number) for number in range(1, 101)))
            assert disk.syncs == before + 1
        else:
            await asyncio.gather(*(store(vault, number) for number in range(1, 101)))
        assert vault.shard_count == 101


async def test_used_is_what_the_files_have(opened, disk):
    async with opened() as vault:
        await asyncio.gather(*(store(vault, number) for number in range(10)))
        await vault.delete(shard(3))
        sizes = 0
        for name in disk.names():
            file = disk.open(name)
            sizes += file.size()
            file.close()
        assert vault.used == sizes
        assert vault.dead_bytes == EXTRA + 1000 + len(b"meta3")


async def test_the_allocation_is_never_passed_whoever_puts_at_once(opened):
    async with opened(allocated=2_000_000) as vault:
        margin = 65_536 + 65_536 // 8
        outcomes = await asyncio.gather(
            *(store(vault, number, 100_000) for number in range(40)), return_exceptions=True
        )
        refused = [one for one in outcomes if isinstance(one, Refusal)]
        assert {one.code for one in refused} == {"node.full"}
        assert 40 - len(refused) == vault.shard_count == (2_000_000 - margin) // 100_213
        assert vault.used <= 2_000_000 - margin
        assert vault.free < 100_213
        vault.allocated = 4_000_000
        await store(vault, 99, 100_000)


async def test_a_finished_volume_gets_its_contents_and_the_next_start_reads_only_those(opened, disk):
    async with opened(settings={"volume_bytes": 20_000}) as vault:
        for number in range(100):
            await store(vault, number)
        await vault.delete(shard(50))
    async with opened(settings={"volume_bytes": 20_000}) as vault:
        assert vault.recovery.listed_volumes == vault.recovery.volumes == len(disk.names()) - 1 > 5
        assert vault.shard_count == 99
        for number in range(100):
            if number != 50:
                assert await fetched(vault, number) == body(number, 1000)


async def test_scrubbing_goes_on_page_by_page_to_the_end(opened):
    async with opened() as vault:
        for number in range(7):
            await store(vault, number)
        seen, after = 0, b""
        while (page := await vault.scrub(after, 3)).last is not None:
            seen += page.checked
            after = page.last
        assert seen == 7


async def test_a_closed_vault_takes_nothing_more(opened):
    async with opened() as vault:
        await store(vault, 1)
    assert await code_of(store(vault, 2)) == "disk.failed"


async def test_a_put_that_is_cancelled_while_it_waits_leaves_nothing_behind(opened):
    async with opened() as vault:
        task = asyncio.create_task(store(vault, 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not vault.holds(shard(1))
        await store(vault, 1)
        assert await fetched(vault, 1) == body(1, 1000)


async def test_a_shard_id_of_another_length_is_refused(opened):
    async with opened() as vault:
        assert await code_of(vault.put(b"short", b"", [], root=root(1))) == "request.invalid"
        assert await code_of(vault.get(b"short")) == "shard.unknown"
        assert await code_of(vault.delete(b"short")) == "request.invalid"


async def test_compaction_regains_the_space_of_deleted_shards_and_keeps_the_others(opened):
    async with opened(settings={"volume_bytes": 30_000}) as vault:
        for number in range(100):
            await store(vault, number)
        full = vault.used
        for number in range(100):
            if number % 4:
                await vault.delete(shard(number))
        steps = 0
        while (step := await vault.compact()) is not None:
            assert step.stopped_by is None
            steps += 1
        assert steps > 2
        assert vault.used < full / 2
        for number in range(0, 100, 4):
            assert await fetched(vault, number) == body(number, 1000)
    async with opened(settings={"volume_bytes": 30_000}) as vault:
        assert sorted(vault.ids()) == sorted(shard(number) for number in range(0, 100, 4))
        for number in range(0, 100, 4):
            assert await fetched(vault, number) == body(number, 1000)


async def test_reads_go_on_while_their_volume_is_compacted(opened):
    async with opened(settings={"volume_bytes": 30_000, "compact_batch_bytes": 2000}) as vault:
        for number in range(60):
            await store(vault, number)
        for number in range(0, 60, 2):
            await vault.delete(shard(number))

        async def read() -> None:
            for number in range(1, 60, 2):
                assert await fetched(vault, number) == body(number, 1000)

        async def compact() -> None:
            while await vault.compact() is not None:
                pass

        await asyncio.gather(compact(), *(read() for _ in range(4)))
        await read()


@pytest.mark.parametrize(
    ("before", "after", "volumes"), [(0, 1 << 40, 1), (0, 100_000_000, 3), (1 << 40, 20_000_000, 20)]
)
async def test_volumes_grow_and_shrink_with_the_allocation(opened, before, after, volumes):
    async with opened(allocated=before) as vault:
        vault.allocated = after
        for number in range(20):
            await store(vault, number, 100_000)
    async with opened(allocated=after) as vault:
        assert vault.recovery.volumes == volumes
        for number in range(20):
            assert await fetched(vault, number) == body(number, 100_000)


async def test_a_vault_filled_to_its_allocation_and_emptied_by_half_takes_as_much_again(opened):
    async with opened(allocated=3_000_000) as vault:
        stored = []
        for round_ in range(4):
            for number in range(1000 * round_, 1000 * round_ + 1000):
                if vault.free < 100_213:
                    break
                await store(vault, number, 100_000)
                stored.append(number)
            assert len(stored) >= 27
            assert vault.used <= 3_000_000
            for number in stored[::2]:
                await vault.delete(shard(number))
            stored = stored[1::2]
            while await vault.compact() is not None:
                assert vault.used <= 3_000_000
        for number in stored:
            assert await fetched(vault, number) == body(number, 100_000)


class GatedOffload:
    """Works when it is let: like a thread on a slow disk, which no cancelling stops."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, work, *arguments):
        await self.gate.wait()
        return work(*arguments)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("kind", ["get", "put"])
async def test_a_cancelled_caller_stays_while_its_buffer_is_in_use(tmp_path, kind):
    offload = GatedOffload()
    vault = await Vault.open(
        SystemDisk(tmp_path),
        allocated=100_000_000,
        reserve=0,
        offload=offload,
        clock=SystemClock(),
        chance=SimulatedChance(1),
    )
    # So long a shard is read by a thread even where it is cached.
    length = AT_HAND_BYTES + 1
    await store(vault, 1, length)
    offload.gate.clear()
    into = bytearray(length)
    task = asyncio.create_task(
        vault.get(shard(1), into=memoryview(into)) if kind == "get" else store(vault, 2)
    )
    for _ in range(5):
        await asyncio.sleep(0)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not task.done()
    offload.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    if kind == "get":
        assert into == body(1, length)
    else:
        assert await fetched(vault, 2) == body(2, 1000)
    await vault.close()
