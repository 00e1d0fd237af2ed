"""The coordinator's operations without a wire: what the SDK's upload and download call here.

An upload of the gateway ends differently from a client's: its commit carries conditions, attributes and
digests, and becomes a version, a part or a pack. So `UploadCommit` goes to whoever began the upload. A
download is of a stream, whichever version, part or pack that belongs to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from holdfast.client.patience import PatientControl
from holdfast.files.operations import Handler
from holdfast.files.streams import Streams
from holdfast.protocol.control import (
    ChunkIds,
    Done,
    Operation,
    ReadChunkIds,
    ReadPlan,
    ReadPlans,
    ShardReport,
    UploadCommit,
)
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock

Finish = Callable[[UploadCommit], Awaitable[Any]]
"""Makes a stream what it was written for; raises what that refuses. Receipts come with the request."""


class _Direct:
    """The files room's handlers, for one tenant."""

    def __init__(self, handlers: Mapping[type[Operation], Handler], tenant: str) -> None:
        self._handlers = handlers
        self._tenant = tenant

    async def call(self, request: Operation) -> Any:
        return await self._handlers[type(request)](self._tenant, request)

    async def close(self) -> None:
        pass


class UploadControl:
    """The Control of one upload."""

    def __init__(
        self,
        handlers: Mapping[type[Operation], Handler],
        tenant: str,
        finish: Finish,
        *,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._patient = PatientControl(_Direct(handlers, tenant), clock=clock, chance=chance)
        self._finish = finish

    async def call(self, request: Operation) -> Any:
        """The operation's reply. A commit is asked for once: only its maker can tell whether it happened."""
        if isinstance(request, UploadCommit):
            return await self._finish(request)
        return await self._patient.call(request)

    async def close(self) -> None:
        """There is nothing to give back."""


class StreamControl:
    """The Control of one download."""

    def __init__(self, streams: Streams, stream: int, account: str) -> None:
        self._streams = streams
        self._stream = stream
        self._account = account

    async def call(self, request: Operation) -> Any:
        """The operation's reply, about this stream whatever the request names."""
        if isinstance(request, ReadPlan):
            chunks = await self._streams.sources(
                self._stream,
                request.first,
                request.count,
                account=self._account,
                session_key=request.session_key,
            )
            return ReadPlans(chunks=chunks)
        if isinstance(request, ReadChunkIds):
            ids = await self._streams.chunk_ids(self._stream, request.first, request.limit)
            more = len(ids) == request.limit
            return ChunkIds(ids=b"".join(ids), after=request.first + len(ids) if more else None)
        assert isinstance(request, ShardReport), "that is all a download says"
        await self._streams.report(self._stream, request)
        return Done()

    async def close(self) -> None:
        """There is nothing to give back."""
