"""Buckets whose owners have set lifecycle rules, found by upkeep in the order of their numbers."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from holdfast.files.records import Bucket
from holdfast.files.stores import store_ageing, store_buckets
from holdfast.world.database import Database

PAGE = 500


class Ageing:
    """Reads buckets; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next_bucket(self, after: int, wanted: Callable[[Bucket], bool] | None = None) -> Bucket | None:
        """The first bucket with a higher number that is `wanted` (if not said: that has rules in force)."""
        chosen = wanted or has_rules
        while True:
            page = await self._database.read(store_ageing.buckets_with_settings, after, PAGE)
            for bucket in page:
                if chosen(bucket):
                    return bucket
            if len(page) < PAGE:
                return None
            after = page[-1].id

    async def bucket(self, bucket_id: int) -> Bucket | None:
        """The bucket as it is now; None if it is gone."""
        return await self._database.read(_bucket, bucket_id)


def has_rules(bucket: Bucket) -> bool:
    """Whether any lifecycle rule is in force."""
    return any(rule.enabled for rule in bucket.parsed.lifecycle)


def _bucket(connection: Connection, bucket_id: int) -> Bucket | None:
    return store_buckets.bucket_by_id(connection, bucket_id)
