"""Buckets: whose they are, when they can go, and that others learn nothing of them."""

from __future__ import annotations

import asyncio

import pytest
from tests.files.cloud import ALICE, BOB, START, Cloud

from holdfast.protocol import control
from holdfast.protocol.nouns import BucketInfo
from holdfast.world.errors import Refusal


async def refusal_of(coroutine) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await coroutine
    return caught.value


async def test_a_bucket_is_shown_as_it_was_made(cloud: Cloud) -> None:
    made = await cloud.ask(control.BucketMake(bucket="films", storage_class="tiny"))
    assert made == BucketInfo(bucket="films", created=START, storage_class="tiny")
    assert await cloud.ask(control.BucketList()) == control.Buckets(
        buckets=[made, BucketInfo(bucket="photos", created=START, storage_class="test")]
    )


async def test_buckets_are_listed_a_page_at_a_time_and_only_to_their_owner(cloud: Cloud) -> None:
    for name in ("b.b", "b-a", "b0a", "bob"):
        await cloud.make_bucket(name, tenant=BOB)
    first = await cloud.ask(control.BucketList(limit=3), tenant=BOB)
    assert [bucket.bucket for bucket in first.buckets] == ["b-a", "b.b", "b0a"]
    rest = await cloud.ask(control.BucketList(limit=3, after=first.after), tenant=BOB)
    assert ([bucket.bucket for bucket in rest.buckets], rest.after) == (["bob"], None)


async def test_a_name_is_taken_for_everybody(cloud: Cloud) -> None:
    again = await refusal_of(cloud.make_bucket())
    others = await refusal_of(cloud.make_bucket(tenant=BOB))
    assert (again.code, again.facts["yours"]) == ("bucket.exists", True)
    assert (others.code, others.facts["yours"]) == ("bucket.exists", False)


async def test_of_many_who_want_a_name_at_once_one_gets_it(cloud: Cloud) -> None:
    tenants = [ALICE, BOB] * 5
    answers = await asyncio.gather(
        *(cloud.make_bucket("wanted", tenant=tenant) for tenant in tenants), return_exceptions=True
    )
    assert sorted(getattr(answer, "code", "made") for answer in answers) == ["bucket.exists"] * 9 + ["made"]


@pytest.mark.parametrize(
    "asked",
    [
        control.BucketRemove(bucket="photos"),
        control.ObjectList(bucket="photos"),
        control.ObjectStat(bucket="photos", key="cat"),
        control.ObjectRemove(bucket="photos", key="cat"),
        control.ReadOpen(bucket="photos", key="cat"),
        control.ReadPlan(bucket="photos", version_id="x", session_key=b"s" * 32, first=0, count=1),
        control.ReadChunkIds(bucket="photos", version_id="x"),
        control.ShardReport(
            bucket="photos", version_id="x", number=0, index=0, node_id=b"n" * 32, fault="corrupt"
        ),
    ],
    ids=lambda asked: asked.name,
)
async def test_another_tenants_bucket_is_answered_like_one_that_never_was(
    cloud: Cloud, asked: control.Operation
) -> None:
    await cloud.put()
    words = {(r.code, r.message) for r in [await refusal_of(cloud.ask(asked, tenant=BOB))]}
    await cloud.ask(control.ObjectRemove(bucket="photos", key="cat"))
    await cloud.ask(control.BucketRemove(bucket="photos"))
    words |= {(r.code, r.message) for r in [await refusal_of(cloud.ask(asked))]}
    assert words == {("bucket.unknown", "There is no bucket 'photos'.")}


async def test_only_an_empty_bucket_can_be_removed(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    assert (await refusal_of(cloud.ask(control.BucketRemove(bucket="photos")))).code == "bucket.not_empty"
    await cloud.commit(upload_id, [])
    assert (await refusal_of(cloud.ask(control.BucketRemove(bucket="photos")))).code == "bucket.not_empty"
    await cloud.ask(control.ObjectRemove(bucket="photos", key="cat"))
    assert await cloud.ask(control.BucketRemove(bucket="photos")) == control.Done()
    await cloud.make_bucket(tenant=BOB)
    page = await cloud.ask(control.ObjectList(bucket="photos"), tenant=BOB)
    assert page == control.Objects(objects=[], prefixes=[])


REFUSED = [
    (control.BucketMake(bucket="No"), "bucket.invalid"),
    (control.BucketMake(bucket="films", storage_class="golden"), "class.unknown"),
    (control.BucketList(limit=-1), "request.invalid"),
    (control.ObjectList(bucket="photos", prefix="\0"), "name.invalid"),
    (control.ObjectList(bucket="photos", limit=-1), "request.invalid"),
    (control.ObjectStat(bucket="photos", key=""), "name.invalid"),
    (control.ObjectStat(bucket="photos", key="cat"), "object.unknown"),
    (control.ObjectStat(bucket="photos", key="cat", version_id="x"), "object.unknown"),
    (control.ObjectRemove(bucket="photos", key="cat"), "object.unknown"),
    (control.ReadOpen(bucket="photos", key="a" * 1025), "name.invalid"),
    (control.ReadOpen(bucket="photos", key="cat"), "object.unknown"),
    (
        control.ReadPlan(bucket="photos", version_id="x", session_key=b"s" * 32, first=0, count=1),
        "object.unknown",
    ),
    (control.ReadPlan(bucket="photos", version_id="x", session_key=b"", first=0, count=1), "request.invalid"),
    (
        control.ReadPlan(bucket="photos", version_id="x", session_key=b"s" * 32, first=0, count=65),
        "request.too_large",
    ),
    (
        control.ReadPlan(bucket="photos", version_id="x", session_key=b"s" * 32, first=-1, count=1),
        "request.invalid",
    ),
    (
        control.ShardReport(bucket="photos", version_id="x", number=0, index=0, node_id=b"", fault="slow"),
        "request.invalid",
    ),
]


@pytest.mark.parametrize(("asked", "code"), REFUSED, ids=lambda case: getattr(case, "name", case))
async def test_what_cannot_be_done_is_refused_with_its_code(
    cloud: Cloud, asked: control.Operation, code: str
) -> None:
    assert (await refusal_of(cloud.ask(asked))).code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": ""}, "name.invalid"),
        ({"key": "é" * 513}, "name.invalid"),
        ({"bucket": "films"}, "bucket.unknown"),
        ({"storage_class": "golden"}, "class.unknown"),
        ({"chunk_size": (64 << 10) - 1}, "request.invalid"),
        ({"chunk_size": (64 << 20) + 1}, "request.invalid"),
        ({"size": -1}, "request.invalid"),
        ({"size": 1 << 60}, "request.too_large"),
        ({"size": 1 << 43, "chunk_size": 64 << 20}, "node.full"),
        ({"metadata": {"a": "b" * 9000}}, "request.too_large"),
        ({"if_version": "x"}, "precondition.failed"),
    ],
)
async def test_an_upload_that_cannot_work_is_refused_when_it_begins(
    cloud: Cloud, changes: dict, code: str
) -> None:
    assert (await refusal_of(cloud.begin(**changes))).code == code
