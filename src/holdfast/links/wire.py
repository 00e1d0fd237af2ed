"""A session on a byte stream: what both ends of a node connection share.

The transport's write buffer is kept at nothing: as soon as the system takes no more, nothing is handed to it
until all of it has gone. So a small message never waits behind a queue of ours, memory stays bounded, and
"not paused" means that every byte handed over has left and its buffer may be used again.
"""

from __future__ import annotations

import abc
import asyncio
from typing import Final, cast

from holdfast.protocol.session import Session
from holdfast.protocol.states import Event
from holdfast.world.errors import Failure

BURST_BYTES: Final = 1 << 20
"""How much is handed to the transport at a time."""


class Wire(asyncio.BufferedProtocol, abc.ABC):
    """Moves bytes between a session and a transport; a subclass takes the events."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.bytes_in = 0
        self.bytes_out = 0
        """Bytes handed to the transport."""
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._scheduled = False

    # What a subclass does.

    @abc.abstractmethod
    def take(self, event: Event) -> None:
        """Acts on one event."""

    @abc.abstractmethod
    def sent(self, streams: list[int]) -> None:
        """The replies of these streams have left for good, with their bodies."""

    @abc.abstractmethod
    def ended(self, reason: Exception | None) -> None:
        """The connection is gone, and the session closed."""

    # What both ends ask for.

    @property
    def remote(self) -> tuple[str, int] | None:
        """Host and port that the stream really leads to; None where streams have no such thing."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None

    def schedule(self) -> None:
        """Sends what the session has to send, in this turn of the loop."""
        if not self._scheduled and not self._paused:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def fail(self, failure: Failure) -> None:
        """Says why, as far as that still goes through, and hangs up."""
        self.session.leave(failure.code, failure.message)
        self._flush()
        self.hang_up()

    def hang_up(self) -> None:
        """Closes the connection after what was handed over."""
        self.session.close()
        # asyncio's TLS transports of Python 3.11 cannot be aborted any more once they were closed twice.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """Drops the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes handed to the transport that the system has not taken."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # TLS transports take a high-water mark of 0 for "always full"; they copy what they are given anyway.
        encrypted = self._transport.get_extra_info("ssl_object") is not None
        self._transport.set_write_buffer_limits(high=1 if encrypted else 0, low=0)
        self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go: mostly the body itself."""
        del sizehint
        return self.session.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Takes what has arrived."""
        self.bytes_in += nbytes
        try:
            for event in self.session.received(nbytes):
                self.take(event)
        except Failure as failure:
            self.broken(failure)
        else:
            if self.session.has_output:
                self.schedule()

    def broken(self, failure: Failure) -> None:
        """The other side does not follow the protocol."""
        self.fail(failure)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def eof_received(self) -> None:
        """The other side has finished: so have we."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.session.close()
        self.ended(exc)

    def _flush(self) -> None:
        self._scheduled = False
        session, transport = self.session, self._transport
        if transport is None or self.lost:
            return
        while not self._paused:
            if session.finished:
                finished, session.finished = session.finished, []
                self.sent(finished)
            if not session.has_output or transport.is_closing():
                return
            parts = session.pull(BURST_BYTES)
            if parts:
                self.bytes_out += sum(map(len, parts))
                transport.writelines(parts)
