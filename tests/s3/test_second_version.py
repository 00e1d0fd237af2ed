"""Signature Version 2 where boto3 writes it unasked: presigned URLs and forms of us-east-1."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from tests.s3.plain import ask, post_form

from tests.s3.test_forms import code_of  # isort: skip


@pytest.fixture
def default(endpoint: Any, owner: Any) -> Any:
    """A client as boto3 makes it where nothing is said of signatures."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint.url,
        region_name=endpoint.region,
        aws_access_key_id=owner.access_key,
        aws_secret_access_key=owner.secret_key,
        verify=str(endpoint.ca) if endpoint.ca else None,
    )


def test_presigned_urls_work(default: Any, bucket: str) -> None:
    words = {"Bucket": bucket, "Key": "a b/ü+"}
    put = default.generate_presigned_url(
        "put_object", {**words, "ContentType": "text/x", "Metadata": {"a": "b"}}
    )
    assert "AWSAccessKeyId=" in put
    headers = {"Content-Type": "text/x", "x-amz-meta-a": "b"}
    answer = ask("PUT", put, body=b"hello", headers=headers)
    assert answer.status == 200, answer.text
    assert ask("PUT", put, body=b"hello", headers={**headers, "Content-Type": "text/y"}).status == 403
    get = default.generate_presigned_url("get_object", {**words, "ResponseContentType": "a/b"}, ExpiresIn=60)
    found = ask("GET", get)
    assert (found.content, found.headers["content-type"], found.headers["x-amz-meta-a"]) == (
        b"hello",
        "a/b",
        "b",
    )
    assert code_of(ask("GET", get.replace("a%2Fb", "a%2Fc"))) == (403, "SignatureDoesNotMatch")
    assert ask("DELETE", get).status == 403
    for name, more in (
        ("list_objects_v2", {}),
        ("get_bucket_acl", {}),
        ("list_object_versions", {}),
        ("get_bucket_location", {}),
    ):
        assert ask("GET", default.generate_presigned_url(name, {"Bucket": bucket, **more})).status == 200
    put = default.generate_presigned_url("put_object", words)
    for added in (
        "&legal-hold",
        "&retention",
        "&X-Amz-Acl=public-read",
        "&x-amz-acl=public-read",
        "&tagging",
    ):
        assert ask("PUT", put + added, body=b"<LegalHold/>").status in {400, 403}
    late = default.generate_presigned_url("get_object", words, ExpiresIn=-5)
    assert code_of(ask("GET", late)) == (403, "AccessDenied")


def test_forms_work(default: Any, bucket: str) -> None:
    form = default.generate_presigned_post(bucket, "up/${filename}")
    assert set(form["fields"]) == {"key", "AWSAccessKeyId", "policy", "signature"}
    assert post_form(form["url"], form["fields"], "f", b"x").status == 204
    assert default.get_object(Bucket=bucket, Key="up/f")["Body"].read() == b"x"
    wrong = {**form["fields"], "signature": "x"}
    assert code_of(post_form(form["url"], wrong, "f", b"x")) == (403, "SignatureDoesNotMatch")
    unknown = {**form["fields"], "AWSAccessKeyId": "AKHNOBODY"}
    assert code_of(post_form(form["url"], unknown, "f", b"x")) == (403, "InvalidAccessKeyId")
    for name in ("signature", "AWSAccessKeyId"):
        without = {field: value for field, value in form["fields"].items() if field != name}
        assert code_of(post_form(form["url"], without, "f", b"x")) == (400, "InvalidArgument")
