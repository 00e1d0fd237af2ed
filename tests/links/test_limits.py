"""What a node and a relay do about clients that dawdle, stall, flood or talk nonsense. Time is simulated."""

from __future__ import annotations

import asyncio

import pytest
from tests.links.conftest import CLIENT, ISSUER, NODE, WAYS, play_on

from holdfast.doors.hub.relay import RelayLimits, open_relay
from holdfast.links.bodies import PooledBodies
from holdfast.links.peer import SIGN_OF_LIFE_SECONDS, SILENCE_SECONDS, dial
from holdfast.links.serving import Incoming, Outgoing, ServeLimits, serve
from holdfast.links.tls import client_context, presented_key
from holdfast.links.tunnel import open_tunnel
from holdfast.protocol import frames
from holdfast.protocol.frames import Kind
from holdfast.protocol.grants import issuers_by_id
from holdfast.protocol.messages import Fetched, Finished, GetShard, Ping, PutShard
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.session import Session
from holdfast.protocol.signing import SigningKey
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.network import SystemNetwork, parse_address
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.simulated.loop import run
from holdfast.world.simulated.network import SimulatedNetwork


class Raw(asyncio.BufferedProtocol):
    """A client that says what it is told to, and keeps what it hears."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.lost = asyncio.get_running_loop().create_future()
        self._buffer = bytearray(65536)

    def connection_made(self, transport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint):
        return self._buffer

    def buffer_updated(self, nbytes) -> None:
        self.heard += self._buffer[:nbytes]

    def connection_lost(self, exc) -> None:
        self.lost.set_result(None)


async def finished(incoming: Incoming) -> Outgoing:
    if isinstance(incoming.request, GetShard):
        return Outgoing(Fetched(shard_length=1, leaves=b"", roots=b""), [bytes(8 << 20)])
    return Outgoing(Finished())


async def raw(way) -> Raw:
    _, protocol = await way.network.dial(parse_address(way.addresses[0]), Raw)
    return protocol


async def proven(way) -> tuple[Raw, Session]:
    """A raw client that has shaken hands."""
    client = await raw(way)
    session = Session.client(key=CLIENT, nonce=b"1" * 32, node_id=NODE.public, bodies=PooledBodies(0))
    client.transport.writelines(session.pull(1 << 20))
    await asyncio.sleep(2)
    hear(client, session)
    client.transport.writelines(session.pull(1 << 20))
    return client, session


def hear(client: Raw, session: Session) -> list:
    heard, client.heard = bytes(client.heard), bytearray()
    events = []
    while heard:
        into = session.get_buffer()
        count = min(len(into), len(heard))
        into[:count] = heard[:count]
        heard = heard[count:]
        events += session.received(count)
    return events


async def seconds_until_lost(client: Raw) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(3600):
        await client.lost
    return loop.time() - began


def test_who_never_greets_is_hung_up_on(play_simulated):
    async def story(way):
        await way.open(finished)
        client = await raw(way)
        assert 10 <= await seconds_until_lost(client) <= 16

    play_simulated(story)


def test_who_trickles_a_hello_is_hung_up_on(play_simulated):
    async def story(way):
        await way.open(finished)
        client = await raw(way)
        hello = frames.pack_header(Kind.HELLO, 4000)
        for byte in range(100):
            client.transport.write(hello[byte : byte + 1] or b"x")
            await asyncio.sleep(1)
            if client.lost.done():
                break
        assert 10 <= byte <= 16

    play_simulated(story)


def test_who_is_silent_for_long_is_hung_up_on_and_can_dial_again(play_simulated):
    async def story(way):
        listener = await way.open(finished, ServeLimits(idle_seconds=60))
        peer = await way.dial()
        await peer.call(Ping())
        await asyncio.sleep(50)
        await peer.call(Ping())
        await asyncio.sleep(50)
        assert not peer.closed
        await asyncio.sleep(20)
        assert peer.closed
        assert listener.connections == 0
        assert await (await way.dial()).call(Ping()) == (Finished(), b"")

    play_simulated(story)


def test_who_stalls_in_the_middle_of_a_body_is_hung_up_on_and_its_memory_is_free_again(play_simulated):
    async def story(way):
        listener = await way.open(finished)
        client, session = await proven(way)
        session.request(b"m", [bytes(300_000)])
        for part in session.pull(1 << 20)[:3]:
            client.transport.write(part)
        await asyncio.sleep(1)
        assert listener.bytes_held == 300_000
        assert 28 <= await seconds_until_lost(client) <= 40
        await asyncio.sleep(1)
        assert (listener.bytes_held, listener.calls, listener.connections) == (0, 0, 0)

    play_simulated(story)


def test_who_trickles_a_body_is_hung_up_on(play_simulated):
    async def story(way):
        await way.open(finished)
        client, session = await proven(way)
        session.request(b"m", [bytes(3_000_000)])
        data = b"".join(bytes(part) for part in session.pull(1 << 20))
        for second in range(400):
            client.transport.write(data[second * 100 : second * 100 + 100])
            await asyncio.sleep(1)
            if client.lost.done():
                break
        assert second <= 40

    play_simulated(story)


def test_who_asks_and_does_not_read_is_hung_up_on(play_simulated):
    async def story(way):
        released = []
        body = bytes(8 << 20)

        async def handle(_incoming):
            return Outgoing(
                Fetched(shard_length=1, leaves=b"", roots=b""), [body], lambda: released.append(True)
            )

        listener = await way.open(handle)
        client, session = await proven(way)
        session.request(b"\x82\xa1t\xa3get\xa5grant\xc4\x01g", room=8 << 20)
        client.transport.writelines(session.pull(1 << 20))
        client.transport.pause_reading()
        await asyncio.sleep(10)
        assert (listener.bytes_held, released) == (8 << 20, [])
        await asyncio.sleep(60)
        assert (listener.bytes_held, released, listener.connections) == (0, [True], 0)

    play_simulated(story)


def test_a_long_call_is_not_taken_for_a_stall(play_simulated):
    async def story(way):
        async def slow(_incoming):
            await asyncio.sleep(1000)
            return Outgoing(Finished())

        await way.open(slow)
        peer = await way.dial()
        assert await peer.call(Ping()) == (Finished(), b"")

    play_simulated(story)


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"\xff" * 1000])
def test_who_talks_nonsense_is_told_so_and_hung_up_on(play_simulated, nonsense):
    async def story(way):
        listener = await way.open(finished)
        peer = await way.dial()
        client = await raw(way)
        client.transport.write(nonsense)
        assert await seconds_until_lost(client) < 5
        assert b"request.invalid" in client.heard
        assert await peer.call(Ping()) == (Finished(), b"")
        assert listener.connections == 1

    play_simulated(story)


def test_a_request_that_is_no_message_is_refused_and_the_connection_goes_on(play_simulated):
    async def story(way):
        await way.open(finished)
        client, session = await proven(way)
        half_a_character = b"\x82\xa1t\xa3get\xa5grant\xa3\xed\xa0\x80"
        endless = b"\x82\xa1t\xa4ping\xa1z" + b"\x91" * 3000 + b"\xc0"
        for message in (b"nonsense", b"\x81\xa1t\xa4pong", half_a_character, endless):
            session.request(message)
            client.transport.writelines(session.pull(1 << 20))
            await asyncio.sleep(1)
            (replied,) = hear(client, session)
            assert b"request.invalid" in bytes(replied.message)

    play_simulated(story)


def test_a_version_that_is_not_spoken_is_refused_by_name(play_simulated):
    async def story(way):
        await way.open(finished)
        client = await raw(way)
        hello = (
            b"\x83\xa8versions\x91\x63\xabsession_key\xc4\x20" + bytes(32) + b"\xa5nonce\xc4\x20" + bytes(32)
        )
        client.transport.write(frames.frame(Kind.HELLO, hello))
        assert await seconds_until_lost(client) < 5
        assert b"version.unsupported" in client.heard

    play_simulated(story)


def test_a_node_takes_no_more_connections_than_it_allows(play_simulated):
    async def story(way):
        await way.open(finished, ServeLimits(connections_max=2))
        peers = [await way.dial() for _ in range(2)]
        with pytest.raises(Trouble) as caught:
            await way.dial()
        assert caught.value.code == "node.unreachable"
        await peers.pop().close()
        await asyncio.sleep(1)
        assert await (await way.dial()).call(Ping()) == (Finished(), b"")

    play_simulated(story)


def test_one_busy_client_does_not_keep_another_waiting(play_simulated):
    async def story(way):
        order = []

        async def handle(incoming):
            order.append(incoming.request.grant)
            await asyncio.sleep(1)
            return Outgoing(Finished())

        await way.open(handle, ServeLimits(calls_max=2))
        greedy, modest = await way.dial(), await way.dial()
        put = [greedy.call(PutShard(grant=b"greedy", length=1, roots=b""), body=[b"x"]) for _ in range(20)]
        calls = [asyncio.ensure_future(call) for call in put]
        await asyncio.sleep(0.5)
        await modest.call(PutShard(grant=b"modest", length=1, roots=b""), body=[b"x"])
        await asyncio.gather(*calls)
        assert order.index(b"modest") <= 5

    play_simulated(story)


def on_two_machines(story) -> None:
    """Plays `story(network, node listener, peer)` with the client and the node on machines of their own."""
    chance = SimulatedChance(1)

    async def main(loop) -> None:
        network, clock = SimulatedNetwork(chance), SimulatedClock(loop.time)

        async def slow(_incoming):
            await asyncio.sleep(600)
            return Outgoing(Finished())

        listener = await serve(
            network.at("node"), parse_address("tls://node:7000"), node_key=NODE, handler=slow, clock=clock,
            chance=chance,
        )  # fmt: skip
        peer = await dial(
            network.at("client"), NodeAddress(node_id=NODE.public, addresses=["tls://node:7000"]),
            session_key=CLIENT, clock=clock, chance=chance,
        )  # fmt: skip
        await story(network, peer, loop)
        await listener.close(grace_seconds=0)

    run(main)


def test_a_node_that_falls_silent_is_given_up_on():
    async def story(network, peer, loop):
        call = asyncio.ensure_future(peer.call(Ping()))
        await asyncio.sleep(1)
        network.part(["client"], ["node"])
        began = loop.time()
        with pytest.raises(Trouble) as caught:
            await call
        assert caught.value.code == "node.unreachable"
        assert SILENCE_SECONDS - 2 <= loop.time() - began <= SILENCE_SECONDS + 2 * SIGN_OF_LIFE_SECONDS
        assert peer.closed

    on_two_machines(story)


def test_a_slow_node_that_still_answers_pings_is_not_given_up_on():
    async def story(_network, peer, loop):
        assert await peer.call(Ping()) == (Finished(), b"")
        assert loop.time() > 600

    on_two_machines(story)


async def open_small_relay(way, **limits):
    return await open_relay(
        way.network, parse_address("tcp://127.0.0.1:0"), issuers=lambda: issuers_by_id([ISSUER.public]),
        lookup=way.lookup, clock=way.clock, chance=way.chance, limits=RelayLimits(**limits),
    )  # fmt: skip


def test_a_relay_carries_no_more_tunnels_than_it_allows_and_ends_idle_ones(play_simulated):
    async def story(way):
        await way.open(finished, ServeLimits(idle_seconds=3600))
        way.relay = await open_small_relay(way, tunnels_per_account=2, tunnels_max=3, idle_seconds=60)
        peers = [await way.dial() for _ in range(2)]
        with pytest.raises(Trouble) as caught:
            await way.dial()
        assert "as many tunnels as it may" in caught.value.message
        silent = await asyncio.gather(*(way.network.dial(way.relay.address, Raw) for _ in range(2)))
        await asyncio.sleep(5)
        assert [client.lost.done() for _, client in silent] == [False, True]
        await asyncio.sleep(10)
        assert [client.lost.done() for _, client in silent] == [True, True]
        assert not any(peer.closed for peer in peers)
        await asyncio.sleep(60)
        assert all(peer.closed for peer in peers)
        assert way.relay.tunnels == 0
        assert await (await way.dial()).call(Ping()) == (Finished(), b"")

    play_simulated(story)


@pytest.mark.parametrize("addresses", [[], ["tcp://127.0.0.1:9"], ["nonsense"]])
def test_a_relay_says_when_it_cannot_reach_the_node(play_simulated, addresses):
    async def story(way):
        await way.open(finished)
        way.relay = await open_small_relay(way)
        way.addresses = addresses
        with pytest.raises(Trouble) as caught:
            await way.dial()
        assert caught.value.code == "node.unreachable"
        assert way.relay.tunnels == 0

    play_simulated(story)


def test_a_relay_passes_nothing_on_to_what_is_not_the_node():
    """A node may claim any address: also that of a service which only the relay can reach."""

    async def story(way):
        heard = []

        async def serve_somebody(reader, writer):
            heard.append(await reader.read(4096))
            writer.write(b"-ERR unknown command\r\n")
            writer.close()

        server = await asyncio.start_server(serve_somebody, "127.0.0.1", 0)
        await way.open(finished)
        way.addresses = [f"{way.scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"]
        with pytest.raises(Trouble) as caught:
            await open_tunnel(
                way.network, str(way.relay.address), NODE.public, way.grant(), plain_allowed=True
            )
        server.close()
        assert caught.value.message == (
            "The relay cannot reach the node: The relay reaches the node at none of its addresses."
        )
        assert len(heard) == 1, "it heard the relay's own handshake, and was not dialled for the client"
        assert way.relay.tunnels == 0

    play_on("uvloop-tls-tunnel-tls")(story)
    play_on("uvloop-tcp-tunnel-tcp")(story)


def test_a_relay_meets_a_node_once_for_many_tunnels(play_simulated):
    async def story(way):
        listener = await way.open(finished, ServeLimits(idle_seconds=3600))
        way.relay = await open_small_relay(way)
        for _ in range(5):
            assert await (await way.dial()).call(Ping()) == (Finished(), b"")
        assert listener.connections == 5
        # A node that moved is found again at its new place.
        await listener.close(grace_seconds=0)
        with pytest.raises(Trouble):
            await way.dial()
        await way.open(finished)
        assert await (await way.dial()).call(Ping()) == (Finished(), b"")

    play_simulated(story)


def test_a_relay_cannot_talk_a_client_out_of_tls(play_simulated):
    async def story(way):
        await way.open(finished)
        way.relay = await open_small_relay(way)
        with pytest.raises(Trouble, match="plain stream"):
            await dial(
                way.network, NodeAddress(node_id=NODE.public, addresses=["tls://node.example:7000"]),
                session_key=CLIENT, clock=way.clock, chance=way.chance, relay=str(way.relay.address),
                grant=way.grant(),
            )  # fmt: skip

    play_simulated(story)


def test_a_certificate_shows_the_nodes_key():
    async def story(way):
        await way.open(finished)
        transport, _ = await way.network.dial(parse_address(way.addresses[0]), Raw, tls=client_context())
        assert presented_key(transport) == NODE.public
        assert transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        transport.abort()

    play_on("asyncio-tls")(story)
    play_on("uvloop-tls")(story)


def test_a_wrong_certificate_is_refused_before_anything_is_said():
    async def story(way):
        way.node_key = SigningKey(b"m" * 32)
        await way.open(finished)
        # A relay looks for itself, and says no more than that the node is not there.
        words = "Another node answers in place" if way.relay is None else "at none of its addresses"
        with pytest.raises(Trouble, match=words):
            await way.dial()

    play_on("uvloop-tls")(story)
    play_on("uvloop-tls-tunnel-tls")(story)


def test_plain_streams_are_for_loopback_only():
    async def story(way):
        with pytest.raises(Refusal) as caught:
            await dial(
                SystemNetwork(), NodeAddress(node_id=NODE.public, addresses=["tcp://192.0.2.1:1"]),
                session_key=CLIENT, clock=way.clock, chance=way.chance,
            )  # fmt: skip
        assert caught.value.code == "config.invalid"

    assert "asyncio-tcp" in WAYS
    play_on("asyncio-tcp")(story)


@pytest.mark.parametrize("length", [1, 16_384, 16_385, 65_536, 540_736, 5 << 20])
def test_memory_for_bodies_is_used_again_and_little_is_wasted(length):
    bodies = PooledBodies(8 << 20)
    body = bodies.take(length)
    assert len(body) == length
    slot = body.obj
    assert len(slot) <= max(length * 5 // 4, length + 4096)
    bodies.give(body)
    assert (bodies.take(length).obj is slot) == (length > 16_384)


def test_no_more_memory_lies_idle_than_allowed():
    bodies = PooledBodies(1 << 20)
    for body in [bodies.take(300_000) for _ in range(10)]:
        bodies.give(body)
    assert bodies._idle_bytes <= 1 << 20
