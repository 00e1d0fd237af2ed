"""Two sessions talk through any cuts of the byte stream; whoever breaks the protocol ends the connection."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from holdfast.protocol import frames
from holdfast.protocol.frames import HEADER_BYTES, PIECE_BYTES_MAX, Kind
from holdfast.protocol.session import Session
from holdfast.protocol.signing import SigningKey
from holdfast.protocol.states import (
    RECEIVES,
    STREAM_KINDS,
    STREAM_RECEIVES,
    Asked,
    Cancelled,
    Left,
    Limits,
    Opened,
    Phase,
    Ponged,
    Replied,
    Requested,
    State,
)
from holdfast.world.errors import Refusal

NODE, CLIENT = SigningKey(b"n" * 32), SigningKey(b"c" * 32)
LIMITS = Limits(streams_max=8, body_max=3_000_000, eager=100_000)


class Counted:
    """Memory whose takers must give it back, filled with what must not come through."""

    def __init__(self):
        self.out = 0

    def take(self, length):
        self.out += 1
        return memoryview(bytearray(b"?" * length))

    def give(self, body):
        assert len(body)
        self.out -= 1


class Pair:
    """A client's session and a node's, and the bytes between them."""

    def __init__(self, limits=LIMITS, node_id=NODE.public):
        self.client_bodies, self.node_bodies = Counted(), Counted()
        self.client = Session.client(key=CLIENT, nonce=b"1" * 32, node_id=node_id, bodies=self.client_bodies)
        self.node = Session.node(key=NODE, nonce=b"2" * 32, limits=limits, bodies=self.node_bodies)

    def open(self):
        self.up()
        assert self.down() == [Opened(NODE.public)]
        assert self.up() == [Opened(CLIENT.public)]
        return self

    def up(self, cuts=(1 << 30,), limit=1 << 30):
        return carry(self.client.pull(limit), self.node, cuts)

    def down(self, cuts=(1 << 30,), limit=1 << 30):
        return carry(self.node.pull(limit), self.client, cuts)


def carry(parts, session, cuts=(1 << 30,)):
    """Brings bytes to a session in pieces of the lengths `cuts`, over and over."""
    data = memoryview(b"".join(bytes(part) for part in parts))
    events, turn = [], 0
    while data:
        into = session.get_buffer()
        assert len(into)
        count = min(len(into), len(data), cuts[turn % len(cuts)])
        into[:count] = data[:count]
        events += session.received(count)
        data, turn = data[count:], turn + 1
    return events


def body_of(seed, length):
    return (bytes((seed + index) % 251 for index in range(257)) * (length // 257 + 1))[:length]


cuts = st.lists(st.one_of(st.integers(1, 40), st.integers(1, 300_000)), min_size=1, max_size=6)
lengths = st.one_of(
    st.just(0), st.integers(1, 20), st.integers(60_000, 70_000), st.integers(250_000, 600_000)
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(lengths, lengths), min_size=1, max_size=8), cuts, cuts, st.integers(1, 400_000))
def test_every_body_arrives_whole_wherever_the_stream_is_cut(sizes, up_cuts, down_cuts, burst):
    pair = Pair().open()
    expected, got = {}, {}
    for number, (up, down) in enumerate(sizes):
        sent = body_of(number, up)
        stream = pair.client.request(b"m%d" % down, [sent[: up // 3], sent[up // 3 :]], room=down)
        expected[stream] = (sent, body_of(number + 7, down))
    for _ in range(10_000):
        arrived = pair.up(up_cuts, burst)
        for event in list(arrived):
            if isinstance(event, Asked):
                arrived.append(pair.node.admit(event.stream))
        for event in arrived:
            if isinstance(event, Requested):
                sent, answer = expected[event.stream]
                assert bytes(event.body) == sent
                assert bytes(event.message) == b"m%d" % len(answer)
                if len(event.body):
                    pair.node_bodies.give(event.body)
                pair.node.reply(event.stream, b"r", [answer])
        for event in pair.down(down_cuts, burst):
            assert isinstance(event, Replied)
            got[event.stream] = bytes(event.body)
        if len(got) == len(expected):
            break
    assert got == {stream: answer for stream, (_, answer) in expected.items()}
    assert pair.node_bodies.out == 0
    assert (pair.client.streams_open, pair.node.streams_open) == (0, 0)
    assert sorted(pair.node.finished) == sorted(expected)
    assert (pair.client._eager_left, pair.node._eager_left, pair.node._quiet) == (100_000, 100_000, 0)


class Traffic(RuleBasedStateMachine):
    """Calls that are admitted late, answered early, cancelled: nothing leaks, and nothing waits for ever."""

    def __init__(self):
        super().__init__()
        self.pair = Pair(Limits(streams_max=8, body_max=3_000_000, eager=50_000)).open()
        self.node, self.client = self.pair.node, self.pair.client
        self.waiting, self.handling, self.under_way = [], [], set()

    @rule(length=st.sampled_from([0, 10, 45_000, 300_000]), room=lengths)
    def call(self, length, room):
        if self.client.streams_open < 8:
            self.under_way.add(self.client.request(b"m", [bytes(length)], room=room))

    @rule(cuts=cuts, limit=st.integers(1, 200_000))
    def up(self, cuts, limit):
        for event in self.pair.up(cuts, limit):
            match event:
                case Asked(stream):
                    self.node.defer(stream)
                    self.waiting.append(stream)
                case Requested():
                    self.handling.append(event)
                case Cancelled(stream) if stream in self.waiting:
                    self.waiting.remove(stream)

    @rule(cuts=cuts, limit=st.integers(1, 200_000))
    def down(self, cuts, limit):
        for event in self.pair.down(cuts, limit):
            self.under_way.remove(event.stream)
            if len(event.body):
                self.pair.client_bodies.give(event.body)

    @rule(which=st.integers(0, 7))
    def admit(self, which):
        if self.waiting:
            requested = self.node.admit(self.waiting.pop(which % len(self.waiting)))
            if requested is not None:
                self.handling.append(requested)

    @rule()
    def answer_before_the_body_has_come(self):
        if self.waiting:
            self.node.reply(self.waiting.pop(0), b"no")

    @rule(which=st.integers(0, 7))
    def answer(self, which):
        if self.handling:
            event = self.handling.pop(which % len(self.handling))
            if len(event.body):
                self.pair.node_bodies.give(event.body)
            self.node.reply(event.stream, b"r", [b"a" * event.room])

    @rule(which=st.integers(0, 7))
    def cancel(self, which):
        if self.under_way:
            stream = sorted(self.under_way)[which % len(self.under_way)]
            self.under_way.remove(stream)
            self.client.cancel(stream)

    def teardown(self):
        for _ in range(200):
            self.up((1 << 30,), 100_000)
            while self.waiting:
                self.admit(0)
            while self.handling:
                self.answer(0)
            self.down((1 << 30,), 100_000)
        assert self.under_way == set()
        assert (self.client.streams_open, self.node.streams_open) == (0, 0)
        assert (self.pair.node_bodies.out, self.pair.client_bodies.out) == (0, 0)
        node = self.node
        assert (node._eager_left, node._quiet, node._deferred) == (50_000, 0, {})
        assert self.client._eager_left == 50_000


Traffic.TestCase.settings = settings(deadline=None, max_examples=40, stateful_step_count=40)
test_calls_in_any_order_leak_nothing_and_never_deadlock = Traffic.TestCase


def test_a_body_lands_in_the_callers_own_memory():
    pair = Pair().open()
    place = bytearray(600_000)
    stream = pair.client.request(b"m", into=memoryview(place))
    pair.up()
    pair.node.admit(stream)
    pair.node.reply(stream, b"r", [b"x" * 500_000])
    (event,) = pair.down((10_000,))
    assert event.body.obj is place
    assert bytes(event.body) == b"x" * 500_000
    assert place[500_000:] == bytes(100_000)


def test_a_small_reply_is_not_stuck_behind_a_big_body():
    pair = Pair().open()
    big = pair.client.request(b"big", room=3_000_000)
    small = pair.client.request(b"small", room=100)
    pair.up()
    for stream in (big, small):
        pair.node.admit(stream)
    pair.node.reply(big, b"r", [bytes(3_000_000)])
    pair.node.pull(1)
    pair.node.reply(small, b"r", [b"quick"])
    sizes = [len(part) for part in pair.node.pull(1 << 30)]
    assert sizes.index(5) < 6
    assert max(sizes) <= PIECE_BYTES_MAX


def test_eager_bytes_end_at_the_allowance_until_the_body_is_admitted():
    pair = Pair(Limits(streams_max=8, body_max=3_000_000, eager=100_000)).open()
    stream = pair.client.request(b"m", [bytes(400_000)])
    asked = pair.up()
    assert asked == [Asked(stream, 400_000)]
    assert not pair.client.has_output
    assert pair.node.admit(stream) is None
    assert pair.down() == []
    (requested,) = pair.up()
    assert len(requested.body) == 400_000


def test_a_quietly_admitted_body_is_told_when_another_has_to_wait():
    pair = Pair(Limits(streams_max=8, body_max=3_000_000, eager=100_000)).open()
    first = pair.client.request(b"1", [bytes(90_000)])
    second = pair.client.request(b"2", [bytes(3_000_000)])
    # The requests arrive before any of their bodies, and the second one's pieces come first.
    carry(pair.client.pull(0), pair.node)
    assert pair.node.admit(first) is None
    pair.client._ready.rotate(1)
    assert pair.up() == []
    assert not pair.client.has_output
    pair.node.defer(second)
    pair.down()
    (requested,) = pair.up()
    assert requested.stream == first


def test_a_ping_is_answered():
    pair = Pair().open()
    pair.client.ping()
    assert pair.up() == []
    assert pair.down() == [Ponged()]


def test_a_node_that_leaves_still_answers_and_gets_no_new_requests():
    pair = Pair().open()
    stream = pair.client.request(b"m")
    pair.up()
    pair.node.leave()
    assert pair.down() == [Left("", "")]
    assert pair.client.state is State.CLIENT_LEAVING
    pair.node.admit(stream)
    pair.node.reply(stream, b"r")
    assert pair.down() == [Replied(stream, b"r", b"")]


def test_another_nodes_answer_is_not_believed():
    pair = Pair(node_id=SigningKey(b"m" * 32).public)
    pair.up()
    with pytest.raises(Refusal) as caught:
        pair.down()
    assert caught.value.code == "signature.invalid"


def shake_hands(pair, hello):
    carry([hello], pair.node)
    pair.down()
    pair.up()


@pytest.mark.parametrize("at", [0, 40, 80, 120, 160])
def test_a_hello_changed_on_the_way_ends_the_handshake(at):
    pair = Pair()
    hello = bytearray(b"".join(pair.client.pull(1 << 20)))
    hello[HEADER_BYTES + at % (len(hello) - HEADER_BYTES)] ^= 1
    with pytest.raises(Refusal):
        shake_hands(pair, hello)


def test_a_proof_by_another_key_is_refused():
    pair = Pair()
    pair.client._key = SigningKey(b"x" * 32)
    pair.up()
    pair.down()
    with pytest.raises(Refusal) as caught:
        pair.up()
    assert caught.value.code == "signature.invalid"


def test_versions_that_are_not_shared_are_refused_by_name():
    pair = Pair()
    hello = frames.ClientHello(versions=[7, 8], session_key=CLIENT.public, nonce=b"1" * 32)
    with pytest.raises(Refusal) as caught:
        carry([frames.frame(Kind.HELLO, msgspec.msgpack.encode(hello))], pair.node)
    assert caught.value.code == "version.unsupported"
    pair.node.leave(caught.value.code, caught.value.message)
    assert pair.down() == [Left("version.unsupported", caught.value.message)]
    assert (pair.client.state, pair.node.state) == (State.CLOSED, State.CLOSED)


def payload_of(kind):
    return b"p" * max(frames.PAYLOAD_BYTES[kind][0], 1) if frames.PAYLOAD_BYTES[kind][1] else b""


@pytest.mark.parametrize("kind", list(Kind))
def test_what_the_tables_do_not_name_ends_the_connection(kind):
    for side in ("client", "node"):
        pair = Pair().open()
        session = getattr(pair, side)
        if kind in RECEIVES[session.state]:
            if kind in STREAM_KINDS:
                with pytest.raises(Refusal, match="never was"):
                    carry([frames.frame(kind, payload_of(kind), stream=5)], session)
        else:
            with pytest.raises(Refusal, match="may not come now"):
                carry([frames.frame(kind, payload_of(kind), stream=1)], session)


def test_every_kind_may_come_somewhere_and_every_state_and_phase_has_its_row():
    assert set(RECEIVES) == set(State)
    assert set(STREAM_RECEIVES) == set(Phase)
    assert {kind for row in RECEIVES.values() for kind in row} == set(Kind) - {Kind.TUNNEL}
    assert {kind for row in STREAM_RECEIVES.values() for kind in row} == STREAM_KINDS


def test_bodies_that_do_not_keep_their_word_end_the_connection():
    def begun():
        pair = Pair().open()
        stream = pair.client.request(b"m", [bytes(200_000)], room=50)
        carry(pair.client.pull(0), pair.node)
        return pair, stream

    pair, stream = begun()
    with pytest.raises(Refusal, match="do not fit"):
        carry([frames.frame(Kind.BODY, b"x", stream, extra=1)], pair.node)
    pair, stream = begun()
    with pytest.raises(Refusal, match="than were admitted"):
        carry([frames.frame(Kind.BODY, bytes(100_001), stream)], pair.node)
    pair, stream = begun()
    pair.node.admit(stream)
    with pytest.raises(Refusal, match="do not fit"):
        carry([frames.frame(Kind.BODY, bytes(200_001), stream)], pair.node)
    pair, stream = begun()
    with pytest.raises(Refusal, match="longer than there is room"):
        carry([frames.frame(Kind.REPLY, b"r", stream, extra=51)], pair.client)
    pair, stream = begun()
    with pytest.raises(Refusal, match="used twice"):
        carry([frames.frame(Kind.REQUEST, b"0000m", stream)], pair.node)
    with pytest.raises(Refusal, match="takes"):
        carry([frames.frame(Kind.REQUEST, b"0000m", stream + 1, extra=3_000_001)], pair.node)
    many = [frames.frame(Kind.REQUEST, b"0000m", stream + 2 + more) for more in range(8)]
    with pytest.raises(Refusal, match="takes"):
        carry(many, pair.node)


@pytest.mark.parametrize(
    "header",
    [
        b"\0\0\0\0HF\x08\x01" + bytes(8),
        b"\0\0\0\0XX\x08\0" + bytes(8),
        b"\0\0\0\0HF\x63\0" + bytes(8),
        b"\xff\xff\xff\xffHF\x05\0" + bytes(8),
        b"\0\0\0\0HF\x05\0" + bytes(8),
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_no_frame_is_refused(header):
    with pytest.raises(Refusal) as caught:
        carry([header], Pair().open().node)
    assert caught.value.code == "request.invalid"


def bytes_of(kind, payload, stream, extra, length):
    header = bytearray(frames.pack_header(kind, len(payload) if length is None else length, stream, extra))
    return bytes(header) + payload


garbage = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.builds(
            bytes_of,
            st.sampled_from(Kind),
            st.one_of(st.just(b""), st.binary(max_size=80), st.just(bytes(64))),
            st.integers(0, 4),
            st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)),
            st.one_of(st.none(), st.none(), st.integers(0, 2**32 - 1)),
        ),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=300)
@given(garbage, cuts, st.booleans(), st.booleans())
def test_no_bytes_bring_a_session_down_other_than_by_a_refusal(pieces, cuts, opened, at_client):
    pair = Pair()
    if opened:
        pair.open()
        pair.client.request(b"m", [bytes(300)], room=300)
        carry(pair.client.pull(0), pair.node)
        pair.node.admit(1)
    session = pair.client if at_client else pair.node
    try:
        carry(pieces, session, cuts)
    except Refusal as refusal:
        session.leave(refusal.code, refusal.message)
        assert session.state is State.CLOSED
    with contextlib.suppress(Refusal):
        carry(session.pull(1 << 20), pair.node if at_client else pair.client)
    session.close()
    assert session.streams_open == 0
