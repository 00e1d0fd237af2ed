"""The leanest HTTP client: requests made beforehand go out one after another on so many connections at once.

It looks at nothing of an answer but its status and its end, so it takes little of a processor beside any
server; what the servers take is read from their own processes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import NamedTuple, cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_NO_BODY = {204, 304}


class Outcome(NamedTuple):
    """How many were answered, in what time, how long each took, and which answers were no success."""

    answered: int
    seconds: float
    latencies: list[float]
    failures: dict[int, int]


class _Run:
    """One measurement; its connections draw from the same requests."""

    def __init__(self, heads: Iterator[bytes], body: bytes, *, heads_only: bool) -> None:
        self.heads = heads
        self.body = body
        self.heads_only = heads_only
        self.deadline = 0.0
        self.latencies: list[float] = []
        self.failures: dict[int, int] = {}


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._came = b""
        self._sent = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self._run.failures[0] = self._run.failures.get(0, 0) + 1
            self.ended.set_result(None)

    def send(self) -> None:
        """Sends the next request, or ends the connection when there is none or the time is over."""
        now = time.perf_counter()
        head = next(self._run.heads, None) if now < self._run.deadline else None
        if head is None:
            self.ended.set_result(None)
            self._transport.close()
            return
        self._came = b""
        self._sent = now
        if self._run.body:
            self._transport.writelines((head, self._run.body))
        else:
            self._transport.write(head)

    def data_received(self, data: bytes) -> None:
        self._came = came = self._came + data if self._came else data
        end = came.find(b"\r\n\r\n")
        if end < 0:
            return
        status = int(came[9:12])
        if not self._run.heads_only and status not in _NO_BODY and not self._whole(came, end):
            return
        self._run.latencies.append(time.perf_counter() - self._sent)
        if status >= 300:  # noqa: PLR2004 - whatever is no success
            self._run.failures[status] = self._run.failures.get(status, 0) + 1
        self.send()

    def _whole(self, came: bytes, end: int) -> bool:
        length = _LENGTH.search(came, 0, end)
        if length is not None:
            return len(came) >= end + 4 + int(length[1])
        return _CHUNKED.search(came, 0, end + 2) is None or came.endswith(b"\r\n0\r\n\r\n")


async def run(
    port: int, heads: Iterator[bytes], body: bytes, at_once: int, *, heads_only: bool, seconds: float
) -> Outcome:
    """Sends requests for so long, or until there are no more."""
    work = _Run(heads, body, heads_only=heads_only)
    loop = asyncio.get_running_loop()
    made = await asyncio.gather(
        *(loop.create_connection(lambda: _Connection(work), "127.0.0.1", port) for _ in range(at_once))
    )
    began = time.perf_counter()
    work.deadline = began + seconds
    for _, connection in made:
        connection.send()
    await asyncio.gather(*(connection.ended for _, connection in made))
    return Outcome(len(work.latencies), time.perf_counter() - began, work.latencies, work.failures)
