"""The S3 door as a bare ASGI application: who asks, what for, may they, then the operation's handler.

The order is the law: what is not served is refused first (501), then the signature is checked, then the
bucket is read and the action judged, then the handler runs. Nothing of a body is read before.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final

import structlog

from holdfast.doors.s3 import sending
from holdfast.doors.s3.contents import objects, post_forms, showing
from holdfast.doors.s3.exchange import Exchange, exchange_of
from holdfast.doors.s3.failures import S3Error, as_s3_error
from holdfast.doors.s3.operations import HANDLERS, LISTINGS, RULES, STREAMING, Rule
from holdfast.doors.s3.request import S3Request, S3Response
from holdfast.doors.s3.request_lines import Lines, note_request
from holdfast.doors.s3.rights.access import Access, check_expected_owner
from holdfast.doors.s3.rights.circumstances import Circumstances
from holdfast.doors.s3.routes import POST_FORM, route
from holdfast.doors.s3.settings import website
from holdfast.doors.s3.settings.payment_operations import demand_payer
from holdfast.doors.s3.wire import preflight
from holdfast.doors.s3.wire.announcing import body_of, unjudged
from holdfast.doors.s3.wire.authentication import Authenticated, Authentication
from holdfast.doors.s3.wire.hosts import Hosts
from holdfast.tenants.identity import ANONYMOUS
from holdfast.world.errors import Failure, Refusal, Trouble

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from holdfast.doors.s3.door import Door

log = structlog.get_logger()

HOST_ID_BYTES: Final = 24
SERVER: Final = (b"server", b"Holdfast")
AUTH_TYPES: Final = {"": "", "AuthHeader": "REST-HEADER", "QueryString": "REST-QUERY-STRING", "POST": "POST"}


class Application:
    """One per process; `lines` is told of every request when it is over."""

    def __init__(self, door: Door, lines: Lines) -> None:
        self._door = door
        self._lines = lines
        self._hosts = Hosts(door.domains, door.website_domains)
        self._authentication = Authentication(door.keys, region=door.region)
        self._host_id = b64encode(door.chance.bytes(HOST_ID_BYTES)).decode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "served without lifespan and web sockets"
        door = self._door
        began = door.clock.monotonic()
        exchange = exchange_of(scope, door.clock.now(), door.chance.bytes(8).hex().upper())
        exchange.received_at = began
        response = await self._answer(exchange, receive)
        if exchange.body is None:
            # Refused unread: what the client may or may not send still must not become its next request.
            exchange.body = unjudged(receive, exchange.headers)
        exchange.object_size = response.object_size
        exchange.batch = response.batch
        exchange.answered_at = door.clock.monotonic()
        try:
            await self._send(exchange, response, receive, send)
        except sending.Cut as cut:
            exchange.error = "ResponseInterrupted"
            log.warning("answer cut", request_id=exchange.request_id, why=str(cut))
        seconds = door.clock.monotonic() - began
        self._lines.tell(exchange, seconds)
        note_request(door, exchange, seconds, self._host_id)

    async def _send(self, exchange: Exchange, response: S3Response, receive: Receive, send: Send) -> None:
        extra: sending.Raw = [
            (b"x-amz-request-id", exchange.request_id.encode()),
            (b"x-amz-id-2", self._host_id.encode()),
            SERVER,
        ]
        if exchange.charged:
            extra.append((b"x-amz-request-charged", b"requester"))
        if "origin" in exchange.headers and exchange.method != "OPTIONS":
            cors = await self._cors(exchange)
            extra += [(name.encode(), sending.line(value)) for name, value in cors]
        try:
            await sending.send_response(exchange, response, extra, receive, send)
        except sending.Cut:
            raise
        except Exception as error:
            if exchange.status:
                raise sending.Cut(f"{type(error).__name__}: {error}") from error
            # Before the first byte of the answer: it can still be said what went wrong.
            failed = self._failed(exchange, error)
            await sending.send_response(exchange, failed, extra[:3], receive, send)

    async def _answer(self, exchange: Exchange, receive: Receive) -> S3Response:
        try:
            exchange.read_target(self._hosts.place(exchange.host))
            if exchange.method == "OPTIONS":
                return await self._preflight(exchange)
            if exchange.website:
                return await self._website(exchange, receive)
            return await self._operate(exchange, receive)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return self._failed(exchange, error)

    async def _operate(self, exchange: Exchange, receive: Receive) -> S3Response:
        name = exchange.operation = route(exchange.method, exchange.level, exchange.query, exchange.headers)
        rule, handler = RULES.get(name), HANDLERS.get(name)
        if rule is None or (handler is None and name != POST_FORM):
            raise S3Error("NotImplemented").telling(Operation=name)
        if name == POST_FORM:
            return await self._post_form(exchange, receive)
        assert handler is not None
        who = await self._authentication.identify(exchange.wire, exchange.now)
        exchange.identity, exchange.authentication = who.identity, who.kind
        exchange.signature_version = who.version
        headers = exchange.headers
        if who.kind == "QueryString":
            headers = _with_query(headers, exchange)
        body = body_of(receive, headers, who, needs_length=name in STREAMING)
        exchange.body = body
        request = await self._judged(exchange, rule, headers, who)
        response = await handler(self._door, request)
        assert request.access.judged, f"{name} judged nothing"
        return response

    async def _judged(
        self, exchange: Exchange, rule: Rule, headers: dict[str, str], who: Authenticated
    ) -> S3Request:
        """The request as its handler gets it, judged as far as its bucket tells."""
        if rule.reads_bucket:
            assert exchange.bucket_name is not None
            exchange.record = await self._door.buckets.find(exchange.bucket_name)
            check_expected_owner(headers, exchange.record)
            exchange.charged = demand_payer(who.identity, exchange.record, headers)
            if exchange.record.parsed.logging is not None and exchange.body is not None:
                exchange.body.watch(lambda: self._came(exchange))
        request = self._request(exchange, headers, who)
        if rule.judged == "bucket":
            listed = exchange.query.get("prefix", "") if exchange.operation in LISTINGS else None
            request.access.demand(rule.action, exchange.key, prefix=listed)
        return request

    def _came(self, exchange: Exchange) -> None:
        exchange.received_at = self._door.clock.monotonic()

    def _request(self, exchange: Exchange, headers: dict[str, str], who: Authenticated) -> S3Request:
        assert exchange.body is not None
        context = Circumstances(
            headers=headers,
            query=exchange.query,
            remote=exchange.remote,
            secure=exchange.secure,
            now=exchange.now,
            auth_type=AUTH_TYPES[who.kind],
            signed_at=who.signed_at,
            version=who.version,
        )
        access = Access(who.identity, exchange.record, context=context, bucket_name=exchange.bucket_name)
        return S3Request(
            operation=exchange.operation,
            method=exchange.method,
            bucket_name=exchange.bucket_name,
            key=exchange.key,
            query=exchange.query,
            headers=headers,
            identity=who.identity,
            now=exchange.now,
            request_id=exchange.request_id,
            secure=exchange.secure,
            body=exchange.body,
            access=access,
            remote=exchange.remote,
            host=exchange.host,
            record=exchange.record,
        )

    async def _post_form(self, exchange: Exchange, receive: Receive) -> S3Response:
        bucket_name = exchange.bucket_name
        assert bucket_name is not None, "forms are posted to buckets"
        headers = exchange.headers
        unread = body_of(receive, headers, Authenticated(ANONYMOUS, ""), needs_length=False)
        exchange.body = unread
        exchange.record = await self._door.buckets.find(bucket_name)
        form = await post_forms.read_form(unread.receive, headers.get("content-type", ""))
        identity = await self._authentication.identify_form(form.fields)
        exchange.identity = identity
        exchange.authentication = "" if identity.anonymous else "POST"
        sizes = post_forms.check_policy(form, bucket_name, exchange.now)
        exchange.key = form.key
        put_headers = form.headers()
        exchange.charged = demand_payer(identity, exchange.record, put_headers)
        exchange.body = form.body(put_headers, sizes)
        exchange.signature_version = 4 if "x-amz-signature" in form.fields else 2
        who = Authenticated(identity, "", kind=exchange.authentication, version=exchange.signature_version)
        request = self._request(exchange, put_headers, who)
        version = await objects.store(self._door, request, "s3:ObjectCreated:Post")
        origin = f"{'https' if exchange.secure else 'http'}://{exchange.host}"
        if self._hosts.place(exchange.host).bucket is None:
            origin += f"/{bucket_name}"
        attributes = version.parsed
        shown = showing.checksum_headers(attributes)
        shown += showing.written_headers(self._door, request.bucket, version, attributes)
        return post_forms.answer(form, bucket_name, version, origin, shown)

    async def _website(self, exchange: Exchange, receive: Receive) -> S3Response:
        exchange.operation = "WebsiteRequest"
        who = Authenticated(ANONYMOUS, "")
        exchange.body = body_of(receive, exchange.headers, who, needs_length=False)
        return await website.serve(self._door, self._request(exchange, exchange.headers, who))

    # --- other origins -----------------------------------------------------------------------------------

    async def _preflight(self, exchange: Exchange) -> S3Response:
        exchange.operation = "PreflightRequest"
        headers = exchange.headers
        question = preflight.asked(
            headers.get("origin"),
            headers.get("access-control-request-method"),
            headers.get("access-control-request-headers"),
        )
        if exchange.bucket_name is None:
            raise S3Error("AccessForbidden").telling(Method=question.method, ResourceType="SERVICE")
        exchange.record = await self._door.buckets.find(exchange.bucket_name)
        answer = preflight.answer(exchange.record.parsed.cors, question, exchange.level.upper())
        return S3Response(headers=answer)

    async def _cors(self, exchange: Exchange) -> list[tuple[str, str]]:
        record = exchange.record
        if record is None and exchange.bucket_name is not None:
            try:
                record = await self._door.buckets.find(exchange.bucket_name)
            except Failure:
                return []
        if record is None or not record.parsed.cors:
            return []
        return preflight.headers_for(record.parsed.cors, exchange.headers["origin"], exchange.method)

    # --- failures ----------------------------------------------------------------------------------------

    def _failed(self, exchange: Exchange, error: Exception) -> S3Response:
        if isinstance(error, S3Error):
            said = error
        elif isinstance(error, Failure):
            said = as_s3_error(error)
            if isinstance(error, Trouble):
                log.warning("s3 request failed", request_id=exchange.request_id, failure=error)
            elif isinstance(error, Refusal) and said.status >= 500:  # noqa: PLR2004 - server errors
                log.error("s3 request refused inside", request_id=exchange.request_id, failure=error)
        else:
            log.error("s3 request failed by our own fault", request_id=exchange.request_id, exc_info=error)
            said = S3Error("InternalError")
        exchange.error = said.code
        return sending.error_response(said, exchange, self._host_id)


_SIGNING: Final = frozenset(
    ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders",
     "x-amz-signature", "x-amz-content-sha256", "x-amz-security-token")
)  # fmt: skip


def _with_query(headers: dict[str, str], exchange: Exchange) -> dict[str, str]:
    """The headers of a presigned request: some signers put what would be headers into the query."""
    hoisted = {
        name.lower(): value
        for name, value in exchange.query.items()
        if name[:6].lower() == "x-amz-" and name.lower() not in _SIGNING
    }
    return {**hoisted, **headers} if hoisted else headers
