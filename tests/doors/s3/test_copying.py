"""Copies of objects and of ranges of them, and renames."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3.program import S3Cloud, s3_story
from tests.doors.s3.test_multipart import FIRST, LAST, Upload, tag
from tests.doors.s3.test_objects import OTHER, SSE_C, refusal

from holdfast.doors.s3.contents.copying import Named, read_source
from holdfast.doors.s3.contents.listings import url
from holdfast.doors.s3.failures import S3Error

META = "ResponseMetadata"
SOURCE_SSE_C = {f"CopySource{name}": value for name, value in SSE_C.items()}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(TEXT, st.booleans(), st.none() | st.just("0" * 32) | st.just("null"))
def test_a_source_is_read_as_programs_write_it(key: str, slash: bool, version_id: str | None) -> None:
    version = "" if version_id is None else f"?versionId={version_id}"
    header = f"{'/' if slash else ''}photos/{url(key)}{version}"
    assert read_source(header) == Named("photos", key, version_id)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("photos/a+b c", Named("photos", "a+b c")),
        ("photos%2Fa", Named("photos", "a")),
        ("photos/a%3Fb", Named("photos", "a?b")),
        ("photos//a", Named("photos", "/a")),
        ("photos/caf\xc3\xa9", Named("photos", "café")),
        ("photos", None),
        ("photos/", None),
        ("/", None),
        ("", None),
        ("photos/%ff", None),
        ("photos/a?versionId=", None),
        ("arn:aws:s3:us-east-1:1:accesspoint/p/object/k", None),
    ],
)
def test_sources_by_example(header: str, expected: Named | None) -> None:
    if expected is not None:
        assert read_source(header) == expected
        return
    with pytest.raises(S3Error, match="InvalidArgument"):
        read_source(header)


def test_a_copy_has_the_bytes_and_what_its_directives_say() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("CreateBucket", Bucket="target")
        put = await alice.call(
            "PutObject", Bucket="photos", Key="a b/ü", Body=b"hello", ContentType="text/plain",
            Metadata={"mood": "good"}, Tagging="a=1", StorageClass="STANDARD_IA", ACL="public-read",
        )  # fmt: skip
        copy = {"Bucket": "target", "Key": "copy", "CopySource": "/photos/a%20b/%C3%BC"}
        answer = await alice.call("CopyObject", **copy)
        assert answer["CopyObjectResult"]["ETag"] == put["ETag"]
        assert answer["CopyObjectResult"]["ChecksumCRC64NVME"] == put["ChecksumCRC64NVME"]
        got = await alice.call("GetObject", Bucket="target", Key="copy")
        assert (got["Body"], got["ContentType"], got["Metadata"], got["TagCount"]) == (
            b"hello", "text/plain", {"mood": "good"}, 1,
        )  # fmt: skip
        assert "StorageClass" not in got
        assert await refusal(cloud.nobody.call("GetObject", Bucket="target", Key="copy")) == (
            "AccessDenied",
            403,
        )
        await alice.call("CopyObject", **copy, MetadataDirective="REPLACE", TaggingDirective="REPLACE",
                         ContentType="image/png", Metadata={"mood": "bad"}, Tagging="b=2&c=3")  # fmt: skip
        got = await alice.call("GetObject", Bucket="target", Key="copy")
        assert (got["Body"], got["ContentType"], got["Metadata"], got["TagCount"]) == (
            b"hello", "image/png", {"mood": "bad"}, 2,
        )  # fmt: skip
        for directive in ("MetadataDirective", "TaggingDirective"):
            wrong = alice.call("CopyObject", **copy, **{directive: "MERGE"})
            assert await refusal(wrong) == ("InvalidArgument", 400)

    s3_story(story)


def test_an_object_is_copied_onto_itself_only_to_change_it() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x", Metadata={"a": "1"})
        copy = {"Bucket": "photos", "Key": "k", "CopySource": "photos/k"}
        assert await refusal(alice.call("CopyObject", **copy)) == ("InvalidRequest", 400)
        same = alice.call("CopyObject", **copy, StorageClass="STANDARD")
        assert await refusal(same) == ("InvalidRequest", 400)
        for change in (
            {"MetadataDirective": "REPLACE", "Metadata": {"a": "2"}},
            {"StorageClass": "STANDARD_IA"},
            {"WebsiteRedirectLocation": "/b"},
            {"ServerSideEncryption": "AES256"},
        ):
            await alice.call("CopyObject", **copy, **change)
        got = await alice.call("GetObject", Bucket="photos", Key="k")
        assert (got["Body"], got["Metadata"]) == (b"x", {"a": "2"})

    s3_story(story)


def test_a_source_s_conditions_must_hold() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        etag = (await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x"))["ETag"]
        copy = {"Bucket": "photos", "Key": "copy", "CopySource": "photos/k"}
        past, future = "Thu, 01 Jan 2015 00:00:00 GMT", "Thu, 01 Jan 2032 00:00:00 GMT"
        for wish, holds in [
            ({"CopySourceIfMatch": etag}, True),
            ({"CopySourceIfMatch": '"0"'}, False),
            ({"CopySourceIfNoneMatch": '"0"'}, True),
            ({"CopySourceIfNoneMatch": etag}, False),
            ({"CopySourceIfModifiedSince": past}, True),
            ({"CopySourceIfModifiedSince": future}, False),
            ({"CopySourceIfUnmodifiedSince": future}, True),
            ({"CopySourceIfUnmodifiedSince": past}, False),
            ({"CopySourceIfMatch": etag, "CopySourceIfUnmodifiedSince": past}, True),
            ({"CopySourceIfNoneMatch": etag, "CopySourceIfModifiedSince": past}, False),
            ({"IfNoneMatch": "*"}, False),
            ({"IfMatch": etag}, True),
        ]:
            if holds:
                await alice.call("CopyObject", **copy, **wish)
            else:
                assert await refusal(alice.call("CopyObject", **copy, **wish)) == ("PreconditionFailed", 412)

    s3_story(story)


def test_a_source_must_be_there_and_be_allowed() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bob = cloud.alice, cloud.bob
        await bob.call("CreateBucket", Bucket="bobs")
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x")
        await alice.call("PutObject", Bucket="photos", Key="cold", Body=b"x", StorageClass="GLACIER")
        to = {"Bucket": "photos", "Key": "copy"}
        for source, expected in [
            ("photos/none", ("NoSuchKey", 404)),
            ("nowhere/k", ("NoSuchBucket", 404)),
            (f"photos/k?versionId={'0' * 32}", ("NoSuchVersion", 404)),
            ("photos/k?versionId=odd", ("InvalidArgument", 400)),
            ("photos/cold", ("InvalidObjectState", 403)),
        ]:
            assert await refusal(alice.call("CopyObject", CopySource=source, **to)) == expected
        theirs = bob.call("CopyObject", Bucket="bobs", Key="k", CopySource="photos/k")
        assert await refusal(theirs) == ("AccessDenied", 403)
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x", ACL="public-read")
        await bob.call("CopyObject", Bucket="bobs", Key="k", CopySource="photos/k")
        assert (await bob.call("GetObject", Bucket="bobs", Key="k"))["Body"] == b"x"
        other = alice.call(
            "CopyObject", CopySource="photos/k", ExpectedSourceBucketOwner="123456789012", **to
        )
        assert await refusal(other) == ("AccessDenied", 403)

    s3_story(story)


def test_an_old_version_is_brought_back_by_a_copy() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        bucket = await cloud.bucket_of("photos")
        await cloud.buckets.set_versioning(bucket.id, "on")
        first = await alice.call("PutObject", Bucket="photos", Key="k", Body=b"first")
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"second")
        source = f"photos/k?versionId={first['VersionId']}"
        answer = await alice.call("CopyObject", Bucket="photos", Key="k", CopySource=source)
        assert answer["CopySourceVersionId"] == first["VersionId"]
        got = await alice.call("GetObject", Bucket="photos", Key="k")
        assert (got["Body"], got["VersionId"]) == (b"first", answer["VersionId"])
        marker = await alice.call("DeleteObject", Bucket="photos", Key="k")
        gone = alice.call("CopyObject", Bucket="photos", Key="l", CopySource="photos/k")
        assert await refusal(gone) == ("NoSuchKey", 404)
        named = f"photos/k?versionId={marker['VersionId']}"
        assert await refusal(alice.call("CopyObject", Bucket="photos", Key="l", CopySource=named)) == (
            "InvalidRequest", 400,
        )  # fmt: skip

    s3_story(story)


def test_both_sides_of_a_copy_may_have_a_customer_s_key() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"secret", **SSE_C)
        copy = {"Bucket": "photos", "Key": "copy", "CopySource": "photos/k"}
        assert await refusal(alice.call("CopyObject", **copy)) == ("InvalidRequest", 400)
        answer = await alice.call("CopyObject", **copy, **SOURCE_SSE_C, **OTHER)
        assert answer["SSECustomerKeyMD5"] == OTHER["SSECustomerKeyMD5"]
        assert (await alice.call("GetObject", Bucket="photos", Key="copy", **OTHER))["Body"] == b"secret"
        await alice.call("CopyObject", **copy, **SOURCE_SSE_C)
        assert (await alice.call("GetObject", Bucket="photos", Key="copy"))["Body"] == b"secret"

    s3_story(story)


def test_large_objects_and_objects_of_parts_are_copied_whole() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        upload = await Upload(cloud, "parts").begin()
        await upload.put(1, FIRST)
        await upload.put(2, LAST)
        await upload.complete()
        await alice.call("PutObject", Bucket="photos", Key="large", Body=FIRST)
        for key, content in (("parts", FIRST + LAST), ("large", FIRST)):
            await alice.call("CopyObject", Bucket="photos", Key="copy", CopySource=f"photos/{key}")
            await alice.call("DeleteObject", Bucket="photos", Key=key)
            assert (await alice.call("GetObject", Bucket="photos", Key="copy"))["Body"] == content

    s3_story(story)


def test_a_checksum_asked_for_is_taken_while_copying() -> None:
    async def story(cloud: S3Cloud) -> None:
        from tests.doors.s3.test_multipart import crc, sha

        alice = cloud.alice
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"hello", ChecksumCRC32=crc(b"hello"))
        kept = await alice.call("CopyObject", Bucket="photos", Key="copy", CopySource="photos/k")
        assert kept["CopyObjectResult"]["ChecksumCRC32"] == crc(b"hello")
        asked = await alice.call(
            "CopyObject", Bucket="photos", Key="copy", CopySource="photos/k", ChecksumAlgorithm="SHA256"
        )
        assert asked["CopyObjectResult"]["ChecksumSHA256"] == sha(b"hello")

    s3_story(story)


def test_parts_are_copied_from_ranges_of_objects() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("PutObject", Bucket="photos", Key="source", Body=FIRST + LAST)
        upload = await Upload(cloud).begin()
        copy = {**upload.names, "CopySource": "photos/source"}
        first = await alice.call(
            "UploadPartCopy", **copy, PartNumber=1, CopySourceRange=f"bytes=0-{len(FIRST) - 1}"
        )
        result = first["CopyPartResult"]
        assert result["ETag"] == f'"{hashlib.md5(FIRST).hexdigest()}"'
        parts: list[dict[str, Any]] = [{"PartNumber": 1, "ETag": result["ETag"]}]
        second = await alice.call(
            "UploadPartCopy",
            **copy,
            PartNumber=2,
            CopySourceRange=f"bytes={len(FIRST)}-{len(FIRST + LAST) - 1}",
        )
        parts.append({"PartNumber": 2, "ETag": second["CopyPartResult"]["ETag"]})
        whole = await alice.call("UploadPartCopy", **copy, PartNumber=3)
        parts.append({"PartNumber": 3, "ETag": whole["CopyPartResult"]["ETag"]})
        for bad in ("bytes=0-", "0-3", f"bytes=0-{len(FIRST + LAST)}"):
            call = alice.call("UploadPartCopy", **copy, PartNumber=4, CopySourceRange=bad)
            assert await refusal(call) == ("InvalidArgument", 400)
        done = await upload.complete([parts[0], parts[2]])
        assert done["ETag"] == tag(FIRST, FIRST + LAST)
        got = await alice.call("GetObject", Bucket="photos", Key="k")
        assert got["Body"] == FIRST + FIRST + LAST
        over = alice.call("UploadPartCopy", **copy, PartNumber=1)
        assert await refusal(over) == ("NoSuchUpload", 404)

    s3_story(story)


def test_a_rename_moves_the_object_and_nothing_else() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        for key, content in (("a b", b"small"), ("large", FIRST)):
            put = await alice.call("PutObject", Bucket="photos", Key=key, Body=content, Metadata={"a": "1"})
            await alice.call(
                "RenameObject", Bucket="photos", Key=f"new {key}", RenameSource=f"/photos/{url(key)}"
            )
            got = await alice.call("GetObject", Bucket="photos", Key=f"new {key}")
            assert (got["Body"], got["Metadata"], got["ETag"]) == (content, {"a": "1"}, put["ETag"])
            assert await refusal(alice.call("GetObject", Bucket="photos", Key=key)) == ("NoSuchKey", 404)
        rename = {"Bucket": "photos", "Key": "new large", "RenameSource": "new%20a%20b"}
        taken = alice.call("RenameObject", **rename, DestinationIfNoneMatch="*")
        assert await refusal(taken) == ("PreconditionFailed", 412)
        other = alice.call("RenameObject", **rename, SourceIfMatch='"0"')
        assert await refusal(other) == ("PreconditionFailed", 412)
        none = alice.call("RenameObject", Bucket="photos", Key="x", RenameSource="none")
        assert await refusal(none) == ("NoSuchKey", 404)

    s3_story(story)
