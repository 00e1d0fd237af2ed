"""A small cloud with eight nodes and a bucket, on each kind of database."""

from __future__ import annotations

import pytest
from tests.files.cloud import Cloud

from holdfast.world.database import Database


@pytest.fixture
async def cloud(database: Database) -> Cloud:
    made = Cloud(database)
    await made.add_nodes(8)
    await made.make_bucket()
    return made
