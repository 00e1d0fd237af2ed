"""Stored bytes on their way out: a small object, a place in a pack, a stream, or many pieces in order.

The law: a byte is handed on only after it was found good; a range reads what it needs and little more. What
comes next is fetched while what came is sent, also across the borders of pieces, as far as memory allows.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import NamedTuple

from holdfast.client.download import Download
from holdfast.client.version import AT_ONCE_MAX
from holdfast.client.version import Version as OpenVersion
from holdfast.files.records import Content
from holdfast.files.small_rows import Pack
from holdfast.gateway import small
from holdfast.gateway.control import StreamControl
from holdfast.gateway.keyring import customers
from holdfast.gateway.kit import Kit
from holdfast.gateway.memory import READ_LEAST
from holdfast.gateway.pack_windows import PackWindows
from holdfast.protocol.control import ReadTicket
from holdfast.protocol.nouns import Closing, VersionInfo
from holdfast.world.errors import Refusal, Trouble

WINDOW = 4
"""Chunks of one download under way at a time, if memory allows."""
PIECE_BYTES = 1 << 20
"""What is handed on at a time: whoever sends it holds a copy, for as long as its client is slow."""
AHEAD_BYTES = 32 << 20
AHEAD_PIECES = 4
"""How much of the following pieces is begun while one is sent."""
PACKS_OPEN = 256
"""Packs kept ready to be read."""
SMALL_TRIES = 3


class Span(NamedTuple):
    """Bytes [start, stop) of a content, and whose and under which name it is sealed."""

    content: Content
    tenant: str
    name: str
    start: int
    stop: int


class Reader:
    """Reads contents; knows nothing of versions."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._packs: OrderedDict[int, OpenVersion] = OrderedDict()
        self.windows = PackWindows(self.of_pack)

    async def pieces(
        self, spans: Sequence[Span], customer_key: bytes | None = None
    ) -> AsyncGenerator[memoryview]:
        """The spans' bytes one after another; a piece is valid until the next."""
        if len(spans) == 1:
            # The common case: without the machinery of the others.
            async with aclosing(self._span(spans[0], customer_key)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        under_way: deque[_Begun] = deque()
        waiting = deque(spans)
        try:
            while under_way or waiting:
                while waiting and _room(under_way):
                    span = waiting.popleft()
                    under_way.append(_Begun(self._span(span, customer_key), span.stop - span.start))
                async with aclosing(under_way[0].pieces()) as pieces:
                    async for piece in pieces:
                        yield piece
                under_way.popleft()
        finally:
            for begun in under_way:
                await begun.stop()

    async def _span(self, span: Span, customer_key: bytes | None) -> AsyncGenerator[memoryview]:
        if span.start >= span.stop:
            return
        if span.content.small is not None:
            plain = await self.small(span, customer_key)
            yield memoryview(plain)[span.start : span.stop]
            return
        async with aclosing(self._stream(span, customer_key)) as pieces:
            async for piece in pieces:
                yield piece

    # --- streams -----------------------------------------------------------------------------------------

    async def _stream(self, span: Span, customer_key: bytes | None) -> AsyncGenerator[memoryview]:
        kit, content = self._kit, span.content
        wanted = min(span.stop - span.start, content.chunk_size)
        share = kit.budget.share(wanted, READ_LEAST)
        try:
            version = await self._open(span, customer_key)
            step = span.stop - span.start if share.size >= wanted else share.size
            try:
                download = Download(version)
                for start in range(span.start, span.stop, step):
                    stop = min(start + step, span.stop)
                    async with aclosing(download.pieces(start, stop)) as pieces:
                        async for piece in pieces:
                            for at in range(0, len(piece), PIECE_BYTES):
                                yield piece[at : at + PIECE_BYTES]
            finally:
                await version.close()
        finally:
            share.end()

    async def _open(self, span: Span, customer_key: bytes | None) -> OpenVersion:
        """The stream ready to be read: its closing checked against the names and chunks it is to have."""
        kit, content = self._kit, span.content
        assert content.stream is not None, "a content has a stream, a small object or nothing"
        data_key = await kit.keyring.data_key(span.tenant, content.envelope, customer_key)
        control = StreamControl(kit.streams, content.stream, span.tenant)
        key = await kit.keyring.to_seal(span.tenant) if customer_key is None else customers(customer_key)
        gear = kit.gear(control, key, kit.budget.reading, window=WINDOW)
        bucket, _, name = span.name.partition("/")
        chunks = []
        if content.chunk_count <= AT_ONCE_MAX:
            chunks = await kit.streams.sources(
                content.stream, 0, content.chunk_count, account=span.tenant, session_key=kit.session_public
            )
        ticket = ReadTicket(
            version=VersionInfo(
                bucket=bucket,
                key=name,
                version_id="",
                size=content.size,
                created=0,
                storage_class=content.storage_class,
                checksum=content.checksum,
                chunk_count=content.chunk_count,
            ),
            redundancy=content.redundancy,
            chunk_size=content.chunk_size,
            envelope=content.envelope,
            closing=Closing(sealed=content.closing),
            chunks=chunks,
        )
        version = OpenVersion(gear, ticket, data_key)
        await version.check(ticket, bucket, name)
        return version

    # --- small objects -----------------------------------------------------------------------------------

    async def small(self, span: Span, customer_key: bytes | None = None) -> bytes:
        """All plain bytes of a small object, wherever they lie."""
        content = span.content
        assert content.small is not None, "only what is small is read like this"
        data_key = await self._kit.keyring.data_key(span.tenant, content.envelope, customer_key)
        sealed = await self.sealed_small(content.small)
        plain = small.unseal(sealed, data_key, span.tenant, span.name)
        if len(plain) != content.size:
            raise Trouble("metadata.forged", "A small object has another size than was sealed.", retry=False)
        return plain

    async def sealed_small(self, number: int) -> bytes:
        """The sealed bytes; raises Refusal("object.unknown") once its version is forgotten."""
        for left in reversed(range(SMALL_TRIES)):
            kept = await self._kit.smalls.find(number)
            if kept is None:
                raise Refusal("object.unknown", "The object was removed while it was read.")
            if kept.small.sealed is not None:
                return bytes(kept.small.sealed)
            assert kept.small.pack_offset is not None, "what has no bytes lies in a pack"
            if kept.pack is None:
                raise Trouble(
                    "metadata.forged", "A small object names a pack that is not there.", retry=False
                )
            start = kept.small.pack_offset
            try:
                return await self.windows.read(kept.pack, start, start + kept.small.sealed_length)
            except Trouble:
                # The pack may have been compacted away meanwhile: then the object lies in another one.
                self._packs.pop(kept.pack.stream, None)
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def of_pack(self, pack: Pack, start: int, stop: int) -> bytes:
        """Sealed bytes [start, stop) of a pack, from its nodes."""
        into = bytearray(stop - start)
        done = 0
        version = await self._open_pack(pack)
        async with aclosing(Download(version).pieces(start, stop)) as pieces:
            async for piece in pieces:
                into[done : done + len(piece)] = piece
                done += len(piece)
        return bytes(into)

    async def _open_pack(self, pack: Pack) -> OpenVersion:
        """The pack ready to be read: kept, for its closing is checked and its nodes are asked for once."""
        found = self._packs.get(pack.stream)
        if found is None:
            span = Span(_content_of(pack), pack.tenant, pack_name(pack.name), 0, pack.size)
            found = self._packs[pack.stream] = await self._open(span, None)
            while len(self._packs) > PACKS_OPEN:
                self._packs.popitem(last=False)
        return found

    def forget(self) -> None:
        """Lets go of what was kept at hand."""
        self.windows.forget()
        self._packs.clear()


class _Begun:
    """A span whose first piece is fetched although it is not its turn yet."""

    def __init__(self, source: AsyncGenerator[memoryview], size: int) -> None:
        self.size = size
        self._source = source
        self._first = asyncio.ensure_future(anext(source, None))

    async def pieces(self) -> AsyncGenerator[memoryview]:
        first = await self._first
        if first is None:
            return
        yield first
        async for piece in self._source:
            yield piece

    async def stop(self) -> None:
        self._first.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._first
        await self._source.aclose()


def _room(under_way: Sequence[_Begun]) -> bool:
    """Whether one more piece may be begun."""
    if len(under_way) <= 1:
        return True
    return len(under_way) < AHEAD_PIECES and sum(begun.size for begun in under_way) < AHEAD_BYTES


def pack_name(name: str) -> str:
    """Under which name a pack is sealed: of no bucket."""
    return f"/{name}"


def _content_of(pack: Pack) -> Content:
    return Content(
        size=pack.size,
        checksum=pack.checksum,
        storage_class=pack.storage_class,
        k=pack.k,
        n=pack.n,
        repair_at=pack.repair_at,
        chunk_size=pack.chunk_size,
        chunk_count=pack.chunk_count,
        envelope_mode=pack.envelope_mode,
        envelope_key_id=pack.envelope_key_id,
        envelope_wrapped=pack.envelope_wrapped,
        closing=pack.closing,
        stream=pack.stream,
    )
