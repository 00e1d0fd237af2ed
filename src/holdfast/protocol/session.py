"""One node connection as a machine without I/O: bytes in, events out; wishes in, bytes out.

The law of this file: nothing here waits, sends or tells the time. `get_buffer` and `received` take bytes in,
`pull` hands bytes out; what may arrive when stands in the tables of `states` and nowhere else. A body is
received straight into its final place and sent straight from the caller's parts: it is never copied here,
but for the few kilobytes that arrive in one read with a header.

Flow of bodies. A requester says how many bytes of reply body it has room for, and that is all the credit a
reply ever needs. A request's body flows in two steps: up to `eager` bytes per connection may be under way
unasked; the rest follows when the node admits the body whole (WINDOW), which it does when it has the memory.
Admission, and the reply, give a stream's eager bytes back. So a node's memory is bounded by what it admitted
plus `eager` per connection. A body that is admitted and surely fits the eager bytes is not told so, to save
the frame; as soon as another one has to wait, it is: no body ever waits for one that waits for it.

Whoever breaks the protocol meets Refusal("request.invalid"), and the connection ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

import msgspec

from holdfast.protocol import frames
from holdfast.protocol.frames import (
    HEADER_BYTES,
    MESSAGE_BYTES_MAX,
    PIECE_BYTES_MAX,
    REQUEST_BYTES_MAX,
    Kind,
    broken,
    pack_header,
)
from holdfast.protocol.signing import SigningKey, verify
from holdfast.protocol.states import (
    RECEIVES,
    STREAM_KINDS,
    STREAM_RECEIVES,
    Asked,
    Bodies,
    Buffer,
    Cancelled,
    Event,
    Left,
    Limits,
    Opened,
    Phase,
    Ponged,
    Replied,
    Requested,
    State,
)
from holdfast.protocol.streams import EMPTY, Sending, Stream
from holdfast.world.errors import Refusal

SCRATCH_BYTES: Final = 64 << 10
HEADER_READ_BYTES: Final = 2048
"""How much is read at once where a body's next header is due: what comes with it must be copied."""
STREAM_MAX: Final = (1 << 32) - 1
ROOM_MAX: Final = (1 << 32) - 1


class Session:
    """Either role of one connection; made by `client` or `node`."""

    def __init__(
        self, state: State, *, key: SigningKey, nonce: bytes, limits: Limits, bodies: Bodies
    ) -> None:
        self.state = state
        self.limits = limits
        self.finished: list[int] = []
        """Streams whose last body byte was handed out by `pull`; the caller empties it."""
        self._key = key
        self._nonce = nonce
        self._bodies = bodies
        self._client = state is State.CLIENT_NEW
        self._expected = b""
        self._hello = b""
        self._transcript = b""
        self._other = b""
        self._streams: dict[int, Stream] = {}
        self._latest = 0
        self._eager_left = 0
        # Node: bytes admitted without a WINDOW, because they fit what may come unasked; and who still waits.
        self._quiet = 0
        self._deferred: dict[int, None] = {}
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._start = 0
        self._end = 0
        self._target: memoryview | None = None
        self._target_of: tuple[frames.Header, Stream | bytearray] | None = None
        self._sink_left = 0
        self._in_body = False
        self._events: list[Event] = []
        self._control: list[Buffer] = []
        self._ready: deque[Sending] = deque()
        self._blocked: deque[Sending] = deque()

    @classmethod
    def client(cls, *, key: SigningKey, nonce: bytes, node_id: bytes, bodies: Bodies) -> Session:
        """The dialling side; says hello at once. `key` is the session key, `nonce` 32 random bytes."""
        session = cls(State.CLIENT_NEW, key=key, nonce=nonce, limits=Limits(), bodies=bodies)
        session._expected = node_id
        hello = frames.ClientHello(versions=[frames.SESSION_VERSION], session_key=key.public, nonce=nonce)
        session._hello = msgspec.msgpack.encode(hello)
        session._control.append(frames.frame(Kind.HELLO, session._hello))
        session.state = State.CLIENT_GREETING
        return session

    @classmethod
    def node(cls, *, key: SigningKey, nonce: bytes, limits: Limits, bodies: Bodies) -> Session:
        """The answering side; `key` is the node's."""
        session = cls(State.NODE_NEW, key=key, nonce=nonce, limits=limits, bodies=bodies)
        session._eager_left = limits.eager
        return session

    # Wishes.

    @property
    def streams_open(self) -> int:
        """Requests under way."""
        return len(self._streams)

    @property
    def owed(self) -> bool:
        """Whether the other side is in the middle of something that it must go on sending."""
        return (
            self._end > self._start
            or self._target is not None
            or self._sink_left > 0
            or any(stream.admitted and stream.received < stream.length for stream in self._streams.values())
        )

    @property
    def has_output(self) -> bool:
        """Whether `pull` would hand out anything."""
        return bool(self._control or self._ready)

    def request(
        self, message: bytes, body: Sequence[Buffer] = (), *, room: int = 0, into: memoryview | None = None
    ) -> int:
        """Client: sends a request and returns its stream.

        Args:
            message: at most REQUEST_BYTES_MAX - 4 bytes.
            body: parts that stay as they are until the reply.
            room: how long the reply's body may be; `into`'s length where that is given.
            into: where the reply's body goes.

        Raises:
            Refusal: "request.too_large".
        """
        assert self.state is State.CLIENT_OPEN, f"no request can be made: {self.state.value}"
        assert len(self._streams) < self.limits.streams_max, "the caller waits for a free stream"
        assert self._latest < STREAM_MAX
        total = sum(map(len, body))
        if total > self.limits.body_max or len(message) > REQUEST_BYTES_MAX - 4:
            raise Refusal("request.too_large", f"The node takes bodies of {self.limits.body_max} bytes.")
        if into is not None:
            room = len(into)
        self._latest = number = self._latest + 1
        stream = self._streams[number] = Stream(Phase.WAITING, room, into)
        self._control += (
            pack_header(Kind.REQUEST, 4 + len(message), number, total)
            + min(room, ROOM_MAX).to_bytes(4, "big"),
            message,
        )
        if total:
            stream.sending = Sending(number, body, total, admitted=False)
            self._ready.append(stream.sending)
        return number

    def cancel(self, number: int) -> None:
        """Client: the reply is no longer wanted. What is left of either body is not sent, or thrown away."""
        stream = self._streams.get(number)
        if stream is not None:
            self._end_stream(number, stream)
            self._control.append(pack_header(Kind.CANCEL, 0, number))

    def admit(self, number: int) -> Requested | None:
        """Node: there is memory for this body. The request, if it is complete with that."""
        stream = self._streams.get(number)
        if stream is None or stream.phase is not Phase.TAKING:
            return None
        if not stream.admitted:
            stream.admitted = True
            self._eager_left += stream.received
            self._deferred.pop(number, None)
            if stream.received < stream.length:
                self._open_window(number, stream)
            elif not self._filling(stream):
                return self._requested(number, stream)
        return None

    def defer(self, number: int) -> None:
        """Node: there is no memory for this body yet; `admit` follows later."""
        stream = self._streams.get(number)
        if stream is None or stream.admitted:
            return
        self._deferred[number] = None
        # What waits may use up the eager bytes that others were left to arrive with.
        for other_number, other in self._streams.items():
            if other.quiet:
                self._forget_quiet(other)
                self._control.append(pack_header(Kind.WINDOW, 0, other_number, other.length))

    def reply(self, number: int, message: bytes, body: Sequence[Buffer] = ()) -> bool:
        """Node: answers; False if nobody waits for it any more. The number comes up in `finished` when sent.

        A reply may be given before the request has arrived whole. `body` fits the request's room.
        """
        stream = self._streams.get(number)
        if stream is None:
            return False
        assert stream.phase is not Phase.REPLYING, "one reply to a request"
        total = sum(map(len, body))
        assert total <= stream.room, "the requester said how much it has room for"
        assert 0 < len(message) <= MESSAGE_BYTES_MAX, "a message fits a frame"
        self._deferred.pop(number, None)
        self._drop_body(stream)
        self._control += (pack_header(Kind.REPLY, len(message), number, total), message)
        if total:
            stream.phase = Phase.REPLYING
            stream.sending = Sending(number, body, total, admitted=True)
            self._ready.append(stream.sending)
        else:
            del self._streams[number]
            self.finished.append(number)
        return True

    def ping(self) -> None:
        """Asks for a sign of life."""
        self._control.append(pack_header(Kind.PING, 0))

    def leave(self, code: str = "", message: str = "") -> None:
        """Says that no new requests are taken; with a code, that it is over for that reason."""
        if self.state is not State.CLOSED:
            farewell = msgspec.msgpack.encode(frames.Farewell(code=code, message=message[:500]))
            self._control.append(frames.frame(Kind.GOAWAY, farewell))
            if code:
                self.close()

    def close(self) -> None:
        """Nothing is received any more; memory for unfinished bodies is given back."""
        self.state = State.CLOSED
        for number, stream in list(self._streams.items()):
            self._end_stream(number, stream)
        self._target, self._target_of, self._sink_left = None, None, 0
        self._start = self._end = 0

    # Bytes out.

    def pull(self, limit: int) -> list[Buffer]:
        """About `limit` bytes to send, in order: messages first, then bodies by turns, a frame each."""
        out, self._control = self._control, []
        size = 0
        while size < limit and self._ready:
            sending = self._ready.popleft()
            piece = min(sending.left, PIECE_BYTES_MAX)
            if not sending.admitted:
                piece = min(piece, self._eager_left)
                if not piece:
                    self._blocked.append(sending)
                    continue
                self._eager_left -= piece
                sending.eager_used += piece
            out.append(pack_header(Kind.BODY, piece, sending.stream, sending.offset))
            sending.cut(piece, out)
            size += piece
            if sending.left:
                self._ready.append(sending)
            elif not self._client:
                del self._streams[sending.stream]
                self.finished.append(sending.stream)
        return out

    # Bytes in.

    def get_buffer(self) -> memoryview:
        """Where the next bytes go: never empty."""
        if self._target is not None:
            return self._target
        if self._sink_left:
            return self._scratch[: self._sink_left]
        if self._start == self._end:
            self._start = self._end = 0
            return self._scratch[:HEADER_READ_BYTES] if self._in_body else self._scratch
        if self._start:
            # What is left of a frame moves to the front; the two may overlap, hence the copy.
            kept = bytes(self._scratch[self._start : self._end])
            self._scratch[: len(kept)] = kept
            self._start, self._end = 0, len(kept)
        return self._scratch[self._end :]

    def received(self, count: int) -> list[Event]:
        """Takes note of `count` bytes in the buffer last given.

        Raises:
            Refusal: "request.invalid", "version.unsupported" or "signature.invalid"; the caller says so with
                `leave` and hangs up.
        """
        if self._target is not None:
            self._target = self._target[count:]
            if not self._target:
                self._target = None
                self._target_filled()
        elif self._sink_left:
            self._sink_left -= count
        else:
            self._end += count
            self._parse()
        events, self._events = self._events, []
        return events

    def _parse(self) -> None:
        scratch = self._scratch
        while self._end - self._start >= HEADER_BYTES and self.state is not State.CLOSED:
            header = frames.unpack_header(scratch, self._start)
            stream = self._check(header)
            begin = self._start + HEADER_BYTES
            end = begin + header.length
            if header.kind is Kind.BODY:
                self._start = min(end, self._end)
                self._take_piece(header, stream, scratch[begin : self._start])
            elif end <= self._end:
                self._start = end
                self._take_frame(header, stream, bytes(scratch[begin:end]))
            elif HEADER_BYTES + header.length > SCRATCH_BYTES:
                assembly = bytearray(header.length)
                have = self._end - begin
                assembly[:have] = scratch[begin : self._end]
                self._target = memoryview(assembly)[have:]
                self._target_of = (header, assembly)
                self._start = self._end
            else:
                return

    def _check(self, header: frames.Header) -> Stream | None:
        """Holds a frame against the tables; None for one of no stream, or of a stream that is over."""
        kind = header.kind
        if kind not in RECEIVES[self.state]:
            raise broken(f"A {kind.name} may not come now ({self.state.value}).")
        if kind not in STREAM_KINDS:
            return None
        stream = self._streams.get(header.stream)
        if stream is None:
            if not 0 < header.stream <= self._latest:
                raise broken(f"A {kind.name} came for a stream that never was.")
        elif kind not in STREAM_RECEIVES[stream.phase]:
            raise broken(f"A {kind.name} may not come now ({stream.phase.value}).")
        return stream

    def _take_piece(self, header: frames.Header, stream: Stream | None, have: memoryview) -> None:
        """A BODY frame of which `have` has arrived already."""
        self._in_body = True
        rest = header.length - len(have)
        if stream is None or stream.phase is Phase.REPLYING:
            self._sink_left = rest
            return
        at = stream.received
        if header.extra != at or at + header.length > stream.length:
            raise broken("A body's pieces do not fit together.")
        if stream.phase is Phase.TAKING and not stream.admitted:
            self._eager_left -= header.length
            if self._eager_left < 0:
                raise broken("More body bytes came than were admitted.")
        stream.received += header.length
        middle = at + len(have)
        stream.body[at:middle] = have
        self._target_of = (header, stream)
        if rest:
            self._target = stream.body[middle : middle + rest]
        else:
            self._target_filled()

    def _target_filled(self) -> None:
        assert self._target_of is not None
        header, place = self._target_of
        self._target_of = None
        if isinstance(place, bytearray):
            self._take_frame(header, self._check(header), place)
        elif place.received == place.length:
            if self._client:
                self._replied(header.stream, place)
            elif place.admitted:
                self._events.append(self._requested(header.stream, place))

    def _take_frame(self, header: frames.Header, stream: Stream | None, payload: Buffer) -> None:
        self._in_body = False
        self.state = RECEIVES[self.state][header.kind]
        self._takers[header.kind](self, header, stream, payload)

    def _take_hello(self, _header: frames.Header, _stream: Stream | None, payload: Buffer) -> None:
        if self._client:
            self._take_node_hello(bytes(payload))
        else:
            self._take_client_hello(bytes(payload))

    def _take_proof(self, _header: frames.Header, _stream: Stream | None, payload: Buffer) -> None:
        verify(self._other, frames.CLIENT_PROOF_DOMAIN, self._transcript, bytes(payload))
        self._events.append(Opened(self._other))

    def _take_window(self, _header: frames.Header, stream: Stream | None, _payload: Buffer) -> None:
        if stream is not None and stream.sending is not None and not stream.sending.admitted:
            stream.sending.admitted = True
            self._give_eager_back(stream.sending)

    def _take_cancel(self, header: frames.Header, stream: Stream | None, _payload: Buffer) -> None:
        if stream is not None:
            self._end_stream(header.stream, stream)
            self._events.append(Cancelled(header.stream))

    def _take_ping(self, _header: frames.Header, _stream: Stream | None, _payload: Buffer) -> None:
        self._control.append(pack_header(Kind.PONG, 0))

    def _take_pong(self, _header: frames.Header, _stream: Stream | None, _payload: Buffer) -> None:
        self._events.append(Ponged())

    def _take_goaway(self, _header: frames.Header, _stream: Stream | None, payload: Buffer) -> None:
        farewell = frames.decode(payload, frames.Farewell)
        if farewell.code or self.state is State.CLOSED:
            self.close()
        self._events.append(Left(farewell.code, farewell.message))

    def _take_client_hello(self, payload: bytes) -> None:
        self._other = frames.believe_client(payload).session_key
        hello = frames.NodeHello(
            version=frames.SESSION_VERSION,
            node_id=self._key.public,
            nonce=self._nonce,
            streams_max=self.limits.streams_max,
            body_max=self.limits.body_max,
            eager=self.limits.eager,
        )
        answer, self._transcript = frames.answer_hello(self._key, payload, hello)
        self._control.append(frames.frame(Kind.HELLO, answer))

    def _take_node_hello(self, payload: bytes) -> None:
        hello, transcript = frames.believe_node(self._hello, payload, self._expected)
        self.limits = Limits(streams_max=hello.streams_max, body_max=hello.body_max, eager=hello.eager)
        self._eager_left = hello.eager
        proof = self._key.sign(frames.CLIENT_PROOF_DOMAIN, transcript)
        self._control.append(frames.frame(Kind.PROOF, proof))
        self._events.append(Opened(hello.node_id))

    def _take_request(self, header: frames.Header, _stream: Stream | None, payload: Buffer) -> None:
        number = header.stream
        if number <= self._latest:
            raise broken("A stream's number was used twice.")
        if len(self._streams) >= self.limits.streams_max or header.extra > self.limits.body_max:
            raise broken("More requests, or a longer body, than this node takes.")
        self._latest = number
        view = memoryview(payload)
        stream = self._streams[number] = Stream(Phase.TAKING, int.from_bytes(view[:4], "big"))
        stream.message = view[4:]
        stream.length = header.extra
        if header.extra:
            stream.body = self._bodies.take(header.extra)
        self._events.append(Asked(number, header.extra))

    def _take_reply(self, header: frames.Header, stream: Stream | None, payload: Buffer) -> None:
        if stream is None:
            return
        if header.extra > stream.room:
            raise broken("The reply is longer than there is room for.")
        self._stop_sending(stream)
        stream.message = payload
        stream.length = header.extra
        stream.phase = Phase.FETCHING
        if not header.extra:
            self._replied(header.stream, stream)
        elif stream.into is not None:
            stream.body = stream.into[: header.extra]
        else:
            stream.body = self._bodies.take(header.extra)

    def _requested(self, number: int, stream: Stream) -> Requested:
        stream.phase = Phase.HANDLING
        body, stream.body = stream.body, EMPTY
        return Requested(number, stream.message, body, stream.room)

    def _replied(self, number: int, stream: Stream) -> None:
        del self._streams[number]
        self._events.append(Replied(number, stream.message, stream.body))

    def _give_eager_back(self, sending: Sending) -> None:
        self._eager_left += sending.eager_used
        sending.eager_used = 0
        self._ready += self._blocked
        self._blocked.clear()

    def _stop_sending(self, stream: Stream) -> None:
        sending, stream.sending = stream.sending, None
        if sending is None:
            return
        for waiting in (self._ready, self._blocked):
            if sending in waiting:
                waiting.remove(sending)
        if self._client:
            self._give_eager_back(sending)

    def _open_window(self, number: int, stream: Stream) -> None:
        """Lets the rest of a body come: without a word where the eager bytes are surely enough for it."""
        if not self._deferred and self._quiet + stream.length <= self.limits.eager:
            stream.quiet = True
            self._quiet += stream.length
        else:
            self._control.append(pack_header(Kind.WINDOW, 0, number, stream.length))

    def _forget_quiet(self, stream: Stream) -> None:
        if stream.quiet:
            stream.quiet = False
            self._quiet -= stream.length

    def _filling(self, stream: Stream) -> bool:
        """Whether the frame that is just arriving is a piece of this stream's body."""
        return self._target_of is not None and self._target_of[1] is stream

    def _end_stream(self, number: int, stream: Stream) -> None:
        """Forgets a stream, whatever its phase."""
        del self._streams[number]
        self._deferred.pop(number, None)
        self._stop_sending(stream)
        self._drop_body(stream)

    def _drop_body(self, stream: Stream) -> None:
        """Gives back the memory of an unfinished body; what still comes of it is thrown away."""
        self._forget_quiet(stream)
        if self._filling(stream):
            self._sink_left = len(self._target or b"")
            self._target = self._target_of = None
        if stream.phase is Phase.TAKING:
            if not stream.admitted:
                self._eager_left += stream.received
            if stream.length:
                self._bodies.give(stream.body)
        elif stream.phase is Phase.FETCHING and stream.into is None:
            self._bodies.give(stream.body)
        stream.body = EMPTY

    _takers: ClassVar[dict[Kind, Callable[[Session, frames.Header, Stream | None, Buffer], None]]] = {
        Kind.HELLO: _take_hello,
        Kind.PROOF: _take_proof,
        Kind.REQUEST: _take_request,
        Kind.REPLY: _take_reply,
        Kind.WINDOW: _take_window,
        Kind.CANCEL: _take_cancel,
        Kind.PING: _take_ping,
        Kind.PONG: _take_pong,
        Kind.GOAWAY: _take_goaway,
    }
    """Who takes which frame, once the tables have let it through. BODY has its own way."""
