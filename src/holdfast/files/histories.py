"""The versions of keys as the S3 door reads and changes them; who may do what was decided before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from sqlalchemy import Connection

from holdfast.files import attributes as packing
from holdfast.files import names, writing
from holdfast.files.attributes import ANYHOW, Attributes, Conditions
from holdfast.files.listing import HistoryPage, Page
from holdfast.files.records import (
    NULL,
    Bucket,
    Deleted,
    KeyPage,
    Listed,
    NewVersion,
    Piece,
    Version,
    VersionPage,
    pack_metadata,
)
from holdfast.files.stores import store_listing, store_versions
from holdfast.files.stores.store_versions import Looked
from holdfast.files.writing import LostRaceError, Removal
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble

TRIES_MAX = 50
PAUSE_SECONDS = 0.002
PIECES_AT_A_TIME = 10_000
_TIME_BYTES, _RANDOM_BYTES = 7, 9

T = TypeVar("T")
Change = Callable[[Attributes], Attributes]
"""The new attributes from those that are there; may raise. It may be run more than once."""


def draw_id(clock: Clock, chance: Chance) -> str:
    """32 hexadecimal digits: the time, then chance. Rows made one after another lie together in an index."""
    return (clock.now().to_bytes(_TIME_BYTES, "big") + chance.bytes(_RANDOM_BYTES)).hex()


async def against_races(
    database: Database,
    chance: Chance,
    bucket_id: int,
    key: bytes,
    change: Callable[[Connection, Looked], T],
) -> T:
    """Runs a change of a key that rests on what is seen of it, until it is not overtaken.

    Raises:
        Refusal: "bucket.unknown", what `change` raises, and "precondition.conflict" if others kept writing.
    """
    if database.one_at_a_time:

        def work(connection: Connection) -> T:
            return change(connection, writing.look(connection, bucket_id, key))

        return await database.transact_briefly(work)
    for attempt in range(TRIES_MAX):
        looked = await database.read(writing.look, bucket_id, key)

        def again(connection: Connection, looked: Looked = looked) -> T:
            writing.check_bucket(connection, looked)
            return change(connection, looked)

        try:
            return await database.transact(again)
        except LostRaceError:
            await asyncio.sleep(chance.unit() * PAUSE_SECONDS * min(attempt + 1, 20))
        except Trouble as trouble:
            if trouble.code != "database.busy":
                raise
    raise overtaken()


def overtaken() -> Refusal:
    """Others kept writing the same key."""
    return Refusal(
        "precondition.conflict",
        "Others kept writing the same key at the same time.",
        advice="Try again.",
    )


class Histories:
    """Versions found, added, changed, deleted and listed."""

    def __init__(self, database: Database, clock: Clock, chance: Chance) -> None:
        self._database = database
        self._clock = clock
        self._chance = chance

    async def find(self, bucket: Bucket, key: str, version_id: str | None = None) -> Version:
        """The version that a plain read finds, or the one of this id, which may be a delete marker.

        Raises:
            Refusal: "name.invalid"; "object.unknown", with the facts `marker` and `version_id` where a delete
                marker hides the key.
        """
        version = await self._database.peek(writing.find, bucket, names.encode_key(key), version_id)
        if version is None:
            raise unknown_version(bucket, key, version_id)
        if version.marker and version_id is None:
            raise hidden_object(bucket, key, version)
        return version

    async def add(
        self, bucket: Bucket, key: str, new: NewVersion, conditions: Conditions = ANYHOW
    ) -> Version:
        """Adds a version on top, as the bucket's versioning is in that transaction.

        Raises:
            Refusal: "name.invalid", "bucket.unknown", "precondition.failed", "precondition.conflict",
                "object.unknown" (an ETag required of nothing; a source that is gone).
        """
        encoded, now = names.encode_key(key), self._clock.now()
        if not new.version_id:
            new = new._replace(version_id=draw_id(self._clock, self._chance))

        def change(connection: Connection, looked: Looked) -> Version:
            return writing.put(connection, looked, encoded, new, conditions, now)

        return await self._against_races(bucket, encoded, change)

    async def delete(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None = None,
        conditions: Conditions = ANYHOW,
        *,
        bypass_governance: bool = False,
        removal: Removal | None = None,
    ) -> Deleted:
        """Deletes the key, as the bucket's versioning has it, or one version of it for good.

        What is not there need not be deleted: `removed` is False then. `removal` says all of it at once, with
        the events to tell.

        Raises:
            Refusal: "name.invalid", "bucket.unknown", "precondition.failed", "precondition.conflict",
                "object.unknown" (an ETag required of nothing), "version.locked".
        """
        encoded, now = names.encode_key(key), self._clock.now()
        asked = removal or Removal(version_id, conditions, bypass_governance)
        if asked.version_id is not None:
            return await self._remove_version(bucket, encoded, asked, now)
        marker_id = draw_id(self._clock, self._chance)

        def change(connection: Connection, looked: Looked) -> Deleted:
            return writing.put_marker(connection, looked, encoded, marker_id, asked, now)

        return await self._against_races(bucket, encoded, change)

    async def add_marker(self, bucket: Bucket, key: str, removal: Removal | None = None) -> Deleted:
        """Deletes the key without naming a version."""
        return await self.delete(bucket, key, removal=(removal or Removal())._replace(version_id=None))

    async def change(
        self,
        bucket: Bucket,
        version: Version,
        fn: Change,
        *,
        event: str = "",
        who: Mapping[str, str] | None = None,
    ) -> Version:
        """Gives a version the attributes that `fn` says, in one transaction; raises what `fn` raises.

        `event`, if there is one, is S3's name of what happened, `who` did it.

        Raises:
            Refusal: "object.unknown" if the version is in the trash or gone.
        """

        def work(connection: Connection) -> Version:
            held = store_versions.version_by_id(connection, bucket.id, version.version_id)
            if held is None or held.state == "trashed":
                raise unknown_version(bucket, version.name, version.s3_version_id)
            attributes = fn(held.parsed)
            packed, words = packing.pack(attributes), held.user_metadata
            if attributes.metadata != held.parsed.metadata:
                words = pack_metadata(attributes.metadata)
            if not store_versions.set_attributes(connection, held, packed, words):
                raise LostRaceError
            writing.tell(connection, bucket, held.key, held, event, who or {}, self._clock.now())
            return held._replace(attributes=packed, user_metadata=words)

        for attempt in range(TRIES_MAX):
            try:
                return await self._database.transact(work)
            except LostRaceError:
                await asyncio.sleep(self._chance.unit() * PAUSE_SECONDS * min(attempt + 1, 20))
        raise overtaken()

    async def list_versions(
        self,
        bucket: Bucket,
        prefix: str = "",
        delimiter: str = "",
        key_marker: str | None = None,
        version_marker: str | None = None,
        limit: int = 1000,
    ) -> VersionPage:
        """A page of versions and delete markers by key, of a key the newest first.

        Without a `version_marker` it begins after all of `key_marker`'s. Raises Refusal("name.invalid"), and
        "request.invalid" for a version that the key never had.
        """
        marker = None if key_marker is None else names.encode_text(key_marker)

        def read(connection: Connection) -> HistoryPage[Listed, int]:
            within = None
            if marker is not None and version_marker is not None:
                within = _within(connection, bucket, marker, version_marker)
            page = HistoryPage[Listed, int](
                prefix=names.encode_text(prefix),
                delimiter=names.encode_text(delimiter),
                key_marker=marker,
                within=within,
                limit=limit,
                order=_sequence,
            )
            while (wanted := page.want()) is not None:
                page.feed(store_listing.page_of_versions(connection, bucket.id, wanted, page))
            return page

        page = await self._database.read(read)
        next_key = next_version = None
        if page.more and page.last_row is None:
            next_key = page.prefixes[-1].decode() if page.prefixes else None
        elif page.more and page.last_row is not None:
            next_key, next_version = page.last_row.name, page.last_row.s3_version_id
        return VersionPage(page.rows, [common.decode() for common in page.prefixes], next_key, next_version)

    async def pieces(self, version: Version) -> list[Piece]:
        """The pieces that the version's bytes lie in, in order; none where they lie in one place."""
        if not version.part_count:
            return []
        return await self._database.read(store_versions.pieces_of, version.id, 0, version.part_count)

    async def rename(
        self,
        bucket: Bucket,
        source_key: str,
        target_key: str,
        *,
        source: Conditions = ANYHOW,
        target: Conditions = ANYHOW,
        closing: bytes | None = None,
    ) -> Version:
        """Puts the current version of one key on top of another, in one transaction; the bytes stay.

        `closing` is a new one for the new name; without it the old name is kept as what it was sealed as.

        Raises:
            Refusal: "object.unknown", "precondition.failed", "precondition.conflict", "name.invalid".
        """
        old, new = names.encode_key(source_key), names.encode_key(target_key)
        now, version_id = self._clock.now(), draw_id(self._clock, self._chance)

        def work(connection: Connection, looked: Looked) -> Version:
            before = writing.look(connection, bucket.id, old)
            return writing.rename(
                connection, looked, before, (old, new), (source, target), closing, version_id, now
            )

        return await self._against_races(bucket, new, work)

    async def _remove_version(self, bucket: Bucket, key: bytes, asked: Removal, now: int) -> Deleted:
        def work(connection: Connection) -> Deleted:
            version = writing.find(connection, bucket, key, asked.version_id)
            if version is None:
                return Deleted(asked.version_id, marker=False, removed=False)
            return writing.remove_version(connection, bucket, version, asked, now)

        for attempt in range(TRIES_MAX):
            try:
                return await self._database.transact(work)
            except LostRaceError:
                await asyncio.sleep(self._chance.unit() * PAUSE_SECONDS * min(attempt + 1, 20))
        raise overtaken()

    async def _against_races(
        self, bucket: Bucket, key: bytes, change: Callable[[Connection, Looked], T]
    ) -> T:
        return await against_races(self._database, self._chance, bucket.id, key, change)

    async def list(
        self,
        bucket: Bucket,
        prefix: str = "",
        delimiter: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> KeyPage:
        """A page of keys in the byte order of their UTF-8; raises Refusal("name.invalid")."""
        page = Page[Listed](
            prefix=names.encode_text(prefix),
            delimiter=names.encode_text(delimiter),
            after=None if after is None else names.encode_text(after),
            limit=limit,
        )
        await self._database.read(_fill_keys, bucket.id, page)
        return KeyPage(
            page.rows,
            [common.decode() for common in page.prefixes],
            None if page.after is None else page.after.decode(),
        )


def _fill_keys(connection: Connection, bucket_id: int, page: Page[Listed]) -> None:
    while (wanted := page.want()) is not None:
        page.feed(store_listing.page_of_keys(connection, bucket_id, wanted, page))


def _sequence(row: Listed) -> int:
    return row.sequence


def _within(connection: Connection, bucket: Bucket, key: bytes, version_id: str) -> int:
    asked = None if version_id == NULL else version_id
    sequence = store_listing.sequence_of(connection, bucket.id, key, asked)
    if sequence is None:
        raise Refusal("request.invalid", "The version id to go on after is not one of the key's.")
    return sequence


def unknown_version(bucket: Bucket, key: str, version_id: str | None) -> Refusal:
    """There is no such object, or no such version of it."""
    which = "object" if version_id is None else f"version {version_id[:80]} of an object"
    return Refusal(
        "object.unknown",
        f"There is no {which} '{key[:200]}' in the bucket '{bucket.name}'.",
        advice="List the bucket to see what is there.",
        bucket=bucket.name,
        key=key[:200],
        marker=False,
    )


def hidden_object(bucket: Bucket, key: str, marker: Version) -> Refusal:
    """A delete marker hides the object."""
    return Refusal(
        "object.unknown",
        f"The object '{key[:200]}' in the bucket '{bucket.name}' was deleted.",
        advice="List its versions to see what is left of it.",
        bucket=bucket.name,
        key=key[:200],
        marker=True,
        version_id=marker.s3_version_id,
        modified=marker.modified,
    )
