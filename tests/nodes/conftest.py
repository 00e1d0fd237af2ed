from __future__ import annotations

import pytest
from tests.nodes.stand_in import Time

from holdfast.nodes.fleet import Fleet
from holdfast.nodes.grants import Issuer
from holdfast.nodes.roster import Roster
from holdfast.protocol.signing import SigningKey
from holdfast.world.database import Database
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(time: Time) -> SimulatedClock:
    return SimulatedClock(time)


@pytest.fixture
def chance() -> SimulatedChance:
    return SimulatedChance("nodes")


@pytest.fixture
def issuer(clock: SimulatedClock, chance: SimulatedChance) -> Issuer:
    return Issuer(SigningKey(b"i" * 32), clock, chance)


@pytest.fixture
def fleet(database: Database, clock: SimulatedClock) -> Fleet:
    return Fleet(database, clock)


@pytest.fixture
def roster(
    database: Database, fleet: Fleet, clock: SimulatedClock, chance: SimulatedChance, issuer: Issuer
) -> Roster:
    return Roster(database=database, fleet=fleet, clock=clock, chance=chance, issuer=issuer)
