"""Multipart uploads from their beginning to every end they can have."""

from __future__ import annotations

import base64
import hashlib
import zlib
from typing import Any

import pytest
from tests.doors.s3.program import Answer, S3Cloud, md5, s3_story
from tests.doors.s3.test_objects import OTHER, SSE_C, refusal, set_up

from holdfast.doors.s3.contents.multipart import read_chosen
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.xml_reading import parse
from holdfast.files.bucket_settings import LifecycleFilter, LifecycleRule

META = "ResponseMetadata"
MIB = 1 << 20
FIRST = bytes(range(256)) * 20_480
"""5 MiB."""
LAST = b"the end"


class Upload:
    """A multipart upload under way."""

    def __init__(self, cloud: S3Cloud, key: str = "k") -> None:
        self.cloud = cloud
        self.names = {"Bucket": "photos", "Key": key}
        self.parts: list[dict[str, Any]] = []
        self.created: dict[str, Any] = {}

    async def begin(self, **given: Any) -> Upload:
        self.created = await self.cloud.alice.call("CreateMultipartUpload", **self.names, **given)
        self.names["UploadId"] = self.created["UploadId"]
        return self

    async def put(self, number: int, body: bytes, **given: Any) -> dict[str, Any]:
        answer = await self.cloud.alice.call(
            "UploadPart", **self.names, PartNumber=number, Body=body, **given
        )
        self.parts = [part for part in self.parts if part["PartNumber"] != number]
        self.parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        return answer

    async def complete(self, parts: list[dict[str, Any]] | None = None, **given: Any) -> dict[str, Any]:
        chosen = sorted(self.parts, key=lambda part: part["PartNumber"]) if parts is None else parts
        return await self.cloud.alice.call(
            "CompleteMultipartUpload", **self.names, MultipartUpload={"Parts": chosen}, **given
        )


def tag(*pieces: bytes) -> str:
    joined = b"".join(hashlib.md5(piece).digest() for piece in pieces)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(pieces)}"'


def test_parts_become_an_object_with_all_that_the_upload_began_with() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud, "a b/ü").begin(
            ContentType="text/plain", Metadata={"mood": "good"}, Tagging="a=1", StorageClass="STANDARD_IA"
        )
        assert (upload.created["Bucket"], upload.created["Key"]) == ("photos", "a b/ü")
        await upload.put(7, LAST)
        await upload.put(2, b"to be replaced")
        put = await upload.put(2, FIRST)
        assert put["ETag"] == f'"{hashlib.md5(FIRST).hexdigest()}"'
        done = await upload.complete()
        assert (done["ETag"], done["Bucket"], done["Key"]) == (tag(FIRST, LAST), "photos", "a b/ü")
        assert done["Location"] == "https://s3.localhost:8333/photos/a%20b/%C3%BC"
        got = await cloud.alice.call("GetObject", Bucket="photos", Key="a b/ü")
        assert (got["Body"] == FIRST + LAST, got["ETag"]) == (True, done["ETag"])
        assert (got["ContentType"], got["Metadata"], got["TagCount"], got["StorageClass"]) == (
            "text/plain", {"mood": "good"}, 1, "STANDARD_IA",
        )  # fmt: skip
        edge = await cloud.alice.call(
            "GetObject", Bucket="photos", Key="a b/ü", Range=f"bytes={len(FIRST) - 2}-{len(FIRST) + 1}"
        )
        assert edge["Body"] == FIRST[-2:] + LAST[:2]
        second = await cloud.alice.call("GetObject", Bucket="photos", Key="a b/ü", PartNumber=2)
        assert (second["Body"], second["PartsCount"], second[META]["HTTPStatusCode"]) == (LAST, 2, 206)
        head = await cloud.alice.call("HeadObject", Bucket="photos", Key="a b/ü", PartNumber=1)
        assert (head["ContentLength"], head["PartsCount"]) == (len(FIRST), 2)
        third = cloud.alice.call("GetObject", Bucket="photos", Key="a b/ü", PartNumber=3)
        assert await refusal(third) == ("InvalidPartNumber", 416)

    s3_story(story)


def test_a_completion_may_be_asked_for_again() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud).begin()
        await upload.put(1, LAST)
        first = await upload.complete()
        again = await upload.complete()
        assert {**again, META: 0} == {**first, META: 0}
        other = upload.complete([{"PartNumber": 1, "ETag": '"0"'}])
        assert await refusal(other) == ("NoSuchUpload", 404)
        assert await refusal(upload.put(2, LAST)) == ("NoSuchUpload", 404)
        assert await refusal(cloud.alice.call("AbortMultipartUpload", **upload.names)) == (
            "NoSuchUpload",
            404,
        )
        assert await refusal(cloud.alice.call("ListParts", **upload.names)) == ("NoSuchUpload", 404)
        await cloud.alice.call("DeleteObject", Bucket="photos", Key="k")
        assert await refusal(upload.complete()) == ("NoSuchUpload", 404)

    s3_story(story)


def test_a_completion_names_its_parts_rightly() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud).begin()
        await upload.put(1, b"too small to stand before another")
        await upload.put(2, LAST)
        one, two = upload.parts
        for parts, expected in [
            ([two, one], "InvalidPartOrder"),
            ([one, one], "InvalidPartOrder"),
            ([{**one, "ETag": '"0"'}], "InvalidPart"),
            ([{**one, "PartNumber": 3}], "InvalidPart"),
            ([one, two], "EntityTooSmall"),
            ([], "MalformedXML"),
            ([{**one, "PartNumber": 0}], "InvalidArgument"),
            ([{**one, "PartNumber": 10_001}], "InvalidArgument"),
        ]:
            assert await refusal(upload.complete(parts)) == (expected, 400), parts
        wrong = upload.complete([two], MpuObjectSize=3)
        assert await refusal(wrong) == ("InvalidRequest", 400)
        # None of that has ended the upload.
        done = await upload.complete([{**two, "ETag": two["ETag"].strip('"')}], MpuObjectSize=len(LAST))
        assert done["ETag"] == tag(LAST)

    s3_story(story)


@pytest.mark.parametrize(
    "document",
    [
        "<CompleteMultipartUpload/>",
        "<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>",
        "<CompleteMultipartUpload><Piece/></CompleteMultipartUpload>",
    ],
)
def test_a_completion_without_parts_is_malformed(document: str) -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        read_chosen(parse(document.encode()))


def test_a_completion_may_require_that_the_key_is_free_or_unchanged() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud).begin()
        await upload.put(1, LAST)
        put = await cloud.alice.call("PutObject", Bucket="photos", Key="k", Body=b"meanwhile")
        assert await refusal(upload.complete(IfNoneMatch="*")) == ("PreconditionFailed", 412)
        assert await refusal(upload.complete(IfMatch='"0"')) == ("PreconditionFailed", 412)
        await upload.complete(IfMatch=put["ETag"])
        assert (await cloud.alice.call("GetObject", Bucket="photos", Key="k"))["Body"] == LAST

    s3_story(story)


def test_numbers_and_uploads_that_cannot_be_are_refused() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud).begin()
        for number in (0, 10_001):
            assert await refusal(upload.put(number, LAST)) == ("InvalidArgument", 400)
        await cloud.alice.call("AbortMultipartUpload", **upload.names)
        assert await refusal(upload.put(1, LAST)) == ("NoSuchUpload", 404)
        upload.names["UploadId"] = "nonsense"
        assert await refusal(upload.put(1, LAST)) == ("NoSuchUpload", 404)
        assert await refusal(cloud.bob.call("CreateMultipartUpload", Bucket="photos", Key="k")) == (
            "AccessDenied",
            403,
        )

    s3_story(story)


def test_parts_and_uploads_are_listed_in_pages() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        upload = await Upload(cloud, "a/1").begin(ChecksumAlgorithm="CRC32")
        for number in (1, 2, 5):
            await upload.put(number, b"x" * number)
        page = await alice.call("ListParts", **upload.names, MaxParts=2)
        assert [part["PartNumber"] for part in page["Parts"]] == [1, 2]
        assert (page["IsTruncated"], page["NextPartNumberMarker"], page["MaxParts"]) == (True, 2, 2)
        rest = await alice.call("ListParts", **upload.names, PartNumberMarker=2)
        assert [(part["PartNumber"], part["Size"]) for part in rest["Parts"]] == [(5, 5)]
        assert rest["Parts"][0]["ChecksumCRC32"] == crc(b"x" * 5)
        assert (rest["ChecksumAlgorithm"], rest["ChecksumType"], rest["StorageClass"]) == (
            "CRC32", "COMPOSITE", "STANDARD",
        )  # fmt: skip
        me = (await alice.call("ListBuckets"))["Owner"]
        assert (rest["Owner"], rest["Initiator"]) == (me, me)
        ids = [upload.names["UploadId"]]
        ids += [(await Upload(cloud, key).begin()).names["UploadId"] for key in ("a/1", "a/2", "b")]
        found: list[str] = []
        markers: dict[str, str] = {}
        while True:
            listed = await alice.call("ListMultipartUploads", Bucket="photos", MaxUploads=1, **markers)
            found += [row["UploadId"] for row in listed["Uploads"]]
            if not listed["IsTruncated"]:
                break
            markers = {"KeyMarker": listed["NextKeyMarker"], "UploadIdMarker": listed["NextUploadIdMarker"]}
        assert found == ids
        rolled = await alice.call("ListMultipartUploads", Bucket="photos", Delimiter="/")
        assert [row["Key"] for row in rolled["Uploads"]] == ["b"]
        assert rolled["CommonPrefixes"] == [{"Prefix": "a/"}]

    s3_story(story)


def crc(body: bytes) -> str:
    return base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def sha(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def test_a_composite_checksum_is_that_of_the_parts_checksums() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud).begin(ChecksumAlgorithm="SHA256")
        assert (upload.created["ChecksumAlgorithm"], upload.created["ChecksumType"]) == (
            "SHA256",
            "COMPOSITE",
        )
        for number, body in ((1, FIRST), (2, LAST)):
            put = await upload.put(number, body, ChecksumSHA256=sha(body))
            assert put["ChecksumSHA256"] == sha(body)
        other = upload.put(3, LAST, ChecksumCRC32=crc(LAST))
        assert await refusal(other) == ("InvalidRequest", 400)
        bad = upload.put(3, LAST, ChecksumSHA256=sha(FIRST))
        assert await refusal(bad) == ("BadDigest", 400)
        named = [
            {**part, "ChecksumSHA256": sha(body)}
            for part, body in zip(upload.parts, (FIRST, LAST), strict=True)
        ]
        wrong = [{**named[0], "ChecksumSHA256": sha(LAST)}, named[1]]
        assert await refusal(upload.complete(wrong)) == ("InvalidPart", 400)
        assert await refusal(upload.complete()) == ("InvalidRequest", 400)
        joined = hashlib.sha256(FIRST).digest() + hashlib.sha256(LAST).digest()
        expected = f"{sha(joined)}-2"
        assert await refusal(upload.complete(named, ChecksumSHA256=f"{sha(LAST)}-2")) == ("BadDigest", 400)
        done = await upload.complete(named, ChecksumSHA256=expected)
        assert (done["ChecksumSHA256"], done["ChecksumType"]) == (expected, "COMPOSITE")
        head = await cloud.alice.call("HeadObject", Bucket="photos", Key="k", ChecksumMode="ENABLED")
        assert (head["ChecksumSHA256"], head["ChecksumType"]) == (expected, "COMPOSITE")
        part = await cloud.alice.call(
            "GetObject", Bucket="photos", Key="k", PartNumber=2, ChecksumMode="ENABLED"
        )
        assert part["ChecksumSHA256"] == sha(LAST)
        every = ["Checksum", "ObjectParts"]
        told = await cloud.alice.call(
            "GetObjectAttributes", Bucket="photos", Key="k", ObjectAttributes=every, MaxParts=1
        )
        assert told["Checksum"] == {"ChecksumSHA256": sha(joined), "ChecksumType": "COMPOSITE"}
        assert told["ObjectParts"] == {
            "TotalPartsCount": 2, "PartNumberMarker": 0, "NextPartNumberMarker": 1, "MaxParts": 1,
            "IsTruncated": True,
            "Parts": [{"PartNumber": 1, "Size": len(FIRST), "ChecksumSHA256": sha(FIRST)}],
        }  # fmt: skip

    s3_story(story)


def test_a_full_object_checksum_is_combined_from_the_parts() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud).begin(ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
        await upload.put(1, FIRST, ChecksumCRC32=crc(FIRST))
        await upload.put(2, LAST)
        expected = crc(FIRST + LAST)
        wrong = upload.complete(ChecksumCRC32=crc(LAST), ChecksumType="FULL_OBJECT")
        assert await refusal(wrong) == ("BadDigest", 400)
        done = await upload.complete(ChecksumCRC32=expected, ChecksumType="FULL_OBJECT")
        assert (done["ChecksumCRC32"], done["ChecksumType"]) == (expected, "FULL_OBJECT")
        got = await cloud.alice.call("GetObject", Bucket="photos", Key="k", ChecksumMode="ENABLED")
        assert (got["ChecksumCRC32"], got["ChecksumType"]) == (expected, "FULL_OBJECT")
        unasked = await Upload(cloud, "plain").begin()
        await unasked.put(1, LAST, ChecksumCRC32=crc(LAST))
        bad = unasked.put(1, LAST, ChecksumCRC32=crc(FIRST))
        assert await refusal(bad) == ("BadDigest", 400)
        done = await unasked.complete()
        assert ("ChecksumCRC64NVME" in done, done["ChecksumType"]) == (True, "FULL_OBJECT")

    s3_story(story)


def test_parts_come_under_the_customer_s_key_that_the_upload_began_with() -> None:
    async def story(cloud: S3Cloud) -> None:
        upload = await Upload(cloud).begin(**SSE_C)
        for given in ({}, OTHER):
            assert await refusal(upload.put(1, LAST, **given)) == ("InvalidRequest", 400)
        await upload.put(1, FIRST, **SSE_C)
        await upload.put(2, LAST, **SSE_C)
        await upload.complete(**SSE_C)
        got = await cloud.alice.call("GetObject", Bucket="photos", Key="k", **SSE_C)
        assert got["Body"] == FIRST + LAST
        wrong = cloud.alice.call("GetObject", Bucket="photos", Key="k", **OTHER)
        assert await refusal(wrong) == ("AccessDenied", 403)
        plain = await Upload(cloud, "plain").begin()
        assert await refusal(plain.put(1, LAST, **SSE_C)) == ("InvalidRequest", 400)

    s3_story(story)


def test_lifecycle_says_when_an_upload_is_given_up() -> None:
    async def story(cloud: S3Cloud) -> None:
        rule = LifecycleRule(rule_id="tidy", enabled=True, filter=LifecycleFilter(), abort_days=1)
        await set_up(cloud, lifecycle=(rule,))
        upload = await Upload(cloud).begin()
        assert upload.created["AbortRuleId"] == "tidy"
        assert upload.created["AbortDate"].isoformat() == "2025-06-17T00:00:00+00:00"

    s3_story(story)


def test_a_checksum_that_cannot_be_is_refused_at_the_beginning() -> None:
    async def story(cloud: S3Cloud) -> None:
        for given in (
            {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"},
            {"ChecksumType": "COMPOSITE"},
            {"ChecksumAlgorithm": "CRC7"},
        ):
            assert await refusal(Upload(cloud).begin(**given)) == ("InvalidRequest", 400)
        with pytest.raises(Answer) as caught:
            await Upload(cloud).begin(ContentType="a", StorageClass="PLATINUM")
        assert caught.value.code == "InvalidStorageClass"
        assert md5(b"") == "1B2M2Y8AsgTpgAmY7PhCfg=="

    s3_story(story)
