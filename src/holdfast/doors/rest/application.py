"""The HTTP application: routes, limits, request ids. What is asked is answered by `control` and `fleet`."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from holdfast.doors.rest.authentication import Authentication
from holdfast.doors.rest.control import ControlDoor, operation_named
from holdfast.doors.rest.failures import failure_reply
from holdfast.protocol.fleet import Coordinator, Signed
from holdfast.world.chance import Chance
from holdfast.world.errors import CODES, Failure, Refusal, Trouble
from holdfast.world.untrusted import UNREADABLE

log = structlog.get_logger()

CONTROL_BYTES_MAX = 16 << 20
STRANGER_BYTES_MAX = 64 << 10
"""Of a request that does not say beforehand what body it signs: it must be read to know who sent it."""
FLEET_BYTES_MAX = 256 << 10
MSGPACK = "application/vnd.holdfast.v1+msgpack"
JSON = "application/json"
OF_THE_HOUSE = ("database.", "disk.")
REPORT_ADVICE = "Please report it, with the request id and the coordinator's log."


class Readiness(NamedTuple):
    """Whether the coordinator can do its work now, part by part, in words."""

    ready: bool
    parts: dict[str, str]


def build_application(
    *,
    control: ControlDoor,
    authentication: Authentication,
    fleet: Coordinator,
    readiness: Callable[[], Awaitable[Readiness]],
    chance: Chance,
) -> ASGIApp:
    """The ASGI application of the REST door."""
    app = FastAPI(title="Holdfast", docs_url=None, redoc_url=None, openapi_url=None)
    _add_failures(app)

    @app.post("/api/v1/control/{operation}")
    async def answer_control(operation: str, request: Request) -> Response:
        kind = operation_named(operation)
        promised = authentication.promised_hash(request)
        if promised is not None:
            caller = await authentication.caller(request, promised)
            body = await _body(request, CONTROL_BYTES_MAX)
            if hashlib.sha256(body).hexdigest() != promised:
                raise Refusal("signature.invalid", "The request's body is not the one that was signed.")
        else:
            body = await _body(request, STRANGER_BYTES_MAX)
            caller = await authentication.caller(request, hashlib.sha256(body).hexdigest())
        wire = _wire(request)
        return _reply(wire, await control.answer(caller, _decode(body, kind, wire)))

    @app.post("/api/v1/fleet/register")
    async def register(request: Request) -> Response:
        return _reply(MSGPACK, await fleet.register(await _signed(request)))

    @app.post("/api/v1/fleet/heartbeat")
    async def heartbeat(request: Request) -> Response:
        return _reply(MSGPACK, await fleet.heartbeat(await _signed(request)))

    @app.get("/health/liveness")
    async def liveness() -> Response:
        return _reply(JSON, {"alive": True})

    @app.get("/health/readiness")
    @app.get("/health")
    async def ready() -> Response:
        state = await readiness()
        return _reply(JSON, {"ready": state.ready, "parts": state.parts}, 200 if state.ready else 503)

    return RequestIds(app, chance)


class RequestIds:
    """Gives every request an id: in the log's context, in the answer's header, in failure replies."""

    def __init__(self, app: ASGIApp, chance: Chance) -> None:
        self._app = app
        self._chance = chance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._chance.bytes(8).hex()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


def _add_failures(app: FastAPI) -> None:
    async def say_failure(request: Request, error: Exception) -> Response:
        if isinstance(error, Trouble) and error.code.startswith(OF_THE_HOUSE):
            # Where the database and its files are is for the operator's eyes.
            log.warning("request failed", path=request.url.path, failure=error)
            failure: Failure = Trouble(
                error.code,
                f"The coordinator could not do it: {CODES[error.code]}.",
                retry=error.retry,
                advice="Try again; if that does not help, its operator finds more in the log.",
            )
        elif isinstance(error, Failure):
            failure = error
        else:
            log.error("request failed by our own fault", path=request.url.path, exc_info=error)
            failure = Trouble("internal", "Holdfast failed to answer.", retry=False, advice=REPORT_ADVICE)
        status, reply = failure_reply(failure, request.state.request_id)
        return _reply(_wire(request), reply, status)

    for kind in (Refusal, Trouble, Exception):
        app.add_exception_handler(kind, say_failure)


def _wire(request: Request) -> str:
    """The body format a request speaks, and so is answered in."""
    return JSON if request.headers.get("content-type", "").startswith(JSON) else MSGPACK


def _decode(body: bytes, kind: Any, wire: str) -> Any:
    decode = msgspec.json.decode if wire == JSON else msgspec.msgpack.decode
    try:
        return decode(body, type=kind)
    except UNREADABLE as error:
        raise Refusal("request.invalid", f"The request does not follow the protocol: {error}.") from error


def _reply(wire: str, content: Any, status: int = 200) -> Response:
    encode = msgspec.json.encode if wire == JSON else msgspec.msgpack.encode
    return Response(encode(content), status, media_type=wire)


async def _signed(request: Request) -> Signed:
    signed: Signed = _decode(await _body(request, FLEET_BYTES_MAX), Signed, MSGPACK)
    return signed


async def _body(request: Request, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise Refusal(
                "request.too_large",
                f"The request is larger than {bytes_max:,} bytes.",
                advice="Send fewer chunks at a time.",
            )
        parts.append(part)
    return b"".join(parts)
