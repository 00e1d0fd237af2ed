"""Objects: listed, looked into and removed."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.files import health, names, versions
from holdfast.files.answered import check_token, once
from holdfast.files.buckets import check_limit, owned_bucket
from holdfast.files.histories import draw_id
from holdfast.files.listing import Page
from holdfast.files.places import Places
from holdfast.files.recording import CHUNKS_OF_VERSION_MAX
from holdfast.files.records import Version
from holdfast.files.stores import store_chunks, store_listing
from holdfast.files.stores.store_chunks import Chunk
from holdfast.files.tending.faults import lost_of, suspects_of
from holdfast.files.versions import version_info
from holdfast.protocol.control import (
    LIST_KEYS_MAX,
    ObjectHealth,
    ObjectList,
    ObjectRemove,
    Objects,
    ObjectStat,
)
from holdfast.protocol.nouns import VersionInfo
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database

STAT_CHUNKS_MAX = 1000


class Looked(NamedTuple):
    """What `object-stat` reads."""

    bucket: str
    version: Version
    placements: list[tuple[int, bytes, int]]
    suspects: set[tuple[int, int, int]]
    lost: dict[tuple[int, int], int]
    chunks: list[Chunk]


def list_page(connection: Connection, tenant: str, bucket: str, page: Page[Version]) -> None:
    """Fills the page from the bucket; raises Refusal("bucket.unknown")."""
    bucket_id = owned_bucket(connection, tenant, bucket).id
    while (wanted := page.want()) is not None:
        page.feed(store_listing.page_of_objects(connection, bucket_id, wanted, page))


def look(
    connection: Connection,
    tenant: str,
    bucket: str,
    key: bytes,
    version_id: str | None,
    first: int,
    limit: int,
) -> Looked:
    """One snapshot of a version's placements; raises Refusal("... .unknown")."""
    found, version = versions.find(connection, tenant, bucket, key, version_id)
    stream = versions.stream_of(version)
    known = store_chunks.faults_of(connection, stream)
    return Looked(
        bucket=found.name,
        version=version,
        placements=store_chunks.placements(connection, stream),
        suspects=suspects_of(known),
        lost=lost_of(known),
        chunks=store_chunks.chunk_range(connection, stream, first, limit),
    )


class ObjectOperations:
    """The object operations, each for one tenant."""

    def __init__(self, *, database: Database, places: Places, clock: Clock, chance: Chance) -> None:
        self._database = database
        self._places = places
        self._clock = clock
        self._chance = chance

    async def list(self, tenant: str, request: ObjectList) -> Objects:
        """A page of keys in UTF-8 byte order; `after` names the last entry shown.

        Raises Refusal("bucket.unknown" | "name.invalid" | "request.invalid").
        """
        prefix, delimiter = names.encode_text(request.prefix), names.encode_text(request.delimiter)
        after = None if request.after is None else names.encode_text(request.after)
        limit = check_limit(request.limit, LIST_KEYS_MAX)

        def read(connection: Connection) -> Page[Version]:
            page = Page[Version](prefix=prefix, delimiter=delimiter, after=after, limit=limit)
            list_page(connection, tenant, request.bucket, page)
            return page

        page = await self._database.read(read)
        return Objects(
            objects=[version_info(request.bucket, version) for version in page.rows],
            prefixes=[names.decode_key(common) for common in page.prefixes],
            after=None if page.after is None else names.decode_key(page.after),
        )

    async def stat(self, tenant: str, request: ObjectStat) -> ObjectHealth:
        """Where a version's shards are. `survives` is counted over all chunks, whatever the page.

        It is negative where a chunk has fewer live shards than are needed to read it. `chunks_after` is the
        `chunks_from` of the next page. Raises Refusal("bucket.unknown" | "object.unknown" | "name.invalid").
        """
        key = names.encode_key(request.key)
        limit = check_limit(request.chunks_limit, STAT_CHUNKS_MAX)
        first = check_limit(request.chunks_from, CHUNKS_OF_VERSION_MAX)
        looked = await self._database.read(
            look, tenant, request.bucket, key, request.version_id, first, limit + 1
        )
        holder_of = self._places.holder
        shown = looked.chunks[:limit]
        version = looked.version
        fewest = health.fewest_live(looked.placements, looked.suspects, holder_of, version.n)
        return ObjectHealth(
            version=version_info(looked.bucket, version),
            redundancy=version.redundancy,
            survives=fewest - version.k,
            chunks=[
                health.chunk_health(c.number, c.placement, looked.suspects, looked.lost, holder_of)
                for c in shown
            ],
            chunks_after=looked.chunks[limit].number if len(looked.chunks) > limit > 0 else None,
            stored_bytes=health.stored_bytes(looked.placements, version.n),
        )

    async def remove(self, tenant: str, request: ObjectRemove) -> VersionInfo:
        """Deletes the object: to the trash, or under a delete marker where its bucket keeps versions.

        Raises Refusal("bucket.unknown" | "object.unknown" | "precondition.failed" | "name.invalid").
        """
        check_token(request.token)
        key, now = names.encode_key(request.key), self._clock.now()
        marker_id = draw_id(self._clock, self._chance)

        def work(connection: Connection) -> VersionInfo:
            def remove_it() -> VersionInfo:
                bucket, version = versions.remove(
                    connection, tenant, request.bucket, key, request.if_version, marker_id, now
                )
                return version_info(bucket.name, version)

            return once(connection, tenant, request, request.token, now, remove_it)

        return await self._database.transact(work)
