"""Small objects: sealed bytes in the metadata store, or their place in a pack.

The law: a small object's bytes are in exactly one place, its own row or one pack, and are there from the
transaction that adds its version until the one that forgets it. A pack is made known and its smalls pointed
to it in one transaction; a pack in which nothing lives has no row, and its stream is doomed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.files.small_rows import Pack, Small
from holdfast.files.stores import store_smalls
from holdfast.world.clock import Clock
from holdfast.world.database import Database


class Kept(NamedTuple):
    """A small object, and the pack that holds its bytes where the row does not."""

    small: Small
    pack: Pack | None


class Waiting(NamedTuple):
    """What of a storage class lies unpacked: bytes, and since when the oldest (microseconds)."""

    storage_class: str
    sealed_bytes: int
    oldest: int


class PackUse(NamedTuple):
    """A pack, and what of it is still alive."""

    pack: Pack
    smalls: int
    live_bytes: int


def add(connection: Connection, sealed: bytes, *, length: int, storage_class: str, now: int) -> int:
    """Keeps sealed bytes in the transaction of the version or part that owns them; their number."""
    return store_smalls.add_small(connection, sealed, length=length, storage_class=storage_class, created=now)


def remove(connection: Connection, small: int) -> None:
    """Frees the bytes, or their place in a pack, in the transaction that forgets their last owner."""
    store_smalls.remove_small(connection, small)


def find(connection: Connection, small: int) -> Kept | None:
    """The bytes or where they are, on one snapshot."""
    found = store_smalls.small_by_id(connection, small)
    if found is None:
        return None
    return Kept(found, None if found.pack is None else store_smalls.pack_of(connection, found.pack))


def waiting(connection: Connection) -> list[Waiting]:
    """Every storage class of which something lies unpacked."""
    return [Waiting(*row) for row in store_smalls.classes_waiting(connection)]


def uses(connection: Connection, after: int, limit: int) -> list[PackUse]:
    """A page of packs with what lives in them."""
    found = store_smalls.packs_after(connection, after, limit)
    live = store_smalls.live_in(connection, [pack.stream for pack in found])
    return [PackUse(pack, *live.get(pack.stream, (0, 0))) for pack in found]


class Smalls:
    """What the gateway and the pass that packs read and change."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, small: int) -> Kept | None:
        """The bytes, or the pack that holds them; None if the version that owned them is forgotten."""
        return await self._database.peek(find, small)

    async def waiting(self) -> list[Waiting]:
        """Every storage class of which something lies unpacked, by name."""
        return await self._database.read(waiting)

    async def unpacked(self, storage_class: str, limit: int) -> list[tuple[int, int]]:
        """(number, sealed length) of those of a class that no pack holds, oldest first."""
        return await self._database.read(store_smalls.unpacked, storage_class, limit)

    async def numbered(self, numbers: Sequence[int]) -> list[Small]:
        """Those of these numbers that are still there, in order, with the bytes of those in no pack."""
        return await self._database.read(store_smalls.smalls_numbered, numbers)

    async def uses(self, after: int, limit: int) -> list[PackUse]:
        """A page of packs after a stream, in the order of streams, with what lives in them."""
        return await self._database.read(uses, after, limit)

    async def living_in(self, pack: int) -> list[Small]:
        """What lives in a pack, in the order in which it lies there."""
        return await self._database.read(store_smalls.smalls_in, pack)
