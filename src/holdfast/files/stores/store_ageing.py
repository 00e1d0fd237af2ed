"""The SQL by which upkeep comes upon buckets."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from holdfast.files.records import Bucket
from holdfast.files.stores.store import buckets

_SETTINGS_LEAST = 2
"""Bytes of settings under which nothing can be set."""


def buckets_with_settings(connection: Connection, after: int, limit: int) -> list[Bucket]:
    """Buckets of all tenants that have any setting, by number."""
    found = (
        select(buckets)
        .where(buckets.c.id > after, func.length(buckets.c.settings) >= _SETTINGS_LEAST)
        .order_by(buckets.c.id)
        .limit(limit)
    )
    return [Bucket(*row) for row in connection.execute(found)]
