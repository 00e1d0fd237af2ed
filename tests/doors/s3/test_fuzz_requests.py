"""Whatever comes, the answer is a value or an error of S3: never our own failure, never silence."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.doors.s3.model_inputs import operations
from tests.doors.s3.program import S3Cloud, s3_story
from tests.doors.s3.raw_requests import Raw, ask, judge, parted, signed

from holdfast.doors.s3.failures import KINDS
from holdfast.doors.s3.operation_table import SELECTORS

pytestmark = pytest.mark.slow

STORIES: Final = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # A failure names its request; a smaller story would tell no more and take long to find.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
REQUESTS: Final = 25
"""Made in each story, so that a cloud is started once for many."""

LINE = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=20).map(str.strip)
ODD_VALUES = st.sampled_from(
    (
        "", " ", "0", "-1", "1", "99999999999999999999", "*", "/", "//", "a/../b", "bytes=0-", "bytes=-0",
        "bytes=5-2", "bytes=0-1,3-4", '"etag"', 'W/"x"', "Mon, 01 Jan 1990 00:00:00 GMT",
        "2020-01-01T00:00:00Z", "AES256", "aws:kms", "COPY", "REPLACE", "ENABLED", "GOVERNANCE",
        "ON", "url",
        "aws-chunked", "aws-chunked,gzip", "100-continue", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "UNSIGNED-PAYLOAD", "x-amz-checksum-crc32",
        "AAAAAA==", "k=v&k=v",
        "id=x", "uri=http://acs.amazonaws.com/groups/global/AllUsers", "/photos/cat",
        "photos%2Fcat?versionId=x",
        "multipart/form-data; boundary=x", "multipart/form-data", "application/xml", "\xe9\xff",
        "%", "%zz", "null",
    )
)  # fmt: skip
NAMES = sorted(
    {
        shape.serialization.get("name", "").lower()
        for operation in operations().values()
        if operation.input_shape
        for shape in operation.input_shape.members.values()
        if shape.serialization.get("location") == "header"
    }
)
HEADER_NAMES = st.sampled_from(
    [
        *NAMES,
        "authorization", "x-amz-date", "date", "x-amz-content-sha256", "x-amz-decoded-content-length",
        "x-amz-trailer", "x-amz-meta-a", "origin", "access-control-request-method", "transfer-encoding",
        "x-amz-security-token", "x-amz-checksum-mode", "host", "expect", "x-amz-sdk-checksum-algorithm",
    ]
)  # fmt: skip
HEADERS = st.lists(st.tuples(HEADER_NAMES, ODD_VALUES | LINE), max_size=4).map(tuple)
PATHS = st.sampled_from(
    ("/", "//", "/photos", "/photos/", "/photos/cat", "/photos//cat", "/photos/../cat", "/photos/%00",
     "/photos/%ff", "/photos/%", "/%2Fphotos", "/nobody", "/nobody/cat", "/P_h/x", "/photos/" + "k" * 1024,
     "/photos/" + "k" * 1025,
     "/photos/%F0%9F%8C%BF", "/..", "/.", "/photos?", "/photos/a%2Fb", "/photos/a+b")
)  # fmt: skip
QUERY_NAMES = st.sampled_from(
    (*sorted(SELECTORS), "versionId", "uploadId", "partNumber", "prefix", "delimiter", "marker", "max-keys",
     "continuation-token", "start-after", "key-marker", "version-id-marker", "encoding-type", "fetch-owner",
     "response-content-type", "response-expires", "X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential",
     "X-Amz-Expires", "X-Amz-Date", "X-Amz-SignedHeaders", "AWSAccessKeyId", "Signature", "x-id",
     "nobody-knows")
)  # fmt: skip
QUERY_VALUES = st.sampled_from(
    ("", "0", "1", "-1", "2", "1000", "x", "%00", "%ff", "%", "a%2Fb", "null", "url", "%26")
)
QUERIES = st.lists(st.tuples(QUERY_NAMES, QUERY_VALUES), max_size=3).map(
    lambda pairs: "&".join(name if value == "x" else f"{name}={value}" for name, value in pairs)
)
DOCUMENTS = st.sampled_from(
    (
        b"", b"<", b"<a/>", b"\x00", b"\xff\xfe<\x00a\x00/\x00>\x00", b"<a>" * 5000, b"<Delete></Delete>",
        b"<Delete><Object><Key>cat</Key></Object></Delete>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><Delete><Object><Key>&b;</Key></Object></Delete>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Tagging><TagSet>&b;</TagSet></Tagging>',
        b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
        b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber></Part></CompleteMultipartUpload>",
        b"<AccessControlPolicy/>",
        b"<VersioningConfiguration><Status>Maybe</Status></VersioningConfiguration>",
        b'{"Version":"2012-10-17","Statement":[]}', b"[" * 50000, b'{"Version":1e400}', b"meow" * 30000,
        b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"fffffffffffffff\r\n",
        b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\na\r\n--x--\r\n', b"--x--",
        b"--x\r\n" * 3000,
    )
)  # fmt: skip
BODIES = st.tuples(DOCUMENTS | st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=4)).map(
    lambda made: parted(*made) if made[0] else ()
)
METHODS = st.sampled_from(("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"))
RAW = st.builds(Raw, METHODS, PATHS, QUERIES, HEADERS, BODIES, st.booleans())
PAYLOADS = st.sampled_from(
    (
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "0" * 64,
        "",
    )
)


async def hold(cloud: S3Cloud, requests: list[tuple[Raw, str | None]]) -> None:
    key = await cloud.cluster.rooms.keys.create_access_key(cloud.cluster.tenant_id)
    first = Raw("PUT", "/photos/cat", "", (), (b"meow",))
    assert (await ask(cloud.application, signed(first, key, cloud.door.clock.now()))).status == 200
    for raw, payload in requests:
        sent = raw
        if payload is not None:
            kept = tuple(
                pair for pair in raw.headers if pair[0] not in {"host", "authorization", "x-amz-date"}
            )
            sent = signed(raw._replace(headers=kept), key, cloud.door.clock.now(), payload)
        judge(sent, await ask(cloud.application, sent), KINDS)


@given(st.lists(st.tuples(RAW, st.none() | PAYLOADS), min_size=REQUESTS, max_size=REQUESTS))
@STORIES
def test_any_request_gets_a_value_or_an_error_of_s3(requests: list[tuple[Raw, str | None]]) -> None:
    s3_story(lambda cloud: hold(cloud, requests))


AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=AKEXAMPLE/20260101/us-east-1/s3/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=" + "a" * 64
)


@given(st.lists(st.tuples(st.data(), st.integers(0, 3)), min_size=1, max_size=1))
@STORIES
def test_a_broken_signature_is_an_error_of_the_client(drawn: list[tuple[st.DataObject, int]]) -> None:
    data, _ = drawn[0]
    requests: list[tuple[Raw, str | None]] = []
    for _ in range(REQUESTS):
        text = bytearray(AUTHORIZATION.encode())
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(text)))
            text[place : place + data.draw(st.integers(0, 30))] = data.draw(
                st.sampled_from((b"", b"/", b",", b"=", b" "))
            )
        date = data.draw(st.sampled_from(("20260101T000000Z", "20269901T000000Z", "", "now", "9" * 40)))
        headers = (
            ("authorization", text.decode("latin-1")),
            ("x-amz-date", date),
            ("x-amz-content-sha256", "x"),
        )
        requests.append((Raw("GET", "/photos/cat", "", headers), None))
    s3_story(lambda cloud: hold(cloud, requests))
