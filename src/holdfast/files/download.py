"""Reading: a version's ticket, the sources of a range of chunks, the ids that its closing is checked by."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from sqlalchemy import Connection

from holdfast.files import names, placed, versions
from holdfast.files.buckets import check_limit
from holdfast.files.places import Holder, Places, ShardWish
from holdfast.files.recording import CHUNKS_OF_VERSION_MAX
from holdfast.files.records import Version
from holdfast.files.stores import store_chunks
from holdfast.files.stores.store_chunks import Chunk
from holdfast.files.tending.faults import suspects_of
from holdfast.files.upload import check_count, check_session_key
from holdfast.files.versions import version_info
from holdfast.protocol.control import (
    PLAN_CHUNKS_MAX,
    ChunkIds,
    ReadChunkIds,
    ReadOpen,
    ReadPlan,
    ReadPlans,
    ReadTicket,
)
from holdfast.protocol.nouns import ChunkSources, Closing
from holdfast.world.database import Database

IDS_MAX = 10_000


def ordered_sources(
    chunk: Chunk, suspects: Collection[tuple[int, int, int]], places: Places
) -> list[tuple[int, Holder]]:
    """(index, holder) of the stored shards, those to try first in front.

    Nodes online and unsuspected come first; among them the data shards, which need no decoding. A suspect
    shard or a silent node is still named, at the end: it may be the k-th.
    """
    found = []
    for index, alias in enumerate(placed.unpack(chunk.placement)):
        holder = places.holder(alias) if alias != placed.NOT_STORED else None
        if holder is not None:
            suspect = (chunk.number, index, alias) in suspects
            found.append((suspect, not holder.online, index, holder))
    return [(index, holder) for _, _, index, holder in sorted(found, key=lambda entry: entry[:3])]


def range_of(
    connection: Connection, tenant: str, bucket: str, version_id: str, first: int, count: int
) -> tuple[list[Chunk], set[tuple[int, int, int]]]:
    """Chunks first.. of a version and what is wrong with them; raises Refusal("... .unknown")."""
    _, version = versions.find_by_id(connection, tenant, bucket, version_id)
    if count == 0:
        return [], set()
    stream = versions.stream_of(version)
    found = store_chunks.chunk_range(connection, stream, first, count)
    found = [chunk for chunk in found if chunk.number < first + count]
    return found, suspects_of(store_chunks.faults_of(connection, stream, first, first + count - 1))


def ids_of(
    connection: Connection, tenant: str, bucket: str, version_id: str, first: int, limit: int
) -> tuple[Version, list[bytes]]:
    """The version and the ids of its chunks from number `first`."""
    _, version = versions.find_by_id(connection, tenant, bucket, version_id)
    return version, store_chunks.chunk_ids(connection, versions.stream_of(version), first, limit)


def opened(
    connection: Connection, tenant: str, bucket_name: str, key: bytes, version_id: str | None, count: int
) -> tuple[str, Version, list[Chunk], set[tuple[int, int, int]]]:
    """The bucket's name, the version, and all its chunks with what is wrong with them if they are few.

    Raises Refusal("... .unknown").
    """
    bucket, version = versions.find(connection, tenant, bucket_name, key, version_id)
    stream = versions.stream_of(version)
    if not 0 < version.chunk_count <= count:
        return bucket.name, version, [], set()
    found = store_chunks.chunk_range(connection, stream, 0, count)
    return bucket.name, version, found, suspects_of(store_chunks.faults_of(connection, stream))


class Downloads:
    """The reading operations, each for one tenant."""

    def __init__(self, *, database: Database, places: Places) -> None:
        self._database = database
        self._places = places

    async def open(self, tenant: str, request: ReadOpen) -> ReadTicket:
        """What is needed before the first chunk, and the sources of all chunks where they are few.

        Raises Refusal("name.invalid" | "bucket.unknown" | "object.unknown" | "request.invalid").
        """
        key = names.encode_key(request.key)
        count = check_limit(request.chunks_max, PLAN_CHUNKS_MAX)
        if count:
            check_session_key(request.session_key)
        bucket, version, found, suspects = await self._database.read(
            opened, tenant, request.bucket, key, request.version_id, count
        )
        chunks = await self._planned(found, suspects, account=tenant, session_key=request.session_key)
        return ReadTicket(
            version=version_info(bucket, version),
            redundancy=version.redundancy,
            chunk_size=version.chunk_size,
            envelope=version.envelope,
            closing=Closing(sealed=version.closing),
            chunks=chunks,
        )

    async def plan(self, tenant: str, request: ReadPlan) -> ReadPlans:
        """Chunks with their sources; past the version's end there are none.

        Raises Refusal("bucket.unknown" | "object.unknown" | "request.invalid" | "request.too_large").
        """
        check_count(request.count, PLAN_CHUNKS_MAX)
        check_session_key(request.session_key)
        first, count = (
            check_limit(request.first, CHUNKS_OF_VERSION_MAX),
            check_limit(request.count, PLAN_CHUNKS_MAX),
        )
        found, suspects = await self._database.read(
            range_of, tenant, request.bucket, request.version_id, first, count
        )
        return ReadPlans(
            chunks=await self._planned(found, suspects, account=tenant, session_key=request.session_key)
        )

    async def chunk_ids(self, tenant: str, request: ReadChunkIds) -> ChunkIds:
        """Chunk ids in order; `after` is the `first` of the next page."""
        limit = check_limit(request.limit, IDS_MAX)
        first = check_limit(request.first, CHUNKS_OF_VERSION_MAX)
        version, ids = await self._database.read(
            ids_of, tenant, request.bucket, request.version_id, first, limit
        )
        following = first + len(ids)
        more = len(ids) == limit > 0 and following < version.chunk_count
        return ChunkIds(ids=b"".join(ids), after=following if more else None)

    async def _planned(
        self,
        found: list[Chunk],
        suspects: Collection[tuple[int, int, int]],
        *,
        account: str,
        session_key: bytes,
    ) -> list[ChunkSources]:
        chunks = []
        for chunk in found:
            chunks.append(self._sources(chunk, suspects, account=account, session_key=session_key))
            # Signing a chunk's grants takes part of a millisecond: others are let in between.
            await asyncio.sleep(0)
        return chunks

    def _sources(
        self, chunk: Chunk, suspects: Collection[tuple[int, int, int]], *, account: str, session_key: bytes
    ) -> ChunkSources:
        wish = ShardWish(account, session_key, chunk.chunk_id, chunk.shard_length)
        sources = [
            self._places.source(holder, wish, index)
            for index, holder in ordered_sources(chunk, suspects, self._places)
        ]
        return ChunkSources(chunk=chunk.record, sources=sources)
