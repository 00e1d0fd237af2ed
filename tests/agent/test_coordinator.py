"""The HTTP way to the coordinator, against a small server that says what each test wants said."""

import contextlib

import msgspec
import pytest
from aiohttp import web

from holdfast.agent.coordinator import HttpCoordinator, checked_endpoint, outward_host, readable_on_the_wire
from holdfast.protocol.failures import reply_of
from holdfast.protocol.fleet import Signed, SignedWelcome
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Refusal, Trouble

SIGNED = Signed(node_id=b"n" * 32, payload=b"payload", signature=b"s" * 64)
WELCOME = SignedWelcome(issuer=b"k" * 32, payload=b"payload", signature=b"s" * 64)


@contextlib.asynccontextmanager
async def answering(status, body):
    heard = []

    async def answer(request):
        heard.append((request.path, request.headers["Content-Type"], await request.read()))
        return web.Response(status=status, body=body, content_type="application/msgpack")

    application = web.Application()
    application.router.add_post("/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    coordinator = HttpCoordinator(f"http://127.0.0.1:{port}/")
    try:
        yield coordinator, heard
    finally:
        await coordinator.close()
        await runner.cleanup()


async def test_a_registration_and_a_heartbeat_travel_as_messagepack():
    async with answering(200, msgspec.msgpack.encode(WELCOME)) as (coordinator, heard):
        assert await coordinator.register(SIGNED) == WELCOME
        assert await coordinator.heartbeat(SIGNED) == WELCOME
    said = msgspec.msgpack.encode(SIGNED)
    assert heard == [
        ("/api/v1/fleet/register", "application/msgpack", said),
        ("/api/v1/fleet/heartbeat", "application/msgpack", said),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        Refusal("invitation.invalid", "The token was used.", advice="Ask for a new one.", uses=1),
        Refusal("node.unknown", "No such node."),
        Trouble("database.busy", "Too much to do.", advice="Wait."),
        Trouble("disk.full", "No space.", retry=False),
    ],
)
async def test_a_failure_at_the_coordinator_is_the_same_failure_here(failure):
    async with answering(400, msgspec.msgpack.encode(reply_of(failure))) as (coordinator, _):
        with pytest.raises(type(failure)) as caught:
            await coordinator.heartbeat(SIGNED)
    there, here = failure, caught.value
    assert (here.code, here.message, here.advice) == (there.code, there.message, there.advice)
    assert here.facts == there.facts
    assert getattr(here, "retry", None) == getattr(there, "retry", None)


@pytest.mark.parametrize(
    ("status", "body"), [(502, b"<html>Bad gateway"), (200, b"<html>Welcome"), (404, b"")]
)
async def test_something_else_behind_the_url_is_told_as_that(status, body):
    async with answering(status, body) as (coordinator, _):
        with pytest.raises(Trouble) as caught:
            await coordinator.register(SIGNED)
    assert caught.value.code == "endpoint.unreachable"
    assert caught.value.retry


async def test_an_endless_answer_is_cut_off():
    async with answering(200, bytes(9 << 20)) as (coordinator, _):
        with pytest.raises(Trouble) as caught:
            await coordinator.register(SIGNED)
    assert caught.value.code == "endpoint.unreachable"


async def test_nobody_at_the_endpoint_is_a_trouble_worth_trying_again():
    coordinator = HttpCoordinator("http://127.0.0.1:1")
    with pytest.raises(Trouble) as caught:
        await coordinator.heartbeat(SIGNED)
    await coordinator.close()
    assert (caught.value.code, caught.value.retry) == ("endpoint.unreachable", True)


async def test_a_probe_tells_how_far_apart_the_clocks_are():
    async with answering(200, b"") as (coordinator, _):
        probe = await coordinator.probe(SystemClock())
    assert probe.clock_offset == pytest.approx(0, abs=2)


@pytest.mark.parametrize("text", ["", "coordinator.example", "ftp://x", "https://", "https://x/?a=b"])
def test_what_is_no_endpoint_is_refused_with_an_example(text):
    with pytest.raises(Refusal, match="Write it as"):
        checked_endpoint(text)


@pytest.mark.parametrize(
    ("endpoint", "readable"),
    [
        ("https://coordinator.example", False),
        ("http://coordinator.example", True),
        ("http://10.0.0.1:9000", True),
        ("http://127.0.0.1:9000", False),
        ("http://[::1]:9000", False),
        ("http://localhost:9000", False),
    ],
)
def test_plain_http_is_private_on_this_machine_only(endpoint, readable):
    assert readable_on_the_wire(endpoint) is readable


def test_the_way_to_a_coordinator_on_this_machine_starts_on_this_machine():
    assert outward_host("http://127.0.0.1:9000") == "127.0.0.1"
