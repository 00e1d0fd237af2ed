"""Buckets named by the host of a request, not by its path."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from defusedxml import ElementTree
from tests.judges.cloud import Account, Endpoint
from tests.s3.sending import Sender

SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


@pytest.fixture
def hosted(endpoint: Endpoint, owner: Account, bucket: str) -> Sender:
    """Asks `bucket.localhost`, wherever resolvers think that is."""
    return Sender(endpoint, owner, f"{bucket}.localhost:{urlsplit(endpoint.url).port}")


def text(content: bytes, name: str) -> str:
    return ElementTree.fromstring(content).findtext(f".//{SPACE}{name}") or ""


def test_an_object_has_the_path_for_itself(hosted: Sender, s3: Any, bucket: str) -> None:
    put = hosted.ask("PUT", "/a%20b/%C3%BC%2B", b"content")
    assert (put.status, put.headers["etag"]) == (200, f'"{hashlib.md5(b"content").hexdigest()}"')
    assert s3.get_object(Bucket=bucket, Key="a b/ü+")["Body"].read() == b"content"
    assert hosted.ask("GET", "/a%20b/%C3%BC%2B").body == b"content"
    assert hosted.ask("DELETE", "/a%20b/%C3%BC%2B").status == 204
    assert hosted.ask("GET", "/a%20b/%C3%BC%2B").code == "NoSuchKey"


def test_a_key_may_begin_with_the_buckets_name(hosted: Sender, s3: Any, bucket: str) -> None:
    assert hosted.ask("PUT", f"/{bucket}/a", b"content").status == 200
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [f"{bucket}/a"]


def test_the_bucket_is_the_root(hosted: Sender, bucket: str) -> None:
    hosted.ask("PUT", "/a", b"content")
    listed = hosted.ask("GET", "/?list-type=2")
    assert (text(listed.body, "Name"), text(listed.body, "Key")) == (bucket, "a")
    assert hosted.ask("GET", "/?location").status == 200
    assert hosted.ask("DELETE", "/").code == "BucketNotEmpty"
    hosted.ask("DELETE", "/a")
    assert hosted.ask("DELETE", "/").status == 204
    assert hosted.ask("GET", "/").code == "NoSuchBucket"


def test_a_bucket_is_made_by_its_host(endpoint: Endpoint, owner: Account, bucket: str) -> None:
    made = Sender(endpoint, owner, f"{bucket}-2.localhost:{urlsplit(endpoint.url).port}")
    assert made.ask("PUT", "/").status == 200
    assert made.ask("PUT", "/a", b"x").status == 200


def test_a_completed_upload_tells_its_location(
    hosted: Sender, bucket: str, endpoint: Endpoint, owner: Account
) -> None:
    for sender, before in ((hosted, "/"), (Sender(endpoint, owner), f"/{bucket}/")):
        begun = text(sender.ask("POST", f"{before}a?uploads=").body, "UploadId")
        etag = sender.ask("PUT", f"{before}a?partNumber=1&uploadId={begun}", b"part").headers["etag"]
        parts = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        ended = sender.ask("POST", f"{before}a?uploadId={begun}", document)
        location = urlsplit(text(ended.body, "Location"))
        assert location.path == f"{before}a"
        assert sender.ask("GET", location.path).body == b"part"
