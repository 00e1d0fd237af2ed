"""What the REST door does before it believes a request: as little as it can."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from holdfast.doors.rest.application import CONTROL_BYTES_MAX, STRANGER_BYTES_MAX, build_application
from holdfast.doors.rest.authentication import Authentication
from holdfast.doors.rest.control import ControlDoor
from holdfast.protocol import sigv4
from holdfast.protocol.control import OPERATIONS, BucketList, Buckets
from holdfast.protocol.failures import FailureReply
from holdfast.tenants.keys import Keys, NewAccessKey
from holdfast.tenants.master import Master
from holdfast.tenants.people import People
from holdfast.world.errors import Trouble
from holdfast.world.migrations.upgrade import empty_image
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.sqlite import MemoryDatabase

PATH = "/api/v1/control/bucket-list"
BODY = msgspec.msgpack.encode(BucketList())


class Door:
    """The application, one access key, and how much of each body was read."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(lambda: 0.0)
        self.chance = SimulatedChance("door")
        database = MemoryDatabase(empty_image())
        self.people = People(database, self.clock, self.chance)
        self.keys = Keys(database, Master({"m": b"m" * 32}, "m"), self.clock, self.chance)
        self.read = 0
        self.trouble: Trouble | None = None
        self.key: NewAccessKey
        self.application = build_application(
            control=ControlDoor(dict.fromkeys(OPERATIONS.values(), self.answer), self.clock),
            authentication=Authentication(self.keys, self.clock, region="local"),
            fleet=None,  # type: ignore[arg-type]  # not asked here
            readiness=None,  # type: ignore[arg-type]  # not asked here
            chance=self.chance,
        )

    async def answer(self, _tenant: str, _request: Any) -> Buckets:
        if self.trouble is not None:
            raise self.trouble
        return Buckets(buckets=[])

    async def open(self) -> Door:
        tenant = await self.people.create("tenant")
        self.key = await self.keys.create_access_key(tenant.tenant_id)
        return self

    def headers(self, body: bytes, *, skew: float = 0.0, **changes: str) -> dict[str, str]:
        given = {"access": self.key.access_key, "secret": self.key.secret} | changes
        headers = {"host": "door"}
        request = sigv4.Request("POST", PATH, "", list(headers.items()))
        return headers | sigv4.sign(
            request, region="local", service="holdfast", now=self.clock.now() + round(skew * 1e6),
            payload_hash=hashlib.sha256(body).hexdigest(), **given,
        )  # fmt: skip

    async def ask(self, headers: dict[str, str], pieces: list[bytes]) -> tuple[int, Any]:
        self.read = 0
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            piece = pieces[self.read]
            self.read += 1
            return {"type": "http.request", "body": piece, "more_body": self.read < len(pieces)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": PATH,
            "raw_path": PATH.encode(), "query_string": b"", "root_path": "", "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        await self.application(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        kind = Buckets if sent[0]["status"] == 200 else FailureReply
        return sent[0]["status"], msgspec.msgpack.decode(body, type=kind)


async def test_where_the_database_is_stays_between_the_coordinator_and_its_log() -> None:
    door = await Door().open()
    door.trouble = Trouble(
        "database.unreachable", "connection to /srv/secret failed", advice="Look at /srv.", host="db.internal"
    )
    status, failure = await door.ask(door.headers(BODY), [BODY])
    assert (status, failure.code, failure.retry, failure.facts) == (503, "database.unreachable", True, {})
    assert "srv" not in failure.message + failure.advice
    assert failure.request_id


async def test_a_signed_request_is_answered() -> None:
    door = await Door().open()
    assert await door.ask(door.headers(BODY), [BODY[:1], BODY[1:]]) == (200, Buckets(buckets=[]))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda door: door.headers(BODY, access="AKHFNOBODY"), "access.unknown"),
        (lambda door: door.headers(BODY, secret="guessed"), "signature.invalid"),
        (lambda door: {"host": "door"}, "access.denied"),
        (lambda door: door.headers(BODY) | {"host": "other"}, "signature.invalid"),
    ],
    ids=["unknown", "guessed", "unsigned", "moved"],
)
async def test_a_strangers_body_is_not_even_read(spoil: Callable[[Door], dict[str, str]], code: str) -> None:
    door = await Door().open()
    status, failure = await door.ask(spoil(door), [bytes(1 << 20)] * 1000)
    assert (failure.code, door.read) == (code, 0)
    assert status in {401, 403}


async def test_a_body_that_was_not_signed_is_refused() -> None:
    door = await Door().open()
    _, failure = await door.ask(door.headers(BODY), [BODY + b"\0"])
    assert failure.code == "signature.invalid"


async def test_a_request_that_does_not_name_its_bodys_hash_may_have_a_small_one() -> None:
    door = await Door().open()
    headers = {"host": "door", "x-amz-date": door.headers(BODY)["x-amz-date"]}
    request = sigv4.Request("POST", PATH, "", list(headers.items()))
    stamp = headers["x-amz-date"]
    # Signed as curl does it for services other than S3.
    digest = hashlib.sha256(sigv4.canonical_request(
        request, ["host", "x-amz-date"], hashlib.sha256(BODY).hexdigest()
    ).encode()).hexdigest()  # fmt: skip
    scope = f"{stamp[:8]}/local/holdfast/aws4_request"
    key = sigv4.signing_key(door.key.secret, stamp[:8], "local", "holdfast")
    signature = hmac.digest(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={door.key.access_key}/{scope}, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}"
    )
    assert (await door.ask(headers, [BODY]))[0] == 200
    _, failure = await door.ask(headers, [bytes(STRANGER_BYTES_MAX), b"x"] + [bytes(1 << 20)] * 9)
    assert (failure.code, door.read) == ("request.too_large", 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x81\xa5after\xa3\xed\xa0\x80",
        b"\x81\xa1z" + b"\x91" * 200_000 + b"\xc0",
        b"\x81\xa5limit\xa1x",
    ],
    ids=["empty", "no MessagePack", "half a character", "nested without end", "another type"],
)
async def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    door = await Door().open()
    status, failure = await door.ask(door.headers(body), [body])
    assert (status, failure.code) == (400, "request.invalid")


async def test_no_body_is_larger_than_the_limit() -> None:
    door = await Door().open()
    piece = bytes(1 << 20)
    headers = door.headers(piece * 20)
    _, failure = await door.ask(headers, [piece] * 20)
    assert (failure.code, door.read) == ("request.too_large", CONTROL_BYTES_MAX // len(piece) + 1)


@pytest.mark.parametrize(("skew", "words"), [(1200, "1200 s ahead of"), (-1200, "1200 s behind")])
async def test_a_clock_twenty_minutes_off_is_told_which_way_and_what_to_do(skew: float, words: str) -> None:
    door = await Door().open()
    status, failure = await door.ask(door.headers(BODY, skew=skew), [BODY])
    assert (status, failure.code) == (403, "clock.skewed")
    assert words in failure.message
    assert "NTP" in failure.advice
