"""Archived versions that can be read for a while: when that ends is noted, so that upkeep finds them."""

from __future__ import annotations

from sqlalchemy import Connection

from holdfast.files.outbox_rows import Restore
from holdfast.files.stores import store_restores
from holdfast.world.clock import Clock
from holdfast.world.database import Database


def note_restore(connection: Connection, bucket_id: int, key: bytes, version_id: str, until: int) -> None:
    """Notes, in the caller's transaction, until when the version can be read."""
    store_restores.set_restore(connection, Restore(bucket_id, key, version_id, until))


class Restores:
    """What RestoreObject notes and upkeep reads."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, bucket_id: int, key: bytes, version_id: str, until: int) -> None:
        """Notes until when the version (by its own id, not "null") can be read."""
        await self._database.transact(note_restore, bucket_id, key, version_id, until)

    async def ended(self, limit: int) -> list[Restore]:
        """Those that are over."""
        return await self._database.read(store_restores.ended_restores, self._clock.now(), limit)

    async def forget(self, restore: Restore) -> None:
        """It was carried out."""
        await self._database.transact(store_restores.forget_restore, restore)
