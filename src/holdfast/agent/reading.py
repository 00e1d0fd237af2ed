"""Reading one shard out of its volume, whole or in part. The shelf lends the files.

All calls block, but for `fetch_at_hand`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.agent import record
from holdfast.agent.index import Place
from holdfast.agent.record import HEAD_BYTES, Header, Kind
from holdfast.agent.shelf import Shelf
from holdfast.agent.volume import content_is_good, read_header
from holdfast.world.disk import DiskFile
from holdfast.world.errors import Trouble


class Stat(NamedTuple):
    """The facts of a stored shard; `written` in microseconds since the epoch."""

    shard_id: bytes
    root: bytes
    meta_length: int
    body_length: int
    written: int


class Held(NamedTuple):
    """A stored shard: what stands beside it, and the bytes of its body from `offset` on."""

    shard_id: bytes
    root: bytes
    meta: memoryview
    body_length: int
    offset: int
    body: memoryview


@dataclass(slots=True)
class Scrubbed:
    """What a page of scrubbing found. `last`: where to go on, None when there was nothing left."""

    last: bytes | None = None
    checked: int = 0
    checked_bytes: int = 0
    lost: list[bytes] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)


def look(shelf: Shelf, shard_id: bytes, place: Place) -> Stat | None:
    """The facts of the record; None if it is damaged beyond its tail. Raises GoneError."""
    with shelf.lend(place.volume) as file:
        header = read_header(file, place.offset, place.record_bytes, shelf.key(place.volume))
    if header is None or not _is_it(header, shard_id, place):
        return None
    return Stat(shard_id, header.root, header.meta_length, header.body_length, header.written)


def fetch(
    shelf: Shelf, shard_id: bytes, place: Place, start: int, stop: int, into: memoryview | None
) -> Held | None:
    """Meta and body bytes [start, stop); None if the record is damaged beyond its tail. Raises GoneError."""
    key = shelf.key(place.volume)
    begin = HEAD_BYTES + place.meta_length
    with shelf.lend(place.volume) as file:
        if into is None and start == 0:
            whole = memoryview(bytearray(begin + stop))
            beside, body = whole[:begin], whole[begin:]
            _read_all(file, place.offset, whole)
        else:
            beside = memoryview(bytearray(begin))
            body = memoryview(bytearray(stop - start)) if into is None else into[: stop - start]
            _read_all(file, place.offset, beside)
            _read_all(file, place.offset + begin + start, body)
        header = record.decode_head(beside, key)
        if header is None:
            header = read_header(file, place.offset, place.record_bytes, key)
    if header is None or not _is_it(header, shard_id, place):
        return None
    return Held(shard_id, header.root, beside[HEAD_BYTES:], place.body_length, start, body)


def fetch_at_hand(
    shelf: Shelf, shard_id: bytes, place: Place, start: int, stop: int, into: memoryview
) -> Held | None:
    """What `fetch` returns if it can be had without waiting; None otherwise. Raises GoneError."""
    key = shelf.key(place.volume)
    file = shelf.hold_at_once(place.volume)
    if file is None:
        return None
    begin = HEAD_BYTES + place.meta_length
    beside, body = memoryview(bytearray(begin)), into[: stop - start]
    try:
        if file.read_at_hand(place.offset, beside) < begin:
            return None
        if file.read_at_hand(place.offset + begin + start, body) < len(body):
            return None
    finally:
        shelf.release(place.volume, file)
    header = record.decode_head(beside, key)
    if header is None or not _is_it(header, shard_id, place):
        return None
    return Held(shard_id, header.root, beside[HEAD_BYTES:], place.body_length, start, body)


def check_content(shelf: Shelf, shard_id: bytes, place: Place) -> str | None:
    """What is wrong with the record; None if all of it is as it was written. Raises GoneError."""
    with shelf.lend(place.volume) as file:
        header = read_header(file, place.offset, place.record_bytes, shelf.key(place.volume))
        if header is None or not _is_it(header, shard_id, place):
            return "head and tail of its record are damaged"
        if not content_is_good(file, place.offset, header):
            return "the body does not match its checksum"
    return None


def _is_it(header: Header, shard_id: bytes, place: Place) -> bool:
    return (header.kind, header.shard_id, header.sequence, header.meta_length, header.body_length) == (
        Kind.PUT,
        shard_id,
        place.sequence,
        place.meta_length,
        place.body_length,
    )


def _read_all(file: DiskFile, offset: int, into: memoryview) -> None:
    if file.read_into(offset, into) != len(into):
        raise Trouble("disk.failed", "A volume of the vault ends before a shard in it.", retry=False)
