"""Objects: stored, read whole and in part, under conditions, deleted."""

from __future__ import annotations

import base64
import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.s3.refusals import header, refusal, status

BIG = random.Random(3).randbytes((20 << 20) + 12345)


def test_an_object_is_read_back_with_all_that_was_said_of_it(s3: Any, bucket: str) -> None:
    said = {
        "ContentType": "text/x-odd",
        "CacheControl": "max-age=5",
        "ContentDisposition": 'attachment; filename="a.txt"',
        "ContentEncoding": "identity-ish",
        "ContentLanguage": "de",
        "Metadata": {"colour": "blue", "empty": ""},
    }
    put = s3.put_object(
        Bucket=bucket, Key="a", Body=b"hello", Expires=datetime(2030, 1, 1, tzinfo=UTC), **said
    )
    assert put["ETag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    for answer in (s3.head_object(Bucket=bucket, Key="a"), s3.get_object(Bucket=bucket, Key="a")):
        assert {name: answer[name] for name in said} == said
        assert answer["ContentLength"] == 5
        assert answer["ETag"] == put["ETag"]
        assert header(answer, "expires") == "Tue, 01 Jan 2030 00:00:00 GMT"
        assert header(answer, "accept-ranges") == "bytes"
        assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(minutes=2)
        assert "StorageClass" not in answer
        assert answer["ServerSideEncryption"] == "AES256"
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"hello"


def test_content_type_by_default_is_binary(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3.head_object(Bucket=bucket, Key="a")["ContentType"] == "binary/octet-stream"


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1 << 20, len(BIG)])
def test_any_range_is_that_slice(s3: Any, bucket: str, size: int) -> None:
    content = BIG[:size]
    s3.put_object(Bucket=bucket, Key="a", Body=content)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == content
    if not size:
        assert refusal(s3.get_object, Bucket=bucket, Key="a", Range="bytes=0-0") == (416, "InvalidRange")
        return
    for first, last in ((0, 0), (size - 1, size - 1), (size // 3, size // 2), (0, size + 100)):
        answer = s3.get_object(Bucket=bucket, Key="a", Range=f"bytes={first}-{last}")
        assert status(answer) == 206
        assert answer["ContentRange"] == f"bytes {first}-{min(last, size - 1)}/{size}"
        assert answer["Body"].read() == content[first : last + 1]
    for asked, expected in (("bytes=-3", content[-3:]), (f"bytes={size // 2}-", content[size // 2 :])):
        answer = s3.get_object(Bucket=bucket, Key="a", Range=asked)
        assert status(answer) == 206
        assert answer["Body"].read() == expected
    assert refusal(s3.get_object, Bucket=bucket, Key="a", Range=f"bytes={size}-") == (416, "InvalidRange")
    for odd in ("bytes=5-2", "chapters=1-2", "bytes=0-0,2-3", "bytes=a-b"):
        whole = s3.get_object(Bucket=bucket, Key="a", Range=odd)
        assert (status(whole), whole["ContentLength"]) == (200, size)
        whole["Body"].close()


def test_reads_meet_conditions(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    when = s3.head_object(Bucket=bucket, Key="a")["LastModified"]
    before, after = when - timedelta(days=1), when + timedelta(days=1)
    wrong = '"00000000000000000000000000000000"'
    for call in (s3.get_object, s3.head_object):
        base = {"Bucket": bucket, "Key": "a"}
        code = "PreconditionFailed" if call == s3.get_object else "412"
        same = "304"
        for fine in (
            {"IfMatch": etag},
            {"IfMatch": "*"},
            {"IfNoneMatch": wrong},
            {"IfModifiedSince": before},
            {"IfUnmodifiedSince": after},
            {"IfMatch": etag, "IfUnmodifiedSince": before},
            {"IfNoneMatch": wrong, "IfModifiedSince": after},
        ):
            assert status(call(**base, **fine)) == 200
        assert refusal(call, **base, IfMatch=wrong) == (412, code)
        assert refusal(call, **base, IfUnmodifiedSince=before) == (412, code)
        assert refusal(call, **base, IfNoneMatch=etag) == (304, same)
        assert refusal(call, **base, IfNoneMatch=etag, IfModifiedSince=before) == (304, same)
        assert refusal(call, **base, IfModifiedSince=when) == (304, same)


def test_headers_of_an_answer_can_be_asked_for(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    answer = s3.get_object(
        Bucket=bucket,
        Key="a",
        ResponseCacheControl="no-cache",
        ResponseContentDisposition="bla",
        ResponseContentEncoding="aaa",
        ResponseContentLanguage="esperanto",
        ResponseContentType="foo/bar",
        ResponseExpires=datetime(2031, 5, 5, tzinfo=UTC),
    )
    assert (
        answer["CacheControl"],
        answer["ContentDisposition"],
        answer["ContentEncoding"],
        answer["ContentLanguage"],
        answer["ContentType"],
        header(answer, "expires"),
    ) == ("no-cache", "bla", "aaa", "esperanto", "foo/bar", "Mon, 05 May 2031 00:00:00 GMT")


def test_what_is_not_there_is_said_so(s3: Any, bucket: str) -> None:
    assert refusal(s3.get_object, Bucket=bucket, Key="no") == (404, "NoSuchKey")
    assert refusal(s3.head_object, Bucket=bucket, Key="no") == (404, "404")
    assert refusal(s3.get_object, Bucket="no-such-bucket-here", Key="no") == (404, "NoSuchBucket")
    assert refusal(s3.head_bucket, Bucket="no-such-bucket-here") == (404, "404")
    assert refusal(s3.put_object, Bucket="no-such-bucket-here", Key="no", Body=b"") == (404, "NoSuchBucket")
    assert status(s3.delete_object(Bucket=bucket, Key="no")) == 204
    assert refusal(s3.delete_object, Bucket="no-such-bucket-here", Key="no") == (404, "NoSuchBucket")


def test_many_are_deleted_at_once(s3: Any, bucket: str) -> None:
    for name in "abc":
        s3.put_object(Bucket=bucket, Key=name, Body=b"x")
    gone = s3.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "b"}, {"Key": "never there"}]}
    )
    assert sorted(one["Key"] for one in gone["Deleted"]) == ["a", "b", "never there"]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "c"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    many = [{"Key": f"k{n}"} for n in range(1001)]
    assert refusal(s3.delete_objects, Bucket=bucket, Delete={"Objects": many}) == (400, "MalformedXML")


def test_a_wrong_digest_is_refused_and_stores_nothing(s3: Any, bucket: str) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"x", ContentMD5=wrong) == (400, "BadDigest")
    assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"x", ContentMD5="nonsense") == (
        400,
        "InvalidDigest",
    )
    assert refusal(
        s3.put_object,
        Bucket=bucket,
        Key="a",
        Body=b"x",
        ChecksumSHA256=base64.b64encode(hashlib.sha256(b"y").digest()).decode(),
    ) == (400, "BadDigest")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("size", [0, 10, len(BIG)])
def test_checksums_are_kept_and_shown_on_request(s3: Any, bucket: str, algorithm: str, size: int) -> None:
    put = s3.put_object(Bucket=bucket, Key="a", Body=BIG[:size], ChecksumAlgorithm=algorithm)
    value = put[f"Checksum{algorithm}"]
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (value, "FULL_OBJECT")
    assert f"Checksum{algorithm}" not in s3.head_object(Bucket=bucket, Key="a")
    got = s3.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == value
    assert got["Body"].read() == BIG[:size]
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="a", ObjectAttributes=["Checksum", "ETag", "ObjectSize", "StorageClass"]
    )
    assert attributes["Checksum"] == {f"Checksum{algorithm}": value, "ChecksumType": "FULL_OBJECT"}
    assert attributes["ObjectSize"] == size
    assert attributes["ETag"] == put["ETag"].strip('"')
    assert attributes["StorageClass"] == "STANDARD"
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["ChecksumAlgorithm"] == [algorithm]
    assert listed["ChecksumType"] == "FULL_OBJECT"


@pytest.mark.parametrize(
    "key",
    [
        "..", "a/../b", "//", "/lead", "trail/", "a//b", "sp ace", "pl+us", "per%cent", "per%2Fcent",
        "q?x=y&z", "häße", "日本", "🦭", "'quoted'", '"double"', "<tag>&amp;", "a\\b", "~tilde~",
        "!*()", "a:b;c,d=e@f$g", "x" * 1024, "\t tab", "new\nline", "ünï/" * 100,
    ],
)  # fmt: skip
def test_odd_keys_are_kept_byte_by_byte(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [one["Key"] for one in s3.list_objects(Bucket=bucket, Prefix=key)["Contents"]] == [key]
    assert [one["Key"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == key.encode()
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}, {"Key": "copy"}]})
    assert sorted(one["Key"] for one in gone["Deleted"]) == sorted([key, "copy"])
    assert "Contents" not in s3.list_objects(Bucket=bucket)


def test_a_key_is_at_most_1024_bytes(s3: Any, bucket: str) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"") == (400, "KeyTooLongError")


def test_user_metadata_is_at_most_2_kib(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Metadata={"a": "x" * 2000})
    refused = refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"", Metadata={"a": "x" * 2048})
    assert refused == (400, "MetadataTooLarge")


def test_writes_meet_conditions(s3: Any, bucket: str) -> None:
    put = s3.put_object
    etag = put(Bucket=bucket, Key="a", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refusal(put, Bucket=bucket, Key="a", Body=b"2", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refusal(put, Bucket=bucket, Key="a", Body=b"2", IfMatch='"0"') == (412, "PreconditionFailed")
    assert refusal(put, Bucket=bucket, Key="b", Body=b"2", IfMatch=etag) == (404, "NoSuchKey")
    second = put(Bucket=bucket, Key="a", Body=b"2", IfMatch=etag)["ETag"]
    assert refusal(s3.delete_object, Bucket=bucket, Key="a", IfMatch=etag) == (412, "PreconditionFailed")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"2"
    failed = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a", "ETag": etag}]})
    assert [one["Code"] for one in failed["Errors"]] == ["PreconditionFailed"]
    assert status(s3.delete_object(Bucket=bucket, Key="a", IfMatch=second)) == 204
    put(Bucket=bucket, Key="a", Body=b"3", IfNoneMatch="*")


def test_storage_classes_are_kept_and_shown(s3: Any, bucket: str) -> None:
    for name in ("STANDARD_IA", "ONEZONE_IA", "REDUCED_REDUNDANCY", "INTELLIGENT_TIERING", "GLACIER_IR"):
        s3.put_object(Bucket=bucket, Key=name, Body=b"x", StorageClass=name)
        assert s3.head_object(Bucket=bucket, Key=name)["StorageClass"] == name
        assert s3.get_object(Bucket=bucket, Key=name)["Body"].read() == b"x"
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert {one["Key"]: one["StorageClass"] for one in listed} == {one["Key"]: one["Key"] for one in listed}
    refused = refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"", StorageClass="CHEAPEST")
    assert refused == (400, "InvalidStorageClass")


def test_what_is_archived_is_read_after_it_was_restored(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"cold", StorageClass="GLACIER")
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (403, "InvalidObjectState")
    wish = {"Days": 1, "GlacierJobParameters": {"Tier": "Expedited"}}
    assert status(s3.restore_object(Bucket=bucket, Key="a", RestoreRequest=wish)) == 202
    head = s3.head_object(Bucket=bucket, Key="a")
    assert head["StorageClass"] == "GLACIER"
    assert 'ongoing-request="false"' in head["Restore"]
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"cold"
    assert status(s3.restore_object(Bucket=bucket, Key="a", RestoreRequest=wish)) == 200
    s3.put_object(Bucket=bucket, Key="warm", Body=b"x")
    assert refusal(s3.restore_object, Bucket=bucket, Key="warm", RestoreRequest=wish) == (
        403,
        "InvalidObjectState",
    )


def test_an_object_is_renamed_without_being_copied(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=BIG, Metadata={"m": "1"})
    s3.rename_object(Bucket=bucket, Key="b", RenameSource=f"/{bucket}/a")
    assert refusal(s3.head_object, Bucket=bucket, Key="a") == (404, "404")
    found = s3.get_object(Bucket=bucket, Key="b")
    assert found["Metadata"] == {"m": "1"}
    assert found["Body"].read() == BIG


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "deflate, gzip"),
        ("aws-chunked", None),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
    ],
)
def test_the_framing_of_an_upload_is_no_encoding_of_the_object(
    s3: Any, bucket: str, sent: str, kept: str | None
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentEncoding=sent)
    assert s3.head_object(Bucket=bucket, Key="a").get("ContentEncoding") == kept


def test_what_is_said_of_an_object_is_replaced_with_it(s3: Any, bucket: str) -> None:
    s3.put_object(
        Bucket=bucket, Key="a", Body=b"x", Metadata={"a": "1", "b": "two  words"}, CacheControl="no-cache"
    )
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"a": "1", "b": "two  words"}
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"C": ""})
    found = s3.head_object(Bucket=bucket, Key="a")
    assert (found["Metadata"], found.get("CacheControl")) == ({"c": ""}, None)


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
        ({"ChecksumSHA256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="}, "BadDigest"),
        ({"ChecksumCRC32": "no base64"}, "InvalidRequest"),
        ({"ChecksumSHA1": "AAAAAA=="}, "InvalidRequest"),
        ({"ChecksumCRC64NVME": "AAAAAAAAAAA="}, "BadDigest"),
        ({"ChecksumCRC32C": "AAAAAA=="}, "BadDigest"),
    ],
)
def test_a_checksum_that_is_not_the_bodys_is_refused(
    s3: Any, bucket: str, words: dict[str, str], refused: str
) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"abc", **words) == (400, refused)
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (404, "NoSuchKey")


def test_attributes_of_an_object(s3: Any, bucket: str) -> None:
    names = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"abc", ChecksumAlgorithm="SHA256")["ETag"]
    found = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=names)
    assert (found["ETag"], found["StorageClass"], found["ObjectSize"]) == (etag.strip('"'), "STANDARD", 3)
    assert found["Checksum"] == {
        "ChecksumSHA256": base64.b64encode(hashlib.sha256(b"abc").digest()).decode(),
        "ChecksumType": "FULL_OBJECT",
    }
    assert "ObjectParts" not in found
    only = s3.get_object_attributes(Bucket=bucket, Key="a", ObjectAttributes=["ObjectSize"])
    assert (only["ObjectSize"], "ETag" in only) == (3, False)
    ask = s3.get_object_attributes
    assert refusal(ask, Bucket=bucket, Key="a", ObjectAttributes=["Age"]) == (400, "InvalidArgument")
    assert refusal(ask, Bucket=bucket, Key="b", ObjectAttributes=names) == (404, "NoSuchKey")


def test_visitors_are_told_nothing_of_what_is_not_theirs(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key="shown", Body=b"x", ACL="public-read")
    s3.put_object(Bucket=bucket, Key="hidden", Body=b"x")
    for stranger in (s3_visitor, s3_other):
        assert stranger.get_object(Bucket=bucket, Key="shown")["Body"].read() == b"x"
        for key in ("hidden", "none"):
            assert refusal(stranger.get_object, Bucket=bucket, Key=key) == (403, "AccessDenied")
            assert refusal(stranger.head_object, Bucket=bucket, Key=key) == (403, "403")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="hidden") == (403, "AccessDenied")
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    renamed = {"Bucket": bucket, "Key": "shown", "ResponseContentType": "text/x"}
    assert refusal(s3_visitor.get_object, **renamed) == (400, "InvalidRequest")
