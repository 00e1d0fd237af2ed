"""What is charged is what is kept, and what is kept is what something refers to: whatever happens to keys."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
from sqlalchemy import Connection, select
from tests.files.kept import Keeping, content
from tests.files.test_multiparts import forget_all_trash

from holdfast.files import smalls
from holdfast.files.attributes import NOTHING
from holdfast.files.records import Bucket, Content, NewPart, NewVersion, Version
from holdfast.files.stores import store, store_references, store_smalls, store_versions
from holdfast.files.tending import rewriting
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

KEYS = ("a", "b", "c")
STEPS = 80


class Story:
    """Things that happen to the keys of a bucket, in whatever order."""

    def __init__(self, database: Database, seed: int) -> None:
        self.keeping = Keeping(database)
        self.random = Random(seed)
        self.bucket: Bucket
        self.streams = 0

    def content(self) -> tuple[Content, partial[int] | None]:
        """Bytes in a stream of their own, in a small one, or none."""
        size = self.random.randrange(1, 1000)
        kind = self.random.randrange(4)
        if kind == 0:
            return content(0), None
        if kind == 1:
            sealed = bytes(size)
            keep = partial(smalls.add, sealed=sealed, length=size, storage_class="standard", now=1)
            return content(size), keep
        self.streams += 1
        return content(size, stream=self.streams), None

    async def versions(self) -> list[Version]:
        """Everything with bytes that is not in the trash."""
        listed = (await self.keeping.histories.list_versions(self.bucket)).rows
        return [
            await self.keeping.histories.find(self.bucket, row.name, row.s3_version_id)
            for row in listed
            if not row.marker
        ]

    async def step(self) -> None:
        happening = self.random.choice(
            [self.write, self.write, self.copy, self.rename, self.delete, self.remove, self.assemble,
             self.move, self.change, self.forget]
        )  # fmt: skip
        try:
            await happening()
        except Refusal as refusal:
            assert refusal.code in {"object.unknown", "request.invalid"}, refusal  # noqa: PT017

    def key(self) -> str:
        return self.random.choice(KEYS)

    async def write(self) -> None:
        held, keep = self.content()
        await self.keeping.histories.add(self.bucket, self.key(), NewVersion(held, NOTHING, "e", keep=keep))

    async def copy(self) -> None:
        sources = [version for version in await self.versions() if version.small is None]
        if not sources:
            return
        source = self.random.choice(sources)
        pieces = await self.keeping.histories.pieces(source)
        if any(piece.small is not None for piece in pieces):
            return
        made = NewVersion(source.content, NOTHING, "e", pieces=pieces, copied_from=source.id)
        await self.keeping.histories.add(self.bucket, self.key(), made)

    async def rename(self) -> None:
        await self.keeping.histories.rename(self.bucket, self.key(), self.key())

    async def delete(self) -> None:
        await self.keeping.histories.delete(self.bucket, self.key())

    async def remove(self) -> None:
        listed = (await self.keeping.histories.list_versions(self.bucket)).rows
        if listed:
            row = self.random.choice(listed)
            await self.keeping.histories.delete(self.bucket, row.name, row.s3_version_id)

    async def assemble(self) -> None:
        multiparts, key = self.keeping.multiparts, self.key()
        upload = await multiparts.create(self.bucket, key, "standard", NOTHING)
        for number in (1, 2, 2, 3):
            held, keep = self.content()
            await multiparts.put_part(upload, number, NewPart(number, "p", held, keep=keep))
        sources = [version for version in await self.versions() if version.stream is not None]
        if sources:
            source = self.random.choice(sources)
            await multiparts.put_part(upload, 1, NewPart(1, "p", source.content, copied_from=source.id))
        ending = self.random.randrange(3)
        if ending == 0:
            await multiparts.abort(upload)
        elif ending == 1:
            chosen = self.random.sample(await multiparts.all_parts(upload), self.random.randrange(1, 4))
            ordered = sorted(chosen, key=lambda part: part.number)
            await multiparts.complete(self.bucket, upload, ordered, "w-1", NOTHING)

    async def move(self) -> None:
        versions = [version for version in await self.versions() if version.size]
        if not versions:
            return
        version = self.random.choice(versions)
        self.streams += 1
        moved = content(version.size, stream=self.streams)
        await self.keeping.database.transact(rewriting.exchange, version, moved, None, 1)

    async def change(self) -> None:
        versioning = self.random.choice(["on", "suspended"])
        self.bucket = await self.keeping.buckets.set_versioning(self.bucket.id, versioning)

    async def forget(self) -> None:
        await forget_all_trash(self.keeping)

    async def check(self) -> None:
        database = self.keeping.database
        kept = await self.versions()
        charged = await database.read(store_versions.usage_of, "alice")
        assert charged == (sum(version.size for version in kept), len(kept))
        streams, small = await database.read(referred_to)
        gone = await database.read(store_references.doomed_streams, 100_000)
        assert not streams & set(gone)
        assert streams | set(gone) == set(range(1, self.streams + 1))
        assert small == await database.read(all_smalls)


def referred_to(connection: Connection) -> tuple[set[int], set[int]]:
    """Every stream and every small object that something refers to."""
    streams: set[int] = set()
    small: set[int] = set()
    for table in (store.versions, store.version_parts, store.multipart_parts):
        for row in connection.execute(select(table.c.stream, table.c.small)):
            streams |= {row[0]} - {None}
            small |= {row[1]} - {None}
    return streams, small


def all_smalls(connection: Connection) -> set[int]:
    return {row[0] for row in connection.execute(select(store_smalls.smalls.c.id))}


@pytest.mark.parametrize("versioning", ["off", "on"])
@pytest.mark.parametrize("seed", range(4))
async def test_what_is_charged_is_kept_and_what_is_kept_is_referred_to(
    database: Database, seed: int, versioning: str
) -> None:
    story = Story(database, seed)
    story.bucket = await story.keeping.bucket(versioning=versioning)
    for _ in range(STEPS):
        await story.step()
        await story.check()
