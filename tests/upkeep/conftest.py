"""A small cloud whose nodes keep real shards, on each kind of database."""

from __future__ import annotations

import pytest
from tests.files.cloud import Cloud
from tests.upkeep.warehouse import Warehouse

from holdfast.world.database import Database


@pytest.fixture
async def cloud(database: Database) -> Cloud:
    made = Cloud(database)
    await made.add_nodes(10)
    await made.make_bucket()
    return made


@pytest.fixture
def warehouse() -> Warehouse:
    return Warehouse()
