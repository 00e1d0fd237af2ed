"""The SQL of giving a version other bytes in the place of its own."""

from __future__ import annotations

from sqlalchemy import Connection, update

from holdfast.files.records import Content, Version
from holdfast.files.stores.store import versions


def set_content(connection: Connection, version: Version, content: Content) -> bool:
    """The version's bytes lie there from now on, in one place; False if they do not lie where it says."""
    done = connection.execute(
        update(versions)
        .where(
            versions.c.id == version.id,
            versions.c.state == version.state,
            versions.c.stream.is_not_distinct_from(version.stream),
            versions.c.small.is_not_distinct_from(version.small),
            versions.c.part_count == version.part_count,
        )
        .values(**content._asdict(), part_count=0)
    )
    return bool(done.rowcount)
