"""Packs: streams that many small objects share. Made known, read as others are, and taken away.

The law: a pack's row and the pointers to it come in one transaction, with the end of its upload; until then
the small objects lie where they lay. A pack in which nothing lives has no row, and its stream is doomed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.files.records import Content
from holdfast.files.small_rows import Pack
from holdfast.files.stores import store_references, store_smalls


class Place(NamedTuple):
    """Where a small object comes to lie; `before` is the pack that it lay in, if it did."""

    small: int
    offset: int
    before: int | None


def add(
    connection: Connection, tenant: str, name: str, content: Content, places: Sequence[Place], now: int
) -> Pack | None:
    """Makes a stream a pack, and has the small objects lie in it; None if none of them would.

    Then all of them have gone meanwhile, or another process was faster, and the stream is doomed.
    """
    pack = _pack(tenant, name, content, now)
    if store_smalls.point(connection, pack.stream, places):
        store_smalls.add_pack(connection, pack)
        return pack
    store_references.doom(connection, pack.stream, now)
    return None


def take_away(connection: Connection, stream: int, now: int) -> bool:
    """Forgets a pack in which nothing lives, and dooms its stream; False if something lives in it."""
    gone = store_smalls.forget_pack(connection, stream)
    if gone:
        store_references.doom(connection, stream, now)
    return gone


def _pack(tenant: str, name: str, content: Content, now: int) -> Pack:
    assert content.stream is not None, "a pack is a stream"
    return Pack(
        stream=content.stream,
        name=name,
        tenant=tenant,
        storage_class=content.storage_class,
        k=content.k,
        n=content.n,
        repair_at=content.repair_at,
        chunk_size=content.chunk_size,
        chunk_count=content.chunk_count,
        size=content.size,
        checksum=content.checksum,
        envelope_mode=content.envelope_mode,
        envelope_key_id=content.envelope_key_id,
        envelope_wrapped=content.envelope_wrapped,
        closing=content.closing,
        created=now,
    )
