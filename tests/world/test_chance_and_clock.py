"""One contract for every source of chance, and for every clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from holdfast.world.chance import Chance, SystemChance
from holdfast.world.clock import Clock, SystemClock
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.simulated.loop import run


@pytest.fixture(params=["system", "simulated"])
def chance(request: pytest.FixtureRequest) -> Chance:
    return SystemChance() if request.param == "system" else SimulatedChance(7)


def test_bytes_are_as_many_as_asked_for_and_never_the_same(chance: Chance) -> None:
    assert [len(chance.bytes(count)) for count in (0, 1, 16, 1000)] == [0, 1, 16, 1000]
    assert len({chance.bytes(16) for _ in range(1000)}) == 1000


def test_whole_numbers_stay_below_their_bound_and_take_every_value(chance: Chance) -> None:
    assert set(Counter(chance.below(7) for _ in range(2000))) == set(range(7))
    assert chance.below(1) == 0
    assert chance.below(1 << 100) < 1 << 100


def test_units_fill_the_space_from_zero_to_one(chance: Chance) -> None:
    drawn = [chance.unit() for _ in range(2000)]
    assert 0 <= min(drawn) < 0.05
    assert 0.95 < max(drawn) < 1


def test_the_same_seed_gives_the_same_chance_and_another_gives_another() -> None:
    def draw(chance: SimulatedChance) -> list[Any]:
        return [chance.bytes(8), chance.below(1000), chance.unit(), chance.between(2, 3), chance.happens(0.5)]

    assert draw(SimulatedChance(1)) == draw(SimulatedChance(1)) != draw(SimulatedChance(2))


def test_a_fork_does_not_depend_on_what_was_drawn_elsewhere() -> None:
    untouched, used = SimulatedChance(1), SimulatedChance(1)
    used.bytes(100)
    used.fork("disk").bytes(100)
    assert untouched.fork("network").bytes(8) == used.fork("network").bytes(8)
    assert used.fork("network").bytes(8) != used.fork("disk").bytes(8)


def test_what_never_happens_draws_nothing() -> None:
    one, other = SimulatedChance(1), SimulatedChance(1)
    assert not any(one.happens(0.0) for _ in range(10))
    assert one.bytes(8) == other.bytes(8)
    assert all(one.happens(1.0) for _ in range(100))


async def contract_of_a_clock(clock: Clock) -> None:
    loop = asyncio.get_running_loop()
    wall, steady = clock.now(), clock.monotonic()
    assert abs(steady - loop.time()) < 1
    await asyncio.sleep(0.02)
    assert clock.monotonic() - steady >= 0.019
    assert clock.now() - wall >= 19_000
    assert 1_600_000_000 < clock.now() / 1_000_000 < 5_000_000_000


async def test_the_systems_clock_keeps_the_contract() -> None:
    await contract_of_a_clock(SystemClock())


def test_the_simulated_clock_keeps_the_contract() -> None:
    run(lambda loop: contract_of_a_clock(SimulatedClock(loop.time)))


def test_a_clock_that_is_set_jumps_on_the_wall_only() -> None:
    clock = SimulatedClock(lambda: 5.0)
    wall = clock.now()
    clock.jump(-3600)
    assert (clock.now() - wall, clock.monotonic()) == (-3_600_000_000, 5.0)
    assert clock.skewed(2).now() - clock.now() == 2_000_000
