"""Uploads that become something else than a version of their key: what the gateway writes for itself.

The law: the end of the upload and what it becomes are one transaction. Whatever goes wrong before leaves an
upload that expires like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from holdfast.files import committing, recording
from holdfast.files.recording import Journal, ProvenChunk, known_upload
from holdfast.files.records import Content
from holdfast.files.stores import store_chunks, store_uploads
from holdfast.files.stores.store_uploads import Upload
from holdfast.files.upload import (
    COMMIT_PAUSE_SECONDS,
    COMMIT_TRIES_MAX,
    Uploads,
    first_wishes,
    upload_id_of,
    with_proven,
)
from holdfast.files.writing import LostRaceError
from holdfast.protocol.control import UploadBegin, UploadCommit, UploadTicket
from holdfast.world.errors import Trouble

T = TypeVar("T")

NO_BUCKET = 0
"""The number of no bucket: where streams are uploaded to that are no object's."""

Become = Callable[[Connection, Content, int], T]
"""In the last transaction: what the stream of this content becomes; the time is now. May be run again."""


def end(
    connection: Connection,
    seen: Upload,
    proven: list[ProvenChunk],
    become: Callable[[Connection], T],
    journal: Journal,
    now: int,
) -> T:
    """The transaction that ends an upload.

    Raises LostRaceError if it is not as it was seen, and what recording and `become` raise.
    """
    if proven and recording.record(connection, seen, proven, journal, now):
        seen = seen._replace(chunks_changed=seen.chunks_changed + 1)
    if not store_uploads.mark_committed(connection, seen, "", now):
        raise LostRaceError
    # Nobody asks again what became of it.
    store_uploads.forget(connection, seen._replace(state="committed"))
    return become(connection)


class StreamUploads(Uploads):
    """The operations of uploads that the gateway begins for itself; planning is everybody's."""

    async def begin_nameless(self, tenant: str, request: UploadBegin) -> UploadTicket:
        """Opens an upload that goes to no bucket; raises Refusal("fleet.too_small" | "node.full" | ...)."""
        chosen = self._places.storage_class(request.storage_class)
        redundancy, envelope = chosen.redundancy, request.envelope
        warnings = self._places.outlook(chosen, request.size)
        chunk_size = request.chunk_size or chosen.chunk_size
        now = self._clock.now()
        upload = Upload(
            stream=0,
            upload_id=upload_id_of(tenant, request.token),
            tenant=tenant,
            bucket_id=NO_BUCKET,
            key=request.key.encode(),
            storage_class=chosen.class_name,
            k=redundancy.k,
            n=redundancy.n,
            repair_at=redundancy.repair_at,
            ack_at=chosen.ack_at,
            chunk_size=chunk_size,
            envelope_mode=envelope.mode,
            envelope_key_id=envelope.key_id,
            envelope_wrapped=envelope.wrapped,
            user_metadata=b"",
            if_absent=False,
            if_version=None,
            state="open",
            version_id=None,
            chunks_changed=0,
            created=now,
            last_active=now,
        )
        await self._database.transact(store_uploads.add_upload, upload)
        wishes = first_wishes(request, redundancy.k, chunk_size)
        plans, said = await self._plans(tenant, chosen.class_name, redundancy, request.session_key, wishes)
        return UploadTicket(
            upload_id=upload.upload_id,
            redundancy=redundancy,
            ack_at=chosen.ack_at,
            chunk_size=chunk_size,
            storage_class=chosen.class_name,
            warnings=list(dict.fromkeys(warnings + said)),
            plans=plans,
        )

    async def commit_as(self, tenant: str, request: UploadCommit, become: Become[T]) -> T:
        """Ends the upload with what `become` makes of it.

        Raises Refusal("upload.unknown" | "upload.incomplete" | ...), and what `become` raises.
        """
        proven: list[ProvenChunk] | None = None
        for attempt in range(COMMIT_TRIES_MAX):
            upload = await self._database.read(known_upload, tenant, request.upload_id)
            sums = await self._database.read(store_chunks.plain_sums, upload.stream)
            if proven is None:
                proven = await self._prove(upload, request.chunks)
            total = await self._add_up(upload.chunk_size, with_proven(sums, proven))
            committing.check_total(total, request)
            now = self._clock.now()
            content = committing.content_of(upload, request)

            def finish(connection: Connection, content: Content = content, now: int = now) -> T:
                return become(connection, content, now)

            try:
                return await self._database.transact(end, upload, proven, finish, self._journal, now)
            except LostRaceError:
                await asyncio.sleep(self._chance.unit() * COMMIT_PAUSE_SECONDS * min(attempt, 10))
        raise Trouble("database.busy", "Others kept changing the same upload.", advice="Try again.")
