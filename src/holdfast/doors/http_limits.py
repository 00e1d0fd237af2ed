"""The server's HTTP with bounds: nobody may spend our memory before there is a request to judge.

The server itself reads a request's head, however long and however slowly it comes, before any application is
asked. Here heads have a length and a time, and so has whatever else is neither head nor body: extensions of
chunks, and trailers. What trailers of HTTP say is passed over: nothing signed them, and they came too late.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 << 10
HEAD_SECONDS = 60.0
"""From a connection's, or a further request's, first byte to the end of its head."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    head_seconds = HEAD_SECONDS
    _fruitless = 0
    """Bytes that came since a head was complete or a piece of a body came."""
    _in_head = True
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that says nothing ends like one that says it too slowly."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is waited for."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what came; refuses a head that is too long."""
        self._fruitless += len(data)
        super().data_received(data)
        if not self._in_head:
            self._stop_clock()
        elif self._clock is None:
            self._start_clock()
        if self._fruitless > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which is passed over."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head came whole."""
        self._in_head = False
        self._fruitless = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._fruitless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request came whole."""
        self._fruitless = 0
        super().on_message_complete()

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._clock = None
        if not self.transport.is_closing():
            self.transport.close()
