"""Streams as whoever holds their keys reads them: by their own number, whatever version or pack they are of.

Nobody's rights are judged here. The gateway asks for a version that its caller may read.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from holdfast.files.download import ordered_sources
from holdfast.files.places import Places, ShardWish
from holdfast.files.stores import store_chunks
from holdfast.files.stores.store_chunks import Chunk
from holdfast.files.tending import faults
from holdfast.files.tending.faults import Report, suspects_of
from holdfast.protocol.control import ShardReport
from holdfast.protocol.nouns import ChunkSources
from holdfast.world.clock import Clock
from holdfast.world.database import Database


def chunks_of(
    connection: Connection, stream: int, first: int, count: int
) -> tuple[list[Chunk], set[tuple[int, int, int]]]:
    """Chunks first.. of a stream, and what is suspected of their shards."""
    if count <= 0:
        return [], set()
    last = first + count - 1
    found = [
        chunk for chunk in store_chunks.chunk_range(connection, stream, first, count) if chunk.number <= last
    ]
    return found, suspects_of(store_chunks.faults_of(connection, stream, first, last))


def note_fault(connection: Connection, stream: int, request: ShardReport, alias: int, now: int) -> None:
    """A reader found a shard wrong or missing; forgotten if it is not placed there any more."""
    chunk = store_chunks.chunk_numbered(connection, stream, request.number)
    if chunk is not None:
        report = Report(request.index, alias, request.fault, f"a gateway found it {request.fault}")
        faults.note(connection, chunk, report, now)


class Streams:
    """Reads of streams; grants are booked to the account that reads."""

    def __init__(self, *, database: Database, places: Places, clock: Clock) -> None:
        self._database = database
        self._places = places
        self._clock = clock

    async def sources(
        self, stream: int, first: int, count: int, *, account: str, session_key: bytes
    ) -> list[ChunkSources]:
        """Chunks first..first+count-1 with where their shards can be read; none past the end."""
        found, suspects = await self._database.read(chunks_of, stream, first, count)
        chunks = []
        for chunk in found:
            wish = ShardWish(account, session_key, chunk.chunk_id, chunk.shard_length)
            sources = [
                self._places.source(holder, wish, index)
                for index, holder in ordered_sources(chunk, suspects, self._places)
            ]
            chunks.append(ChunkSources(chunk=chunk.record, sources=sources))
            if len(found) > 1:
                # Signing a chunk's grants takes part of a millisecond: others are let in between.
                await asyncio.sleep(0)
        return chunks

    async def chunk_ids(self, stream: int, first: int, limit: int) -> list[bytes]:
        """Chunk ids in order, at most `limit`."""
        return await self._database.read(store_chunks.chunk_ids, stream, first, limit)

    async def report(self, stream: int, request: ShardReport) -> None:
        """Notes a wrong or missing shard."""
        alias = self._places.alias_of(request.node_id)
        if alias is not None:
            await self._database.transact(note_fault, stream, request, alias, self._clock.now())
