"""Objects: listed, looked into, read, reported and removed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.files.cloud import ALICE, CHUNK, SESSION, START, Cloud

from holdfast.files import health, placed
from holdfast.files.places import Holder
from holdfast.files.stores import store_buckets, store_chunks, store_versions
from holdfast.protocol import control, grants
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import NodeAddress, ShardPlace
from holdfast.world.errors import Refusal


async def sources(cloud: Cloud, version_id: str, first: int = 0, count: int = 1) -> list:
    asked = control.ReadPlan(
        bucket="photos", version_id=version_id, session_key=SESSION.public, first=first, count=count
    )
    return (await cloud.ask(asked)).chunks


async def stat(cloud: Cloud, **changes) -> control.ObjectHealth:
    return await cloud.ask(control.ObjectStat(**({"bucket": "photos", "key": "cat"} | changes)))


async def placement(cloud: Cloud, version_id: str, number: int = 0) -> tuple[int, ...]:
    bucket = await cloud.database.read(store_buckets.bucket_named, "photos")
    version = await cloud.database.read(store_versions.version_by_id, bucket.id, version_id)
    chunk = await cloud.database.read(store_chunks.chunk_numbered, version.stream, number)
    return placed.unpack(chunk.placement)


async def test_a_listing_goes_through_a_bucket_page_by_page_in_the_order_of_utf8_bytes(
    cloud: Cloud,
) -> None:
    keys = ["b", "a/1", "a/2", "é", "z", "a", "\U0001f40b", "\uffff", "a/b/c"]
    made = {key: await cloud.put(key, chunks=0) for key in keys}
    shown, after = [], None
    while True:
        page = await cloud.ask(control.ObjectList(bucket="photos", limit=4, after=after))
        shown += page.objects
        after = page.after
        if after is None:
            break
    assert shown == [made[key] for key in sorted(keys, key=str.encode)]


async def test_a_listing_rolls_up_what_a_delimiter_parts(cloud: Cloud) -> None:
    for key in ("a", "a/1", "a/2", "a/b/1", "b/1", "c"):
        await cloud.put(key, chunks=0)
    page = await cloud.ask(control.ObjectList(bucket="photos", delimiter="/", limit=3))
    assert ([o.key for o in page.objects], page.prefixes, page.after) == (["a"], ["a/", "b/"], "b/")
    rest = await cloud.ask(control.ObjectList(bucket="photos", delimiter="/", after=page.after))
    assert ([o.key for o in rest.objects], rest.prefixes, rest.after) == (["c"], [], None)
    inside = await cloud.ask(control.ObjectList(bucket="photos", prefix="a/", delimiter="/"))
    assert ([o.key for o in inside.objects], inside.prefixes) == (["a/1", "a/2"], ["a/b/"])


async def test_a_listing_shows_neither_the_trash_nor_open_uploads(cloud: Cloud) -> None:
    await cloud.begin("open")
    await cloud.put("gone")
    await cloud.ask(control.ObjectRemove(bucket="photos", key="gone"))
    await cloud.put("twice")
    twice = await cloud.put("twice")
    assert await cloud.ask(control.ObjectList(bucket="photos")) == control.Objects(
        objects=[twice], prefixes=[]
    )


async def test_a_removed_object_is_gone_but_for_whoever_knows_its_version(cloud: Cloud) -> None:
    version = await cloud.put()
    assert await cloud.ask(control.ObjectRemove(bucket="photos", key="cat")) == version
    with pytest.raises(Refusal):
        await stat(cloud)
    opened = await cloud.ask(control.ReadOpen(bucket="photos", key="cat", version_id=version.version_id))
    assert opened.version == version
    assert len(await sources(cloud, version.version_id)) == 1
    assert await cloud.database.read(store_versions.usage_of, ALICE) == (0, 0)


async def test_an_object_is_removed_only_in_the_version_that_was_meant(cloud: Cloud) -> None:
    version = await cloud.put()
    with pytest.raises(Refusal) as caught:
        await cloud.ask(control.ObjectRemove(bucket="photos", key="cat", if_version="x"))
    assert caught.value.code == "precondition.failed"
    asked = control.ObjectRemove(bucket="photos", key="cat", if_version=version.version_id)
    assert await cloud.ask(asked) == version


async def test_a_version_is_found_only_under_its_own_key(cloud: Cloud) -> None:
    version = await cloud.put("cat")
    with pytest.raises(Refusal) as caught:
        await cloud.ask(control.ReadOpen(bucket="photos", key="dog", version_id=version.version_id))
    assert caught.value.code == "object.unknown"


async def test_stat_tells_live_missing_unreachable_and_lost_apart(cloud: Cloud) -> None:
    version = await cloud.put(chunks=2, shards=[0, 1, 2, 4])
    assert (await stat(cloud)).survives == 2
    aliases = await placement(cloud, version.version_id)
    node = cloud.rows[aliases[1]]
    report = control.ShardReport(
        bucket="photos",
        version_id=version.version_id,
        number=0,
        index=1,
        node_id=node.node_id,
        fault="corrupt",
    )
    await cloud.ask(report)
    cloud.clock.forward(120)
    cloud.beat(silent=[aliases[4]])
    shown = await stat(cloud)
    states = ["live", "lost", "live", "missing", "unreachable"]
    assert shown.chunks[0].live == 2
    assert shown.chunks[0].shards == [
        ShardPlace(
            index=index,
            node_id=b"" if state == "missing" else cloud.rows[aliases[index]].node_id,
            node_name="" if state == "missing" else cloud.rows[aliases[index]].node_name,
            state=state,
        )
        for index, state in enumerate(states)
    ]
    assert shown.survives == 0
    assert shown.stored_bytes == 2 * 4 * (await sources(cloud, version.version_id))[0].chunk.shard_length


async def test_stat_goes_page_by_page_but_counts_survivors_over_all_chunks(cloud: Cloud) -> None:
    version = await cloud.put(chunks=3)
    aliases = await placement(cloud, version.version_id, 2)
    for index in (0, 1):
        await cloud.ask(
            control.ShardReport(
                bucket="photos",
                version_id=version.version_id,
                number=2,
                index=index,
                node_id=cloud.rows[aliases[index]].node_id,
                fault="missing",
            )
        )
    first = await stat(cloud, chunks_limit=2)
    assert ([c.number for c in first.chunks], first.chunks_after, first.survives) == ([0, 1], 2, 1)
    rest = await stat(cloud, chunks_from=2, chunks_limit=2)
    assert ([c.number for c in rest.chunks], rest.chunks_after, rest.survives) == ([2], None, 1)


async def test_a_report_about_a_shard_that_is_not_there_changes_nothing(cloud: Cloud) -> None:
    version = await cloud.put()
    aliases = await placement(cloud, version.version_id)
    outside = next(alias for alias in cloud.rows if alias not in aliases)
    for number, index, node_id in (
        (0, 0, cloud.rows[aliases[1]].node_id),
        (0, 0, cloud.rows[outside].node_id),
        (0, 99, cloud.rows[aliases[0]].node_id),
        (7, 0, cloud.rows[aliases[0]].node_id),
        (0, 0, b"n" * 32),
    ):
        report = control.ShardReport(
            bucket="photos",
            version_id=version.version_id,
            number=number,
            index=index,
            node_id=node_id,
            fault="corrupt",
        )
        assert await cloud.ask(report) == control.Done()
    assert (await stat(cloud)).survives == 3


async def test_sources_name_the_best_nodes_first_with_grants_to_read(cloud: Cloud) -> None:
    version = await cloud.put(chunks=2)
    aliases = await placement(cloud, version.version_id)
    await cloud.ask(
        control.ShardReport(
            bucket="photos",
            version_id=version.version_id,
            number=0,
            index=0,
            node_id=cloud.rows[aliases[0]].node_id,
            fault="corrupt",
        )
    )
    cloud.clock.forward(120)
    cloud.beat(silent=[aliases[2]])
    [first] = await sources(cloud, version.version_id)
    assert [source.index for source in first.sources] == [1, 3, 4, 2, 0]
    for source in first.sources:
        grant = grants.read(source.grant)
        assert source.node.node_id == grant.node_id == cloud.rows[aliases[source.index]].node_id
        assert (grant[0], grant.session_key) == (grants.Action.GET, SESSION.public)
        assert grant.shard_id == shard_id(first.chunk.chunk_id, source.index)


async def test_a_range_of_chunks_is_planned_and_ends_with_the_version(cloud: Cloud) -> None:
    version = await cloud.put(chunks=5)
    assert [c.chunk.number for c in await sources(cloud, version.version_id, 1, 3)] == [1, 2, 3]
    assert [c.chunk.number for c in await sources(cloud, version.version_id, 4, 64)] == [4]
    assert await sources(cloud, version.version_id, 5, 64) == []
    assert await sources(cloud, version.version_id, 0, 0) == []


async def test_chunk_ids_come_in_order_a_page_at_a_time(cloud: Cloud) -> None:
    version = await cloud.put(chunks=5)
    asked = {"bucket": "photos", "version_id": version.version_id}
    whole = await cloud.ask(control.ReadChunkIds(**asked))
    first = await cloud.ask(control.ReadChunkIds(**asked, limit=2))
    rest = await cloud.ask(control.ReadChunkIds(**asked, first=first.after))
    planned = await sources(cloud, version.version_id, 0, 5)
    assert whole == control.ChunkIds(ids=b"".join(c.chunk.chunk_id for c in planned))
    assert (first.ids + rest.ids, first.after, rest.after) == (whole.ids, 2, None)


async def test_a_checksum_of_all_64_bits_survives_the_database(cloud: Cloud) -> None:
    for checksum in (0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
        assert store_chunks.unsigned(store_chunks.signed(checksum)) == checksum
    version = await cloud.put(chunks=8)
    assert version.size == 8 * CHUNK


def holder(alias: int, *, online: bool) -> Holder:
    node_id = alias.to_bytes(32, "big")
    return Holder(
        alias=alias,
        node_id=node_id,
        node_name="",
        online=online,
        last_seen=START,
        leaving=False,
        given_up=False,
        address=NodeAddress(node_id=node_id, addresses=[]),
    )


@given(
    chunks=st.lists(st.lists(st.integers(0, 6), min_size=4, max_size=4), max_size=6),
    online=st.sets(st.integers(1, 6)),
    suspects=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 6))),
)
def test_the_quick_count_of_survivors_is_that_of_the_whole_picture(
    chunks: list[list[int]], online: set[int], suspects: set[tuple[int, int, int]]
) -> None:
    def holder_of(alias: int) -> Holder | None:
        return holder(alias, online=alias in online) if alias not in {0, 6} else None

    placements = [(number, placed.pack(aliases), 1) for number, aliases in enumerate(chunks)]
    slow = [health.chunk_health(n, packed, suspects, {}, holder_of).live for n, packed, _ in placements]
    assert health.fewest_live(placements, suspects, holder_of, 4) == min([4, *slow])
