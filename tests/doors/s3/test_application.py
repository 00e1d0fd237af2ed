"""The door as a whole: what is read when, what ends a connection, what every answer carries."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from tests.doors.s3.program import HOST, Answer, Program, S3Cloud, s3_story

from holdfast.doors.s3 import sending
from holdfast.doors.s3.exchange import Exchange
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.request_lines import RequestLines
from holdfast.files.bucket_settings import CorsRule, Logging
from holdfast.files.tending.request_log import RequestLog
from holdfast.protocol import sigv4

PATH = "/photos/big"


class Connection:
    """One request as the server sees it: pieces of a body, asked for or not, and what was answered."""

    def __init__(self, pieces: list[bytes] = [], *, hangs_up: bool = False) -> None:  # noqa: B006
        self._waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        if self._waiting:
            self._waiting[-1]["more_body"] = False
        self.asked = 0
        self.hangs_up = hangs_up
        self.came: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self._waiting:
            return self._waiting.pop(0)
        if self.hangs_up:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Any) -> None:
        self.came.append({**message, "body": bytes(message.get("body", b""))})

    @property
    def status(self) -> int:
        return self.came[0]["status"]

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.came[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.came[1:])

    @property
    def whole(self) -> bool:
        return not self.came[-1].get("more_body", False)


async def put(
    cloud: S3Cloud, who: Program, connection: Connection, size: int, path: str = PATH, **headers: str
) -> Connection:
    """Asks to PUT `size` bytes that are not signed."""
    sent = [("host", HOST), ("content-length", str(size))]
    sent += [(name.replace("_", "-"), value) for name, value in headers.items()]
    if who._key is not None:
        sent += sigv4.sign(
            sigv4.Request("PUT", path, "", sent), access=who._key.access_key, secret=who._key.secret,
            region="us-east-1", service="s3", now=cloud.door.clock.now(), payload_hash="UNSIGNED-PAYLOAD",
        ).items()  # fmt: skip
    scope = {
        "type": "http", "method": "PUT", "scheme": "http", "raw_path": path.encode(), "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent], "client": ("127.0.0.1", 5),
    }  # fmt: skip
    await cloud.application(scope, connection.receive, connection.send)
    return connection


def test_a_body_is_asked_for_only_when_its_request_is_allowed() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        for who, code in ((cloud.bob, b"AccessDenied"), (cloud.nobody, b"AccessDenied")):
            asked = await put(cloud, who, Connection([b"x" * 9]), 9, expect="100-continue")
            assert (asked.status, code in asked.body, asked.asked) == (403, True, 0)
            # The client will not send what it was not told to send: nothing more can be read here.
            assert asked.headers["connection"] == "close"
        allowed = await put(cloud, cloud.alice, Connection([b"x" * 9]), 9, expect="100-continue")
        assert (allowed.status, allowed.asked > 0, "connection" in allowed.headers) == (200, True, False)

    s3_story(story)


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/photos/" + "k" * 1025, {}, b"KeyTooLongError"),
        ("/photos/%FF", {}, b"InvalidURI"),
        (PATH, {"authorization": "AWS4-HMAC-SHA256 nonsense"}, b"AuthorizationHeaderMalformed"),
    ],
)
def test_what_is_refused_before_its_body_is_judged_leaves_no_body_on_the_line(
    path: str, headers: dict[str, str], code: bytes
) -> None:
    async def story(cloud: S3Cloud) -> None:
        nobody = cloud.nobody
        waiting = await put(cloud, nobody, Connection([b"x"]), 9, path, expect="100-continue", **headers)
        assert (waiting.asked, waiting.headers["connection"], code in waiting.body) == (0, "close", True)
        little = await put(cloud, nobody, Connection([b"x" * 1000] * 3), 3000, path, **headers)
        assert (little.asked, "connection" in little.headers, code in little.body) == (3, False, True)
        much = await put(cloud, nobody, Connection([b"x" * 65536] * 100), 100 << 16, path, **headers)
        assert (much.headers["connection"], code in much.body) == ("close", True)
        none = await put(cloud, nobody, Connection(), 0, path, **headers)
        assert (none.asked, "connection" in none.headers, code in none.body) == (0, False, True)

    s3_story(story)


def test_a_little_that_nobody_wants_is_read_and_much_ends_the_connection() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        little = await put(cloud, cloud.nobody, Connection([b"x" * 1000] * 3), 3000)
        assert (little.status, little.asked, "connection" in little.headers) == (403, 3, False)
        piece = b"x" * 65536
        much = await put(cloud, cloud.nobody, Connection([piece] * 100), 100 << 16)
        assert (much.status, much.headers["connection"], much.whole) == (403, "close", True)
        assert b"AccessDenied" in much.body

    s3_story(story)


def test_a_client_that_hangs_up_leaves_nothing() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        gone = await put(cloud, cloud.alice, Connection([b"x" * 5], hangs_up=True), 9)
        assert gone.status == 400
        with pytest.raises(Answer, match="NoSuchKey"):
            await cloud.alice.call("GetObject", Bucket="photos", Key="big")

    s3_story(story)


def test_what_is_not_served_is_said_before_anything_else_is_looked_at() -> None:
    async def story(cloud: S3Cloud) -> None:
        for method, query in (("DELETE", "analytics&id=x"), ("PUT", "metrics&id=x"), ("GET", "session")):
            status, _, body = await cloud.nobody.send(method, "/no-such-bucket", query)
            assert (status, b"<Code>NotImplemented</Code>" in body) == (501, True)

    s3_story(story)


def test_every_answer_has_its_ids_and_head_has_no_body() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        seen = set()
        for method, path in (
            ("GET", "/"),
            ("HEAD", "/photos"),
            ("HEAD", "/photos/no"),
            ("GET", "/photos/no"),
        ):
            status, headers, body = await cloud.alice.send(method, path)
            assert len(headers["x-amz-request-id"]) == 16
            assert headers["x-amz-id-2"]
            assert headers["server"] == "Holdfast"
            assert "content-length" in headers
            assert (body == b"") == (method == "HEAD")
            seen.add((method, status, headers["x-amz-request-id"]))
            if method == "GET" and status == 404:
                assert f"<RequestId>{headers['x-amz-request-id']}</RequestId>".encode() in body
                assert b"<Key>no</Key>" in body
        assert len(seen) == 4

    s3_story(story)


def test_a_bucket_may_be_named_by_the_host() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        await cloud.alice.call("PutObject", Bucket="photos", Key="a/b", Body=b"hello")
        sent = [("host", "photos.s3.localhost:8333")]
        sent += sigv4.sign(
            sigv4.Request("GET", "/a/b", "", sent), access=cloud.alice._key.access_key,
            secret=cloud.alice._key.secret, region="us-east-1", service="s3", now=cloud.door.clock.now(),
            payload_hash="UNSIGNED-PAYLOAD",
        ).items()  # fmt: skip
        connection = Connection()
        scope = {
            "type": "http", "method": "GET", "scheme": "http", "raw_path": b"/a/b", "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in sent], "client": None,
        }  # fmt: skip
        await cloud.application(scope, connection.receive, connection.send)
        assert (connection.status, connection.body) == (200, b"hello")

    s3_story(story)


def test_headers_that_a_signer_put_into_the_query_count() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        hoisted = "X-Amz-Meta-Colour=red&x-amz-storage-class=STANDARD_IA"
        query = sigv4.presign(
            sigv4.Request("PUT", "/photos/k", hoisted, [("host", HOST)]),
            access=cloud.alice._key.access_key, secret=cloud.alice._key.secret, region="us-east-1",
            service="s3", now=cloud.door.clock.now(), expires_seconds=60,
        )  # fmt: skip
        status, _, _ = await cloud.nobody.send("PUT", "/photos/k", query, body=b"hello")
        assert status == 200
        head = await cloud.alice.call("HeadObject", Bucket="photos", Key="k")
        assert (head["Metadata"], head["StorageClass"]) == ({"colour": "red"}, "STANDARD_IA")

    s3_story(story)


def test_pages_of_other_origins_are_answered_by_the_buckets_rules() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        ask = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
        status, _, body = await cloud.nobody.send("OPTIONS", "/photos/k", headers=ask)
        assert (status, b"AccessForbidden" in body) == (403, True)
        record = await cloud.bucket_of("photos")
        rule = CorsRule(origins=("https://*.example",), methods=("GET",))
        await cloud.buckets.change(record.id, lambda _, settings: _with(settings, cors=(rule,)))
        status, headers, _ = await cloud.nobody.send("OPTIONS", "/photos/k", headers=ask)
        assert (status, headers["access-control-allow-origin"]) == (200, "https://a.example")
        # Errors too are readable for the page, and so are those about who asks.
        for who in (cloud.alice, cloud.nobody):
            _, headers, _ = await who.send("GET", "/photos/k", headers={"Origin": "https://a.example"})
            assert headers["access-control-allow-origin"] == "https://a.example"
        _, headers, _ = await cloud.alice.send("GET", "/photos/k", headers={"Origin": "https://a.evil"})
        assert "access-control-allow-origin" not in headers

    s3_story(story)


def _with(settings: Any, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(settings, **changes)


def test_a_form_is_stored_with_its_fields_as_headers() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        key = cloud.alice._key
        stamp = sigv4._stamp(cloud.door.clock.now())
        scope = f"{stamp[:8]}/us-east-1/s3/aws4_request"
        fields = {
            "key": "up/${filename}", "content-type": "text/plain", "x-amz-meta-a": "b",
            "success_action_status": "201",
            "tagging": "<Tagging><TagSet><Tag><Key>t</Key><Value>v w</Value></Tag></TagSet></Tagging>",
            "x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": f"{key.access_key}/{scope}",
            "x-amz-date": stamp,
        }  # fmt: skip
        conditions = [["starts-with", f"${name}", ""] for name in ("bucket", *fields)]
        text = json.dumps({"expiration": "2999-01-01T00:00:00Z", "conditions": conditions})
        fields["policy"] = base64.b64encode(text.encode()).decode()
        signing = sigv4.signing_key(key.secret, stamp[:8], "us-east-1", "s3")
        import hmac

        fields["x-amz-signature"] = hmac.digest(signing, fields["policy"].encode(), "sha256").hex()
        parts = [
            f'--B\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in fields.items()
        ]
        parts.append(
            '--B\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\nhello\r\n--B--\r\n'
        )
        form = {"Content-Type": "multipart/form-data; boundary=B"}
        status, headers, body = await cloud.nobody.send(
            "POST", "/photos", headers=form, body="".join(parts).encode()
        )
        assert (status, b"<Key>up/x.txt</Key>" in body) == (201, True)
        assert headers["etag"] == f'"{hashlib.md5(b"hello").hexdigest()}"'
        got = await cloud.alice.call("GetObject", Bucket="photos", Key="up/x.txt")
        assert (got["Body"], got["ContentType"], got["Metadata"], got["TagCount"]) == (
            b"hello",
            "text/plain",
            {"a": "b"},
            1,
        )
        wrong = "".join(parts).replace("text/plain", "text/html")
        assert (await cloud.nobody.send("POST", "/photos", headers=form, body=wrong.encode()))[0] == 201
        forged = "".join(parts).replace(fields["x-amz-signature"], "0" * 64)
        assert (await cloud.nobody.send("POST", "/photos", headers=form, body=forged.encode()))[0] == 403

    s3_story(story)


def test_requests_of_a_logged_bucket_are_noted_without_their_signatures() -> None:
    async def story(cloud: S3Cloud, log: RequestLog) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        assert len(log) == 0
        record = await cloud.bucket_of("photos")
        await cloud.buckets.change(
            record.id, lambda _, settings: _with(settings, logging=Logging(target_bucket="t"))
        )
        await cloud.nobody.send("GET", "/photos/k", "versionId=null&X-Amz-Signature=abc&X-Amz-Algorithm=x")
        await cloud.alice.send("GET", "/photos/a%20b", headers={"User-Agent": "me", "Referer": "there"})
        ((key, noted),) = log.take()[0].items()
        assert key.bucket == "photos"
        assert [facts.operation for facts in noted] == ["REST.GET.OBJECT"]
        facts = noted[0]
        assert (facts.key, facts.uri, facts.status, facts.error) == ("a b", "/photos/a%20b", 404, "NoSuchKey")
        assert (facts.agent, facts.referer, facts.authentication) == ("me", "there", "AuthHeader")

    log = RequestLog()
    s3_story(lambda cloud: story(cloud, log), request_log=log)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_request_is_told_in_one_line_without_its_query(as_json: bool) -> None:
    exchange = Exchange(
        method="GET", raw_path="/b/k", raw_query="X-Amz-Signature=abc", headers={}, now=0, request_id="R1",
        remote="127.0.0.1", secure=False, operation="GetObject", status=200,
    )  # fmt: skip
    out = io.StringIO()
    RequestLines(as_json=as_json, to=out).tell(exchange, 0.0123)
    line = out.getvalue()
    assert line.count("\n") == 1
    assert "abc" not in line
    for fact in ("GetObject", "200", "12.3", "R1"):
        assert fact in line


# --- streams ---------------------------------------------------------------------------------------------


def answered(pieces: AsyncGenerator[memoryview], length: int | None, connection: Connection) -> None:
    exchange = Exchange(
        method="GET", raw_path="/", raw_query="", headers={}, now=0, request_id="R", remote="", secure=False
    )
    response = S3Response(stream=pieces, length=length)
    asyncio.run(sending.send_response(exchange, response, [], connection.receive, connection.send))


async def pieces_of(*contents: bytes, then: Exception | None = None) -> AsyncGenerator[memoryview]:
    memory = bytearray(100)
    for content in contents:
        memory[: len(content)] = content
        yield memoryview(memory)[: len(content)]
        # The view is good until the next only.
        memory[:] = bytes(100)
    if then is not None:
        raise then


def test_a_stream_is_sent_piece_by_piece() -> None:
    connection = Connection()
    answered(pieces_of(b"hello ", b"world"), 11, connection)
    assert (connection.status, connection.headers, connection.body, connection.whole) == (
        200, {"content-length": "11"}, b"hello world", True,
    )  # fmt: skip


def test_an_empty_stream_is_an_empty_body() -> None:
    connection = Connection()
    answered(pieces_of(), 0, connection)
    assert (connection.headers, connection.body, connection.whole) == ({"content-length": "0"}, b"", True)


def test_what_fails_before_the_first_byte_can_still_be_said() -> None:
    connection = Connection()
    with pytest.raises(S3Error, match="InvalidRange"):
        answered(pieces_of(then=S3Error("InvalidRange")), 5, connection)
    assert connection.came == []


@pytest.mark.parametrize("contents", [(b"hello",), (b"hello", b"wor")])
def test_what_fails_later_cuts_the_answer(contents: tuple[bytes, ...]) -> None:
    connection = Connection()
    with pytest.raises(sending.Cut):
        answered(pieces_of(*contents, then=ValueError("broken")), 11, connection)
    assert (connection.body, connection.whole) == (b"".join(contents), False)
    short = Connection()
    with pytest.raises(sending.Cut):
        answered(pieces_of(*contents), 11, short)
    assert not short.whole


def test_nothing_more_is_read_for_a_client_that_hung_up() -> None:
    given = []

    async def endless() -> AsyncGenerator[memoryview]:
        while True:
            given.append(1)
            yield memoryview(b"x" * 10)
            await asyncio.sleep(0)

    with pytest.raises(sending.Cut):
        answered(endless(), 10**9, Connection(hangs_up=True))
    assert len(given) < 10
