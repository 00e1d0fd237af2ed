"""One simulated connection: two transports, and the bytes on their way between them.

As on uvloop, a buffer given to `write` must stay as it is until it was sent: it is copied when the road takes
it, not before, so a sender that reuses one too early sends wrong bytes here as it would there. Segments are
cut at chance, so that no message arrives in one piece by luck.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, cast

from holdfast.world.disk import Buffer
from holdfast.world.simulated.links import Lane

SEGMENT_MAX: Final = 64 << 10
WINDOW_MAX: Final = 256 << 10
"""Bytes sent that the receiver has not taken: what the kernels' buffers hold on a real connection."""

HIGH_WATER: Final = 64 << 10
WHOLE_SHARE: Final = 0.5
"""How often a segment is as long as it can be; otherwise chance cuts it."""

_END: Final = b""
_RESET: Final = None


class SimulatedTransport:
    """One end of a connection: all that asyncio.Transport promises.

    It does not inherit from it, as uvloop's transports don't: who asks isinstance() learns it here.
    """

    def __init__(self, lane: Lane, extra: dict[str, Any], protocol: asyncio.BaseProtocol) -> None:
        self._extra = extra
        self._loop = asyncio.get_running_loop()
        self._lane = lane
        self._protocol = protocol
        self._peer: SimulatedTransport | None = None
        # Sending.
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._in_flight = 0
        self._on_road: deque[bytes | None] = deque()
        self._last_arrival = 0.0
        self._low, self._high = HIGH_WATER // 4, HIGH_WATER
        self._writing_paused = False
        self._pumping = False
        self._end_wanted = False
        self._end_sent = False
        # Receiving.
        self._arrived: deque[memoryview] = deque()
        self._reading = True
        self._end_seen = False
        # Its life.
        self._closing = False
        self._lost = False
        self.silent = False
        """The machine is gone: nothing is called and nothing leaves any more."""

    def connect(self, peer: SimulatedTransport) -> None:
        """Makes `peer` the other end of this one."""
        self._peer = peer

    # --- what its protocol asks of it --------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._extra.get(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._hand_over)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        assert high >= low >= 0, "the high-water mark must not be below the low one"
        self._low, self._high = low, high
        self._mind_the_marks()

    def get_write_buffer_size(self) -> int:
        return self._unsent_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def write(self, data: Buffer) -> None:
        assert not self._end_wanted, "nothing can be written after write_eof"
        self._queue(data)
        self._mind_the_marks()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        assert not self._end_wanted, "nothing can be written after write_eof"
        for data in list_of_data:
            self._queue(data)
        self._mind_the_marks()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._end_wanted:
            self._end_wanted = True
            self._wake()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._end_wanted = True
            self._wake()

    def abort(self) -> None:
        self._fall(None)

    # --- sending -----------------------------------------------------------------------------------------

    def _queue(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        if self._lost or self.silent or not len(view):
            return
        self._unsent.append(view)
        self._unsent_bytes += len(view)
        self._wake()

    def _wake(self) -> None:
        if not self._pumping and not self._lost:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Sends what the window allows; at the end, says so."""
        self._pumping = False
        if self._lost or self.silent:
            return
        while self._unsent and self._has_room():
            self._send_segment()
        self._mind_the_marks()
        if not self._end_wanted or self._unsent:
            return
        if not self._end_sent:
            self._end_sent = True
            self._send(_END)
        if self._closing:
            if self._arrived:
                # What came and was not read will not be: the other end must not wait for room.
                self._send(_RESET)
            self._lose(None)

    def _has_room(self) -> bool:
        """Whether a whole segment fits in the window, or all that waits does.

        Filling smaller gaps would break a busy stream into ever smaller segments (RFC 1122, 4.2.3.4).
        """
        return WINDOW_MAX - self._in_flight >= min(SEGMENT_MAX, self._unsent_bytes)

    def _send_segment(self) -> None:
        first = self._unsent[0]
        room = min(len(first), SEGMENT_MAX, WINDOW_MAX - self._in_flight)
        count = room if self._lane.chance.happens(WHOLE_SHARE) else 1 + self._lane.chance.below(room)
        segment = bytes(first[:count])
        if count == len(first):
            self._unsent.popleft()
        else:
            self._unsent[0] = first[count:]
        self._unsent_bytes -= count
        self._in_flight += count
        if self._lane.chance.happens(self._lane.road.resets):
            self._reset_both()
        else:
            self._send(segment)

    def _send(self, segment: bytes | None) -> None:
        # Jitter must not let a later segment overtake an earlier one.
        arrival = self._lane.arrival(self._loop.time(), len(segment or _END))
        self._last_arrival = max(self._last_arrival, arrival)
        # The loop may run timers of one moment in any order, so what comes next is not the timer's to say.
        self._on_road.append(segment)
        self._loop.call_at(self._last_arrival, lambda: self._through(self._on_road.popleft()))

    def _through(self, segment: bytes | None) -> None:
        assert self._peer is not None, "bytes are sent on connections only"
        if self._lane.cut:
            self._lane.hold(lambda: self._through(segment))
        elif segment is _RESET:
            self._peer.arrive_reset()
        elif segment:
            self._peer.arrive(segment)
        else:
            self._peer.arrive_end()

    def taken(self, count: int) -> None:
        """The other end's protocol has taken `count` bytes."""
        self._in_flight -= count
        if self._unsent:
            self._wake()

    def _mind_the_marks(self) -> None:
        if self._lost or self.silent:
            return
        if not self._writing_paused and self._unsent_bytes > self._high:
            self._writing_paused = True
            self._protocol.pause_writing()
        elif self._writing_paused and self._unsent_bytes <= self._low:
            self._writing_paused = False
            self._protocol.resume_writing()

    # --- receiving ---------------------------------------------------------------------------------------

    def arrive(self, segment: bytes) -> None:
        """Bytes have come from the other end."""
        if self.silent:
            return
        if self._closing or self._lost:
            # Nobody will ever read this: the sender is told, as a kernel tells it.
            self._send(_RESET)
            return
        self._arrived.append(memoryview(segment))
        self._hand_over()

    def arrive_end(self) -> None:
        """The other end will send nothing more."""
        self._end_seen = True
        self._hand_over()

    def arrive_reset(self) -> None:
        """The other end is gone without a goodbye."""
        self._lose(ConnectionResetError("simulated: connection reset by peer"))

    def _hand_over(self) -> None:
        """Gives the protocol what has come, until it has enough."""
        while self._arrived and self._reading and not self._closing and not self.silent:
            segment = self._arrived.popleft()
            count = self._give(segment)
            if count < len(segment):
                self._arrived.appendleft(segment[count:])
            assert self._peer is not None, "bytes come on connections only"
            self._peer.taken(count)
        if self._end_seen and not self._arrived and self._reading and not self._closing and not self.silent:
            self._end_seen = False
            protocol = cast("asyncio.BufferedProtocol", self._protocol)
            if not protocol.eof_received():
                self.close()

    def _give(self, segment: memoryview) -> int:
        protocol = self._protocol
        if isinstance(protocol, asyncio.Protocol):
            protocol.data_received(bytes(segment))
            return len(segment)
        assert isinstance(protocol, asyncio.BufferedProtocol), "a stream's protocol takes bytes"
        into = memoryview(protocol.get_buffer(-1)).cast("B")
        assert len(into), "get_buffer() returned an empty buffer"
        count = min(len(into), len(segment))
        into[:count] = segment[:count]
        protocol.buffer_updated(count)
        return count

    # --- ending ------------------------------------------------------------------------------------------

    def _reset_both(self) -> None:
        self._send(_RESET)
        self._lose(ConnectionResetError("simulated: connection reset by the network"))

    def _fall(self, error: Exception | None) -> None:
        if not self._lost and not self.silent:
            self._send(_RESET)
            self._lose(error)

    def fail(self) -> None:
        """The network drops the connection: both ends are told, each after a while."""
        self._fall(ConnectionResetError("simulated: connection dropped"))

    def _lose(self, error: Exception | None) -> None:
        """Ends this end; its protocol hears of it soon."""
        if self._lost or self.silent:
            return
        self._lost = self._closing = True
        self._unsent.clear()
        self._arrived.clear()
        self._unsent_bytes = 0
        self._loop.call_soon(self._say_lost, error)

    def _say_lost(self, error: Exception | None) -> None:
        if not self.silent:
            self._protocol.connection_lost(error)

    @property
    def over(self) -> bool:
        """Whether this end has nothing more to do."""
        return self._lost or self.silent
