"""What saves round trips: plans that come with the ticket, chunks that come with the commit."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.files.cloud import ALICE, CHUNK, CLOSING, ENVELOPE, SESSION, Cloud, finished

from holdfast.chunks import layout
from holdfast.files.stores import store_chunks, store_uploads, store_versions
from holdfast.protocol import control, grants
from holdfast.protocol.nouns import ChunkDone, ChunkRecord, VersionInfo
from holdfast.world.errors import Refusal


def beginning(ids: list[bytes], **changes: object) -> control.UploadBegin:
    asked = control.UploadBegin(
        bucket="photos", key="cat", envelope=ENVELOPE, session_key=SESSION.public, chunk_ids=ids
    )
    return msgspec.structs.replace(asked, **changes)


async def refusal_of(coroutine) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await coroutine
    return caught.value


async def recorded(cloud: Cloud, upload_id: str) -> list[int]:
    """Numbers of the chunks that the upload has."""
    upload = await cloud.database.read(store_uploads.upload_by_id, ALICE, upload_id)
    return [
        chunk.number for chunk in await cloud.database.read(store_chunks.chunk_range, upload.stream, 0, 99)
    ]


async def commit(
    cloud: Cloud, upload_id: str, records: list[ChunkRecord], chunks: list[ChunkDone]
) -> VersionInfo:
    return await cloud.commit(upload_id, records, chunks=chunks)


async def test_a_small_object_takes_two_requests_to_store_and_one_to_find(cloud: Cloud) -> None:
    record = cloud.chunk(length=4096)
    ticket = await cloud.ask(beginning([record.chunk_id], size=4096))
    [plan] = ticket.plans
    done = finished(record, [cloud.store(target) for target in plan.targets])
    version = await commit(cloud, ticket.upload_id, [record], [done])
    opened = await cloud.ask(
        control.ReadOpen(bucket="photos", key="cat", session_key=SESSION.public, chunks_max=4)
    )
    assert (opened.version, opened.closing) == (version, CLOSING)
    [sources] = opened.chunks
    assert sources.chunk == record
    assert sorted(source.index for source in sources.sources) == [0, 1, 2, 3, 4]
    assert {grants.read(source.grant).action for source in sources.sources} == {grants.Action.GET}
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (4096, 1)
    assert await cloud.deletions() == {}


@pytest.mark.parametrize(
    ("size", "lengths"),
    [(None, [CHUNK] * 3), (0, []), (100, [100]), (CHUNK, [CHUNK]), (2 * CHUNK + 7, [CHUNK, CHUNK, 7])],
)
async def test_the_first_chunks_are_planned_as_long_as_the_object_makes_them(
    cloud: Cloud, size: int | None, lengths: list[int]
) -> None:
    ids = [cloud.chance.bytes(16) for _ in range(3)]
    ticket = await cloud.ask(beginning(ids, size=size))
    assert [(plan.number, plan.chunk_id) for plan in ticket.plans] == list(enumerate(ids))[: len(lengths)]
    allowed = [grants.read(plan.targets[0].grant).max_bytes for plan in ticket.plans]
    assert allowed == [layout.shard_length(layout.sealed_length(length), 2) for length in lengths]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"session_key": b""}, "request.invalid"),
        ({"chunk_ids": [b"short"]}, "request.invalid"),
        ({"chunk_ids": [bytes(16)] * 65}, "request.too_large"),
    ],
)
async def test_a_beginning_with_plans_that_cannot_be_opens_nothing(
    cloud: Cloud, changes: dict[str, object], code: str
) -> None:
    assert (await refusal_of(cloud.ask(beginning([bytes(16)], **changes)))).code == code
    assert await cloud.database.read(store_uploads.idle_uploads, 1 << 62, 10) == []


async def test_chunks_that_come_with_a_commit_join_those_recorded_before(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    records = [cloud.chunk(0), cloud.chunk(1), cloud.chunk(2, 100)]
    done = await cloud.send(upload_id, records)
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[done[1]]))
    version = await commit(cloud, upload_id, records, [done[2], done[0]])
    assert version.chunk_count == 3
    assert await recorded(cloud, upload_id) == [0, 1, 2]


async def test_a_commit_with_chunks_is_answered_alike_however_often_it_is_asked(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    records = [cloud.chunk(0), cloud.chunk(1, 5)]
    done = await cloud.send(upload_id, records)
    first = await commit(cloud, upload_id, records, done)
    assert [await commit(cloud, upload_id, records, done) for _ in range(3)] == [first] * 3
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (CHUNK + 5, 1)
    assert await cloud.deletions() == {}


async def test_of_a_commit_that_is_refused_nothing_is_recorded(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record, other = cloud.chunk(0), cloud.chunk(0, tag="other")
    [good] = await cloud.send(upload_id, [record])
    [short] = await cloud.send(upload_id, [other], shards=[0, 1])
    forged = finished(record, [*good.stored[:4], msgspec.structs.replace(good.stored[4], receipt=b"HFre")])
    for sent, chunk, code in (
        (record, short, "upload.incomplete"),
        (other, short, "upload.incomplete"),
        (record, forged, "format.invalid"),
    ):
        refusal = await refusal_of(commit(cloud, upload_id, [sent], [chunk]))
        assert refusal.code == code
        assert await recorded(cloud, upload_id) == []
    assert refusal.facts["index"] == 4
    await cloud.put("cat")
    conditional = await cloud.begin("dog", if_absent=True)
    await cloud.put("dog")
    [late] = await cloud.send(conditional, [record])
    assert (await refusal_of(commit(cloud, conditional, [record], [late]))).code == "precondition.failed"
    assert await recorded(cloud, conditional) == []


async def test_many_commits_of_one_upload_at_once_make_one_version(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    records = [cloud.chunk(number) for number in range(4)]
    done = await cloud.send(upload_id, records)
    versions = await asyncio.gather(
        *(commit(cloud, upload_id, records, done) for _ in range(4)),
        cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done[:2])),
    )
    assert len({version.version_id for version in versions[:4]}) == 1
    assert await recorded(cloud, upload_id) == [0, 1, 2, 3]
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (4 * CHUNK, 1)


async def test_a_version_of_more_chunks_than_asked_for_is_opened_without_plans(cloud: Cloud) -> None:
    await cloud.put(chunks=3)
    for most, planned in ((2, 0), (3, 3), (0, 0)):
        asked = control.ReadOpen(bucket="photos", key="cat", session_key=SESSION.public, chunks_max=most)
        assert len((await cloud.ask(asked)).chunks) == planned
    refusal = await refusal_of(cloud.ask(control.ReadOpen(bucket="photos", key="cat", chunks_max=3)))
    assert refusal.code == "request.invalid"
