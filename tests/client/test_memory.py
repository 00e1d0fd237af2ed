"""Buffers within a budget, compared with a plain account of who holds what."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from holdfast.client.memory import Lease, Memory
from holdfast.world.simulated.loop import run

MB = 1 << 20
BUDGET, HOLDERS, LEASE_MAX = 8 * MB, 4, 6 * MB
sizes = st.integers(1, LEASE_MAX // 2)
steps = st.lists(
    st.tuples(st.integers(0, HOLDERS - 1), sizes, sizes, st.sampled_from(["hold", "give", "cancel"])),
    max_size=30,
)


@given(steps)
def test_the_budget_holds_whatever_is_leased_given_and_cancelled(
    steps: list[tuple[int, int, int, str]],
) -> None:
    async def story(_: object) -> None:
        memory = Memory(BUDGET)
        holders = [object() for _ in range(HOLDERS)]
        waiting: list[asyncio.Task[Lease]] = []
        held: list[tuple[int, Lease]] = []
        for number, plain, slot, what in steps:
            waiting.append(asyncio.create_task(memory.lease(holders[number], plain=plain, slot=slot)))
            await asyncio.sleep(0)
            if what == "cancel":
                task = waiting.pop(0)
                if task.done():
                    task.result().close()
                else:
                    task.cancel()
            for task in list(waiting):
                if task.done():
                    waiting.remove(task)
                    lease = task.result()
                    assert len(lease.plain) >= 1
                    held.append((number, lease))
            if what == "give" and held:
                held.pop(0)[1].close()
            await asyncio.sleep(0)
            assert memory.used <= BUDGET + HOLDERS * LEASE_MAX, "only first leases go beyond the budget"
        while waiting or held:
            for _, lease in held:
                lease.close()
            held = []
            await asyncio.sleep(0)
            done = [task for task in waiting if task.done()]
            waiting = [task for task in waiting if not task.done()]
            held = [(0, task.result()) for task in done if not task.cancelled()]
        memory.close()
        assert (memory.used, memory.made) == (0, 0)

    run(story)


async def test_a_waiting_lease_is_served_when_memory_returns_and_in_turn() -> None:
    memory = Memory(4 * MB)
    one, other = object(), object()
    first = await memory.lease(one, plain=MB, slot=3 * MB)
    second = asyncio.create_task(memory.lease(one, plain=MB, slot=MB))
    third = asyncio.create_task(memory.lease(one, plain=1, slot=1))
    await asyncio.sleep(0)
    assert not second.done()
    assert not third.done(), "a small one does not overtake a large one of the same transfer"
    stranger = await memory.lease(other, plain=MB, slot=MB)
    first.give_slot()
    stranger.close()
    first.close()
    for lease in (await second, await third):
        lease.close()
    assert memory.used == 0


async def test_buffers_of_another_size_do_not_pile_up() -> None:
    memory = Memory(8 * MB)
    for size in range(1, 30):
        lease = await memory.lease(memory, plain=MB, slot=(size % 7 + 1) * MB)
        lease.close()
    assert memory.made <= 8 * MB
    memory.close()
    assert memory.made == 0


async def test_a_slot_for_sealed_bytes_never_held_plain_ones() -> None:
    memory = Memory(8 * MB)
    lease = await memory.lease(memory, plain=MB, slot=MB)
    lease.plain[:6] = b"secret"
    lease.close()
    again = [await memory.lease(memory, plain=MB, slot=MB) for _ in range(3)]
    assert all(bytes(lease.slot[:6]) != b"secret" for lease in again)
