from __future__ import annotations

import pytest
from tests.tenants.stand_in import MASTER, Time

from holdfast.tenants.keys import Keys
from holdfast.tenants.people import People
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
    return SimulatedChance("tenants")


@pytest.fixture
def people(database: Database, clock: SimulatedClock, chance: SimulatedChance) -> People:
    return People(database, clock, chance)


@pytest.fixture
def keys(database: Database, clock: SimulatedClock, chance: SimulatedChance) -> Keys:
    return Keys(database, MASTER, clock, chance)


@pytest.fixture
async def tenant(people: People) -> str:
    return (await people.create("Kelp & Sons")).tenant_id
