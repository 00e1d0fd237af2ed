"""Tags of objects and buckets: their limits, and what becomes of them when objects are written again."""

from __future__ import annotations

from typing import Any

import pytest
from tests.s3.refusals import header, refusal, status


def tag_set(**tags: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def put(s3: Any, bucket: str, tags: list[dict[str, str]], **more: Any) -> Any:
    return s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": tags}, **more)


def tags_of(s3: Any, bucket: str, key: str = "a", **more: Any) -> list[dict[str, str]]:
    found: list[dict[str, str]] = s3.get_object_tagging(Bucket=bucket, Key=key, **more)["TagSet"]
    return found


def test_ten_tags_of_128_and_256_characters(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    ten = [{"Key": f"{n}" + "k" * 127, "Value": f"{n}" + "v" * 255} for n in range(10)]
    assert status(put(s3, bucket, ten)) == 200
    assert tags_of(s3, bucket) == ten
    assert header(s3.head_object(Bucket=bucket, Key="a"), "x-amz-tagging-count") == "10"
    for wrong, code in (
        ([*ten, *tag_set(more="x")], "BadRequest"),
        (tag_set(**{"k" * 129: ""}), "InvalidTag"),
        (tag_set(k="v" * 257), "InvalidTag"),
        (tag_set(**{"": "v"}), "InvalidTag"),
        (tag_set(**{"aws:mine": "v"}), "InvalidTag"),
        (tag_set(**{"a<b": "v"}), "InvalidTag"),
        ([*tag_set(a="1"), *tag_set(a="2")], "InvalidTag"),
    ):
        refused = refusal(s3.put_object_tagging, Bucket=bucket, Key="a", Tagging={"TagSet": wrong})
        assert refused == (400, code)
    assert tags_of(s3, bucket) == ten


def test_tags_that_come_in_a_header(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="foo=bar&bar&x%20y=%C3%A4+1&%2B=%3D")
    assert tags_of(s3, bucket) == tag_set(foo="bar", bar="", **{"x y": "ä 1", "+": "="})
    many = "&".join(f"k{n}=v" for n in range(11))
    words = {"Bucket": bucket, "Key": "b", "Body": b""}
    assert refusal(s3.put_object, **words, Tagging=many) == (400, "BadRequest")
    assert refusal(s3.put_object, **words, Tagging=f"{'k' * 129}=v") == (400, "InvalidTag")
    assert refusal(s3.put_object, **words, Tagging="a=1&a=2") == (400, "InvalidArgument")
    assert refusal(s3.head_object, Bucket=bucket, Key="b") == (404, "404")


def test_writing_again_forgets_tags_and_copying_takes_them_along(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="a=1")
    source = f"{bucket}/a"
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="c", CopySource=source, Tagging="c=3", TaggingDirective="REPLACE")
    s3.copy_object(Bucket=bucket, Key="d", CopySource=source, TaggingDirective="REPLACE")
    assert [tags_of(s3, bucket, key) for key in "bcd"] == [tag_set(a="1"), tag_set(c="3"), []]
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert tags_of(s3, bucket) == []
    begun = s3.create_multipart_upload(Bucket=bucket, Key="m", Tagging="m=1")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="m", UploadId=begun, PartNumber=1, Body=b"x")
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="m", UploadId=begun, MultipartUpload=done)
    assert tags_of(s3, bucket, "m") == tag_set(m="1")


def test_tags_belong_to_versions(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"", Tagging="n=1")["VersionId"]
    second = s3.put_object(Bucket=versioned, Key="a", Body=b"", Tagging="n=2")["VersionId"]
    assert put(s3, versioned, tag_set(n="3"), VersionId=first)["VersionId"] == first
    assert tags_of(s3, versioned, VersionId=first) == tag_set(n="3")
    assert s3.get_object_tagging(Bucket=versioned, Key="a")["VersionId"] == second
    assert s3.delete_object_tagging(Bucket=versioned, Key="a", VersionId=first)["VersionId"] == first
    assert tags_of(s3, versioned, VersionId=first) == []
    assert tags_of(s3, versioned) == tag_set(n="2")
    marker = s3.delete_object(Bucket=versioned, Key="a")["VersionId"]
    assert refusal(s3.get_object_tagging, Bucket=versioned, Key="a")[0] in {404, 405}
    refused = refusal(s3.get_object_tagging, Bucket=versioned, Key="a", VersionId=marker)
    assert refused == (405, "MethodNotAllowed")


def test_what_is_not_there_has_no_tags(s3: Any, bucket: str) -> None:
    words = {"Bucket": bucket, "Key": "no"}
    for call, more in (
        (s3.get_object_tagging, {}),
        (s3.delete_object_tagging, {}),
        (s3.put_object_tagging, {"Tagging": {"TagSet": []}}),
    ):
        assert refusal(call, **words, **more) == (404, "NoSuchKey")


@pytest.mark.parametrize("count", [1, 50])
def test_buckets_have_fifty_tags(s3: Any, bucket: str, count: int) -> None:
    tags = [{"Key": f"k{n}", "Value": "v" * 256} for n in range(count)]
    assert status(s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})) == 204
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(51)]
    assert refusal(s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": many})[0] == 400
    assert status(s3.delete_bucket_tagging(Bucket=bucket)) == 204
    assert refusal(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
