from __future__ import annotations

from tests.tenants.stand_in import Time

from holdfast.tenants.remembered import Remembered
from holdfast.world.clock import Clock


def test_the_value_kept_longest_goes_first(clock: Clock) -> None:
    memory: Remembered[str, int] = Remembered(2, 10.0, clock)
    for number, name in enumerate("abc"):
        memory.keep(name, number, memory.turn)
    assert [memory.recall(name) for name in "abc"] == [None, 1, 2]
    assert len(memory) == 2


def test_a_value_is_remembered_for_its_time_only(clock: Clock, time: Time) -> None:
    memory: Remembered[str, int] = Remembered(2, 10.0, clock)
    memory.keep("a", 1, memory.turn)
    time.seconds = 9.9
    assert memory.recall("a") == 1
    time.seconds = 10.0
    assert memory.recall("a") is None


def test_what_was_read_before_a_value_was_forgotten_is_not_kept(clock: Clock) -> None:
    memory: Remembered[str, int] = Remembered(2, 10.0, clock)
    turn = memory.turn
    memory.forget("a")
    memory.keep("a", 1, turn)
    assert memory.recall("a") is None
