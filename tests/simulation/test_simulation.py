"""Histories of a whole cluster under stacked faults: the law of `story` holds, and a seed replays."""

import pytest
from tests.simulation.story import tell

from holdfast.world.simulated.world import simulate


@pytest.mark.parametrize("seed", range(1, 4))
def test_what_was_acknowledged_is_read_back_after_stacked_faults(seed: int) -> None:
    outcome = simulate(tell, seed)
    assert outcome.stored > 5
    assert outcome.faults


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_many_more_histories_end_well(seed: int) -> None:
    simulate(tell, seed)


def test_the_same_seed_tells_the_same_story() -> None:
    assert simulate(tell, 7) == simulate(tell, 7)


def test_another_seed_tells_another_story() -> None:
    assert simulate(tell, 8).digest != simulate(tell, 9).digest
