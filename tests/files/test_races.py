"""Many at once at one key: conditions hold, histories stay whole, nobody is turned away without need."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence

from tests.files.kept import Keeping, new

from holdfast.files.attributes import Attributes, Conditions
from holdfast.files.records import Bucket, Version
from holdfast.world.database import Database
from holdfast.world.errors import Refusal


async def outcomes(doings: Sequence[Awaitable[object]]) -> dict[str, int]:
    """How often each way it ended: "done", or a refusal's code."""
    counted: dict[str, int] = {}
    for outcome in await asyncio.gather(*doings, return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, Refusal):
            raise outcome
        code = outcome.code if isinstance(outcome, Refusal) else "done"
        counted[code] = counted.get(code, 0) + 1
    return counted


async def test_of_fifty_writers_that_require_the_key_to_be_absent_exactly_one_wins(
    database: Database,
) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket()
    absent = Conditions(if_none_match="*")
    for round_ in range(4):
        key = f"lock-{round_}"
        writers = [keeping.histories.add(bucket, key, new(f"writer-{n}"), absent) for n in range(50)]
        assert await outcomes(writers) == {"done": 1, "precondition.failed": 49}
        assert len((await keeping.histories.list_versions(bucket, prefix=key)).rows) == 1


async def test_of_fifty_writers_that_require_the_same_etag_exactly_one_wins(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket(versioning="on")
    await keeping.histories.add(bucket, "counter", new("0"))
    for value in range(3):
        same = Conditions(if_match=str(value))
        writers = [keeping.histories.add(bucket, "counter", new(str(value + 1)), same) for _ in range(50)]
        assert await outcomes(writers) == {"done": 1, "precondition.failed": 49}
    page = await keeping.histories.list_versions(bucket)
    assert [row.etag for row in page.rows] == ["3", "2", "1", "0"]


async def test_unconditional_writers_of_one_key_all_succeed_and_one_is_current(database: Database) -> None:
    keeping = Keeping(database)
    for versioning, kept in (("off", 1), ("on", 30), ("suspended", 1)):
        bucket = await keeping.bucket(f"bucket-{versioning}", versioning)
        writers = [keeping.histories.add(bucket, "key", new(f"{n}")) for n in range(30)]
        assert await outcomes(writers) == {"done": 30}
        rows = (await keeping.histories.list_versions(bucket)).rows
        assert (len(rows), sum(row.latest for row in rows)) == (kept, 1)


async def test_writers_and_deleters_of_one_key_leave_a_history_with_one_latest(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket(versioning="on")
    first = [await keeping.histories.add(bucket, "key", new(f"{n}")) for n in range(20)]
    doings: list[Awaitable[object]] = []
    for n, version in enumerate(first):
        doings.append(keeping.histories.delete(bucket, "key", version.version_id))
        doings.append(keeping.histories.add(bucket, "key", new(f"late-{n}")))
        doings.append(keeping.histories.delete(bucket, "key"))
    assert await outcomes(doings) == {"done": 60}
    rows = (await keeping.histories.list_versions(bucket)).rows
    assert (len(rows), sum(row.marker for row in rows)) == (40, 20)
    assert [row.latest for row in rows] == [True] + [False] * 39
    assert rows[0].state == ("marker" if rows[0].marker else "current")


async def test_writers_of_neighbouring_keys_do_not_disturb_one_another(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket()
    writers = [keeping.histories.add(bucket, f"key-{n:03}", new(f"{n}")) for n in range(100)]
    assert await outcomes(writers) == {"done": 100}
    assert [row.etag for row in (await keeping.histories.list(bucket)).rows] == [f"{n}" for n in range(100)]


async def test_changes_of_attributes_at_once_are_all_made(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket()
    version = await keeping.histories.add(bucket, "key", new())

    def tagged(name: str) -> Awaitable[Version]:
        def change(attributes: Attributes) -> Attributes:
            return Attributes(tags=attributes.tags | {name: "x"}, metadata={"colour": "e"})

        return keeping.histories.change(bucket, version, change)

    assert await outcomes([tagged(f"t{n}") for n in range(10)]) == {"done": 10}
    found = await keeping.histories.find(bucket, "key")
    assert sorted(found.parsed.tags) == [f"t{n}" for n in range(10)]
    assert (found.parsed.metadata, found.version_id) == ({"colour": "e"}, version.version_id)


async def test_versioning_turned_on_between_writes_loses_no_version(database: Database) -> None:
    keeping = Keeping(database)
    bucket: Bucket = await keeping.bucket()
    doings: list[Awaitable[object]] = [keeping.histories.add(bucket, "key", new(f"{n}")) for n in range(20)]
    doings.insert(10, keeping.buckets.set_versioning(bucket.id, "on"))
    assert await outcomes(doings) == {"done": 21}
    rows = (await keeping.histories.list_versions(bucket)).rows
    assert sum(row.is_null for row in rows) <= 1
    assert sum(row.latest for row in rows) == 1


async def test_an_object_is_renamed_whole_and_at_once(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket()
    await keeping.histories.add(bucket, "old", new("e1", stream=3))
    await keeping.histories.add(bucket, "new", new("e2", stream=4))
    absent = Conditions(if_none_match="*")
    refused = keeping.histories.rename(bucket, "old", "new", target=absent)
    assert await outcomes([refused]) == {"precondition.failed": 1}
    renames = [keeping.histories.rename(bucket, "old", "new") for _ in range(5)]
    assert await outcomes(renames) == {"done": 1, "object.unknown": 4}
    found = await keeping.histories.find(bucket, "new")
    assert (found.etag, found.stream, found.sealed_as) == ("e1", 3, "photos/old")
    assert [row.name for row in (await keeping.histories.list(bucket)).rows] == ["new"]
    assert await outcomes([keeping.histories.rename(bucket, "new", "new")]) == {"request.invalid": 1}


async def test_the_marker_that_a_rename_leaves_can_be_named_and_removed(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket(versioning="on")
    await keeping.histories.add(bucket, "old", new("e"))
    renamed = await keeping.histories.rename(bucket, "old", "new")
    marker = (await keeping.histories.list_versions(bucket, "old")).rows[0]
    assert marker.marker
    assert re.fullmatch("[0-9a-f]{32}", marker.version_id)
    assert marker.version_id != renamed.version_id
    assert (await keeping.histories.delete(bucket, "old", marker.version_id)).marker
    assert (await keeping.histories.find(bucket, "old")).etag == "e"
