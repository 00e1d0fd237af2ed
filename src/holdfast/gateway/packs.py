"""Packs written and rewritten: many sealed small objects as one coded stream.

A pack has a data key of its own, wrapped by the managed key of a tenant that is nobody: whoever holds a
customer's or another tenant's key learns nothing of what lies beside an object. What it holds is sealed
already, so it is not compressed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from holdfast.client.upload import Upload, abort, begin
from holdfast.client.upload import Wish as UploadWish
from holdfast.files.records import Content
from holdfast.files.small_rows import Pack, Small
from holdfast.files.smalls import PackUse
from holdfast.files.tending import packs
from holdfast.files.tending.endings import StreamUploads
from holdfast.files.tending.packs import Place
from holdfast.gateway.body import BytesBody
from holdfast.gateway.control import UploadControl
from holdfast.gateway.kit import Kit
from holdfast.gateway.reading import Reader
from holdfast.gateway.writing import Source, Writer
from holdfast.protocol.control import UploadBegin, UploadCommit
from holdfast.tenants.people import People
from holdfast.world.database import Database

NAME_BYTES = 16
ROWS_MAX = 20_000
"""Small objects that are looked at for one pack."""


class Packs:
    """Writes packs; one at a time is enough."""

    def __init__(
        self,
        *,
        database: Database,
        kit: Kit,
        reader: Reader,
        writer: Writer,
        uploads: StreamUploads,
        people: People,
    ) -> None:
        self._database = database
        self._kit = kit
        self._reader = reader
        self._writer = writer
        self._uploads = uploads
        self._people = people
        self._tenant = ""

    async def pack(self, storage_class: str) -> int:
        """Packs the oldest unpacked small objects of a class, up to a chunk of them; how many."""
        most = self._kit.places.storage_class(storage_class).chunk_size
        numbers: list[int] = []
        total = 0
        for number, length in await self._kit.smalls.unpacked(storage_class, ROWS_MAX):
            if numbers and total + length > most:
                break
            numbers.append(number)
            total += length
        held = await self._kit.smalls.numbered(numbers)
        taken = [(small, bytes(small.sealed)) for small in held if small.sealed is not None]
        if taken:
            await self._write(storage_class, taken)
        return len(taken)

    async def rewrite(self, storage_class: str, uses: Sequence[PackUse]) -> int:
        """Writes what lives in these packs into one new one, and ends them; how many small objects."""
        taken: list[tuple[Small, bytes]] = []
        for use in uses:
            alive = await self._kit.smalls.living_in(use.pack.stream)
            if alive:
                whole = memoryview(await self._reader.of_pack(use.pack, 0, use.pack.size))
                taken += [(small, _cut(whole, small)) for small in alive]
        if taken:
            await self._write(storage_class, taken)
        for use in uses:
            await self.take_away(use.pack)
        return len(taken)

    async def take_away(self, pack: Pack) -> bool:
        """Ends a pack in which nothing lives; False if something does."""
        return await self._database.transact(packs.take_away, pack.stream, self._kit.clock.now())

    async def _write(self, storage_class: str, taken: Sequence[tuple[Small, bytes]]) -> Pack | None:
        places, offset = [], 0
        for small, sealed in taken:
            places.append(Place(small.id, offset, small.pack))
            offset += len(sealed)
        content = b"".join([sealed for _, sealed in taken])
        kit, tenant = self._kit, await self._owner()
        name = kit.chance.bytes(NAME_BYTES).hex()
        written: list[Pack | None] = []

        def become(connection: Connection, whole: Content, now: int) -> Pack | None:
            return packs.add(connection, tenant, name, whole, places, now)

        async def finish(request: UploadCommit) -> None:
            written.append(await self._uploads.commit_as(tenant, request, become))

        handlers = dict(kit.handlers)
        handlers[UploadBegin] = self._uploads.begin_nameless
        control = UploadControl(handlers, tenant, finish, clock=kit.clock, chance=kit.chance)
        key = await kit.keyring.to_seal(tenant)
        gear = kit.gear(control, key, kit.budget.writing, window=1, compress=False)
        wish = UploadWish(bucket="", key=name, storage_class=storage_class)
        begun = await begin(gear, wish, len(content))
        try:
            await Upload(gear, Source(BytesBody(content), b""), begun, tidy=True).run()
        except BaseException as error:
            cleaning = self._writer.clean(abort(gear, begun.ticket.upload_id))
            if not isinstance(error, asyncio.CancelledError):
                await asyncio.shield(cleaning)
            raise
        pack = written[0]
        if pack is not None:
            self._reader.windows.keep(pack.stream, memoryview(content))
        return pack

    async def _owner(self) -> str:
        """The tenant of packs, made when it is first needed."""
        if not self._tenant:
            self._tenant = (await self._people.house()).tenant_id
        return self._tenant


def _cut(whole: memoryview, small: Small) -> bytes:
    assert small.pack_offset is not None, "it lies in a pack"
    return bytes(whole[small.pack_offset : small.pack_offset + small.sealed_length])
