"""Copies."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from tests.s3.refusals import refusal

BIG = random.Random(8).randbytes((17 << 20) + 5)


@pytest.mark.parametrize("size", [0, 5, len(BIG)])
def test_a_copy_has_the_bytes_and_the_words(s3: Any, bucket: str, size: int) -> None:
    s3.put_object(
        Bucket=bucket, Key="a b+c", Body=BIG[:size], ContentType="text/x", Metadata={"m": "1"}, Tagging="t=1"
    )
    etag = s3.head_object(Bucket=bucket, Key="a b+c")["ETag"]
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b+c"})
    assert copied["CopyObjectResult"]["ETag"] == etag
    s3.delete_object(Bucket=bucket, Key="a b+c")
    found = s3.get_object(Bucket=bucket, Key="copy")
    assert (found["ContentType"], found["Metadata"], found["TagCount"]) == ("text/x", {"m": "1"}, 1)
    assert found["Body"].read() == BIG[:size]


def test_a_copy_may_say_other_words(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ContentType="text/x", Metadata={"m": "1"}, Tagging="t=1")
    source = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(
        Bucket=bucket,
        Key="b",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
        ContentType="text/y",
        TaggingDirective="REPLACE",
        Tagging="u=2&v=3",
    )
    found = s3.head_object(Bucket=bucket, Key="b")
    assert (found["ContentType"], found["Metadata"]) == ("text/y", {"n": "2"})
    assert s3.get_object_tagging(Bucket=bucket, Key="b")["TagSet"] == [
        {"Key": "u", "Value": "2"},
        {"Key": "v", "Value": "3"},
    ]
    assert refusal(s3.copy_object, Bucket=bucket, Key="a", CopySource=source) == (400, "InvalidRequest")
    s3.copy_object(
        Bucket=bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"new": "words"}
    )
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"new": "words"}
    s3.copy_object(Bucket=bucket, Key="a", CopySource=source, StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="a")["StorageClass"] == "STANDARD_IA"


def test_copies_meet_conditions(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    head = s3.head_object(Bucket=bucket, Key="a")
    base = {"Bucket": bucket, "Key": "b", "CopySource": {"Bucket": bucket, "Key": "a"}}
    day = timedelta(days=1)
    for wrong in (
        {"CopySourceIfMatch": '"0"'},
        {"CopySourceIfNoneMatch": head["ETag"]},
        {"CopySourceIfModifiedSince": head["LastModified"] + timedelta(seconds=0)},
        {"CopySourceIfUnmodifiedSince": head["LastModified"] - day},
    ):
        assert refusal(s3.copy_object, **base, **wrong) == (412, "PreconditionFailed")
    for right in (
        {"CopySourceIfMatch": head["ETag"]},
        {"CopySourceIfNoneMatch": '"0"'},
        {"CopySourceIfModifiedSince": head["LastModified"] - day},
        {"CopySourceIfUnmodifiedSince": head["LastModified"] + day},
    ):
        s3.copy_object(**base, **right)


def test_copies_go_from_bucket_to_bucket_and_tenant_to_tenant(s3: Any, s3_other: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=BIG, ACL="public-read")
    s3.put_object(Bucket=bucket, Key="mine", Body=b"x")
    theirs = f"{bucket}-other"
    s3_other.create_bucket(Bucket=theirs)
    s3_other.copy_object(Bucket=theirs, Key="a", CopySource={"Bucket": bucket, "Key": "a"})
    assert s3_other.get_object(Bucket=theirs, Key="a")["Body"].read() == BIG
    source = {"Bucket": bucket, "Key": "mine"}
    assert refusal(s3_other.copy_object, Bucket=theirs, Key="b", CopySource=source) == (403, "AccessDenied")
    source = {"Bucket": theirs, "Key": "a"}
    assert refusal(s3_other.copy_object, Bucket=bucket, Key="b", CopySource=source) == (403, "AccessDenied")
    missing = {"Bucket": bucket, "Key": "no"}
    assert refusal(s3.copy_object, Bucket=bucket, Key="b", CopySource=missing) == (404, "NoSuchKey")
    missing = {"Bucket": "no-such-bucket-here", "Key": "no"}
    assert refusal(s3.copy_object, Bucket=bucket, Key="b", CopySource=missing) == (404, "NoSuchBucket")


@pytest.mark.parametrize(
    "key",
    [" ", "+", "%", "%2B", "?versionId=x", "#", "&=", "a//b", "/a", "a/", ".", "..", "a/./b", "ü", "日本",
     "\U0001f600", "\t", "a\nb", '"', "'", "<>", "\\", "*", "a+b c%20d"],
)  # fmt: skip
def test_a_copy_may_come_from_any_key(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    s3.copy_object(Bucket=bucket, Key=f"copy of {key}", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key=f"copy of {key}")["Body"].read() == key.encode()
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]})
    assert [one["Key"] for one in gone["Deleted"]] == [key]
    assert [one["Key"] for one in s3.list_objects(Bucket=bucket)["Contents"]] == [f"copy of {key}"]


def test_a_copy_source_is_said_rightly(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    words = {"Bucket": bucket, "Key": "b"}
    assert refusal(s3.copy_object, **words, CopySource="nothing") == (400, "InvalidArgument")
    assert refusal(s3.copy_object, **words, CopySource=f"{bucket}/") == (400, "InvalidArgument")
    bad = f"{bucket}/a?versionId=bad"
    assert refusal(s3.copy_object, **words, CopySource=bad) == (400, "InvalidArgument")
    odd = refusal(s3.copy_object, **words, CopySource=f"{bucket}/a", MetadataDirective="MERGE")
    assert odd == (400, "InvalidArgument")
    s3.copy_object(**words, CopySource=f"/{bucket}/a")
    s3.copy_object(**words, CopySource=f"{bucket}/a?versionId=null")
    away = {"Bucket": f"{bucket}-none", "Key": "b", "CopySource": f"{bucket}/a"}
    assert refusal(s3.copy_object, **away) == (404, "NoSuchBucket")


def test_a_copy_meets_conditions_on_what_it_replaces(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    words = {"Bucket": bucket, "Key": "b", "CopySource": f"{bucket}/a"}
    assert refusal(s3.copy_object, **words, IfMatch=etag) == (404, "NoSuchKey")
    s3.copy_object(**words, IfNoneMatch="*")
    assert refusal(s3.copy_object, **words, IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refusal(s3.copy_object, **words, IfMatch='"0"') == (412, "PreconditionFailed")
    s3.copy_object(**words, IfMatch=etag)


def test_a_copy_onto_itself_changes_something(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", WebsiteRedirectLocation="/b", StorageClass="ONEZONE_IA")
    words = {"Bucket": bucket, "Key": "a", "CopySource": f"{bucket}/a"}
    assert refusal(s3.copy_object, **words) == (400, "InvalidRequest")
    assert refusal(s3.copy_object, **words, StorageClass="ONEZONE_IA") == (400, "InvalidRequest")
    assert refusal(s3.copy_object, **words, Metadata={"m": "1"}) == (400, "InvalidRequest")
    for change in (
        {"WebsiteRedirectLocation": "/c"},
        {"StorageClass": "STANDARD_IA"},
        {"Metadata": {"m": "1"}, "MetadataDirective": "REPLACE"},
        {"ServerSideEncryption": "AES256"},
    ):
        s3.copy_object(**words, **change)
    found = s3.get_object(Bucket=bucket, Key="a")
    assert (found["Body"].read(), found["Metadata"], "WebsiteRedirectLocation" in found) == (
        b"x",
        {"m": "1"},
        False,
    )


def test_what_was_deleted_is_no_source(s3: Any, versioned: str) -> None:
    s3.put_object(Bucket=versioned, Key="a", Body=b"x")
    marker = s3.delete_object(Bucket=versioned, Key="a")["VersionId"]
    words = {"Bucket": versioned, "Key": "b"}
    assert refusal(s3.copy_object, **words, CopySource=f"{versioned}/a") == (404, "NoSuchKey")
    named = f"{versioned}/a?versionId={marker}"
    assert refusal(s3.copy_object, **words, CopySource=named) == (400, "InvalidRequest")
