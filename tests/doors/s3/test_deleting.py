"""Deletes, one by one and many at a time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.doors.s3.program import S3Cloud, md5, s3_story
from tests.doors.s3.test_objects import refusal, set_up

from holdfast.doors.s3.contents.deleting import read_entries
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.xml_reading import parse
from holdfast.files.bucket_settings import ObjectLock

META = "ResponseMetadata"


async def versioned(cloud: S3Cloud, state: str = "on") -> None:
    bucket = await cloud.bucket_of("photos")
    await cloud.buckets.set_versioning(bucket.id, state)


def test_what_is_deleted_is_gone_and_what_is_not_there_may_be_deleted() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x")
        for _ in range(2):
            answer = await alice.call("DeleteObject", Bucket="photos", Key="k")
            assert (answer[META]["HTTPStatusCode"], set(answer)) == (204, {META})
        assert await refusal(alice.call("GetObject", Bucket="photos", Key="k")) == ("NoSuchKey", 404)
        assert await refusal(cloud.bob.call("DeleteObject", Bucket="photos", Key="k")) == (
            "AccessDenied",
            403,
        )

    s3_story(story)


def test_a_versioned_delete_leaves_a_marker_that_can_be_deleted_again() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await versioned(cloud)
        put = await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x")
        gone = await alice.call("DeleteObject", Bucket="photos", Key="k")
        assert gone["DeleteMarker"] is True
        marker = gone["VersionId"]
        for operation, code in (("GetObject", "NoSuchKey"), ("HeadObject", "404")):
            assert await refusal(alice.call(operation, Bucket="photos", Key="k")) == (code, 404)
            headers = alice.last[1]
            assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
        for operation, code in (("GetObject", "MethodNotAllowed"), ("HeadObject", "405")):
            call = alice.call(operation, Bucket="photos", Key="k", VersionId=marker)
            assert await refusal(call) == (code, 405)
            headers = alice.last[1]
            assert (headers["x-amz-delete-marker"], headers["allow"]) == ("true", "DELETE")
            assert "last-modified" in headers
        assert (await alice.call("GetObject", Bucket="photos", Key="k", VersionId=put["VersionId"]))[
            "Body"
        ] == b"x"
        again = await alice.call("DeleteObject", Bucket="photos", Key="k", VersionId=marker)
        assert (again["DeleteMarker"], again["VersionId"]) == (True, marker)
        assert (await alice.call("GetObject", Bucket="photos", Key="k"))["VersionId"] == put["VersionId"]
        for_good = await alice.call("DeleteObject", Bucket="photos", Key="k", VersionId=put["VersionId"])
        assert ("DeleteMarker" in for_good, for_good["VersionId"]) == (False, put["VersionId"])
        missing = alice.call("GetObject", Bucket="photos", Key="k", VersionId=put["VersionId"])
        assert await refusal(missing) == ("NoSuchVersion", 404)

    s3_story(story)


def test_suspended_versioning_writes_and_deletes_the_null_version() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await versioned(cloud)
        kept = await alice.call("PutObject", Bucket="photos", Key="k", Body=b"kept")
        await versioned(cloud, "suspended")
        assert (await alice.call("PutObject", Bucket="photos", Key="k", Body=b"null"))["VersionId"] == "null"
        assert (await alice.call("GetObject", Bucket="photos", Key="k"))["VersionId"] == "null"
        gone = await alice.call("DeleteObject", Bucket="photos", Key="k")
        assert (gone["DeleteMarker"], gone["VersionId"]) == (True, "null")
        await alice.call("DeleteObject", Bucket="photos", Key="k", VersionId="null")
        got = await alice.call("GetObject", Bucket="photos", Key="k")
        assert (got["Body"], got["VersionId"]) == (b"kept", kept["VersionId"])

    s3_story(story)


def test_a_delete_may_require_what_it_deletes() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        etag = (await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x"))["ETag"]
        for given in (
            {"IfMatch": '"0"'},
            {"IfMatchSize": 2},
            {"IfMatchLastModifiedTime": "Thu, 01 Jan 2015 00:00:00 GMT"},
        ):
            call = alice.call("DeleteObject", Bucket="photos", Key="k", **given)
            assert await refusal(call) == ("PreconditionFailed", 412)
        modified = (await alice.call("HeadObject", Bucket="photos", Key="k"))[META]["HTTPHeaders"][
            "last-modified"
        ]
        await alice.call(
            "DeleteObject",
            Bucket="photos",
            Key="k",
            IfMatch=etag,
            IfMatchSize=1,
            IfMatchLastModifiedTime=modified,
        )
        assert await refusal(alice.call("HeadObject", Bucket="photos", Key="k")) == ("404", 404)
        nothing = alice.call("DeleteObject", Bucket="photos", Key="k", IfMatch=etag)
        assert await refusal(nothing) == ("NoSuchKey", 404)

    s3_story(story)


def test_many_are_deleted_at_once_each_with_its_outcome() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        keys = [f"k{number}" for number in range(5)]
        tags = [(await alice.call("PutObject", Bucket="photos", Key=key, Body=b"x"))["ETag"] for key in keys]
        objects = [
            {"Key": "k0"},
            {"Key": "none"},
            {"Key": "k1", "ETag": tags[1]},
            {"Key": "k2", "ETag": '"0"'},
        ]
        answer = await alice.call("DeleteObjects", Bucket="photos", Delete={"Objects": objects})
        assert answer["Deleted"] == [{"Key": "k0"}, {"Key": "none"}, {"Key": "k1"}]
        failed = answer["Errors"]
        assert [(row["Key"], row["Code"]) for row in failed] == [("k2", "PreconditionFailed")]
        quiet = {"Objects": [{"Key": "k3"}, {"Key": "k2", "Size": 9}], "Quiet": True}
        answer = await alice.call("DeleteObjects", Bucket="photos", Delete=quiet)
        assert ("Deleted" in answer, [row["Key"] for row in answer["Errors"]]) == (False, ["k2"])
        listed = await alice.call("ListObjectsV2", Bucket="photos")
        assert [row["Key"] for row in listed["Contents"]] == ["k2", "k4"]
        strangers = await cloud.bob.call(
            "DeleteObjects", Bucket="photos", Delete={"Objects": [{"Key": "k4"}]}
        )
        assert [(row["Key"], row["Code"]) for row in strangers["Errors"]] == [("k4", "AccessDenied")]

    s3_story(story)


def test_markers_and_versions_are_deleted_among_many() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await versioned(cloud)
        put = await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x")
        answer = await alice.call("DeleteObjects", Bucket="photos", Delete={"Objects": [{"Key": "k"}]})
        (row,) = answer["Deleted"]
        marker = row["DeleteMarkerVersionId"]
        assert row == {"Key": "k", "DeleteMarker": True, "DeleteMarkerVersionId": marker}
        both = [{"Key": "k", "VersionId": marker}, {"Key": "k", "VersionId": put["VersionId"]}]
        answer = await alice.call("DeleteObjects", Bucket="photos", Delete={"Objects": both})
        assert answer["Deleted"] == [
            {"Key": "k", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker},
            {"Key": "k", "VersionId": put["VersionId"]},
        ]
        assert "Versions" not in await alice.call("ListObjectVersions", Bucket="photos")

    s3_story(story)


def test_a_lock_outlives_every_delete() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await versioned(cloud)
        await set_up(cloud, object_lock=ObjectLock())
        lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": "2032-01-01T00:00:00Z"}
        put = await alice.call(
            "PutObject", Bucket="photos", Key="k", Body=b"x", **lock, ObjectLockLegalHoldStatus="OFF"
        )
        head = await alice.call("HeadObject", Bucket="photos", Key="k")
        assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"].year) == ("GOVERNANCE", 2032)
        named = {"Bucket": "photos", "Key": "k", "VersionId": put["VersionId"]}
        assert await refusal(alice.call("DeleteObject", **named)) == ("AccessDenied", 403)
        many = await alice.call(
            "DeleteObjects",
            Bucket="photos",
            Delete={"Objects": [{"Key": "k", "VersionId": put["VersionId"]}]},
        )
        assert [row["Code"] for row in many["Errors"]] == ["AccessDenied"]
        # A marker hides it; it is still there.
        assert (await alice.call("DeleteObject", Bucket="photos", Key="k"))["DeleteMarker"] is True
        assert (await alice.call("GetObject", **named))["Body"] == b"x"
        await alice.call("DeleteObject", **named, BypassGovernanceRetention=True)
        assert await refusal(alice.call("GetObject", **named)) == ("NoSuchVersion", 404)
        for bad in ({"ObjectLockMode": "GOVERNANCE"}, {**lock, "ObjectLockMode": "FOREVER"},
                    {**lock, "ObjectLockRetainUntilDate": "2001-01-01T00:00:00Z"}):  # fmt: skip
            assert await refusal(alice.call("PutObject", Bucket="photos", Key="k", Body=b"x", **bad)) == (
                "InvalidArgument", 400,
            )  # fmt: skip

    s3_story(story)


def test_a_bucket_s_default_retention_is_given_to_what_is_written() -> None:
    async def story(cloud: S3Cloud) -> None:
        await versioned(cloud)
        await set_up(cloud, object_lock=ObjectLock(mode="COMPLIANCE", days=3))
        put = await cloud.alice.call("PutObject", Bucket="photos", Key="k", Body=b"x")
        head = await cloud.alice.call("HeadObject", Bucket="photos", Key="k")
        assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"].day) == ("COMPLIANCE", 18)
        call = cloud.alice.call(
            "DeleteObject",
            Bucket="photos",
            Key="k",
            VersionId=put["VersionId"],
            BypassGovernanceRetention=True,
        )
        assert await refusal(call) == ("AccessDenied", 403)

    s3_story(story)


@pytest.mark.parametrize(
    "document",
    [
        "<Delete/>",
        "<Delete><Object/></Delete>",
        "<Delete><Quiet>perhaps</Quiet><Object><Key>a</Key></Object></Delete>",
        "<Delete>" + "<Object><Key>a</Key></Object>" * 1001 + "</Delete>",
        "<Delete><Subject><Key>a</Key></Subject></Delete>",
    ],
)
def test_a_list_of_keys_follows_the_schema(document: str) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        read_entries(parse(document.encode()))


def test_a_list_of_keys_comes_with_a_digest() -> None:
    body = b"<Delete><Object><Key>a</Key></Object></Delete>"

    async def story(cloud: S3Cloud) -> None:
        async def send(**headers: str) -> Any:
            return await cloud.alice.send_raw("POST", "/photos", body, "delete=", **headers)

        assert await refusal(send()) == ("InvalidRequest", 400)
        assert await refusal(send(content_md5=md5(b"else"))) == ("BadDigest", 400)
        assert b"<Deleted><Key>a</Key></Deleted>" in await send(content_md5=md5(body))
        import base64
        import zlib

        crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        assert b"<Deleted><Key>a</Key></Deleted>" in await send(x_amz_checksum_crc32=crc)

    s3_story(story)
