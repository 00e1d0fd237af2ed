"""Requests that no SDK sends: odd, missing or unreadable headers, bodies that are cut, wrong dates."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import pytest
from tests.judges.cloud import Account, Endpoint
from tests.s3.refusals import refusal
from tests.s3.sending import BODY, Sender, read_answer, read_whole


@pytest.fixture
def sender(endpoint: Endpoint, owner: Account) -> Sender:
    return Sender(endpoint, owner)


@pytest.mark.parametrize("length", ["", "-1", "abc", "3\r\nContent-Length: 4"])
def test_a_length_that_is_none_is_refused_in_a_document(sender: Sender, bucket: str, length: str) -> None:
    assert sender.put(f"/{bucket}/a", changed={"Content-Length": length}) == (400, "BadRequest")


@pytest.mark.parametrize("request_line", [b"NONSENSE\r\n\r\n", b"FETCH / HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_what_is_no_http_is_refused_in_a_document(sender: Sender, request_line: bytes) -> None:
    assert sender.answer(request_line) == (400, "BadRequest")


def test_an_object_needs_a_length(sender: Sender, bucket: str) -> None:
    refused = sender.put(f"/{bucket}/a", body=b"", changed={"Content-Length": None})
    assert refused == (411, "MissingContentLength")


@pytest.mark.parametrize(
    "changed",
    [
        {"User-Agent": ""},
        {"User-Agent": None},
        {"Content-Type": ""},
        {"Expect": ""},
        {"Expect": "200-ok"},
        {"Date": ""},
        {"Date": "Bad Date"},
        {"Date": "Tue, 07 Jul 1950 21:53:04 GMT"},
    ],
)
def test_headers_that_say_nothing_needed_may_be_odd(
    sender: Sender, bucket: str, changed: dict[str, str | None]
) -> None:
    assert sender.put(f"/{bucket}/a", changed=changed) == (200, "")


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"X-Amz-Date": ""}, (403, "AccessDenied")),
        ({"X-Amz-Date": "Bad Date"}, (403, "AccessDenied")),
        ({"X-Amz-Date": None}, (403, "AccessDenied")),
        ({"X-Amz-Date": "19500707T215304Z"}, (403, "RequestTimeTooSkewed")),
        ({"X-Amz-Date": "20100707T215304Z"}, (403, "RequestTimeTooSkewed")),
        ({"X-Amz-Date": "20500707T215304Z"}, (403, "RequestTimeTooSkewed")),
        ({"X-Amz-Date": "99990707T215304Z"}, (403, "RequestTimeTooSkewed")),
        ({"Authorization": None}, (403, "AccessDenied")),
        ({"Authorization": ""}, (403, "AccessDenied")),
        ({"Authorization": "AWS HAHAHA"}, (400, "InvalidArgument")),
        ({"Authorization": "AWS4-HMAC-SHA256 Credential=HAHAHA"}, (400, "AuthorizationHeaderMalformed")),
        ({"Host": "elsewhere.example"}, (403, "SignatureDoesNotMatch")),
        ({"X-Amz-Content-SHA256": "short"}, (400, "InvalidArgument")),
        ({"X-Amz-Content-SHA256": None}, (400, "InvalidRequest")),
    ],
)
def test_a_request_that_is_not_signed_as_it_came_is_refused(
    sender: Sender, bucket: str, changed: dict[str, str | None], refused: tuple[int, str]
) -> None:
    assert sender.put(f"/{bucket}/a", changed=changed) == refused


@pytest.mark.parametrize("seconds", [-16 * 60, 16 * 60])
def test_a_clock_sixteen_minutes_off_is_told(sender: Sender, bucket: str, seconds: int) -> None:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + seconds))
    refused = sender.put(f"/{bucket}/a", changed={"X-Amz-Date": stamp})
    assert refused == (403, "RequestTimeTooSkewed")


@pytest.mark.parametrize(
    ("md5", "refused"),
    [
        ("", (400, "InvalidDigest")),
        ("YWJyYWNhZGFicmE=", (400, "InvalidDigest")),
        ("no base64", (400, "InvalidDigest")),
        ("rL0Y20zC+Fzt72VPzMSk2A==", (400, "BadDigest")),
    ],
)
def test_a_digest_is_looked_at(sender: Sender, bucket: str, md5: str, refused: tuple[int, str]) -> None:
    assert sender.put(f"/{bucket}/a", sent={"Content-MD5": md5}) == refused


def test_a_body_that_is_not_the_signed_one_is_refused(sender: Sender, bucket: str, s3: Any) -> None:
    signed = {"X-Amz-Content-SHA256": hashlib.sha256(BODY).hexdigest()}
    refused = sender.put(f"/{bucket}/a", sent=signed, body=BODY[::-1])
    assert refused == (400, "XAmzContentSHA256Mismatch")
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (404, "NoSuchKey")
    assert sender.put(f"/{bucket}/a", sent=signed) == (200, "")


def test_who_waits_for_continue_is_refused_before_the_body(sender: Sender, bucket: str, s3: Any) -> None:
    waiting = {"Expect": "100-continue"}
    with sender.connect() as line:
        line.sendall(sender.lines("PUT", f"/{bucket}-none/a", changed=waiting))
        assert read_answer(line) == (404, "NoSuchBucket")
    with sender.connect() as line:
        line.sendall(sender.lines("PUT", f"/{bucket}/a", changed=waiting))
        assert line.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.sendall(BODY)
        assert read_answer(line) == (200, "")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == BODY


def test_a_body_may_come_in_chunks_of_no_told_length(sender: Sender, bucket: str, s3: Any) -> None:
    chunked = {"Content-Length": None, "Transfer-Encoding": "chunked"}
    head = sender.lines("PUT", f"/{bucket}/a", changed=chunked)
    assert sender.answer(head + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n") == (200, "")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"abcdefg"


@pytest.mark.parametrize(
    "changed", [{"Authorization": "AWS4-HMAC-SHA256 no"}, {"X-Amz-Date": "20200101T000000Z"}, {}]
)
def test_no_body_that_waits_is_taken_for_the_next_request(
    sender: Sender, bucket: str, changed: dict[str, str]
) -> None:
    """The client need not send what it was not told to send: the line must end there, or say so."""
    key = "a" if changed else "k" * 1025
    with sender.connect() as line:
        line.sendall(sender.lines("PUT", f"/{bucket}/{key}", changed=changed | {"Expect": "100-continue"}))
        answer = read_whole(line)
        assert answer.status >= 400
        assert answer.headers["connection"] == "close"
        assert line.recv(65536) == b""


@pytest.mark.parametrize("size", [1000, 20 << 20])
def test_a_body_cut_midway_changes_nothing(sender: Sender, bucket: str, s3: Any, size: int) -> None:
    new = {"Content-Length": str(size)}
    for key, before in (("old", b"as it was"), ("none", None)):
        if before is not None:
            s3.put_object(Bucket=bucket, Key=key, Body=before)
        with sender.connect() as line:
            line.sendall(sender.lines("PUT", f"/{bucket}/{key}", changed=new))
            line.sendall(b"x" * (size // 2))
    time.sleep(0.3)
    assert s3.get_object(Bucket=bucket, Key="old")["Body"].read() == b"as it was"
    assert refusal(s3.get_object, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    assert [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["old"]
