"""Bodies on their way in: digested, sealed and kept, as a small object or as a stream.

The law: the digests that were announced are compared before anything is committed; a body that was cut, or
whose writer went away, leaves nothing. How the whole becomes a version, a part or a pack is the caller's
(`finish`): it runs when everything is stored, with the digests known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection

from holdfast.chunks import checksum, keys
from holdfast.chunks.metadata import KEY_BYTES, NONCE_BYTES
from holdfast.client.gear import Gear
from holdfast.client.upload import Begun, Upload, abort, begin
from holdfast.client.upload import Wish as UploadWish
from holdfast.files import smalls
from holdfast.files.records import Content
from holdfast.gateway import digests, small
from holdfast.gateway.body import Body, incomplete
from holdfast.gateway.control import UploadControl
from holdfast.gateway.digests import Digests
from holdfast.gateway.keyring import NOBODYS
from holdfast.gateway.kit import Kit
from holdfast.gateway.memory import WRITE_LEAST
from holdfast.gateway.small import SMALL_BYTES_MAX
from holdfast.gateway.wish import PutWish
from holdfast.protocol.control import UploadCommit
from holdfast.protocol.nouns import ClassInfo, Envelope
from holdfast.world.errors import Refusal

T = TypeVar("T")

WINDOW = 4
"""Chunks of one upload under way at a time, if memory allows."""
CHUNK_SIZE_LEAST = 64 << 10


class Target(NamedTuple):
    """Where something goes: whose it is, the names it is sealed under, its class."""

    tenant: str
    bucket: str
    key: str
    storage_class: str


class Written(NamedTuple):
    """What was written: digests by algorithm, where the bytes lie, and how to keep a small object's.

    `content` of a stream has no number yet: `commit` says which upload it becomes.
    """

    digests: Mapping[str, bytes]
    content: Content
    keep: Callable[[Connection], int] | None = None
    commit: UploadCommit | None = None


Finish = Callable[[Written], Awaitable[T]]


class Writer:
    """Writes bodies. `close` waits for what is still being cleaned away."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._cleaning: dict[asyncio.Task[None], None] = {}

    async def write(self, target: Target, body: Body, wish: PutWish, finish: Finish[T]) -> T:
        """Takes the body in and ends with what `finish` returns.

        Raises:
            Refusal: "digest.wrong", "request.incomplete", "fleet.too_small", "class.unknown", "key.wrong",
                and what `body` and `finish` raise.
            Trouble: "node.unreachable", "database.busy", ...
        """
        head = b""
        if body.size is None or body.size <= SMALL_BYTES_MAX:
            room = SMALL_BYTES_MAX + 1 if body.size is None else body.size
            buffer = bytearray(room)
            count = await body.fill(memoryview(buffer)) if room else 0
            if body.size is not None and count < body.size:
                raise incomplete(count, body.size)
            if count <= SMALL_BYTES_MAX:
                return await self._write_small(target, memoryview(buffer)[:count], body, wish, finish)
            head = bytes(buffer)
        return await _StreamWriting(self, self._kit, target, wish, finish).run(Source(body, head))

    async def reseal(self, target: Target, plain: memoryview, wish: PutWish, finish: Finish[T]) -> T:
        """Writes bytes at hand, at most SMALL_BYTES_MAX of them, as a small object."""
        return await self._small(target, plain, {}, wish, finish)

    async def _write_small(
        self, target: Target, plain: memoryview, body: Body, wish: PutWish, finish: Finish[T]
    ) -> T:
        trailer = await body.ended()
        return await self._small(target, plain, trailer, wish, finish)

    async def _small(
        self, target: Target, plain: memoryview, trailer: Mapping[str, str], wish: PutWish, finish: Finish[T]
    ) -> T:
        kit = self._kit
        crc = checksum.crc64(plain)
        taken = Digests(wish.algorithms | trailer.keys())
        taken.update(plain)
        found = taken.known(crc)
        digests.check(found, trailer)
        digests.check(found, wish.expected)
        chosen = usable_class(kit.places.storage_class(target.storage_class or None))
        content = _content(chosen, len(plain), checksum.text(crc))
        key = await kit.keyring.to_seal(target.tenant, wish.customer_key)
        if not len(plain):
            if wish.customer_key is not None:
                # What a reader's key is compared with.
                drawn = kit.chance.bytes(KEY_BYTES + NONCE_BYTES)
                content = _wrapped(content, keys.new_envelope(key, drawn[:KEY_BYTES], drawn[KEY_BYTES:]))
            return await finish(Written(found, content))
        drawn = kit.chance.bytes(KEY_BYTES + NONCE_BYTES)
        data_key = drawn[:KEY_BYTES]
        content = _wrapped(content, keys.new_envelope(key, data_key, drawn[KEY_BYTES:]))
        sealed = small.seal(plain, data_key, target.tenant, small.name_of(target.bucket, target.key))
        keep = partial(
            smalls.add,
            sealed=sealed,
            length=len(plain),
            storage_class=chosen.class_name,
            now=kit.clock.now(),
        )
        return await finish(Written(found, content, keep=keep))

    def clean(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Has something taken away, whoever stops waiting for it."""
        task = asyncio.ensure_future(work)
        self._cleaning[task] = None
        task.add_done_callback(lambda done: self._cleaning.pop(done, None))
        return task

    async def close(self) -> None:
        """Waits until everything is cleaned away."""
        while self._cleaning:
            await asyncio.wait(list(self._cleaning))


def usable_class(chosen: ClassInfo) -> ClassInfo:
    """Refuses a class that the fleet has too few nodes for: what is kept small now is to be spread later."""
    if not chosen.usable:
        raise Refusal(
            "fleet.too_small",
            f"The storage class '{chosen.class_name}' needs {chosen.missing_nodes} more nodes.",
            advice="Add nodes, or choose a storage class that needs fewer.",
            missing=chosen.missing_nodes,
        )
    return chosen


def _content(chosen: ClassInfo, size: int, crc: str) -> Content:
    redundancy = chosen.redundancy
    return Content(
        size, crc, chosen.class_name, redundancy.k, redundancy.n, redundancy.repair_at, chosen.chunk_size, 0,
        NOBODYS.mode, NOBODYS.key_id, NOBODYS.wrapped, b"",
    )  # fmt: skip


def _wrapped(content: Content, envelope: Envelope) -> Content:
    return content._replace(
        envelope_mode=envelope.mode, envelope_key_id=envelope.key_id, envelope_wrapped=envelope.wrapped
    )


class Source:
    """A body as the SDK's upload reads it, behind bytes of it that were read before."""

    def __init__(self, body: Body, head: bytes) -> None:
        self.size = body.size
        self.trailer: Mapping[str, str] = {}
        self._body = body
        self._head = memoryview(head)
        self._came = 0

    async def fill(self, into: memoryview) -> int:
        done = min(len(self._head), len(into))
        if done:
            into[:done] = self._head[:done]
            self._head = self._head[done:]
        if done < len(into):
            done += await self._body.fill(into[done:])
        self._came += done
        if done < len(into) and self.size is not None:
            raise incomplete(self._came, self.size)
        return done

    async def check(self) -> None:
        self.trailer = await self._body.ended()

    def close(self) -> None:
        self._head = memoryview(b"")


@dataclass(slots=True)
class _StreamWriting(Generic[T]):
    """One stream on its way. Use once."""

    writer: Writer
    kit: Kit
    target: Target
    wish: PutWish
    finish: Finish[T]

    async def run(self, source: Source) -> T:
        kit, wish = self.kit, self.wish
        chosen = kit.places.storage_class(self.target.storage_class or None)
        key = await kit.keyring.to_seal(self.target.tenant, wish.customer_key)
        full = chosen.chunk_size if source.size is None else min(chosen.chunk_size, source.size)
        share = kit.budget.share(full, WRITE_LEAST)
        taken = Digests(wish.algorithms)
        ending = _Ending(self, chosen, source, taken)
        control = UploadControl(
            kit.handlers, self.target.tenant, ending.commit, clock=kit.clock, chance=kit.chance
        )
        gear = kit.gear(control, key, kit.budget.writing, window=WINDOW)
        try:
            size = chosen.chunk_size if share.size >= full else max(share.size, CHUNK_SIZE_LEAST)
            ending.begun = begun = await begin(gear, self._asked(chosen, size), source.size)
            beside = partial(taken.feed, offload=kit.offload) if taken else None
            await self._move(Upload(gear, source, begun, beside=beside, tidy=True), gear, begun)
        finally:
            share.end()
        return ending.result[0]

    def _asked(self, chosen: ClassInfo, chunk_size: int) -> UploadWish:
        return UploadWish(
            bucket=self.target.bucket,
            key=self.target.key,
            storage_class=chosen.class_name,
            chunk_size=chunk_size,
        )

    async def _move(self, upload: Upload, gear: Gear, begun: Begun) -> None:
        """Runs the upload; whatever stops it, nothing of it is left."""
        try:
            await upload.run()
        except BaseException as error:
            cleaning = self.writer.clean(abort(gear, begun.ticket.upload_id))
            if not isinstance(error, asyncio.CancelledError):
                # Whoever was told that it failed finds nothing of it.
                await asyncio.shield(cleaning)
            raise


@dataclass(slots=True)
class _Ending(Generic[T]):
    """How a stream becomes what it was written for."""

    writing: _StreamWriting[T]
    chosen: ClassInfo
    source: Source
    taken: Digests
    begun: Begun | None = None
    result: list[T] = field(default_factory=list)

    async def commit(self, request: UploadCommit) -> None:
        """Compares the digests, and hands on what was stored."""
        assert self.begun is not None, "only what was begun is committed"
        found = self.taken.known(checksum.parse(request.checksum))
        digests.check(found, self.source.trailer)
        digests.check(found, self.writing.wish.expected)
        ticket, envelope = self.begun.ticket, self.begun.envelope
        assert envelope is not None, "it was begun here"
        content = _content(self.chosen, request.size, request.checksum)._replace(
            chunk_size=ticket.chunk_size, chunk_count=request.chunk_count, closing=request.closing.sealed
        )
        written = Written(found, _wrapped(content, envelope), commit=request)
        self.result.append(await self.writing.finish(written))
