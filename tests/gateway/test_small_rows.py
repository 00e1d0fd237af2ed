"""Rows of small objects and of packs, on both databases: one place for each object, whoever is faster."""

from __future__ import annotations

from sqlalchemy import Connection

from holdfast.files import smalls
from holdfast.files.records import Content
from holdfast.files.small_rows import Pack
from holdfast.files.smalls import Smalls
from holdfast.files.stores import store_references
from holdfast.files.tending import packs
from holdfast.files.tending.packs import Place
from holdfast.world.database import Database
from holdfast.world.simulated.clock import SimulatedClock

NOW = 1_750_000_000_000_000


def add(connection: Connection, sealed: bytes, storage_class: str = "standard", now: int = NOW) -> int:
    return smalls.add(connection, sealed, length=len(sealed) - 17, storage_class=storage_class, now=now)


def content(stream: int, size: int) -> Content:
    return Content(
        size, "crc64nvme:0123456789abcdef", "standard", 10, 14, 12, 1 << 20, 1, "gateway", b"id", b"wrapped",
        b"closing", stream,
    )  # fmt: skip


async def pack(database: Database, stream: int, *places: tuple[int, int, int | None]) -> Pack | None:
    return await database.transact(
        packs.add, "t-packs", f"pack-{stream}", content(stream, 1000), [Place(*one) for one in places], NOW
    )


def rooms(database: Database) -> Smalls:
    return Smalls(database, SimulatedClock(lambda: 0.0))


async def test_sealed_bytes_lie_in_their_row_until_a_pack_has_them(database: Database) -> None:
    kept = rooms(database)
    numbers = [await database.transact(add, bytes([n]) * (20 + n)) for n in range(3)]
    for n, number in enumerate(numbers):
        found = await kept.find(number)
        assert found is not None
        assert (found.small.sealed, found.small.length, found.pack) == (bytes([n]) * (20 + n), 3 + n, None)
    made = await pack(database, 7, (numbers[0], 0, None), (numbers[2], 20, None))
    found = await kept.find(numbers[2])
    assert found is not None
    assert (found.small.sealed, found.small.pack, found.small.pack_offset) == (None, 7, 20)
    assert found.pack == made
    assert await kept.unpacked("standard", 10) == [(numbers[1], 21)]
    assert [small.id for small in await kept.numbered([*numbers, 999])] == numbers


async def test_what_waits_is_told_by_class_with_its_oldest(database: Database) -> None:
    kept = rooms(database)
    assert await kept.waiting() == []
    for storage_class, now in (("wide", 30), ("standard", 20), ("standard", 10)):
        await database.transact(add, b"x" * 50, storage_class, now)
    # The first to come is the oldest, whatever a clock says.
    assert await kept.waiting() == [("standard", 100, 20), ("wide", 50, 30)]


async def test_of_two_packs_of_the_same_objects_the_first_has_them(database: Database) -> None:
    kept = rooms(database)
    number = await database.transact(add, b"x" * 50)
    assert await pack(database, 7, (number, 0, None)) is not None
    assert await pack(database, 8, (number, 0, None)) is None
    assert await pack(database, 9, (number, 0, 8)) is None
    assert await pack(database, 10, (number, 5, 7)) is not None
    found = await kept.find(number)
    assert found is not None
    assert (found.small.pack, found.small.pack_offset) == (10, 5)
    # What was written in vain is taken away again.
    assert await database.read(store_references.doomed_streams, 10) == [8, 9]


async def test_an_object_that_went_while_it_was_packed_is_in_no_pack(database: Database) -> None:
    kept = rooms(database)
    gone, stays = [await database.transact(add, b"x" * 50) for _ in range(2)]
    await database.transact(smalls.remove, gone)
    assert await pack(database, 7, (gone, 0, None), (stays, 50, None)) is not None
    assert await kept.find(gone) is None
    [use] = await kept.uses(0, 10)
    assert (use.smalls, use.live_bytes) == (1, 50)
    assert [small.id for small in await kept.living_in(7)] == [stays]


async def test_a_pack_is_taken_away_only_when_nothing_lives_in_it(database: Database) -> None:
    kept = rooms(database)
    number = await database.transact(add, b"x" * 50)
    await pack(database, 7, (number, 0, None))
    assert await database.read(store_references.classes_of, [7, 8]) == {7: "standard"}
    assert not await database.transact(packs.take_away, 7, NOW)
    await database.transact(smalls.remove, number)
    [use] = await kept.uses(0, 10)
    assert (use.smalls, use.live_bytes) == (0, 0)
    assert await database.transact(packs.take_away, 7, NOW)
    assert not await database.transact(packs.take_away, 7, NOW)
    assert await database.read(store_references.doomed_streams, 10) == [7]
    assert await kept.uses(0, 10) == []


async def test_packs_are_paged_in_the_order_of_their_streams(database: Database) -> None:
    kept = rooms(database)
    for stream in (30, 10, 20):
        number = await database.transact(add, b"x" * 50)
        await pack(database, stream, (number, 0, None))
    assert [use.pack.stream for use in await kept.uses(0, 2)] == [10, 20]
    assert [use.pack.stream for use in await kept.uses(20, 2)] == [30]
