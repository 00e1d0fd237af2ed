"""What is to be told and to be copied once a version came or went, noted in its own transaction.

`note` is called by whatever changes a key, inside that change's transaction and after its rows were written:
an event is on record exactly if what it tells of happened. Carrying it out is for upkeep.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import Connection

from holdfast.files import notifying
from holdfast.files.bucket_settings import NotificationTarget
from holdfast.files.outbox_rows import CopyRow, EventRow
from holdfast.files.stores import store_outbox
from holdfast.world.clock import Clock
from holdfast.world.database import Database

if TYPE_CHECKING:
    from holdfast.files.records import Bucket, Version

TEST_EVENT: Final = "s3:TestEvent"


def note(
    connection: Connection,
    bucket: Bucket,
    event: str,
    *,
    key: bytes,
    size: int,
    etag: str,
    version_id: str | None,
    sequencer: int,
    who: Mapping[str, str],
    now: int,
) -> None:
    """Notes the event for every target of the bucket that wants it, and for replication.

    `event` is S3's name with `s3:` before it. `version_id` as S3 shows it, or None where the bucket was never
    versioned. `sequencer` grows with every change of the key. `who`: `principal` (who did it), `ip` and
    `request_id`, where they are known.
    """
    settings = bucket.parsed
    if not settings.notifications and settings.replication is None:
        return
    name = key.decode(errors="surrogateescape")
    targets = notifying.targets_for(settings, event, name)
    if targets:
        facts = _facts(bucket, event, key, who, now)
        facts |= {"size": size, "etag": etag, "version_id": version_id, "sequencer": sequencer}
        store_outbox.add_events(
            connection, [facts | {"target_id": target.target_id, "arn": target.arn} for target in targets]
        )
    ours = who.get("principal") == notifying.REPLICATOR
    if not ours and notifying.may_replicate(settings, event, name):
        row = {"bucket_id": bucket.id, "key": key, "version_id": version_id}
        store_outbox.add_copy(connection, row | {"time": now, "attempts": 0, "due": now})


def note_test(
    connection: Connection,
    bucket: Bucket,
    targets: Iterable[NotificationTarget],
    *,
    who: Mapping[str, str],
    now: int,
) -> None:
    """Notes the event that tells targets, which the bucket's owner has just set, that they are heard."""
    rows = [
        _facts(bucket, TEST_EVENT, b"", who, now) | {"target_id": target.target_id, "arn": target.arn}
        for target in targets
    ]
    if rows:
        store_outbox.add_events(connection, rows)


def _facts(bucket: Bucket, event: str, key: bytes, who: Mapping[str, str], now: int) -> dict[str, Any]:
    return {
        "tenant": bucket.tenant,
        "bucket_id": bucket.id,
        "bucket": bucket.name,
        "key": key,
        "event": event,
        "size": 0,
        "etag": "",
        "version_id": None,
        "sequencer": 0,
        "who": msgspec.json.encode(dict(who)),
        "time": now,
        "state": "waiting",
        "attempts": 0,
        "due": now,
        "failure": "",
    }


class Outbox:
    """What upkeep reads and settles. Rows are taken for a while, so that several processes share the work."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def test(
        self, bucket: Bucket, targets: Iterable[NotificationTarget], who: Mapping[str, str]
    ) -> None:
        """Tells these targets that they are heard: for who has just set them."""
        await self._database.transact(note_test, bucket, list(targets), who=who, now=self._clock.now())

    async def tell(self, bucket: Bucket, event: str, version: Version, who: Mapping[str, str]) -> None:
        """Notes an event that no change of a key goes with."""
        await self._database.transact(
            note,
            bucket,
            event,
            key=version.key,
            size=version.size,
            etag=version.etag,
            version_id=None if bucket.versioning == "off" else version.s3_version_id,
            sequencer=version.sequence,
            who=who,
            now=self._clock.now(),
        )

    async def due_events(self, limit: int) -> list[EventRow]:
        """Events that may be told now, oldest first, those of a key and target in their order."""
        return await self._database.read(store_outbox.due_events, self._clock.now(), limit)

    async def due_copies(self, limit: int) -> list[CopyRow]:
        """Versions that may be copied now, oldest first, those of a key in their order."""
        return await self._database.read(store_outbox.due_copies, self._clock.now(), limit)

    async def take_events(self, rows: Sequence[EventRow], until: int) -> list[EventRow]:
        """Keeps others off these rows until then; those that nobody else has taken, as they are now."""
        return await self._database.transact(_take_events, rows, until)

    async def take_copies(self, rows: Sequence[CopyRow], until: int) -> list[CopyRow]:
        """Keeps others off these rows until then; those that nobody else has taken, as they are now."""
        return await self._database.transact(_take_copies, rows, until)

    async def settle_events(self, told: Sequence[EventRow], failed: Sequence[EventRow], held: int) -> None:
        """Forgets what was told, and keeps of the rest what `failed` says.

        `held` is until when they were taken: what others have taken since is left to them.
        """
        await self._database.transact(_settle_events, told, failed, held)

    async def renew_copy(self, row: CopyRow, until: int) -> CopyRow | None:
        """Keeps others off a row that is taken for longer; None if somebody else has taken it since."""
        kept = await self._database.transact(store_outbox.put_off, store_outbox.copies, row, until)
        return row._replace(due=until) if kept else None

    async def finish_copy(self, row: CopyRow) -> None:
        """Forgets what was copied."""
        await self._database.transact(store_outbox.remove, store_outbox.copies, row.id)

    async def put_back_copies(self, changes: Sequence[tuple[CopyRow, CopyRow]]) -> None:
        """Keeps of rows, as they were taken, what is said of them now; those taken by others are theirs."""
        await self._database.transact(_put_back_copies, changes)

    async def dead_events(self, after: int = 0, limit: int = 1000) -> list[EventRow]:
        """A page of the events that were given up; the next begins after the last one's id."""
        return await self._database.read(store_outbox.dead_events, after, limit)

    async def forget_dead(self, before: int) -> int:
        """Forgets events that were given up before this time; how many."""
        return await self._database.transact(store_outbox.forget_dead, before)

    async def revive_events(self, row_ids: Sequence[int]) -> int:
        """Lets dead events be tried again; how many of them there were."""
        return await self._database.transact(store_outbox.revive_events, list(row_ids), self._clock.now())

    async def drop_events(self, row_ids: Sequence[int]) -> int:
        """Forgets dead events; how many of them there were."""
        return await self._database.transact(store_outbox.drop_events, list(row_ids))


def _take_events(connection: Connection, rows: Sequence[EventRow], until: int) -> list[EventRow]:
    taken: list[EventRow] = []
    missed: set[tuple[int, bytes, str]] = set()
    for row in rows:
        place = (row.bucket_id, row.key, row.arn)
        # What comes after a row that somebody else is at would overtake it.
        if place not in missed and store_outbox.put_off(connection, store_outbox.events, row, until):
            taken.append(row._replace(due=until))
        else:
            missed.add(place)
    return taken


def _take_copies(connection: Connection, rows: Sequence[CopyRow], until: int) -> list[CopyRow]:
    taken: list[CopyRow] = []
    missed: set[tuple[int, bytes]] = set()
    for row in rows:
        place = (row.bucket_id, row.key)
        if place not in missed and store_outbox.put_off(connection, store_outbox.copies, row, until):
            taken.append(row._replace(due=until))
        else:
            missed.add(place)
    return taken


def _settle_events(
    connection: Connection, told: Sequence[EventRow], failed: Sequence[EventRow], held: int
) -> None:
    for row in told:
        store_outbox.remove(connection, store_outbox.events, row.id)
    for row in failed:
        values = {"state": row.state, "attempts": row.attempts, "due": row.due, "failure": row.failure}
        store_outbox.change(connection, store_outbox.events, row.id, held, values)


def _put_back_copies(connection: Connection, changes: Sequence[tuple[CopyRow, CopyRow]]) -> None:
    for held, row in changes:
        values = {"attempts": row.attempts, "due": row.due}
        store_outbox.change(connection, store_outbox.copies, row.id, held.due, values)
