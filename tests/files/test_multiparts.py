"""Multipart uploads: filled, completed once, aborted, and what their parts leave behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from tests.files.kept import Keeping, new, part

from holdfast.files.attributes import NOTHING, Attributes, Conditions
from holdfast.files.records import Bucket, Multipart, Part
from holdfast.files.stores import store, store_references, store_versions
from holdfast.files.tending.trash import Trash
from holdfast.nodes.journal import journal_deletions
from holdfast.world.database import Database
from holdfast.world.errors import Refusal


async def opened(keeping: Keeping, versioning: str = "off") -> tuple[Bucket, Multipart]:
    bucket = await keeping.bucket(versioning=versioning)
    return bucket, await keeping.multiparts.create(bucket, "film", "standard", NOTHING, ("c" * 64, "Alice"))


async def doomed(database: Database) -> list[int]:
    return await database.read(store_references.doomed_streams, 1000)


async def code_of(doing: Any) -> str:
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value.code


async def forget_all_trash(keeping: Keeping) -> None:
    trash = Trash(database=keeping.database, journal=journal_deletions, clock=keeping.clock)
    late = keeping.clock.now() + 1
    page = await trash.look(trashed_before=late, idle_since=0, answered_before=late, limit=100)
    await trash.end_versions(page.versions)
    await trash.forget_answers(late, 100)


async def test_parts_become_the_pieces_of_one_version(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    for number in (3, 1, 2):
        await keeping.multiparts.put_part(upload, number, part(number, size=number * 100, stream=number))
    parts = await keeping.multiparts.all_parts(upload)
    assert [(each.number, each.etag) for each in parts] == [(1, "p1"), (2, "p2"), (3, "p3")]
    assert [each.number for each in await keeping.multiparts.parts(upload, 1, 1)] == [2]
    attributes = Attributes(metadata={"title": "sea"})
    version = await keeping.multiparts.complete(bucket, upload, parts, "whole-3", attributes)
    assert (version.size, version.etag, version.part_count) == (600, "whole-3", 3)
    assert (version.stream, version.parsed, version.chunk_count) == (None, attributes, 3)
    found = await keeping.histories.find(bucket, "film")
    assert found == version
    pieces = await keeping.histories.pieces(found)
    assert [(p.number, p.offset, p.size, p.stream, p.etag, p.checksum_value) for p in pieces] == [
        (1, 0, 100, 1, "p1", "sum1"),
        (2, 100, 200, 2, "p2", "sum2"),
        (3, 300, 300, 3, "p3", "sum3"),
    ]
    assert [piece.content for piece in pieces] == [each.content for each in parts]
    assert await doomed(database) == []
    assert await database.read(store_versions.usage_of, "alice") == (600, 1)


async def test_completing_again_answers_the_same_version(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    await keeping.multiparts.put_part(upload, 1, part(1, stream=1))
    parts = await keeping.multiparts.all_parts(upload)
    assert await keeping.multiparts.completed(upload) is None
    again = await asyncio.gather(
        *(keeping.multiparts.complete(bucket, upload, parts, "whole-1", NOTHING) for _ in range(8))
    )
    assert len({version.version_id for version in again}) == 1
    assert (await keeping.multiparts.completed(upload)).version_id == again[0].version_id
    assert len((await keeping.histories.list_versions(bucket)).rows) == 1
    assert await code_of(keeping.multiparts.find(bucket, "film", upload.upload_id)) == "multipart.unknown"
    assert (await keeping.multiparts.find_any(bucket, "film", upload.upload_id)).state == "completed"
    assert await code_of(keeping.multiparts.put_part(upload, 2, part(2))) == "multipart.unknown"
    assert await code_of(keeping.multiparts.abort(upload)) == "multipart.unknown"
    assert (await keeping.multiparts.list(bucket)).rows == []
    # It is forgotten with the answers to other requests.
    await forget_all_trash(keeping)
    assert await code_of(keeping.multiparts.completed(upload)) == "multipart.unknown"


async def test_a_part_uploaded_again_takes_the_place_of_the_first(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    first = await keeping.multiparts.put_part(upload, 1, part(1, "old", stream=1))
    second = await keeping.multiparts.put_part(upload, 1, part(1, "new", stream=2))
    assert await doomed(database) == [1]
    assert await keeping.multiparts.all_parts(upload) == [second]
    stale = keeping.multiparts.complete(bucket, upload, [first], "whole-1", NOTHING)
    assert await code_of(stale) == "part.unknown"
    assert await keeping.multiparts.all_parts(upload) == [second]
    await keeping.multiparts.complete(bucket, upload, [second], "whole-1", NOTHING)


async def test_parts_that_are_not_chosen_go(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    for number in range(1, 6):
        await keeping.multiparts.put_part(upload, number, part(number, stream=number))
    parts = await keeping.multiparts.all_parts(upload)
    version = await keeping.multiparts.complete(bucket, upload, [parts[1], parts[3]], "whole-2", NOTHING)
    assert [(p.number, p.offset) for p in await keeping.histories.pieces(version)] == [(2, 0), (4, 10)]
    assert await doomed(database) == [1, 3, 5]


async def test_an_aborted_upload_leaves_nothing(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    for number in range(1, 4):
        await keeping.multiparts.put_part(upload, number, part(number, stream=number))
    await keeping.multiparts.abort(upload)
    assert await doomed(database) == [1, 2, 3]
    assert await code_of(keeping.multiparts.abort(upload)) == "multipart.unknown"
    assert await code_of(keeping.multiparts.find_any(bucket, "film", upload.upload_id)) == "multipart.unknown"
    chosen: list[Part] = [Part(upload.id, 1, "p1", "", 0, *part(1).content)]
    late = keeping.multiparts.complete(bucket, upload, chosen, "whole-1", NOTHING)
    assert await code_of(late) == "multipart.unknown"
    assert (await keeping.histories.list(bucket)).rows == []


async def test_a_completion_keeps_to_its_conditions_and_leaves_the_upload_if_refused(
    database: Database,
) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    await keeping.multiparts.put_part(upload, 1, part(1, stream=1))
    parts = await keeping.multiparts.all_parts(upload)
    await keeping.histories.add(bucket, "film", new("there"))
    complete = keeping.multiparts.complete
    refused = complete(bucket, upload, parts, "w-1", NOTHING, Conditions(if_none_match="*"))
    assert await code_of(refused) == "precondition.failed"
    assert await keeping.multiparts.all_parts(upload) == parts
    done = await complete(bucket, upload, parts, "w-1", NOTHING, Conditions(if_match="there"))
    assert (await keeping.histories.find(bucket, "film")).version_id == done.version_id


async def test_a_bucket_goes_with_its_uploads_but_not_with_delete_markers(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping, "on")
    await keeping.multiparts.put_part(upload, 1, part(1, stream=1))
    marker = await keeping.histories.delete(bucket, "gone")
    assert await code_of(keeping.buckets.remove(bucket)) == "bucket.not_empty"
    await keeping.histories.delete(bucket, "gone", marker.version_id)
    await keeping.buckets.remove(bucket)
    assert await doomed(database) == [1]
    assert await code_of(keeping.buckets.find("photos")) == "bucket.unknown"
    assert await code_of(keeping.buckets.remove(bucket)) == "bucket.unknown"
    late = keeping.multiparts.create(bucket, "film", "standard", NOTHING)
    assert await code_of(late) == "bucket.unknown"
    assert await code_of(keeping.histories.add(bucket, "film", new())) == "bucket.unknown"


async def test_shared_bytes_go_with_the_last_that_refers_to_them(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    source = await keeping.histories.add(bucket, "a", new(stream=7))
    copy = new(stream=7)._replace(copied_from=source.id)
    await keeping.histories.add(bucket, "b", copy)
    await keeping.multiparts.put_part(upload, 1, part(1, stream=7)._replace(copied_from=source.id))
    parts = await keeping.multiparts.all_parts(upload)
    await keeping.multiparts.complete(bucket, upload, parts, "whole-1", NOTHING)
    for key in ("a", "film", "b"):
        assert await doomed(database) == []
        await keeping.histories.delete(bucket, key)
        await forget_all_trash(keeping)
    assert await doomed(database) == [7]
    assert await database.read(rows_left) == {"versions": 0, "version_parts": 0, "multipart_parts": 0}
    assert await code_of(keeping.histories.add(bucket, "c", copy)) == "object.unknown"


def rows_left(connection: Connection) -> dict[str, int]:
    tables = (store.versions, store.version_parts, store.multipart_parts)
    return {t.name: connection.execute(select(func.count()).select_from(t)).scalar_one() for t in tables}


async def test_an_upload_of_ten_thousand_parts_is_completed(database: Database) -> None:
    keeping = Keeping(database)
    bucket, upload = await opened(keeping)
    rows = [
        Part(upload.id, number, f"p{number}", "", 5, *part(number, stream=number).content)._asdict()
        for number in range(1, 10_001)
    ]

    def fill(connection: Connection) -> None:
        connection.execute(store.multipart_parts.insert(), rows)

    await database.transact(fill)
    parts = await keeping.multiparts.all_parts(upload)
    version = await keeping.multiparts.complete(bucket, upload, parts, "whole-10000", NOTHING)
    assert (version.size, version.part_count) == (100_000, 10_000)
    pieces = await keeping.histories.pieces(version)
    assert [piece.offset for piece in pieces] == list(range(0, 100_000, 10))
    await keeping.histories.delete(bucket, "film")
    await forget_all_trash(keeping)
    assert len(await database.read(store_references.doomed_streams, 20_000)) == 10_000
