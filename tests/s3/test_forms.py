"""Browsers' forms: what they may carry, what their policies ask, and how each breach is answered."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest
from tests.s3.plain import Answer, post_form

SECRET = base64.b64encode(b"k" * 32).decode()
SECRET_MD5 = base64.b64encode(hashlib.md5(b"k" * 32).digest()).decode()


class Poster:
    """Makes forms for one bucket and sends them."""

    def __init__(self, endpoint: Any, account: Any, bucket: str) -> None:
        self.url = f"{endpoint.url}/{bucket}"
        self.region = endpoint.region
        self.account = account
        self.bucket = bucket

    def fields(
        self, key: str, *conditions: Any, expiration: Any = None, policy: Any = None, **more: str
    ) -> dict[str, str]:
        """A form signed for `key` and the fields `more`, in which an underscore stands for a hyphen."""
        now = datetime.now(UTC)
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        signing = {
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": f"{self.account.access_key}/{scope}",
            "x-amz-date": stamp,
        }
        sent = {"key": key, **{name.replace("_", "-"): value for name, value in more.items()}}
        if policy is None:
            policy = {
                "expiration": expiration or (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "conditions": [
                    {"bucket": self.bucket},
                    ["starts-with", "$key", ""],
                    *[{name: value} for name, value in signing.items()],
                    *conditions,
                ],
            }
        text = policy if isinstance(policy, bytes) else json.dumps(policy).encode()
        encoded = base64.b64encode(text)
        secret = f"AWS4{self.account.secret_key}".encode()
        for part in scope.split("/"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        return {
            **sent,
            **signing,
            "policy": encoded.decode(),
            "x-amz-signature": hmac.digest(secret, encoded, "sha256").hex(),
        }

    def post(self, fields: dict[str, str], content: bytes = b"hello", name: str = "f.txt") -> Answer:
        return post_form(self.url, fields, name, content)


@pytest.fixture
def poster(endpoint: Any, owner: Any, bucket: str) -> Poster:
    return Poster(endpoint, owner, bucket)


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, ET.fromstring(answer.content).findtext("Code") or ""


@pytest.fixture
def body(s3: Any, bucket: str) -> Callable[[str], bytes]:
    """Reads an object."""
    return lambda key: s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def test_anybody_may_post_to_a_public_bucket(s3: Any, poster: Poster, bucket: str, body: Any) -> None:
    assert code_of(poster.post({"key": "a"})) == (403, "AccessDenied")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    answer = poster.post({"key": "a", "acl": "public-read", "Content-Type": "text/plain"})
    assert (answer.status, answer.content) == (204, b"")
    assert answer.headers["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert body("a") == b"hello"
    assert s3.get_object(Bucket=bucket, Key="a")["ContentType"] == "text/plain"


def test_a_signed_form_is_stored_with_all_it_says(s3: Any, poster: Poster, bucket: str) -> None:
    said = {
        "acl": "public-read",
        "Content_Type": "image/x-kelp",
        "Cache_Control": "no-store",
        "Content_Disposition": "attachment",
        "Content_Encoding": "x-none",
        "Content_Language": "de",
        "Expires": "Wed, 01 Jan 2098 00:00:00 GMT",
        "x_amz_meta_depth": "7 m",
        "x_amz_storage_class": "STANDARD_IA",
        "x_amz_website_redirect_location": "/elsewhere",
        "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>",
    }
    conditions = [["starts-with", f"${name.replace('_', '-')}", ""] for name in said]
    assert poster.post(poster.fields("dir/ä b.txt", *conditions, **said)).status == 204
    found = s3.head_object(Bucket=bucket, Key="dir/ä b.txt")
    shown = {
        "ContentType": "image/x-kelp",
        "CacheControl": "no-store",
        "ContentDisposition": "attachment",
        "ContentEncoding": "x-none",
        "ContentLanguage": "de",
        "StorageClass": "STANDARD_IA",
        "WebsiteRedirectLocation": "/elsewhere",
        "Metadata": {"depth": "7 m"},
    }
    assert {name: found[name] for name in shown} == shown
    tags = s3.get_object_tagging(Bucket=bucket, Key="dir/ä b.txt")["TagSet"]
    assert tags == [{"Key": "a", "Value": "b c"}]
    assert len(s3.get_object_acl(Bucket=bucket, Key="dir/ä b.txt")["Grants"]) == 2


@pytest.mark.parametrize(
    ("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("", 204), ("404", 204), ("x", 204)]
)
def test_the_status_of_success_is_what_was_asked(
    poster: Poster, bucket: str, endpoint: Any, asked: str, status: int
) -> None:
    any_status = ["starts-with", "$success_action_status", ""]
    fields = poster.fields("a/b c", any_status)
    fields["success_action_status"] = asked
    answer = poster.post(fields)
    assert answer.status == status
    location = f"{endpoint.url}/{bucket}/a/b%20c"
    assert answer.headers["location"] == location
    if status != 201:
        assert answer.content == b""
        return
    root = ET.fromstring(answer.content)
    assert root.tag == "PostResponse"
    assert {each.tag: each.text for each in root} == {
        "Location": location,
        "Bucket": bucket,
        "Key": "a/b c",
        "ETag": answer.headers["etag"],
    }


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
def test_a_browser_may_be_sent_on(poster: Poster, bucket: str, name: str, body: Any) -> None:
    fields = poster.fields("k", ["eq", f"${name}", "http://here.example/done?x=1"])
    fields[name] = "http://here.example/done?x=1"
    answer = poster.post(fields)
    assert answer.status == 303
    went = urlsplit(answer.headers["location"])
    assert (went.scheme, went.netloc, went.path) == ("http", "here.example", "/done")
    etag = f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert parse_qs(went.query) == {"x": ["1"], "bucket": [bucket], "key": ["k"], "etag": [etag]}
    assert body("k") == b"hello"


def test_names_of_fields_have_no_case_and_operators_neither(poster: Poster, body: Any) -> None:
    fields = poster.fields("k", ["StArTs-WiTh", "$CoNtEnT-TyPe", "text/"], {"AcL": "private"})
    named = {"KeY": fields.pop("key"), "POLICY": fields.pop("policy"), "aCl": "private"}
    fields |= {**named, "content-TYPE": "text/plain"}
    assert poster.post(fields).status == 204
    assert body("k") == b"hello"


def test_some_fields_need_no_condition(poster: Poster) -> None:
    fields = poster.fields("k") | {"x-ignore-this": "1", "X-Ignore-That": "2"}
    assert poster.post(fields).status == 204
    for name in ("x-amz-meta-a", "acl", "Content-Type", "success_action_status", "anything"):
        answer = poster.post(poster.fields("k") | {name: "private"})
        assert code_of(answer) == (403, "AccessDenied"), name
        assert "Extra input fields" in answer.text


def test_the_files_name_stands_in_the_key(poster: Poster, body: Any) -> None:
    assert poster.post(poster.fields("up/${filename}"), name="münze 1.txt").status == 204
    assert body("up/münze 1.txt") == b"hello"
    assert poster.post(poster.fields("a\\$b/$c")).status == 204
    assert body("a\\$b/$c") == b"hello"


@pytest.mark.parametrize(
    ("condition", "key"),
    [
        (["eq", "$key", "other"], "mine"),
        ({"key": "other"}, "mine"),
        (["starts-with", "$key", "other/"], "mine"),
        ({"acl": "private"}, "k"),
        (["starts-with", "$x-amz-meta-a", "b"], "k"),
        ({"bucket": "other"}, "k"),
    ],
)
def test_a_breach_of_the_policy_is_denied(poster: Poster, condition: Any, key: str) -> None:
    answer = poster.post(poster.fields(key, condition))
    assert code_of(answer) == (403, "AccessDenied")
    assert "Invalid according to Policy" in answer.text


@pytest.mark.parametrize(
    ("bounds", "size", "said"),
    [
        ([0, 5], 5, (204, "")),
        ([5, 5], 5, (204, "")),
        (["0", "5"], 5, (204, "")),
        ([0, 4], 5, (400, "EntityTooLarge")),
        ([6, 9], 5, (400, "EntityTooSmall")),
        ([5], 5, (400, "InvalidPolicyDocument")),
        ([], 5, (400, "InvalidPolicyDocument")),
        ([-1, 5], 5, (400, "InvalidPolicyDocument")),
        ([0, "many"], 5, (400, "InvalidPolicyDocument")),
        ([0, 5, 7], 5, (400, "InvalidPolicyDocument")),
    ],
)
def test_sizes_are_kept_within_bounds(poster: Poster, bounds: Any, size: int, said: tuple[int, str]) -> None:
    answer = poster.post(poster.fields("k", ["content-length-range", *bounds]), b"x" * size)
    assert (answer.status if answer.status == 204 else code_of(answer)) == (204 if said[0] == 204 else said)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({}, (400, "InvalidPolicyDocument")),
        ({"expiration": "2099-01-01T00:00:00Z"}, (400, "InvalidPolicyDocument")),
        ({"conditions": [["starts-with", "$key", ""]]}, (400, "InvalidPolicyDocument")),
        ({"EXPIRATION": "2099-01-01T00:00:00Z", "conditions": []}, (400, "InvalidPolicyDocument")),
        ({"expiration": "2099-01-01T00:00:00Z", "CONDITIONS": []}, (400, "InvalidPolicyDocument")),
        ({"expiration": "2099-01-01T00:00:00Z", "conditions": []}, (403, "AccessDenied")),
        ({"expiration": "2020-01-01T00:00:00Z", "conditions": []}, (403, "AccessDenied")),
        ({"expiration": "2099-01-01 00:00:00", "conditions": []}, (400, "InvalidPolicyDocument")),
        ({"expiration": "soon", "conditions": []}, (400, "InvalidPolicyDocument")),
        ({"expiration": 4070908800, "conditions": []}, (400, "InvalidPolicyDocument")),
        (b"not json", (400, "InvalidPolicyDocument")),
        (b"", (400, "InvalidPolicyDocument")),
    ],
)
def test_policies_that_are_none(poster: Poster, policy: Any, said: tuple[int, str]) -> None:
    assert code_of(poster.post(poster.fields("k", policy=policy))) == said


@pytest.mark.parametrize(
    "name", ["x-amz-signature", "x-amz-credential", "x-amz-date", "x-amz-algorithm", "key"]
)
def test_a_form_lacks_nothing(poster: Poster, name: str) -> None:
    fields = poster.fields("k")
    del fields[name]
    assert code_of(poster.post(fields)) == (400, "InvalidArgument")


def test_signatures_are_checked(poster: Poster, s3: Any, bucket: str) -> None:
    wrong = poster.fields("k") | {"x-amz-signature": "0" * 64}
    assert code_of(poster.post(wrong)) == (403, "SignatureDoesNotMatch")
    fields = poster.fields("k")
    unknown = fields["x-amz-credential"].replace(poster.account.access_key, "AKHNOBODY")
    assert code_of(poster.post(fields | {"x-amz-credential": unknown})) == (403, "InvalidAccessKeyId")
    altered = poster.fields("k") | {"policy": poster.fields("k", {"acl": "private"})["policy"]}
    assert code_of(poster.post(altered)) == (403, "SignatureDoesNotMatch")
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_a_form_of_another_tenant_may_do_what_that_may(
    s3: Any, endpoint: Any, other: Any, bucket: str
) -> None:
    theirs = Poster(endpoint, other, bucket)
    assert code_of(theirs.post(theirs.fields("k"))) == (403, "AccessDenied")
    s3.put_bucket_acl(Bucket=bucket, GrantWrite=f"id={other.canonical_id}")
    assert theirs.post(theirs.fields("k")).status == 204


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", "crc32"])
def test_files_are_checked_by_their_checksums(poster: Poster, algorithm: str) -> None:
    import zlib

    digest = (
        zlib.crc32(b"hello").to_bytes(4)
        if algorithm == "crc32"
        else hashlib.new(algorithm, b"hello").digest()
    )
    name = f"x-amz-checksum-{algorithm}"
    good = base64.b64encode(digest).decode()
    bad = base64.b64encode(bytes(len(digest))).decode()
    condition = ["starts-with", f"${name}", ""]
    answer = poster.post(poster.fields("k", condition) | {name: good})
    assert answer.status == 204
    assert answer.headers[name] == good
    assert code_of(poster.post(poster.fields("k", condition) | {name: bad})) == (400, "BadDigest")
    md5 = poster.fields("k", ["starts-with", "$content-md5", ""]) | {
        "Content-MD5": base64.b64encode(bytes(16)).decode()
    }
    assert code_of(poster.post(md5)) == (400, "BadDigest")


def test_files_are_sealed_as_the_form_says(s3: Any, poster: Poster, bucket: str) -> None:
    kms = {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "k1"}
    conditions = [["starts-with", f"${name}", ""] for name in kms]
    answer = poster.post(poster.fields("kms", *conditions) | kms)
    assert answer.status == 204
    assert s3.head_object(Bucket=bucket, Key="kms")["ServerSideEncryption"] == "aws:kms"
    head = "x-amz-server-side-encryption-customer"
    own = {f"{head}-algorithm": "AES256", f"{head}-key": SECRET, f"{head}-key-MD5": SECRET_MD5}
    conditions = [["starts-with", f"${name}", ""] for name in own]
    assert poster.post(poster.fields("own", *conditions) | own).status == 204
    words = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    assert s3.get_object(Bucket=bucket, Key="own", **words)["Body"].read() == b"hello"


def test_tags_that_are_none_are_refused(poster: Poster) -> None:
    for text in ("<Tagging>", "plain", "<Tagging><TagSet><Tag><Key/></Tag></TagSet></Tagging>"):
        fields = poster.fields("k", ["starts-with", "$tagging", ""]) | {"tagging": text}
        assert poster.post(fields).status == 400
    with pytest.raises(KeyError):
        poster.fields("k")["tagging"]


def test_a_form_may_ask_for_a_bigger_file_than_fits_in_memory_once(poster: Poster, body: Any) -> None:
    content = bytes(range(256)) * 12_000
    assert poster.post(poster.fields("large"), content).status == 204
    assert body("large") == content


def test_a_forms_bucket_must_be_there(poster: Poster) -> None:
    fields = poster.fields("k")
    poster.url += "-no"
    assert code_of(poster.post(fields)) == (404, "NoSuchBucket")
