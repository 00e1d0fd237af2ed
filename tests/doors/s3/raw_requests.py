"""Requests to the door exactly as a test makes them up, and what every answer must be."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from defusedxml import ElementTree
from tests.doors.s3.program import HOST

from holdfast.doors.s3.application import Application
from holdfast.protocol import sigv4
from holdfast.tenants.keys import NewAccessKey

Header = tuple[str, str]
_CONTROL = re.compile(rb"&#(?:x[01]?[0-9a-fA-F]|[12]?[0-9]|3[01]);")
HANG_SECONDS = 3600.0
"""Of simulated time: longer than any patience that the door has with a client."""


class Raw(NamedTuple):
    """Method, target and headers in the order they go out, and the body's pieces."""

    method: str
    path: str
    query: str = ""
    headers: tuple[Header, ...] = ()
    pieces: tuple[bytes, ...] = ()
    hangs_up: bool = False


class Said(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return ElementTree.fromstring(self.body).findtext("Code") or "" if self.body else ""


def signed(raw: Raw, key: NewAccessKey, now: int, payload: str = "UNSIGNED-PAYLOAD") -> Raw:
    """The same, signed in its headers."""
    headers = [("Host", HOST), *raw.headers]
    request = sigv4.Request(raw.method, raw.path, raw.query, headers)
    added = sigv4.sign(
        request,
        access=key.access_key,
        secret=key.secret,
        region="us-east-1",
        service="s3",
        now=now,
        payload_hash=payload,
    )
    return raw._replace(headers=(*headers, *added.items()))


async def ask(application: Application, raw: Raw) -> Said:
    """The answer. Raises TimeoutError if none comes."""
    names = {name.lower() for name, _ in raw.headers}
    headers = list(raw.headers)
    if "host" not in names:
        headers.append(("Host", HOST))
    if raw.pieces and not names & {"content-length", "transfer-encoding"}:
        headers.append(("Content-Length", str(sum(map(len, raw.pieces)))))
    waiting = list(raw.pieces) or [b""]
    came: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if waiting:
            body = waiting.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(waiting) or raw.hangs_up}
        if raw.hangs_up:
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        came.append({**message, "body": bytes(message.get("body", b""))})

    scope = {
        "type": "http",
        "method": raw.method,
        "scheme": "https",
        "raw_path": raw.path.encode("latin-1"),
        "query_string": raw.query.encode("latin-1"),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 5000),
    }
    async with asyncio.timeout(HANG_SECONDS):
        await application(scope, receive, send)
    if not came:
        assert raw.hangs_up, "somebody who is still there gets an answer"
        return Said(0, {}, b"")
    pairs = {name.decode().lower(): value.decode("latin-1") for name, value in came[0]["headers"]}
    return Said(came[0]["status"], pairs, b"".join(message["body"] for message in came[1:]))


def judge(raw: Raw, said: Said, codes: Iterable[str]) -> None:
    """A value or an S3 error, never our own failure; and nothing where HTTP allows no body."""
    if raw.hangs_up and said.status == 0:
        return
    assert said.status < 500 or said.status == 501, (raw, said)
    if raw.method == "HEAD" or said.status in {204, 304}:
        assert said.body == b"", (raw, said)
        return
    if said.status >= 400:
        root = ElementTree.fromstring(_readable(said.body))
        assert root.tag == "Error", (raw, said)
        assert root.findtext("Code") in codes, (raw, said)
        assert root.findtext("RequestId") == said.headers["x-amz-request-id"]
    elif said.headers.get("content-type") == "application/xml" and said.body:
        ElementTree.fromstring(_readable(said.body.lstrip()))


def _readable(document: bytes) -> bytes:
    """Without the references to control characters, which S3 writes and XML 1.0 does not know."""
    return _CONTROL.sub(b"?", document)


def parted(body: bytes, cuts: Sequence[int]) -> tuple[bytes, ...]:
    """The body in pieces, cut at these places."""
    places = sorted({cut % (len(body) + 1) for cut in cuts})
    return tuple(body[start:stop] for start, stop in zip([0, *places], [*places, len(body)], strict=True))
