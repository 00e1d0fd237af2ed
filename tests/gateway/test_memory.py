"""The memory of all requests: bounded however many there are, and nobody waits for ever."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from holdfast.gateway.memory import READ_LEAST, WRITE_LEAST, Budget, Share
from holdfast.world.simulated.loop import run

MB = 1 << 20


@given(st.lists(st.tuples(st.integers(1, 64 * MB), st.booleans(), st.booleans()), max_size=60))
def test_shares_never_add_up_to_more_than_the_budget_and_the_least_for_each(
    wishes: list[tuple[int, bool, bool]],
) -> None:
    budget = Budget(128 * MB)
    held: list[Share] = []
    for wanted, writing, ends in wishes:
        least = WRITE_LEAST if writing else READ_LEAST
        share = budget.share(wanted, least)
        held.append(share)
        assert min(wanted, least) <= share.size <= wanted
        assert share.size == wanted or share.size & (share.size - 1) == 0
        if ends:
            held.pop(0).end()
    assert budget.reserved == sum(share.size for share in held)
    assert budget.reserved <= budget.plains.budget + len(held) * READ_LEAST


def test_a_lone_transfer_has_a_whole_chunk_and_the_two_hundredth_has_the_least() -> None:
    budget = Budget()
    assert budget.share(16 * MB, WRITE_LEAST).size == 16 * MB
    sizes = [budget.share(16 * MB, WRITE_LEAST).size for _ in range(199)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == WRITE_LEAST
    assert budget.reserved < budget.plains.budget + 200 * WRITE_LEAST


def test_slots_are_had_in_turn_though_slow_clients_hold_all_plain_memory() -> None:
    async def story(_: object) -> None:
        budget = Budget(8 * MB)
        # Each of these waits for its client for ever.
        slow = [await budget.writing.lease(object(), plain=MB, slot=2 * MB) for _ in range(10)]
        order: list[int] = []

        async def seal(number: int) -> None:
            lease = await budget.writing.lease(object(), plain=MB, slot=2 * MB)
            await lease.slot_to_fill()
            assert budget.slots.used <= budget.slots.budget
            order.append(number)
            await asyncio.sleep(1)
            lease.give_plain()
            lease.close()

        async def load(number: int) -> None:
            lease = await budget.reading.lease(object(), plain=MB, slot=2 * MB)
            order.append(number)
            await asyncio.sleep(1)
            lease.give_slot()
            lease.close()

        async with asyncio.timeout(60):
            await asyncio.gather(*(seal(n) if n % 2 else load(n) for n in range(30)))
        assert sorted(order) == list(range(30))
        for lease in slow:
            lease.close()
        assert (budget.plains.used, budget.slots.used) == (0, 0)
        budget.close()
        assert budget.made == 0

    run(story)


def test_a_reader_that_stops_waiting_for_its_slot_gives_its_plain_buffer_back() -> None:
    async def story(_: object) -> None:
        budget = Budget(4 * MB)
        first = await budget.reading.lease(object(), plain=MB, slot=2 * MB)
        waiting = asyncio.create_task(budget.reading.lease(object(), plain=MB, slot=2 * MB))
        await asyncio.sleep(1)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
        first.close()
        assert (budget.plains.used, budget.slots.used) == (0, 0)
        whole = await budget.reading.lease(object(), plain=MB, slot=3 * MB)
        assert len(whole.slot) >= 3 * MB
        whole.close()

    run(story)
