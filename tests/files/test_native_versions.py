"""Clients and the S3 door side by side: what one writes the other finds, and versioning holds for both."""

from __future__ import annotations

import msgspec
import pytest
from tests.files.cloud import ALICE, CHUNK, CLOSING, Cloud
from tests.files.kept import new, part

from holdfast.files import locking
from holdfast.files.attributes import NOTHING, Attributes, Conditions, Retention
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.bucket_settings import ObjectLock
from holdfast.files.committing import NOTHING_YET
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.records import Bucket, NewPart, NewVersion
from holdfast.files.stores import store_references, store_versions
from holdfast.files.upload import Uploads
from holdfast.protocol import control
from holdfast.world.errors import Refusal


class Door:
    """What the S3 door has of the same cloud."""

    def __init__(self, cloud: Cloud) -> None:
        database, clock, chance = cloud.database, cloud.clock, cloud.chance
        self.buckets = BucketRecords(database, clock)
        self.histories = Histories(database, clock, chance)
        self.multiparts = Multiparts(database, clock, chance)
        self.uploads = Uploads(
            database=database, places=cloud.places, journal=cloud.journal, clock=clock, chance=chance,
            offload=cloud.offload,
        )  # fmt: skip

    async def bucket(self, versioning: str = "") -> Bucket:
        bucket = await self.buckets.find("photos")
        return await self.buckets.set_versioning(bucket.id, versioning) if versioning else bucket


async def uploaded(cloud: Cloud, key: str = "cat") -> control.UploadCommit:
    """An upload whose chunk is recorded, and the commit that is to follow."""
    upload_id = await cloud.begin(key)
    record = cloud.chunk()
    [done] = await cloud.send(upload_id, [record])
    return control.UploadCommit(
        upload_id=upload_id, size=CHUNK, chunk_count=1, checksum=f"crc64nvme:{record.checksum:016x}",
        closing=CLOSING, chunks=[done],
    )  # fmt: skip


async def code_of(doing) -> str:
    with pytest.raises(Refusal) as caught:
        await doing
    return caught.value.code


async def test_what_a_client_uploads_shows_in_s3_with_an_etag_that_is_no_digest(cloud: Cloud) -> None:
    door = Door(cloud)
    version = await cloud.put("cat", metadata={"Colour": "red"})
    found = await door.histories.find(await door.bucket(), "cat")
    assert (found.s3_version_id, found.version_id) == ("null", version.version_id)
    assert found.etag == f"{version.version_id}-1"
    assert found.parsed.metadata == {"colour": "red"}
    assert found.parsed.checksum_algorithm == "CRC64NVME"


async def test_clients_write_and_remove_under_a_bucket_s_versioning(cloud: Cloud) -> None:
    door = Door(cloud)
    first = await cloud.put("cat", tag="1")
    bucket = await door.bucket("on")
    second = await cloud.put("cat", tag="2")
    removed = await cloud.ask(control.ObjectRemove(bucket="photos", key="cat"))
    assert removed.version_id == second.version_id
    rows = (await door.histories.list_versions(bucket)).rows
    assert [(row.marker, row.s3_version_id) for row in rows[1:]] == [
        (False, second.version_id), (False, "null"),
    ]  # fmt: skip
    assert rows[0].marker
    assert (await cloud.ask(control.ObjectList(bucket="photos"))).objects == []
    assert await code_of(cloud.ask(control.ObjectRemove(bucket="photos", key="cat"))) == "object.unknown"
    opened = await cloud.ask(control.ReadOpen(bucket="photos", key="cat", version_id=first.version_id))
    assert opened.version == first
    marked = control.ReadOpen(bucket="photos", key="cat", version_id=rows[0].version_id)
    assert await code_of(cloud.ask(marked)) == "object.unknown"
    assert await code_of(cloud.ask(control.BucketRemove(bucket="photos"))) == "bucket.not_empty"
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (2 * CHUNK, 2)


async def test_what_a_client_writes_gets_the_lock_that_its_bucket_gives(cloud: Cloud) -> None:
    door = Door(cloud)
    bucket = await door.bucket("on")
    before = await cloud.put("cat", tag="1")
    lock = ObjectLock(mode="COMPLIANCE", days=1)
    await door.buckets.change(bucket.id, lambda _, old: msgspec.structs.replace(old, object_lock=lock))
    written = await cloud.put("cat", metadata={"Colour": "red"}, tag="2")
    bucket = await door.bucket()
    found = await door.histories.find(bucket, "cat")
    assert found.version_id == written.version_id
    assert found.parsed.retention == Retention(mode="COMPLIANCE", until=found.created + locking.DAY)
    assert (found.parsed.metadata, found.parsed.checksum_algorithm) == ({"colour": "red"}, "CRC64NVME")
    opened = await cloud.ask(control.ReadOpen(bucket="photos", key="cat"))
    assert opened.version.metadata == {"Colour": "red"}
    assert await code_of(door.histories.delete(bucket, "cat", written.version_id)) == "version.locked"
    # A client can hide it, as everybody can; what was there before the lock is not kept by it.
    await cloud.ask(control.ObjectRemove(bucket="photos", key="cat"))
    assert (await door.histories.find(bucket, "cat", written.version_id)).state == "noncurrent"
    assert (await door.histories.delete(bucket, "cat", "null")).version_id == "null"
    assert before.version_id != written.version_id


async def test_the_gateway_commits_an_upload_as_it_says(cloud: Cloud) -> None:
    door, attributes = Door(cloud), Attributes(metadata={"a": "b"}, tags={"t": "u"})
    wish = NewVersion(NOTHING_YET, attributes, "digest")
    asked = await uploaded(cloud)
    version = await door.uploads.commit_version(ALICE, asked, wish)
    assert (version.etag, version.parsed, version.size) == ("digest", attributes, CHUNK)
    assert await door.histories.find(await door.bucket(), "cat") == version
    assert await door.uploads.commit_version(ALICE, asked, wish) == version
    again = await uploaded(cloud)
    absent = Conditions(if_none_match="*")
    assert await code_of(door.uploads.commit_version(ALICE, again, wish, absent)) == "precondition.failed"
    replaced = await door.uploads.commit_version(ALICE, again, wish, Conditions(if_match="digest"))
    assert (await door.histories.find(await door.bucket(), "cat")).version_id == replaced.version_id


async def test_an_upload_becomes_a_part_and_is_freed_when_another_takes_its_place(cloud: Cloud) -> None:
    door = Door(cloud)
    bucket = await door.bucket()
    multipart = await door.multiparts.create(bucket, "film", "test", NOTHING)
    asked = await uploaded(cloud, "film")
    made = await door.uploads.commit_part(ALICE, asked, multipart, NewPart(1, "p1", NOTHING_YET, "sum"))
    assert await door.uploads.commit_part(ALICE, asked, multipart, NewPart(1, "p1", NOTHING_YET)) == made
    assert (made.size, made.etag, made.checksum_value) == (CHUNK, "p1", "sum")
    assert await door.multiparts.all_parts(multipart) == [made]
    other = await uploaded(cloud, "film")
    second = await door.uploads.commit_part(ALICE, other, multipart, NewPart(1, "p2", NOTHING_YET))
    assert await cloud.database.read(store_references.doomed_streams, 10) == [made.stream]
    assert await code_of(
        door.uploads.commit_part(ALICE, asked, multipart, NewPart(1, "p1", NOTHING_YET))
    ) == ("upload.unknown")
    version = await door.multiparts.complete(bucket, multipart, [second], "whole-1", NOTHING)
    assert version.checksum == second.checksum
    listed = await cloud.ask(control.ObjectList(bucket="photos"))
    assert [(each.key, each.size, each.chunk_count) for each in listed.objects] == [("film", CHUNK, 1)]
    opened = control.ReadOpen(bucket="photos", key="film")
    assert await code_of(cloud.ask(opened)) == "key.unknown"


async def test_repair_knows_the_class_of_whatever_holds_a_stream(cloud: Cloud) -> None:
    door = Door(cloud)
    bucket = await door.bucket()
    await door.histories.add(bucket, "a", new(stream=101))
    multipart = await door.multiparts.create(bucket, "b", "test", NOTHING)
    for number, stream in ((1, 102), (2, 103)):
        await door.multiparts.put_part(multipart, number, part(number, stream=stream))
    parts = await door.multiparts.all_parts(multipart)
    found = await cloud.database.read(store_references.classes_of, [101, 102, 103, 104])
    assert found == {101: "standard", 102: "standard", 103: "standard"}
    await door.multiparts.complete(bucket, multipart, parts, "w-2", NOTHING)
    assert await cloud.database.read(store_references.classes_of, [101, 102, 103, 104]) == found
