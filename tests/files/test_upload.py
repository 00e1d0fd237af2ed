"""Uploads: what is recorded, what a commit makes of it, and what it refuses."""

from __future__ import annotations

import asyncio

import pytest
from tests.files.cloud import ALICE, BOB, CHUNK, CLOSING, ENVELOPE, SESSION, START, Cloud, finished

from holdfast.chunks import checksum
from holdfast.files import placed
from holdfast.files.stores import store_chunks, store_uploads, store_versions
from holdfast.protocol import control, grants
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import ClassInfo, RedundancyInfo, VersionInfo
from holdfast.world.errors import Refusal, Trouble


async def code_of(coroutine) -> str:
    with pytest.raises((Refusal, Trouble)) as caught:
        await coroutine
    return caught.value.code


async def rows_of(cloud: Cloud, upload_id: str) -> list[store_chunks.Chunk]:
    upload = await cloud.database.read(store_uploads.upload_by_id, ALICE, upload_id)
    return await cloud.database.read(store_chunks.chunk_range, upload.stream, 0, 1000)


def held(chunk: store_chunks.Chunk) -> list[int]:
    return [index for index, alias in enumerate(placed.unpack(chunk.placement)) if alias]


async def current(cloud: Cloud, key: str = "cat") -> control.ReadTicket:
    return await cloud.ask(control.ReadOpen(bucket="photos", key=key))


async def test_an_upload_becomes_a_version_that_reads_back_as_it_was_announced(cloud: Cloud) -> None:
    upload_id = await cloud.begin(metadata={"camera": "pinhole"})
    records = [cloud.chunk(0), cloud.chunk(1), cloud.chunk(2, 100)]
    done = await cloud.send(upload_id, records)
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
    version = await cloud.commit(upload_id, records)
    assert version == VersionInfo(
        bucket="photos",
        key="cat",
        version_id=version.version_id,
        size=2 * CHUNK + 100,
        created=START,
        storage_class="test",
        checksum=version.checksum,
        chunk_count=3,
        metadata={"camera": "pinhole"},
    )
    assert await current(cloud) == control.ReadTicket(
        version=version,
        redundancy=RedundancyInfo(k=2, n=5, repair_at=4),
        chunk_size=CHUNK,
        envelope=ENVELOPE,
        closing=CLOSING,
    )
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (2 * CHUNK + 100, 1)
    assert await cloud.deletions() == {}


async def test_a_ticket_says_how_to_cut_and_when_a_chunk_counts(cloud: Cloud) -> None:
    ticket = await cloud.ask(
        control.UploadBegin(bucket="photos", key="cat", envelope=ENVELOPE, chunk_size=1 << 20)
    )
    assert ticket == control.UploadTicket(
        upload_id=ticket.upload_id,
        redundancy=RedundancyInfo(k=2, n=5, repair_at=4),
        ack_at=3,
        chunk_size=1 << 20,
        storage_class="test",
    )


async def test_a_plan_names_n_distinct_nodes_with_grants_for_this_session(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    records = [cloud.chunk(0), cloud.chunk(1)]
    for record, plan in zip(records, await cloud.plan(upload_id, *records), strict=True):
        assert (plan.number, plan.chunk_id) == (record.number, record.chunk_id)
        assert [target.index for target in plan.targets] == [0, 1, 2, 3, 4]
        assert len({target.node.node_id for target in plan.targets}) == 5
        for target in plan.targets:
            grant = grants.read(target.grant)
            assert grant[0] is grants.Action.PUT
            assert grant.node_id == target.node.node_id
            assert grant.session_key == SESSION.public
            assert grant.shard_id == shard_id(record.chunk_id, target.index)
            assert grant.max_bytes == record.shard_length


async def test_replacements_avoid_the_nodes_that_were_used(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    [plan] = await cloud.plan(upload_id, record)
    used = [target.node.node_id for target in plan.targets]
    asked = control.UploadReplace(
        upload_id=upload_id, session_key=SESSION.public, chunk_id=record.chunk_id,
        shard_length=record.shard_length, indexes=[4, 1, 3, 0], used=used,
    )  # fmt: skip
    targets = (await cloud.ask(asked)).targets
    # Eight nodes, five used: three are left for four shards.
    assert [target.index for target in targets] == [0, 1, 3]
    assert not {target.node.node_id for target in targets} & set(used)


async def test_an_object_of_no_bytes_has_no_chunks(cloud: Cloud) -> None:
    version = await cloud.commit(await cloud.begin("empty"), [])
    assert (version.size, version.chunk_count, version.checksum) == (0, 0, checksum.text(0))
    health = await cloud.ask(control.ObjectStat(bucket="photos", key="empty"))
    assert (health.survives, health.chunks, health.stored_bytes) == (3, [], 0)


async def test_late_shards_are_added_before_and_after_the_commit(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    [done] = await cloud.send(upload_id, [record])
    for shards, present in (([0, 1, 2], [0, 1, 2]), ([3], [0, 1, 2, 3]), ([3], [0, 1, 2, 3])):
        part = finished(record, [done.stored[index] for index in shards])
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[part]))
        assert held((await rows_of(cloud, upload_id))[0]) == present
    await cloud.commit(upload_id, [record])
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[done]))
    [row] = await rows_of(cloud, upload_id)
    assert (held(row), row.revision) == ([0, 1, 2, 3, 4], 3)
    assert await cloud.deletions() == {}


async def test_recording_again_changes_nothing(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    done = await cloud.send(upload_id, [cloud.chunk(0), cloud.chunk(1)])
    for _ in range(3):
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
        rows = await rows_of(cloud, upload_id)
        assert [(row.number, row.revision, held(row)) for row in rows] == [
            (0, 1, [0, 1, 2, 3, 4]),
            (1, 1, [0, 1, 2, 3, 4]),
        ]


async def test_a_chunk_sealed_again_takes_the_place_of_the_old_one_whose_shards_are_deleted(
    cloud: Cloud,
) -> None:
    upload_id = await cloud.begin()
    first, second = cloud.chunk(tag="a"), cloud.chunk(tag="b")
    [old] = await cloud.send(upload_id, [first], shards=[0, 1, 2])
    [new] = await cloud.send(upload_id, [second])
    for done in (old, new):
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[done]))
    [row] = await rows_of(cloud, upload_id)
    assert row.record == second
    assert await cloud.deletions() == {
        cloud.fleet.alias_of(shard.node_id): [shard_id(first.chunk_id, shard.index)] for shard in old.stored
    }


async def test_a_second_copy_of_a_shard_is_surplus_and_deleted(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    [done] = await cloud.send(upload_id, [record])
    used = [shard.node_id for shard in done.stored]
    asked = control.UploadReplace(
        upload_id=upload_id, session_key=SESSION.public, chunk_id=record.chunk_id,
        shard_length=record.shard_length, indexes=[0], used=used,
    )  # fmt: skip
    [target] = (await cloud.ask(asked)).targets
    for stored in (done.stored, [cloud.store(target)]):
        part = finished(record, stored)
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[part]))
    assert await cloud.deletions() == {
        cloud.fleet.alias_of(target.node.node_id): [shard_id(record.chunk_id, 0)]
    }


async def test_an_upload_can_be_resumed_from_what_it_shows(cloud: Cloud) -> None:
    upload_id = await cloud.begin("a/b", chunk_size=CHUNK)
    records = [cloud.chunk(number) for number in (0, 1, 3)]
    done = await cloud.send(upload_id, records)
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
    shown = await cloud.ask(control.UploadShow(upload_id=upload_id, limit=2))
    assert (shown.bucket, shown.key, shown.envelope) == ("photos", "a/b", ENVELOPE)
    assert (shown.ticket.upload_id, shown.ticket.chunk_size, shown.ticket.ack_at) == (upload_id, CHUNK, 3)
    assert (shown.chunks, shown.after) == (records[:2], 3)
    rest = await cloud.ask(control.UploadShow(upload_id=upload_id, chunks_from=shown.after))
    assert (rest.chunks, rest.after) == (records[2:], None)


async def test_a_commit_is_answered_alike_however_often_it_is_asked(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    records = [cloud.chunk(0)]
    done = await cloud.send(upload_id, records)
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
    first = await cloud.commit(upload_id, records)
    cloud.clock.forward(5)
    assert await cloud.commit(upload_id, records) == first
    await cloud.put(tag="other")
    assert await cloud.commit(upload_id, records) == first
    assert (await current(cloud)).version != first


async def test_a_new_version_sends_the_one_before_to_the_trash_and_usage_follows(cloud: Cloud) -> None:
    first = await cloud.put(chunks=2)
    second = await cloud.put(chunks=3)
    assert (await current(cloud)).version == second
    opened = await cloud.ask(control.ReadOpen(bucket="photos", key="cat", version_id=first.version_id))
    assert opened.version == first
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (3 * CHUNK, 1)


async def test_of_writers_racing_for_one_key_one_wins_whole(cloud: Cloud) -> None:
    uploads = []
    for number in range(6):
        upload_id = await cloud.begin()
        records = [cloud.chunk(chunk, tag=f"{number}-") for chunk in range(number + 1)]
        done = await cloud.send(upload_id, records)
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
        uploads.append((upload_id, records))
    versions = await asyncio.gather(*(cloud.commit(*upload) for upload in uploads))
    winner = (await current(cloud)).version
    assert winner in versions
    records = uploads[versions.index(winner)][1]
    ids = await cloud.ask(control.ReadChunkIds(bucket="photos", version_id=winner.version_id))
    assert ids.ids == b"".join(record.chunk_id for record in records)
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (winner.size, 1)


async def test_of_twenty_writers_that_require_the_key_to_be_absent_exactly_one_wins(cloud: Cloud) -> None:
    uploads = [await cloud.begin(if_absent=True) for _ in range(20)]
    answers = await asyncio.gather(
        *(cloud.commit(upload_id, []) for upload_id in uploads), return_exceptions=True
    )
    won = [answer for answer in answers if isinstance(answer, VersionInfo)]
    lost = [answer.code for answer in answers if isinstance(answer, Refusal)]
    assert (len(won), lost) == (1, ["precondition.failed"] * 19)
    assert (await current(cloud)).version == won[0]


async def test_a_writer_that_requires_a_version_is_refused_once_it_is_another(cloud: Cloud) -> None:
    first = await cloud.put()
    upload_id = await cloud.begin(if_version=first.version_id)
    second = await cloud.put()
    assert await code_of(cloud.commit(upload_id, [])) == "precondition.failed"
    assert await code_of(cloud.begin(if_version=first.version_id)) == "precondition.failed"
    third = await cloud.commit(await cloud.begin(if_version=second.version_id), [])
    assert (await current(cloud)).version == third


async def test_writers_of_neighbouring_keys_do_not_get_in_each_others_way(cloud: Cloud) -> None:
    async def write(number: int) -> VersionInfo:
        return await cloud.put(f"log/{number:03}", tag=str(number))

    versions = await asyncio.gather(*(write(number) for number in range(40)))
    page = await cloud.ask(control.ObjectList(bucket="photos"))
    assert page.objects == list(versions)


async def test_the_chunks_of_one_upload_may_be_recorded_all_at_once(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    records = [cloud.chunk(number) for number in range(12)]
    done = await cloud.send(upload_id, records)
    await asyncio.gather(
        *(cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[each])) for each in done)
    )
    assert (await cloud.commit(upload_id, records)).chunk_count == 12


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"chunk_count": 3}, "number 2 is missing"),
        ({"chunk_count": 1}, "were announced"),
        ({"size": 1}, "were announced"),
        ({"checksum": checksum.text(1)}, "add up to"),
    ],
)
async def test_a_commit_that_does_not_fit_what_is_recorded_is_refused(
    cloud: Cloud, changes: dict, words: str
) -> None:
    upload_id = await cloud.begin()
    records = [cloud.chunk(0), cloud.chunk(1)]
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=await cloud.send(upload_id, records)))
    with pytest.raises(Refusal, match=words) as caught:
        await cloud.commit(upload_id, records, **changes)
    assert caught.value.code == "upload.incomplete"
    assert await code_of(current(cloud)) == "object.unknown"
    assert (await cloud.commit(upload_id, records)).chunk_count == 2


async def test_a_gap_or_a_short_chunk_in_the_middle_is_refused(cloud: Cloud) -> None:
    for records, words in (
        ([cloud.chunk(0), cloud.chunk(2)], "number 1 is missing"),
        ([cloud.chunk(0, 100), cloud.chunk(1)], "Chunk 0 is not the last one"),
    ):
        upload_id = await cloud.begin()
        done = await cloud.send(upload_id, records)
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
        with pytest.raises(Refusal, match=words):
            await cloud.commit(upload_id, records)


async def test_a_chunk_needs_enough_shards_on_distinct_nodes(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    [done] = await cloud.send(upload_id, [cloud.chunk()], shards=[0, 1])
    asked = control.UploadRecord(upload_id=upload_id, chunks=[done])
    assert await code_of(cloud.ask(asked)) == "upload.incomplete"
    assert await rows_of(cloud, upload_id) == []


async def test_several_shards_on_one_node_count_once(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    [plan] = await cloud.plan(upload_id, record)
    [again] = await cloud.plan(upload_id, record)
    one = plan.targets[0].node.node_id
    moved = [target for target in again.targets if target.node.node_id == one and target.index != 0]
    for _ in range(50):
        if moved:
            break
        [again] = await cloud.plan(upload_id, record)
        moved = [target for target in again.targets if target.node.node_id == one and target.index != 0]
    other = next(t for t in plan.targets[1:] if t.index != moved[0].index)
    stored = [cloud.store(target) for target in (plan.targets[0], moved[0], other)]
    asked = control.UploadRecord(upload_id=upload_id, chunks=[finished(record, stored)])
    assert await code_of(cloud.ask(asked)) == "upload.incomplete"


async def test_an_upload_that_was_given_up_is_unknown_from_then_on(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    done = await cloud.send(upload_id, [record])
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done))
    await cloud.ask(control.UploadAbort(upload_id=upload_id))
    for coroutine in (
        cloud.ask(control.UploadAbort(upload_id=upload_id)),
        cloud.ask(control.UploadShow(upload_id=upload_id)),
        cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done)),
        cloud.commit(upload_id, [record]),
        cloud.plan(upload_id, record),
    ):
        assert await code_of(coroutine) == "upload.unknown"


async def test_after_the_commit_nothing_new_is_recorded_and_nothing_given_up(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    done = await cloud.send(upload_id, [record, cloud.chunk(1), cloud.chunk(0)])
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=done[:1]))
    version = await cloud.commit(upload_id, [record])
    for late in done[1:]:
        asked = control.UploadRecord(upload_id=upload_id, chunks=[late])
        assert await code_of(cloud.ask(asked)) == "upload.unknown"
    assert await code_of(cloud.ask(control.UploadAbort(upload_id=upload_id))) == "upload.unknown"
    assert (await current(cloud)).version == version


async def test_another_tenants_upload_is_answered_like_one_that_never_was(cloud: Cloud) -> None:
    mine, never = await cloud.begin(), "0" * 32
    answers = []
    for upload_id in (mine, never):
        for asked in (
            control.UploadShow(upload_id=upload_id),
            control.UploadAbort(upload_id=upload_id),
            control.UploadRecord(upload_id=upload_id, chunks=[]),
            control.UploadPlan(upload_id=upload_id, session_key=SESSION.public, chunks=[]),
            control.UploadCommit(
                upload_id=upload_id, size=0, chunk_count=0, checksum=checksum.text(0), closing=CLOSING
            ),
        ):
            with pytest.raises(Refusal) as caught:
                await cloud.ask(asked, tenant=BOB)
            answers.append((caught.value.code, caught.value.message, caught.value.advice))
    assert answers[:5] == answers[5:]
    assert answers[0][0] == "upload.unknown"
    await cloud.ask(control.UploadShow(upload_id=mine))


async def test_a_class_says_how_much_the_fleet_lacks(cloud: Cloud) -> None:
    with pytest.raises(Refusal) as caught:
        await cloud.begin(storage_class="standard")
    assert (caught.value.code, caught.value.facts["missing"]) == ("fleet.too_small", 6)
    info: ClassInfo = cloud.places.storage_class("standard")
    assert (info.usable, info.missing_nodes) == (False, 6)
