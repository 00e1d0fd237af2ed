"""Histories of a whole cluster under stacked faults: the law of `story` holds, and a seed replays."""

from functools import lru_cache

import pytest
from tests.simulation.story import Outcome, tell

from holdfast.world.simulated.world import simulate


@lru_cache
def told(seed: int) -> Outcome:
    return simulate(tell, seed)


@pytest.mark.parametrize("seed", range(1, 4))
def test_what_was_acknowledged_is_read_back_after_stacked_faults(seed: int) -> None:
    outcome = told(seed)
    assert outcome.stored > 5
    assert outcome.faults


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_more_histories_end_well(seed: int) -> None:
    told(seed)


def test_the_same_seed_tells_the_same_story() -> None:
    assert simulate(tell, 1) == told(1)


def test_another_seed_tells_another_story() -> None:
    assert told(2).digest != told(3).digest
