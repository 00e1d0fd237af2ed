"""An S3 program without a socket: botocore writes its requests and reads the answers.

A simulated cloud serves it. What it says goes through the whole door: routing, signature, rights, handler,
headers and XML.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import botocore.session
from botocore.exceptions import ClientError
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from tests.gateway.cloud import GatewayCloud

from holdfast.doors.s3.application import Application
from holdfast.doors.s3.door import Door
from holdfast.doors.s3.request_lines import NoLines
from holdfast.files.records import Bucket
from holdfast.protocol import sigv4
from holdfast.tenants.keys import NewAccessKey
from holdfast.world.simulated.world import World, simulate

HOST = "s3.localhost:8333"


@lru_cache
def model() -> Any:
    return botocore.session.get_session().get_service_model("s3")


class Answer(Exception):  # noqa: N818 - an answer that says no
    """An error answer: code, HTTP status, the fields of the error document, headers."""

    def __init__(self, code: str, status: int, fields: dict[str, Any], headers: dict[str, str]) -> None:
        super().__init__(f"{status} {code} {fields}")
        self.code = code
        self.status = status
        self.fields = fields
        self.headers = headers


class Program:
    """Somebody with an access key, or without one."""

    def __init__(
        self, application: Application, clock: Any, key: NewAccessKey | None, secure: bool = True
    ) -> None:
        self._application = application
        self._clock = clock
        self._key = key
        self._secure = secure
        self.last: tuple[int, dict[str, str], bytes] = (0, {}, b"")

    async def send(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> tuple[int, dict[str, str], bytes]:
        """A request as it stands; (status, headers by lower-case name, body)."""
        sent = [("Host", HOST), *((headers or {}).items())]
        if body or method in {"PUT", "POST"}:
            sent.append(("Content-Length", str(len(body))))
        if self._key is not None:
            payload = hashlib.sha256(body).hexdigest()
            request = sigv4.Request(method, path, query, sent)
            sent += sigv4.sign(
                request,
                access=self._key.access_key,
                secret=self._key.secret,
                region="us-east-1",
                service="s3",
                now=self._clock.now(),
                payload_hash=payload,
            ).items()
        scope = {
            "type": "http",
            "method": method,
            "scheme": "https" if self._secure else "http",
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent],
            "client": ("127.0.0.1", 5000),
        }
        came: list[dict[str, Any]] = []
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            import asyncio

            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Any) -> None:
            came.append({**message, "body": bytes(message.get("body", b""))})

        await self._application(scope, receive, send)
        pairs = [(name.decode().lower(), value.decode("latin-1")) for name, value in came[0]["headers"]]
        content = b"".join(message["body"] for message in came[1:])
        self.last = (came[0]["status"], dict(pairs), content)
        return self.last

    async def call(
        self, name: str, /, *, extra: Mapping[str, str] | None = None, unread: str = "", **parameters: Any
    ) -> dict[str, Any]:
        """An operation with botocore's names; raises `Answer` where boto3 raises its ClientError.

        `extra` headers are sent too; `unread` is a query that the model does not know.
        """
        operation = model().operation_model(name)
        serializer = create_serializer("rest-xml", include_validation=False)
        wish = serializer.serialize_to_request(parameters, operation)
        query = dict(wish["query_string"])
        path, _, fixed = wish["url_path"].partition("?")
        pairs = [pair for pair in (fixed, urlencode(query, doseq=True, quote_via=quote), unread) if pair]
        headers = {**wish["headers"], **(extra or {})}
        body = wish["body"] or b""
        body = body.encode() if isinstance(body, str) else bytes(body)
        if name == "DeleteObjects" and "Content-MD5" not in headers:
            headers["Content-MD5"] = md5(body)
        status, came, content = await self.send(wish["method"], path, "&".join(pairs), headers, body)
        return self._read(operation, status, came, content)

    async def send_raw(
        self, method: str, path: str, body: bytes = b"", query: str = "", **headers: str
    ) -> bytes:
        """A request that botocore would not write; the answer's body. Raises `Answer`."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        status, came, content = await self.send(method, path, query, names, body)
        if status >= 300:
            self._read(model().operation_model("PutObject"), status, came, content)
        return content

    def _read(self, operation: Any, status: int, headers: dict[str, str], content: bytes) -> dict[str, Any]:
        parser = create_parser("rest-xml")
        streams = operation.has_streaming_output and status < 300
        body = memoryview(content) if streams else content
        given = {"status_code": status, "headers": _Folded(headers), "body": body}
        parsed = parser.parse(given, operation.output_shape)
        if status >= 300:
            error = parsed.get("Error", {})
            raise Answer(str(error.get("Code", "")), status, error, headers)
        if streams:
            parsed["Body"] = content
        return parsed


class _Folded(dict[str, str]):
    """Headers found in any case, as HTTP libraries have them."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())


def md5(body: bytes) -> str:
    """A Content-MD5."""
    import base64

    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


class S3Cloud(GatewayCloud):
    """A simulated cloud with an S3 door, and two tenants with access keys: `alice` and `bob`."""

    application: Application
    alice: Program
    bob: Program
    nobody: Program

    async def open(self, **changes: Any) -> S3Cloud:
        """Opens the door."""
        await self.start()
        rooms, machine = self.cluster.rooms, self.cluster.coordinator
        settings: dict[str, Any] = {"usable_nodes": lambda: 14} | changes
        self.door = Door(
            buckets=self.buckets,
            histories=self.histories,
            multiparts=self.multiparts,
            gateway=self.gateway,
            people=rooms.people,
            keys=rooms.keys,
            classes=rooms.classes,
            clock=machine.clock,
            chance=machine.chance,
            **settings,
        )
        self.application = Application(self.door, NoLines())
        alice = await rooms.keys.create_access_key(self.cluster.tenant_id)
        other = (await rooms.people.create("bob")).tenant_id
        bob = await rooms.keys.create_access_key(other)
        clock = machine.clock
        self.alice = Program(self.application, clock, alice)
        self.bob = Program(self.application, clock, bob)
        self.nobody = Program(self.application, clock, None)
        return self

    async def bucket_of(self, name: str) -> Bucket:
        """Its row."""
        return await self.buckets.find(name)


def s3_story(story: Callable[[S3Cloud], Awaitable[Any]], *, seed: int = 1, **changes: Any) -> Any:
    """What the story returns that is told of a fresh cloud with an open door."""

    async def tell(world: World) -> Any:
        return await story(await S3Cloud(world).open(**changes))

    return simulate(tell, seed)


__all__ = ["Answer", "ClientError", "Program", "S3Cloud", "md5", "s3_story"]
