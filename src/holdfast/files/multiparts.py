"""Multipart uploads as the S3 door opens, fills, completes, aborts and lists them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from sqlalchemy import Connection

from holdfast.files import assembling, names
from holdfast.files import attributes as packing
from holdfast.files.assembling import known_multipart, unknown_multipart
from holdfast.files.attributes import ANYHOW, Attributes, Conditions
from holdfast.files.histories import PAUSE_SECONDS, TRIES_MAX, against_races, draw_id, overtaken
from holdfast.files.listing import HistoryPage
from holdfast.files.records import Bucket, Multipart, MultipartPage, NewPart, NewVersion, Part, Version
from holdfast.files.stores import store_listing, store_multiparts
from holdfast.files.stores.store_versions import Looked
from holdfast.files.writing import LostRaceError
from holdfast.protocol.nouns import Envelope
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

PARTS_MAX = 10_000
NO_ENVELOPE = Envelope(mode="gateway", key_id=b"", wrapped=b"")
"""Of an upload whose parts are sealed under a key of their own."""


class Multiparts:
    """Multipart uploads and their parts."""

    def __init__(self, database: Database, clock: Clock, chance: Chance) -> None:
        self._database = database
        self._clock = clock
        self._chance = chance

    async def create(
        self,
        bucket: Bucket,
        key: str,
        storage_class: str,
        attributes: Attributes,
        initiator: tuple[str, str] = ("", ""),
        envelope: Envelope = NO_ENVELOPE,
    ) -> Multipart:
        """Opens an upload. `initiator`: canonical id and display name.

        Raises Refusal("name.invalid" | "bucket.unknown").
        """
        opened = Multipart(
            id=0,
            upload_id=draw_id(self._clock, self._chance),
            tenant=bucket.tenant,
            bucket_id=bucket.id,
            key=names.encode_key(key),
            storage_class=storage_class,
            attributes=packing.pack(attributes),
            initiator=initiator[0],
            initiator_name=initiator[1],
            envelope_mode=envelope.mode,
            envelope_key_id=envelope.key_id,
            envelope_wrapped=envelope.wrapped,
            created=self._clock.now(),
            state="open",
            version_id=None,
            finished=None,
        )
        return await self._database.transact(assembling.open_upload, opened)

    async def find(self, bucket: Bucket, key: str, upload_id: str) -> Multipart:
        """The open upload; raises Refusal("multipart.unknown" | "name.invalid"), also for a completed one."""
        found = await self.find_any(bucket, key, upload_id)
        if found.state != "open":
            raise unknown_multipart(upload_id)
        return found

    async def find_any(self, bucket: Bucket, key: str, upload_id: str) -> Multipart:
        """The upload, open or completed; raises Refusal("multipart.unknown" | "name.invalid")."""
        encoded = names.encode_key(key)
        return await self._database.read(known_multipart, bucket.id, encoded, upload_id)

    async def put_part(self, multipart: Multipart, number: int, data: NewPart) -> Part:
        """Adds a part whose bytes are small, or lie in a stream that something else refers to too.

        Raises Refusal("multipart.unknown" | "object.unknown" | "request.invalid").
        """
        check_number(number)
        new, now = data._replace(number=number), self._clock.now()
        for attempt in range(TRIES_MAX):
            try:
                return await self._database.transact(assembling.put_part, multipart, new, now)
            except LostRaceError:
                await asyncio.sleep(self._chance.unit() * PAUSE_SECONDS * min(attempt + 1, 20))
        raise overtaken()

    async def parts(self, multipart: Multipart, after: int, limit: int) -> list[Part]:
        """Parts in the order of their numbers, those above `after`."""
        return await self._database.read(store_multiparts.parts_of, multipart.id, after, limit)

    async def all_parts(self, multipart: Multipart) -> list[Part]:
        """All parts, in the order of their numbers."""
        return await self._database.read(store_multiparts.parts_of, multipart.id, 0, PARTS_MAX)

    async def complete(
        self,
        bucket: Bucket,
        multipart: Multipart,
        chosen: Sequence[Part],
        etag: str,
        attributes: Attributes,
        conditions: Conditions = ANYHOW,
        *,
        event: str = "",
        who: dict[str, str] | None = None,
    ) -> Version:
        """Makes a version of these parts, in the order of their numbers; the others go.

        Completed again it answers the same version, whatever it is asked for.

        Raises:
            Refusal: "multipart.unknown", "part.unknown" (a part is no longer the one that was chosen),
                "bucket.unknown", "precondition.failed", "precondition.conflict", "object.unknown".
        """
        ordered = all(one.number < other.number for one, other in pairwise(chosen))
        assert chosen, "the caller checks what a completion names"
        assert ordered, "the caller checks the order of what a completion names"
        new = NewVersion(
            content=assembling.whole(chosen, multipart),
            attributes=attributes,
            etag=etag,
            event=event,
            who=who or {},
            version_id=draw_id(self._clock, self._chance),
        )
        now = self._clock.now()

        def change(connection: Connection, looked: Looked) -> Version:
            done = assembling.completed(connection, multipart)
            if done is not None:
                return done
            return assembling.complete(connection, looked, multipart, chosen, new, conditions, now)

        return await against_races(self._database, self._chance, bucket.id, multipart.key, change)

    async def completed(self, multipart: Multipart) -> Version | None:
        """What the upload has become; None while it is open. Raises Refusal("multipart.unknown")."""
        return await self._database.read(assembling.completed, multipart)

    async def abort(self, multipart: Multipart) -> None:
        """Gives up an open upload and frees its parts; raises Refusal("multipart.unknown")."""
        await self._database.transact(assembling.abort, multipart, self._clock.now())

    async def list(
        self,
        bucket: Bucket,
        prefix: str = "",
        delimiter: str = "",
        key_marker: str | None = None,
        upload_marker: str | None = None,
        limit: int = 1000,
    ) -> MultipartPage:
        """A page of open uploads by key, then in the order in which they were begun."""
        page = HistoryPage[Multipart, str](
            prefix=names.encode_text(prefix),
            delimiter=names.encode_text(delimiter),
            key_marker=None if key_marker is None else names.encode_text(key_marker),
            within=upload_marker,
            limit=limit,
            order=_upload_id,
        )
        await self._database.read(_fill, bucket.id, page)
        next_key = next_upload = None
        if page.more and page.last_row is None:
            next_key = page.prefixes[-1].decode() if page.prefixes else None
        elif page.more and page.last_row is not None:
            next_key, next_upload = page.last_row.name, page.last_row.upload_id
        return MultipartPage(page.rows, [common.decode() for common in page.prefixes], next_key, next_upload)


def check_number(number: int) -> None:
    """Raises Refusal("request.invalid") for what cannot be a part's number."""
    if not 1 <= number <= PARTS_MAX:
        raise Refusal("request.invalid", f"Parts are numbered 1 to {PARTS_MAX}.", number=number)


def _upload_id(row: Multipart) -> str:
    return row.upload_id


def _fill(connection: Connection, bucket_id: int, page: HistoryPage[Multipart, str]) -> None:
    while (wanted := page.want()) is not None:
        page.feed(store_listing.page_of_multiparts(connection, bucket_id, wanted))
