"""Pages of versions and of multipart uploads, against a slow twin."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from tests.files.kept import Keeping, new
from tests.files.obvious import Obvious, ObviousBucket, obvious_page

from holdfast.files.attributes import NOTHING
from holdfast.files.listing import HistoryPage, WantWithin, rolled_up
from holdfast.files.records import Bucket, VersionPage
from holdfast.files.stores import store_listing, store_skimming
from holdfast.world.database import Database
from holdfast.world.migrations.upgrade import empty_image
from holdfast.world.sqlite import MemoryDatabase

TEXTS = st.text(alphabet="ab/ü", max_size=4)
KEYS = st.text(alphabet="ab/ü", min_size=1, max_size=4)


class Row:
    """A row of a made-up table."""

    def __init__(self, key: str, sequence: int) -> None:
        self.key = key.encode()
        self.sequence = sequence


def read_rows(rows: list[Row], want: WantWithin[int], prefix: bytes, delimiter: bytes) -> list[Row]:
    """What a database would answer."""
    fitting = [
        row
        for row in rows
        if (row.key > want.start or (row.key == want.start and below(row, want.within)))
        and (want.end is None or row.key < want.end)
    ]
    ordered = sorted(fitting, key=lambda row: (row.key, -row.sequence))
    return (skimmed(ordered, prefix, delimiter) if want.skim else ordered)[: want.rows]


def skimmed(ordered: list[Row], prefix: bytes, delimiter: bytes) -> list[Row]:
    """The first row of each common prefix, up to the first row that is under none."""
    kept: list[Row] = []
    for row in ordered:
        common = rolled_up(row.key, prefix, delimiter)
        if common is None:
            return [*kept, row]
        if not kept or not kept[-1].key.startswith(common):
            kept.append(row)
    return kept


def below(row: Row, within: int | None) -> bool:
    return within is None or row.sequence < within


@given(
    histories=st.dictionaries(KEYS, st.integers(1, 4), max_size=12),
    prefix=TEXTS,
    delimiter=st.sampled_from(["", "/", "ü", "a/"]),
    marker=st.none() | st.tuples(KEYS, st.none() | st.integers(1, 5)),
    limit=st.integers(1, 6),
)
def test_pages_one_after_another_show_what_the_slow_twin_shows(
    histories: dict[str, int],
    prefix: str,
    delimiter: str,
    marker: tuple[str, int | None] | None,
    limit: int,
) -> None:
    twin = ObviousBucket()
    rows = [Row(key, number) for key, count in histories.items() for number in range(1, count + 1)]
    for key, count in histories.items():
        twin.keys[key] = [Obvious(key, str(number), "") for number in range(count, 0, -1)]
    key, within = marker or (None, None)
    if within is not None and within > histories.get(key or "", 0):
        within = None
    whole, _ = obvious_page(
        twin,
        prefix=prefix,
        delimiter=delimiter,
        key_marker=key,
        version_marker=None if within is None else str(within),
        limit=10_000,
    )
    seen: list[str] = []
    while True:
        page = HistoryPage[Row, int](
            prefix=prefix.encode(), delimiter=delimiter.encode(),
            key_marker=None if key is None else key.encode(), within=within, limit=limit,
            order=lambda row: row.sequence,
        )  # fmt: skip
        while (want := page.want()) is not None:
            page.feed(read_rows(rows, want, prefix.encode(), delimiter.encode()))
        entries = [f"{row.key.decode()}@{row.sequence}" for row in page.rows]
        shown = sorted(entries + [common.decode() for common in page.prefixes], key=whole.index)
        assert shown == whole[len(seen) : len(seen) + limit]
        seen += shown
        assert page.more is (len(seen) < len(whole))
        if not page.more:
            break
        last = page.last_row
        key, within = (
            (page.prefixes[-1].decode(), None) if last is None else (last.key.decode(), last.sequence)
        )
    assert seen == whole


async def entries_of(page: VersionPage) -> list[str]:
    return [f"{row.name}@{row.s3_version_id}" for row in page.rows] + page.prefixes


async def test_a_bucket_is_listed_and_emptied_page_by_page(database: Database) -> None:
    keeping, dice = Keeping(database), Random(5)
    bucket = await keeping.bucket(versioning="on")
    twin = ObviousBucket("on")
    for _ in range(80):
        key = dice.choice(["a", "b/1", "b/2", "c/x/1", "c/y", "ü"])
        if dice.random() < 0.3:
            deleted = await keeping.histories.delete(bucket, key)
            twin.delete(key, deleted.version_id or "")
        else:
            version = await keeping.histories.add(bucket, key, new())
            twin.write(key, version.version_id, "e")
    for prefix, delimiter in (("", ""), ("", "/"), ("b/", "/"), ("c/", ""), ("zz", "")):
        await same_pages(keeping, bucket, twin, prefix, delimiter)
    # Whoever empties a bucket goes on after what it has just removed.
    key_marker = version_marker = None
    removed = 0
    while True:
        page = await keeping.histories.list_versions(bucket, "", "", key_marker, version_marker, 7)
        for row in page.rows:
            await keeping.histories.delete(bucket, row.name, row.s3_version_id)
            removed += 1
        if page.next_key is None:
            break
        key_marker, version_marker = page.next_key, page.next_version
    assert removed == 80
    assert (await keeping.histories.list_versions(bucket)).rows == []
    await keeping.buckets.remove(bucket)


async def same_pages(
    keeping: Keeping, bucket: Bucket, twin: ObviousBucket, prefix: str, delimiter: str
) -> None:
    key_marker = version_marker = None
    for _ in range(100):
        page = await keeping.histories.list_versions(bucket, prefix, delimiter, key_marker, version_marker, 7)
        expected, more = obvious_page(
            twin,
            prefix=prefix,
            delimiter=delimiter,
            key_marker=key_marker,
            version_marker=version_marker,
            limit=7,
        )
        assert sorted(await entries_of(page)) == sorted(expected)
        assert (page.next_key is not None) == more
        if not more:
            return
        key_marker, version_marker = page.next_key, page.next_version
    raise AssertionError("a listing ends")


async def test_the_null_version_is_a_place_to_go_on_after(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket()
    await keeping.histories.add(bucket, "a", new("e1"))
    await keeping.buckets.set_versioning(bucket.id, "on")
    second = await keeping.histories.add(bucket, "a", new("e2"))
    await keeping.histories.add(bucket, "b", new("e3"))
    first = await keeping.histories.list_versions(bucket, limit=1)
    assert (first.next_key, first.next_version) == ("a", second.version_id)
    then = await keeping.histories.list_versions(bucket, "", "", "a", second.version_id, 1)
    assert ([row.etag for row in then.rows], then.next_version) == (["e1"], "null")
    last = await keeping.histories.list_versions(bucket, "", "", "a", "null", 5)
    assert ([row.etag for row in last.rows], last.next_key) == (["e3"], None)
    rest = await keeping.histories.list_versions(bucket, "", "", "a", None, 5)
    assert [row.etag for row in rest.rows] == ["e3"]


async def test_uploads_are_listed_by_key_and_then_as_they_were_begun(database: Database) -> None:
    keeping = Keeping(database)
    bucket = await keeping.bucket()
    begun = {}
    for key in ["b", "a", "b", "c/1", "c/2", "b"]:
        opened = await keeping.multiparts.create(bucket, key, "standard", NOTHING)
        begun.setdefault(key, []).append(opened.upload_id)
    page = await keeping.multiparts.list(bucket, delimiter="/")
    assert [(row.name, row.upload_id) for row in page.rows] == [
        ("a", begun["a"][0]),
        *(("b", upload_id) for upload_id in begun["b"]),
    ]
    assert (page.prefixes, page.next_key) == (["c/"], None)
    seen, key, upload = [], None, None
    while True:
        page = await keeping.multiparts.list(bucket, "", "", key, upload, 2)
        seen += [row.upload_id for row in page.rows]
        if page.next_key is None:
            break
        key, upload = page.next_key, page.next_upload
    assert seen == [upload_id for key in sorted(begun) for upload_id in begun[key]]
    for one, other in pairwise(begun["b"]):
        assert one < other


async def test_the_index_of_hidden_versions_runs_from_the_newest(database: Database) -> None:
    def definition(connection: Connection) -> str:
        if connection.dialect.name == "sqlite":
            query = "SELECT sql FROM sqlite_master WHERE name = 'versions_hidden'"
        else:
            query = "SELECT indexdef FROM pg_indexes WHERE indexname = 'versions_hidden'"
        return connection.execute(text(query)).scalar_one()

    assert "sequence DESC" in await database.read(definition)


@pytest.mark.parametrize(
    "query",
    [
        store_skimming.OF_KEYS,
        store_skimming.OF_HISTORIES,
        *store_listing._HISTORIES,
        *store_listing._KEYS,
        store_listing._REST_OF_KEY,
    ],
)
async def test_listings_walk_an_index_and_sort_nothing_large(query) -> None:
    """On SQLite, whose planner says what it is going to do without being given any rows."""
    database = MemoryDatabase(empty_image())

    def plan(connection: Connection) -> list[str]:
        raw = connection.connection.driver_connection
        sql = query.sql("sqlite")
        rows = raw.execute("EXPLAIN QUERY PLAN " + sql, [None] * sql.count("?")).fetchall()
        return [row[3] for row in rows]

    steps = await database.read(plan)
    searches = [step for step in steps if step.startswith(("SEARCH versions", "SCAN versions"))]
    assert searches
    for step in searches:
        assert "USING INDEX versions_current" in step or "USING INDEX versions_hidden" in step
        assert "bucket_id=?" in step
        assert "key" in step
    await database.close()


async def test_odd_keys_and_delimiters_are_rolled_up_alike_everywhere(database: Database) -> None:
    keeping, dice = Keeping(database), Random(11)
    bucket, twin = await keeping.bucket(), ObviousBucket()
    letters = ["a", "b", "/", "//", "\x01", "\x7f", "%", "_", "ü", "\U0001f600", "\uffff", "\\", "'"]
    for number in range(120):
        key = "".join(dice.choice(letters) for _ in range(dice.randint(1, 5)))
        await keeping.histories.add(bucket, key, new(f"{number}"))
        twin.write(key, "", f"{number}")
    for _ in range(60):
        prefix = "".join(dice.choice(letters) for _ in range(dice.choice([0, 0, 1, 2])))
        delimiter, limit = dice.choice([*letters, "ab", "/a"]), dice.randint(1, 9)
        expected, _ = obvious_page(twin, prefix=prefix, delimiter=delimiter)
        seen: list[str] = []
        after = None
        while True:
            page = await keeping.histories.list(bucket, prefix, delimiter, after, limit)
            seen += sorted([f"{row.name}@null" for row in page.rows] + page.prefixes, key=expected.index)
            after = page.after
            if after is None:
                break
        assert seen == expected
        await same_pages(keeping, bucket, twin, prefix, delimiter)
