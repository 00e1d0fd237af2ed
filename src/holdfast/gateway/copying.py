"""Copies: shared where class and keys allow it, else read and sealed again.

The law: a copy that shares a stream has an envelope and a closing of its own, made under its own name and
wrapped for its own tenant; the stream stays as long as anything refers to it. Nothing sealed by a customer's
key is shared, and nothing small is: it costs as much to share as to seal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from string import hexdigits
from typing import TypeVar

from holdfast.chunks import checksum, keys
from holdfast.chunks.metadata import NONCE_BYTES, Closing
from holdfast.files.records import Bucket, Content, Multipart, NewPart, NewVersion, Part, Piece, Version
from holdfast.gateway.body import PiecesBody
from holdfast.gateway.digests import base64_of, parse
from holdfast.gateway.keeping import Keeper, with_checksum
from holdfast.gateway.kit import Kit
from holdfast.gateway.reading import Reader, Span
from holdfast.gateway.whereabouts import Whereabouts
from holdfast.gateway.wish import PutWish
from holdfast.gateway.writing import Finish, Target, Writer
from holdfast.protocol.nouns import ClassInfo
from holdfast.world.errors import Refusal, Trouble

T = TypeVar("T")

REWRITTEN = PutWish(etag="opaque")
"""Nothing is computed of bytes that are only moved."""
IDS_AT_A_TIME = 10_000
MD5_DIGITS = 32
MOVES_MAX = 3
"""How often the bytes of a source may be moved while it is copied."""


class Copier:
    """Copies of versions and of ranges of them."""

    def __init__(
        self, kit: Kit, reader: Reader, writer: Writer, whereabouts: Whereabouts, keeper: Keeper
    ) -> None:
        self._kit = kit
        self._reader = reader
        self._writer = writer
        self._whereabouts = whereabouts
        self._keeper = keeper

    async def copy(
        self, source: Version, bucket: Bucket, key: str, wish: PutWish, source_key: bytes | None
    ) -> Version:
        """As `Gateway.copy` says."""
        return await self._from(source, lambda version: self._copy(version, bucket, key, wish, source_key))

    async def _from(self, source: Version, work: Callable[[Version], Awaitable[T]]) -> T:
        """Works on a version, and again where its bytes are if they were moved meanwhile."""
        for _ in range(MOVES_MAX):
            try:
                return await work(source)
            except Refusal as refusal:
                if not refusal.facts.get("moved"):
                    raise
                source = await self._whereabouts.again(source)
        return await work(source)

    async def _copy(
        self, source: Version, bucket: Bucket, key: str, wish: PutWish, source_key: bytes | None
    ) -> Version:
        target = Target(bucket.tenant, bucket.name, key, wish.storage_class or bucket.storage_class)
        spans = await self._whereabouts.spans(source, 0, source.size)
        known = _known_digests(source, spans)
        chosen = self._kit.places.storage_class(target.storage_class)
        ours = source_key is None and wish.customer_key is None and _sharable(spans, chosen)
        if ours and wish.algorithms - {"MD5"} <= known.keys() and not wish.expected:
            return await self._share(source, spans, target, bucket, wish, known)
        finish = partial(self._keeper.add, bucket, key, wish)
        return await self._seal_again(spans, source.size, target, wish, finish, source_key)

    async def copy_part(
        self,
        multipart: Multipart,
        number: int,
        source: Version,
        span: tuple[int, int],
        wish: PutWish,
        source_key: bytes | None,
    ) -> Part:
        """As `Gateway.copy_part` says."""
        return await self._from(
            source, lambda version: self._copy_part(multipart, number, version, span, wish, source_key)
        )

    async def _copy_part(
        self,
        multipart: Multipart,
        number: int,
        source: Version,
        span: tuple[int, int],
        wish: PutWish,
        source_key: bytes | None,
    ) -> Part:
        start, stop = span
        target = Target(
            multipart.tenant,
            await self._whereabouts.bucket_name(multipart.bucket_id),
            multipart.name,
            wish.storage_class or multipart.storage_class,
        )
        spans = await self._whereabouts.spans(source, start, stop)
        chosen = self._kit.places.storage_class(target.storage_class)
        whole = (start, stop) == (0, source.size) and not source.part_count and is_md5(source.etag)
        if whole and source_key is None and wish.customer_key is None and _sharable(spans, chosen):
            known = _known_digests(source, spans)
            if wish.algorithms - {"MD5"} <= known.keys() and not wish.expected and wish.etag == "md5":
                new = NewPart(
                    number=number,
                    etag=source.etag,
                    content=await self._shared(spans[0], target),
                    checksum_value=base64_of(known[wish.checksum or "CRC64NVME"]),
                    copied_from=source.id,
                )
                return await self._keeper.multiparts.put_part(multipart, number, new)
        finish = partial(self._keeper.add_part, multipart, number, wish)
        return await self._seal_again(spans, stop - start, target, wish, finish, source_key)

    async def rewrite(self, version: Version, storage_class: str) -> Version:
        """As `Gateway.rewrite` says."""
        spans = await self._whereabouts.spans(version, 0, version.size)
        if not spans or any(span.content.envelope_mode != "gateway" for span in spans):
            return version
        target = Target(
            version.tenant,
            await self._whereabouts.bucket_name(version.bucket_id),
            version.name,
            storage_class,
        )
        finish = partial(self._keeper.exchange, version)
        return await self._seal_again(spans, version.size, target, REWRITTEN, finish, None)

    async def _seal_again(
        self,
        spans: Sequence[Span],
        size: int,
        target: Target,
        wish: PutWish,
        finish: Finish[T],
        source_key: bytes | None,
    ) -> T:
        async with aclosing(self._reader.pieces(spans, source_key)) as pieces:
            return await self._writer.write(target, PiecesBody(pieces, size), wish, finish)

    async def _share(
        self,
        source: Version,
        spans: Sequence[Span],
        target: Target,
        bucket: Bucket,
        wish: PutWish,
        known: Mapping[str, bytes],
    ) -> Version:
        """A version that refers to the streams of another."""
        contents = [await self._shared(span, target) for span in spans]
        pieces: list[Piece] = []
        content = contents[0]
        if source.part_count:
            offset = 0
            for position, each in enumerate(contents):
                pieces.append(Piece(0, position + 1, offset, "", "", *each))
                offset += each.size
            content = source.content._replace(storage_class=target.storage_class)
        new = NewVersion(
            content=content,
            attributes=with_checksum(wish, known),
            etag=source.etag if wish.etag == "md5" else "",
            event=wish.event,
            who=wish.who,
            pieces=pieces,
            copied_from=source.id,
        )
        return await self._keeper.histories.add(bucket, target.key, new, wish.conditions)

    async def _shared(self, span: Span, target: Target) -> Content:
        """The content under another name: the same stream, with an envelope and a closing of its own."""
        kit, content = self._kit, span.content
        assert content.stream is not None, "only streams are shared"
        data_key = await kit.keyring.data_key(span.tenant, content.envelope)
        ids: list[bytes] = []
        while len(ids) < content.chunk_count:
            page = await kit.streams.chunk_ids(content.stream, len(ids), IDS_AT_A_TIME)
            if not page:
                raise Trouble("metadata.forged", "Chunks of the object are missing.", retry=False)
            ids += page
        crc = checksum.parse(content.checksum)
        bucket, _, name = span.name.partition("/")
        before = keys.Whole(bucket, name, content.size, b"".join(ids), crc)
        keys.check_closing(Closing(sealed=content.closing), before, data_key=data_key)
        after = before._replace(bucket=target.bucket, key=target.key)
        closing = keys.close(data_key, after, nonce=kit.chance.bytes(NONCE_BYTES))
        key = await kit.keyring.to_seal(target.tenant)
        envelope = keys.new_envelope(key, data_key, kit.chance.bytes(NONCE_BYTES))
        return content._replace(
            envelope_mode=envelope.mode,
            envelope_key_id=envelope.key_id,
            envelope_wrapped=envelope.wrapped,
            closing=closing.sealed,
            sealed_as="",
        )


def is_md5(etag: str) -> bool:
    """Whether an ETag is the MD5 of the object's bytes."""
    return len(etag) == MD5_DIGITS and all(digit in hexdigits for digit in etag)


def _sharable(spans: Sequence[Span], chosen: ClassInfo) -> bool:
    """Whether all of it lies in streams that are as the class wants them, under keys that we hold."""
    redundancy = chosen.redundancy
    return bool(spans) and all(
        span.content.stream is not None
        and span.content.envelope_mode == "gateway"
        and span.content.storage_class == chosen.class_name
        and span.content.redundancy == redundancy
        for span in spans
    )


def _known_digests(source: Version, spans: Sequence[Span]) -> dict[str, bytes]:
    """Digests of the whole source that need no reading of it."""
    shown = source.parsed
    found: dict[str, bytes] = {}
    if shown.checksum_type == "FULL_OBJECT" and (value := parse(shown.checksum_value)):
        found[shown.checksum_algorithm] = value
    if spans and all(span.content.checksum for span in spans):
        crc = 0
        for span in spans:
            crc = checksum.combine(crc, checksum.parse(span.content.checksum), span.content.size)
        found["CRC64NVME"] = crc.to_bytes(8, "big")
    return found
