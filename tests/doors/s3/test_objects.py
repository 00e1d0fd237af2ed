"""Objects written, read and described, as botocore sees it."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.doors.s3.program import Answer, Program, S3Cloud, md5, s3_story

from holdfast.files.bucket_settings import Encryption, LifecycleFilter, LifecycleRule

META = "ResponseMetadata"


async def refusal(call: Any) -> tuple[str, int]:
    """Code and status of an answer that says no."""
    with pytest.raises(Answer) as caught:
        await call
    return caught.value.code, caught.value.status


def test_an_object_reads_back_with_everything_it_was_given() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        put = await alice.call(
            "PutObject", Bucket="photos", Key="a/b c+ü.txt", Body=b"hello", ContentType="text/plain",
            CacheControl="no-cache", ContentDisposition="inline", ContentEncoding="gzip",
            ContentLanguage="de", Expires="Thu, 01 Dec 2050 16:00:00 GMT", Metadata={"Mood": "good"},
            StorageClass="STANDARD_IA", Tagging="colour=red&size=", WebsiteRedirectLocation="/else",
        )  # fmt: skip
        assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
        assert put["ServerSideEncryption"] == "AES256"
        assert "VersionId" not in put
        for operation in ("GetObject", "HeadObject"):
            got = await alice.call(operation, Bucket="photos", Key="a/b c+ü.txt")
            headers = got.pop(META)["HTTPHeaders"]
            body = got.pop("Body", None)
            assert body == (b"hello" if operation == "GetObject" else None)
            assert got == {
                "AcceptRanges": "bytes",
                "LastModified": got["LastModified"],
                "ContentLength": 5,
                "ETag": put["ETag"],
                "CacheControl": "no-cache",
                "ContentDisposition": "inline",
                "ContentEncoding": "gzip",
                "ContentLanguage": "de",
                "ContentType": "text/plain",
                "Expires": got["Expires"],
                "WebsiteRedirectLocation": "/else",
                "ServerSideEncryption": "AES256",
                "Metadata": {"mood": "good"},
                "StorageClass": "STANDARD_IA",
                "TagCount": 2,
            }
            assert headers["expires"] == "Thu, 01 Dec 2050 16:00:00 GMT"

    s3_story(story)


def test_what_was_not_given_is_not_shown() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("PutObject", Bucket="photos", Key="k", Body=b"")
        got = await cloud.alice.call("GetObject", Bucket="photos", Key="k")
        assert (got["Body"], got["ContentLength"]) == (b"", 0)
        assert got["ContentType"] == "binary/octet-stream"
        assert set(got) == {
            "AcceptRanges", "LastModified", "ContentLength", "ETag", "ContentType", "ServerSideEncryption",
            "Metadata", "Body", META,
        }  # fmt: skip

    s3_story(story)


@pytest.mark.parametrize(
    "key",
    [
        "/",
        "//a",
        "a//b",
        "../up",
        ".",
        "..",
        "a/./b",
        "x" * 1024,
        "ключ/☃/🐟",
        "a%2Fb",
        "a+b c",
        "q?x=1&y#z",
        "\x01\x1f",
    ],
)
def test_a_key_of_any_bytes_reads_back_by_the_same_name(key: str) -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("PutObject", Bucket="photos", Key=key, Body=key.encode())
        assert (await cloud.alice.call("GetObject", Bucket="photos", Key=key))["Body"] == key.encode()
        listed = await cloud.alice.call("ListObjectsV2", Bucket="photos", EncodingType="url")
        from urllib.parse import unquote

        assert [unquote(row["Key"]) for row in listed["Contents"]] == [key]

    s3_story(story)


def test_metadata_is_kept_as_bytes_and_bounded() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        odd = {"x-amz-meta-odd": "=?UTF-8?B?4piD?= said Bob"}
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"", extra=odd)
        head = await alice.call("HeadObject", Bucket="photos", Key="k")
        assert head["Metadata"] == {"odd": odd["x-amz-meta-odd"]}
        most = {"a": "x" * 2047}
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"", Metadata=most)
        too_much = alice.call("PutObject", Bucket="photos", Key="k", Body=b"", Metadata={"ab": "x" * 2047})
        assert await refusal(too_much) == ("MetadataTooLarge", 400)

    s3_story(story)


def test_reads_may_be_conditional() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        etag = (await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x"))["ETag"]
        modified = (await alice.call("HeadObject", Bucket="photos", Key="k"))["LastModified"]
        later = datetime(2040, 1, 1, tzinfo=UTC)
        kept = [{"IfMatch": etag}, {"IfNoneMatch": '"b"'}, {"IfUnmodifiedSince": later},
                {"IfMatch": etag, "IfUnmodifiedSince": datetime(2000, 1, 1, tzinfo=UTC)}]  # fmt: skip
        for given in kept:
            assert (await alice.call("GetObject", Bucket="photos", Key="k", **given))["Body"] == b"x"
        for given in [{"IfNoneMatch": etag}, {"IfModifiedSince": modified}, {"IfNoneMatch": "*"}]:
            assert await refusal(alice.call("GetObject", Bucket="photos", Key="k", **given)) == ("304", 304)
            status, headers, content = alice.last
            assert (status, content, headers["etag"]) == (304, b"", etag)
            assert "last-modified" in headers
            assert "content-length" not in headers or headers["content-length"] == "0"
        for given in [{"IfMatch": '"b"'}, {"IfUnmodifiedSince": datetime(2000, 1, 1, tzinfo=UTC)}]:
            call = alice.call("GetObject", Bucket="photos", Key="k", **given)
            assert await refusal(call) == ("PreconditionFailed", 412)

    s3_story(story)


def test_parts_of_an_object_are_read_by_range() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        content = bytes(range(256)) * 1000
        await alice.call("PutObject", Bucket="photos", Key="k", Body=content)
        for header, start, stop in [
            ("bytes=0-4", 0, 5),
            ("bytes=-3", 255_997, 256_000),
            ("bytes=9-", 9, 256_000),
            ("bytes=70000-250000", 70_000, 250_001),
        ]:
            got = await alice.call(
                "GetObject", Bucket="photos", Key="k", Range=header, ChecksumMode="ENABLED"
            )
            assert got["Body"] == content[start:stop]
            assert got["ContentRange"] == f"bytes {start}-{stop - 1}/256000"
            assert got["ContentLength"] == stop - start
            assert got[META]["HTTPStatusCode"] == 206
            # A checksum of the whole would be compared with the range.
            assert "ChecksumCRC64NVME" not in got
        for header in ("bytes=0-1,4-5", "lines=1-2", "bytes=5-2"):
            got = await alice.call("GetObject", Bucket="photos", Key="k", Range=header)
            assert (got["Body"], got[META]["HTTPStatusCode"]) == (content, 200)
        beyond = alice.call("GetObject", Bucket="photos", Key="k", Range="bytes=256000-")
        with pytest.raises(Answer) as caught:
            await beyond
        assert (caught.value.code, caught.value.status) == ("InvalidRange", 416)
        assert caught.value.fields["ActualObjectSize"] == "256000"
        assert caught.value.fields["RangeRequested"] == "bytes=256000-"
        got = await alice.call("GetObject", Bucket="photos", Key="k", PartNumber=1)
        assert (got["ContentLength"], got[META]["HTTPStatusCode"]) == (256_000, 206)
        assert "PartsCount" not in got
        second = alice.call("GetObject", Bucket="photos", Key="k", PartNumber=2)
        assert await refusal(second) == ("InvalidPartNumber", 416)

    s3_story(story)


def test_an_answer_s_headers_may_be_replaced_by_those_who_sign() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call(
            "PutObject", Bucket="photos", Key="k", Body=b"x", ContentType="text/plain", ACL="public-read"
        )
        wish = {
            "ResponseContentType": "image/png", "ResponseCacheControl": "no-store",
            "ResponseContentDisposition": "attachment; filename=ü", "ResponseContentEncoding": "br",
            "ResponseContentLanguage": "en", "ResponseExpires": datetime(2030, 1, 1, tzinfo=UTC),
        }  # fmt: skip
        got = await alice.call("GetObject", Bucket="photos", Key="k", **wish)
        assert (got["ContentType"], got["CacheControl"], got["ContentEncoding"], got["ContentLanguage"]) == (
            "image/png", "no-store", "br", "en",
        )  # fmt: skip
        assert got["ContentDisposition"] == "attachment; filename=ü"
        assert got["Expires"] == datetime(2030, 1, 1, tzinfo=UTC)
        assert (await cloud.nobody.call("GetObject", Bucket="photos", Key="k"))["Body"] == b"x"
        stranger = cloud.nobody.call("GetObject", Bucket="photos", Key="k", ResponseContentType="image/png")
        assert await refusal(stranger) == ("InvalidRequest", 400)
        smuggled = alice.call("GetObject", Bucket="photos", Key="k", ResponseContentType="a\r\nset-cookie: b")
        assert await refusal(smuggled) == ("InvalidArgument", 400)

    s3_story(story)


def test_what_is_not_there_is_told_to_those_who_may_list() -> None:
    async def story(cloud: S3Cloud) -> None:
        for operation in ("GetObject", "HeadObject"):
            code = "NoSuchKey" if operation == "GetObject" else "404"
            missing = cloud.alice.call(operation, Bucket="photos", Key="none")
            assert await refusal(missing) == (code, 404)
            code = "AccessDenied" if operation == "GetObject" else "403"
            for stranger in (cloud.bob, cloud.nobody):
                assert await refusal(stranger.call(operation, Bucket="photos", Key="none")) == (code, 403)
        unknown = cloud.alice.call("GetObject", Bucket="photos", Key="none", VersionId="0" * 32)
        assert await refusal(unknown) == ("NoSuchVersion", 404)
        for version_id in ("", "nonsense"):
            call = cloud.alice.call("GetObject", Bucket="photos", Key="none", VersionId=version_id)
            assert await refusal(call) == ("InvalidArgument", 400)
        assert await refusal(cloud.alice.call("GetObject", Bucket="nowhere", Key="k")) == (
            "NoSuchBucket",
            404,
        )

    s3_story(story)


def test_every_claim_about_a_body_is_compared() -> None:
    body = b"the body"
    wrong = b"the other body"

    def of(content: bytes) -> dict[str, str]:
        import zlib

        from awscrt import checksums as crt

        return {
            "ContentMD5": md5(content),
            "ChecksumCRC32": base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode(),
            "ChecksumCRC32C": base64.b64encode(crt.crc32c(content).to_bytes(4, "big")).decode(),
            "ChecksumCRC64NVME": base64.b64encode(crt.crc64nvme(content).to_bytes(8, "big")).decode(),
            "ChecksumSHA1": base64.b64encode(hashlib.sha1(content).digest()).decode(),
            "ChecksumSHA256": base64.b64encode(hashlib.sha256(content).digest()).decode(),
        }

    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        for name, value in of(body).items():
            put = await alice.call("PutObject", Bucket="photos", Key=name, Body=body, **{name: value})
            got = await alice.call("GetObject", Bucket="photos", Key=name, ChecksumMode="ENABLED")
            shown = "ChecksumCRC64NVME" if name == "ContentMD5" else name
            assert put[shown] == got[shown] == of(body)[shown]
            assert got["ChecksumType"] == "FULL_OBJECT"
            plain = await alice.call("GetObject", Bucket="photos", Key=name)
            assert shown not in plain
        for name, value in of(wrong).items():
            call = alice.call("PutObject", Bucket="photos", Key="bad", Body=body, **{name: value})
            assert await refusal(call) == ("BadDigest", 400)
        assert await refusal(alice.call("HeadObject", Bucket="photos", Key="bad")) == ("404", 404)
        call = alice.call("PutObject", Bucket="photos", Key="bad", Body=body, ContentMD5="short")
        assert await refusal(call) == ("InvalidDigest", 400)

    s3_story(story)


def test_a_write_may_require_what_is_there() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        first = await alice.call("PutObject", Bucket="photos", Key="k", Body=b"1", IfNoneMatch="*")
        again = alice.call("PutObject", Bucket="photos", Key="k", Body=b"2", IfNoneMatch="*")
        assert await refusal(again) == ("PreconditionFailed", 412)
        other = alice.call("PutObject", Bucket="photos", Key="k", Body=b"2", IfMatch='"0"')
        assert await refusal(other) == ("PreconditionFailed", 412)
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"2", IfMatch=first["ETag"])
        nothing = alice.call("PutObject", Bucket="photos", Key="none", Body=b"2", IfMatch=first["ETag"])
        assert await refusal(nothing) == ("NoSuchKey", 404)
        assert (await alice.call("GetObject", Bucket="photos", Key="k"))["Body"] == b"2"

    s3_story(story)


def test_headers_that_mean_nothing_are_refused_by_name() -> None:
    async def story(cloud: S3Cloud) -> None:
        for given, expected in [
            ({"StorageClass": "PLATINUM"}, ("InvalidStorageClass", 400)),
            ({"StorageClass": "OUTPOSTS"}, ("InvalidStorageClass", 400)),
            ({"Tagging": "a=1&a=2"}, ("InvalidArgument", 400)),
            ({"Tagging": "aws:a=1"}, ("InvalidTag", 400)),
            ({"Tagging": "&".join(f"t{n}=1" for n in range(11))}, ("BadRequest", 400)),
            ({"WebsiteRedirectLocation": "ftp://else"}, ("InvalidRedirectLocation", 400)),
            ({"ObjectLockLegalHoldStatus": "ON"}, ("InvalidRequest", 400)),
            ({"WriteOffsetBytes": 3}, ("NotImplemented", 501)),
        ]:
            call = cloud.alice.call("PutObject", Bucket="photos", Key="k", Body=b"x", **given)
            assert await refusal(call) == expected, given
        assert "Contents" not in await cloud.alice.call("ListObjects", Bucket="photos")

    s3_story(story)


def test_lifecycle_says_when_an_object_expires() -> None:
    async def story(cloud: S3Cloud) -> None:
        rule = LifecycleRule(
            rule_id="old ones", enabled=True, filter=LifecycleFilter(prefix="old/"), expire_days=2
        )
        await set_up(cloud, lifecycle=(rule,))
        put = await cloud.alice.call("PutObject", Bucket="photos", Key="old/k", Body=b"")
        head = await cloud.alice.call("HeadObject", Bucket="photos", Key="old/k")
        expected = 'expiry-date="Wed, 18 Jun 2025 00:00:00 GMT", rule-id="old%20ones"'
        assert put["Expiration"] == head["Expiration"] == expected
        assert "Expiration" not in await cloud.alice.call("PutObject", Bucket="photos", Key="new", Body=b"")

    s3_story(story)


async def set_up(cloud: S3Cloud, **changes: Any) -> None:
    """Gives the bucket `photos` these settings."""
    import msgspec

    bucket = await cloud.bucket_of("photos")
    await cloud.buckets.change(bucket.id, lambda _bucket, old: msgspec.structs.replace(old, **changes))


# --- encryption --------------------------------------------------------------------------------------------

KEY = b"k" * 32
SSE_C = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(KEY).decode(),
    "SSECustomerKeyMD5": md5(KEY),
}
OTHER = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": base64.b64encode(b"o" * 32).decode(),
    "SSECustomerKeyMD5": md5(b"o" * 32),
}


def test_a_customer_s_key_opens_what_it_sealed_and_nothing_else() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        for key, content in (("small", b"secret"), ("empty", b""), ("large", b"secret" * 50_000)):
            put = await alice.call("PutObject", Bucket="photos", Key=key, Body=content, **SSE_C)
            assert (put["SSECustomerAlgorithm"], put["SSECustomerKeyMD5"]) == ("AES256", md5(KEY))
            assert "ServerSideEncryption" not in put
            got = await alice.call("GetObject", Bucket="photos", Key=key, **SSE_C)
            assert (got["Body"], got["SSECustomerKeyMD5"]) == (content, md5(KEY))
            assert await refusal(alice.call("GetObject", Bucket="photos", Key=key)) == ("InvalidRequest", 400)
            wrong = alice.call("GetObject", Bucket="photos", Key=key, **OTHER)
            assert await refusal(wrong) == ("AccessDenied", 403)
            assert await refusal(alice.call("HeadObject", Bucket="photos", Key=key)) == ("400", 400)
        await alice.call("PutObject", Bucket="photos", Key="plain", Body=b"open")
        needless = alice.call("GetObject", Bucket="photos", Key="plain", **SSE_C)
        assert await refusal(needless) == ("InvalidRequest", 400)

    s3_story(story)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({**SSE_C, "SSECustomerAlgorithm": "AES512"}, "InvalidEncryptionAlgorithmError"),
        ({**SSE_C, "SSECustomerKeyMD5": md5(b"else")}, "InvalidArgument"),
        ({**SSE_C, "SSECustomerKey": "c2hvcnQ=", "SSECustomerKeyMD5": md5(b"short")}, "InvalidArgument"),
        ({name: SSE_C[name] for name in ("SSECustomerAlgorithm",)}, "InvalidArgument"),
        ({name: SSE_C[name] for name in ("SSECustomerKey", "SSECustomerKeyMD5")}, "InvalidArgument"),
        ({name: SSE_C[name] for name in ("SSECustomerAlgorithm", "SSECustomerKey")}, "InvalidArgument"),
        ({**SSE_C, "ServerSideEncryption": "AES256"}, "InvalidArgument"),
        ({"ServerSideEncryption": "aes:kms"}, "InvalidArgument"),
        ({"SSEKMSKeyId": "mine"}, "InvalidArgument"),
        ({"ServerSideEncryption": "AES256", "SSEKMSKeyId": "mine"}, "InvalidArgument"),
        ({"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": "e30"}, "InvalidArgument"),
    ],
)
def test_half_an_encryption_is_refused(given: dict[str, str], code: str) -> None:
    async def story(cloud: S3Cloud) -> None:
        call = cloud.alice.call("PutObject", Bucket="photos", Key="k", Body=b"x", **given)
        assert await refusal(call) == (code, 400)

    s3_story(story)


def test_managed_keys_are_shown_by_the_name_they_were_asked_for() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        kms = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "my-key", "BucketKeyEnabled": True}
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x", **kms)
        head = await alice.call("HeadObject", Bucket="photos", Key="k")
        assert {name: head[name] for name in kms} == kms
        await set_up(cloud, encryption=Encryption(algorithm="aws:kms", kms_key_id="its-key"))
        await alice.call("PutObject", Bucket="photos", Key="by-default", Body=b"x")
        await alice.call("PutObject", Bucket="photos", Key="asked", Body=b"x", ServerSideEncryption="AES256")
        head = await alice.call("HeadObject", Bucket="photos", Key="by-default")
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "its-key")
        head = await alice.call("HeadObject", Bucket="photos", Key="asked")
        assert (head["ServerSideEncryption"], "SSEKMSKeyId" in head) == ("AES256", False)

    s3_story(story)


# --- archives ----------------------------------------------------------------------------------------------


def test_what_is_archived_is_read_after_it_was_restored() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"old", StorageClass="GLACIER")
        assert (await alice.call("HeadObject", Bucket="photos", Key="k"))["StorageClass"] == "GLACIER"
        with pytest.raises(Answer) as caught:
            await alice.call("GetObject", Bucket="photos", Key="k")
        assert (caught.value.code, caught.value.status) == ("InvalidObjectState", 403)
        assert caught.value.fields["StorageClass"] == "GLACIER"
        wish = {"Days": 2, "GlacierJobParameters": {"Tier": "Bulk"}}
        for status in (202, 200):
            answer = await alice.call("RestoreObject", Bucket="photos", Key="k", RestoreRequest=wish)
            assert answer[META]["HTTPStatusCode"] == status
        got = await alice.call("GetObject", Bucket="photos", Key="k")
        assert got["Body"] == b"old"
        assert got["Restore"] == 'ongoing-request="false", expiry-date="Wed, 18 Jun 2025 00:00:00 GMT"'
        for bad in ({"Days": 0}, {}, {"Days": 1, "GlacierJobParameters": {"Tier": "Quick"}}):
            call = alice.call("RestoreObject", Bucket="photos", Key="k", RestoreRequest=bad)
            assert (await refusal(call))[1] == 400
        await alice.call("PutObject", Bucket="photos", Key="warm", Body=b"x")
        warm = alice.call("RestoreObject", Bucket="photos", Key="warm", RestoreRequest=wish)
        assert await refusal(warm) == ("InvalidObjectState", 403)

    s3_story(story)


async def describe(program: Program, **given: Any) -> dict[str, Any]:
    answer = await program.call("GetObjectAttributes", Bucket="photos", Key="k", **given)
    del answer[META], answer["LastModified"]
    return answer


def test_an_object_is_described_without_its_bytes() -> None:
    async def story(cloud: S3Cloud) -> None:
        put = await cloud.alice.call("PutObject", Bucket="photos", Key="k", Body=b"hello")
        every = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
        assert await describe(cloud.alice, ObjectAttributes=every) == {
            "ETag": put["ETag"].strip('"'),
            "Checksum": {"ChecksumCRC64NVME": put["ChecksumCRC64NVME"], "ChecksumType": "FULL_OBJECT"},
            "StorageClass": "STANDARD",
            "ObjectSize": 5,
        }
        assert await describe(cloud.alice, ObjectAttributes=["ObjectSize"]) == {"ObjectSize": 5}
        assert await refusal(describe(cloud.alice, ObjectAttributes=["Mood"])) == ("InvalidArgument", 400)
        assert await refusal(describe(cloud.alice)) == ("InvalidRequest", 400)
        assert await refusal(describe(cloud.bob, ObjectAttributes=every)) == ("AccessDenied", 403)

    s3_story(story)
