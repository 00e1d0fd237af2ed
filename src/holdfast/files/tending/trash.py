"""What the trash gives up: trashed versions and idle uploads end, and then their chunks go, page by page.

The law: a version or upload ends in one transaction that also dooms its stream; a doomed stream has no other
owner. Its chunk rows go a page at a time, each page in one transaction with the journal entries that delete
their shards: a row never goes without its shards being noted, and space is never freed that a row still
names.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.files import names
from holdfast.files.recording import Journal, shards_of
from holdfast.files.stores import (
    store_answered,
    store_chunks,
    store_multiparts,
    store_references,
    store_uploads,
    store_versions,
)
from holdfast.world.clock import Clock
from holdfast.world.database import Database


class TrashedVersion(NamedTuple):
    """A version whose trash period may be over."""

    id: int
    tenant: str
    key: str
    version_id: str
    size: int
    trashed_at: int


class IdleUpload(NamedTuple):
    """An upload that nobody has touched for long."""

    upload_id: str
    tenant: str
    key: str
    committed: bool
    last_active: int


class Leftovers(NamedTuple):
    """A page of what may be over."""

    versions: list[TrashedVersion]
    uploads: list[IdleUpload]
    streams: list[int]
    answers: int
    """How many answers, of completed multipart uploads too, up to a page, nobody will ask for again."""


def leftovers(
    connection: Connection, trashed_before: int, idle_since: int, answered_before: int, limit: int
) -> Leftovers:
    """Up to `limit` of each kind, oldest first."""
    return Leftovers(
        versions=[
            TrashedVersion(v.id, v.tenant, names.decode_key(v.key), v.version_id, v.size, v.trashed_at or 0)
            for v in store_versions.versions_in_trash(connection, trashed_before, limit)
        ],
        uploads=[
            IdleUpload(u.upload_id, u.tenant, names.decode_key(u.key), u.state == "committed", u.last_active)
            for u in store_uploads.idle_uploads(connection, idle_since, limit)
        ],
        streams=store_references.doomed_streams(connection, limit),
        answers=store_answered.old_answers(connection, answered_before, limit)
        + store_multiparts.finished_count(connection, answered_before, limit),
    )


def end_versions(connection: Connection, versions: list[TrashedVersion], now: int) -> int:
    """Forgets those that are still in the trash; how many."""
    return sum(store_references.forget_version(connection, version.id, now) for version in versions)


def end_uploads(connection: Connection, uploads: list[IdleUpload], now: int) -> int:
    """Gives up those that are still as idle as they were seen; how many."""
    ended = 0
    for seen in uploads:
        upload = store_uploads.upload_by_id(connection, seen.tenant, seen.upload_id)
        if upload is None or upload.last_active != seen.last_active:
            continue
        if upload.state == "open":
            store_uploads.abandon(connection, upload, now)
        else:
            store_uploads.forget(connection, upload)
        ended += 1
    return ended


def free_page(connection: Connection, stream: int, limit: int, journal: Journal, now: int) -> bool:
    """Takes up to `limit` chunks of a doomed stream and journals their shards; False when none is left."""
    taken = store_chunks.take_chunks(connection, stream, limit)
    journal(connection, [place for chunk in taken for place in shards_of(chunk)], now)
    if len(taken) == limit:
        return True
    store_references.undoom(connection, stream)
    return False


def forget_answers(connection: Connection, answered_before: int, limit: int) -> int:
    """Forgets up to `limit` of each kind of answer; how many."""
    forgotten = store_answered.forget_answers(connection, answered_before, limit)
    return forgotten + store_multiparts.forget_finished(connection, answered_before, limit)


class Trash:
    """What the pass `expire` reads and does."""

    def __init__(self, *, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    async def look(
        self, *, trashed_before: int, idle_since: int, answered_before: int, limit: int
    ) -> Leftovers:
        """A page of what may be over; times in microseconds."""
        return await self._database.read(leftovers, trashed_before, idle_since, answered_before, limit)

    async def end_versions(self, versions: list[TrashedVersion]) -> int:
        """Ends these versions in one transaction; how many were still in the trash."""
        return await self._database.transact(end_versions, versions, self._clock.now())

    async def end_uploads(self, uploads: list[IdleUpload]) -> int:
        """Ends these uploads in one transaction; how many were still idle."""
        return await self._database.transact(end_uploads, uploads, self._clock.now())

    async def forget_answers(self, answered_before: int, limit: int) -> int:
        """Forgets answers given before this time, up to `limit` of each kind; how many."""
        return await self._database.transact(forget_answers, answered_before, limit)

    async def free(self, stream: int, limit: int) -> bool:
        """Frees up to `limit` chunks of a doomed stream; whether there may be more."""
        return await self._database.transact(free_page, stream, limit, self._journal, self._clock.now())
