"""What calls between a client and a node promise, on every kind of stream."""

from __future__ import annotations

import asyncio

import pytest
from tests.links.conftest import ACCOUNT, CLIENT

from holdfast.links.peer import ROOM_BYTES
from holdfast.links.serving import Incoming, Outgoing, ServeLimits
from holdfast.protocol.messages import (
    DeleteShard,
    Failed,
    Fetched,
    Finished,
    GetShard,
    Ping,
    PutShard,
    Stored,
)
from holdfast.protocol.signing import SigningKey
from holdfast.world.errors import Refusal, Trouble

SIZES = [0, 1, 15, 4096, 65_535, 65_536, 262_143, 262_144, 262_145, 540_736, 2_000_003]


def put(name: bytes, length: int) -> PutShard:
    return PutShard(grant=name, length=length, roots=b"r" * 448)


class Memory:
    """A node that keeps shards in a dict."""

    def __init__(self) -> None:
        self.shards: dict[bytes, bytes] = {}
        self.released = 0
        self.sent = 0
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.sessions: set[bytes] = set()

    async def handle(self, incoming: Incoming) -> Outgoing:
        self.sessions.add(incoming.session_key)
        match incoming.request:
            case PutShard(grant=name):
                self.shards[name] = bytes(incoming.body)
                return Outgoing(Stored(receipt=b"receipt of " + name))
            case GetShard(grant=name):
                found = self.shards[name]
                self.sent += 1
                half = len(found) // 2
                leaves = b"l" * (len(found) // 512)
                return Outgoing(
                    Fetched(shard_length=len(found), leaves=leaves, roots=b""),
                    [found[:half], memoryview(found)[half:]],
                    self.release,
                )
            case DeleteShard(grant=b"refusal"):
                raise Refusal("shard.unknown", "It is not here.", advice="Look elsewhere.")
            case DeleteShard(grant=b"trouble"):
                raise Trouble("disk.full", "No space left.", retry=False)
            case DeleteShard(grant=b"newer"):
                return Outgoing(Failed(code="tide.low", message="Not before noon."))
            case DeleteShard(grant=b"wait"):
                self.begun.set()
                await self.gate.wait()
                return Outgoing(Finished())
            case DeleteShard():
                raise KeyError("a bug")
        return Outgoing(Finished())

    def release(self) -> None:
        self.released += 1


async def until(holds) -> None:
    """Waits for what no event tells of."""
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")


def content(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


def test_bodies_of_all_sizes_come_and_go_unchanged(play):
    async def story(way):
        node = Memory()
        listener = await way.open(node.handle)
        peer = await way.dial()
        for size in SIZES:
            body = content(size)
            name = b"%d" % size
            reply, nothing = await peer.call(put(name, size), body=[body[:7], body[7:100], b"", body[100:]])
            assert (reply, len(nothing)) == (Stored(receipt=b"receipt of " + name), 0)
            reply, got = await peer.call(GetShard(grant=name))
            assert reply.shard_length == size
            assert got == body
        assert node.shards == {b"%d" % size: content(size) for size in SIZES}
        assert node.sessions == {CLIENT.public}
        await peer.close()
        assert (node.released, listener.bytes_held, listener.calls) == (len(SIZES), 0, 0)

    play(story)


def test_many_calls_run_at_once_and_each_gets_its_own_answer(play):
    async def story(way):
        node = Memory()
        listener = await way.open(node.handle, ServeLimits(streams_max=8, eager=50_000))
        peer = await way.dial()
        bodies = [content(9973 * number % 90_000) for number in range(60)]
        await asyncio.gather(
            *(peer.call(put(b"%d" % number, len(body)), body=[body]) for number, body in enumerate(bodies))
        )
        places = [memoryview(bytearray(90_000)) for _ in bodies]
        replies = await asyncio.gather(
            *(peer.call(GetShard(grant=b"%d" % number), into=place) for number, place in enumerate(places))
        )
        for body, place, (reply, got) in zip(bodies, places, replies, strict=True):
            assert reply.shard_length == len(got) == len(body)
            assert place[: len(body)] == body
        assert (node.released, listener.bytes_held, listener.calls) == (60, 0, 0)

    play(story)


def test_a_reply_without_room_for_it_is_refused_and_the_connection_goes_on(play):
    async def story(way):
        node = Memory()
        await way.open(node.handle)
        node.shards[b"a"] = content(1000)
        node.shards[b"b"] = bytes(ROOM_BYTES + 1)
        peer = await way.dial()
        for call in (
            peer.call(GetShard(grant=b"a"), into=memoryview(bytearray(999))),
            peer.call(GetShard(grant=b"b")),
        ):
            with pytest.raises(Refusal) as caught:
                await call
            assert caught.value.code == "request.too_large"
        assert await peer.call(Ping()) == (Finished(), b"")
        assert node.released == node.sent == 2

    play(story)


def test_a_body_longer_than_the_node_takes_is_refused_before_it_is_sent(play):
    async def story(way):
        await way.open(Memory().handle, ServeLimits(body_max=1000))
        peer = await way.dial()
        with pytest.raises(Refusal) as caught:
            await peer.call(put(b"a", 1001), body=[bytes(1001)])
        assert caught.value.code == "request.too_large"
        assert isinstance((await peer.call(put(b"a", 1000), body=[bytes(1000)]))[0], Stored)

    play(story)


@pytest.mark.parametrize(
    ("grant", "kind", "code", "words"),
    [
        (b"refusal", Refusal, "shard.unknown", "It is not here. Look elsewhere."),
        (b"trouble", Trouble, "disk.full", "No space left."),
        (b"newer", Trouble, "internal", "Not before noon. (tide.low)"),
        (b"bug", Trouble, "internal", "The node met a fault of its own."),
    ],
)
def test_what_the_handler_raises_is_raised_at_the_caller(play, grant, kind, code, words):
    async def story(way):
        await way.open(Memory().handle)
        peer = await way.dial()
        with pytest.raises(kind) as caught:
            await peer.call(DeleteShard(grant=grant))
        assert (caught.value.code, str(caught.value)) == (code, words)
        assert await peer.call(Ping()) == (Finished(), b"")

    play(story)


def test_a_cancelled_call_frees_its_stream_and_lets_the_handler_finish(play):
    async def story(way):
        node = Memory()
        listener = await way.open(node.handle, ServeLimits(streams_max=2))
        peer = await way.dial()
        call = asyncio.ensure_future(peer.call(DeleteShard(grant=b"wait")))
        await node.begun.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert await peer.call(Ping()) == (Finished(), b"")
        assert listener.calls == 1
        node.gate.set()
        await until(lambda: not listener.calls)
        assert await peer.call(Ping()) == (Finished(), b"")

    play(story)


def test_abandoned_uploads_and_downloads_leave_nothing_behind(play):
    async def story(way):
        node = Memory()
        listener = await way.open(node.handle, ServeLimits(bytes_max=1_000_000, eager=100_000))
        node.shards[b"big"] = content(700_000)
        peer = await way.dial()
        for turns in range(12):
            body = [content(700_000)]
            calls = [
                asyncio.ensure_future(peer.call(put(b"never mind", 700_000), body=body)),
                asyncio.ensure_future(peer.call(GetShard(grant=b"big"))),
            ]
            for _ in range(turns):
                await asyncio.sleep(0)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
        _, got = await peer.call(GetShard(grant=b"big"))
        assert got == content(700_000)
        reply, _ = await peer.call(put(b"at last", 700_000), body=[got])
        assert reply == Stored(receipt=b"receipt of at last")
        await peer.close()
        await until(lambda: not listener.connections)
        assert (listener.bytes_held, listener.calls) == (0, 0)
        assert node.released == node.sent
        assert set(node.shards.values()) == {content(700_000)}

    play(story)


def test_a_node_never_holds_more_than_it_allows_itself_however_much_is_sent(play):
    async def story(way):
        most = 0

        async def handle(incoming):
            nonlocal most
            most = max(most, listener.bytes_held)
            await asyncio.sleep(0.001)
            return Outgoing(Stored(receipt=b"%d" % len(incoming.body)))

        listener = await way.open(handle, ServeLimits(bytes_max=1_000_000, eager=300_000))
        peers = [await way.dial() for _ in range(3)]
        body = content(400_000)
        replies = await asyncio.gather(
            *(peer.call(put(b"x", len(body)), body=[body]) for peer in peers for _ in range(8))
        )
        assert {reply.receipt for reply, _ in replies} == {b"400000"}
        assert 400_000 <= most <= 1_000_000

    play(story)


def test_a_small_call_overtakes_a_big_body_that_must_wait(play):
    async def story(way):
        node = Memory()
        await way.open(node.handle, ServeLimits(bytes_max=1, eager=100_000))
        peer = await way.dial()
        first = asyncio.ensure_future(peer.call(DeleteShard(grant=b"wait")))
        await node.begun.wait()
        assert await peer.call(Ping()) == (Finished(), b"")
        node.gate.set()
        assert await first == (Finished(), b"")

    play(story)


def test_when_the_node_goes_calls_under_way_fail_and_the_peer_is_closed(play):
    async def story(way):
        node = Memory()
        listener = await way.open(node.handle)
        peer = await way.dial()
        call = asyncio.ensure_future(peer.call(DeleteShard(grant=b"wait")))
        await node.begun.wait()
        closing = asyncio.ensure_future(listener.close(grace_seconds=0.05))
        with pytest.raises(Trouble) as caught:
            await call
        assert caught.value.code == "node.unreachable"
        assert peer.closed
        with pytest.raises(Trouble):
            await peer.call(Ping())
        assert not closing.done()
        node.gate.set()
        await closing
        with pytest.raises(Trouble):
            await way.dial()

    play(story)


def test_a_node_that_closes_lets_calls_under_way_finish(play):
    async def story(way):
        node = Memory()
        listener = await way.open(node.handle)
        peer = await way.dial()
        call = asyncio.ensure_future(peer.call(DeleteShard(grant=b"wait")))
        await node.begun.wait()
        closing = asyncio.ensure_future(listener.close())
        await until(lambda: peer.closed)
        node.gate.set()
        assert await call == (Finished(), b"")
        await closing

    play(story)


def test_a_peer_that_closes_fails_its_calls(play):
    async def story(way):
        node = Memory()
        listener = await way.open(node.handle)
        peer = await way.dial()
        call = asyncio.ensure_future(peer.call(DeleteShard(grant=b"wait")))
        await node.begun.wait()
        await peer.close()
        with pytest.raises(Trouble):
            await call
        await until(lambda: not listener.connections)
        node.gate.set()

    play(story)


def test_another_node_at_the_address_is_never_handed_out(play):
    async def story(way):
        way.node_key = SigningKey(b"m" * 32)
        await way.open(Memory().handle)
        with pytest.raises(Trouble) as caught:
            await way.dial()
        # A relay finds that out by itself, and does not tell strangers what it met.
        assert (caught.value.code, caught.value.retry) == ("node.unreachable", way.relay is not None)

    play(story)


def test_the_next_address_is_tried_when_one_does_not_answer(play):
    async def story(way):
        await way.open(Memory().handle)
        way.addresses.insert(0, f"{way.scheme}://127.0.0.1:9")
        peer = await way.dial()
        assert await peer.call(Ping()) == (Finished(), b"")
        await peer.close()

    play(story)


def test_a_tunnel_is_opened_on_a_grant_for_its_node_only_and_its_bytes_are_counted(play):
    async def story(way):
        await way.open(Memory().handle)
        if way.relay is None:
            return
        other = SigningKey(b"o" * 32)
        for grant, code in [
            (way.grant(node_id=other.public), "grant.foreign"),
            (way.grant(issuer=other), "grant.unsigned"),
            (way.grant()[:-1], "format.invalid"),
        ]:
            with pytest.raises(Refusal) as caught:
                await way.dial(grant=grant)
            assert caught.value.code == code
        peer = await way.dial()
        await peer.call(put(b"a", 500_000), body=[bytes(500_000)])
        usage = way.relay.take_usage()
        assert list(usage) == [ACCOUNT]
        assert 500_000 < usage[ACCOUNT] < 520_000
        assert way.relay.take_usage() == {}
        await peer.close()
        await until(lambda: not way.relay.tunnels)

    play(story)
