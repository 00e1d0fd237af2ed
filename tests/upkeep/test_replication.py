"""Replication: new versions reach the buckets that rules name, once, in order, and their status says so."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from tests.upkeep.shelves import Shelves

from holdfast.files import attributes
from holdfast.files.attributes import Acl, Attributes
from holdfast.files.bucket_settings import (
    BucketSettings,
    LifecycleFilter,
    NotificationTarget,
    Replication,
    ReplicationRule,
)
from holdfast.files.notifying import first_status
from holdfast.files.records import Bucket, Version
from holdfast.files.writing import Removal
from holdfast.tenants.names import account_of
from holdfast.upkeep.passes import dry_run, run_round
from holdfast.upkeep.plans.delivery import ATTEMPTS_MAX
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble


def rule(destination: str = "there", **more: object) -> ReplicationRule:
    parts = {"rule_id": f"to-{destination}", "priority": 1, "delete_markers": True} | more
    return ReplicationRule(enabled=True, destination=destination, **parts)


def replicating(*rules: ReplicationRule) -> Replication:
    return Replication(role="r", rules=rules)


@pytest.fixture
def shelves(database: Database) -> Shelves:
    return Shelves(database)


@pytest.fixture
async def there(shelves: Shelves) -> Bucket:
    return await shelves.bucket("there")


async def put(shelves: Shelves, bucket: Bucket, key: str = "cat", **more: object) -> Version:
    """As the S3 door writes it: with the status it begins with."""
    begins = first_status(bucket.parsed, key, more.get("tags", {}))
    return await shelves.put(bucket, key, replication_status=begins, **more)


async def status(shelves: Shelves, bucket: Bucket, version: Version) -> str:
    return (await shelves.histories.find(bucket, version.name, version.version_id)).parsed.replication_status


async def test_a_new_version_is_copied_with_all_it_shows(shelves: Shelves, there: Bucket) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    acl = Acl(owner_id="o")
    made = await put(
        shelves, here, tags={"a": "b"}, headers={"content-type": "x/y"}, metadata={"m": "n"}, acl=acl,
        checksum_algorithm="SHA256", checksum_value="abc", checksum_type="FULL_OBJECT",
        storage_class="GLACIER", restored_until=5,
    )  # fmt: skip
    assert made.parsed.replication_status == "PENDING"
    lines = [line async for line in dry_run(shelves.replicate())]
    assert lines == [
        f"copy version {made.version_id} of 'cat' in bucket {here.id} to where its rules say: it is new"
    ]
    assert await run_round(shelves.replicate()) == 1
    copy = await shelves.histories.find(there, "cat")
    assert (copy.size, copy.etag) == (made.size, made.etag)
    assert copy.parsed == msgspec.structs.replace(
        made.parsed, replication_status="REPLICA", replica_of=made.version_id, restored_until=0
    )
    assert await status(shelves, here, made) == "COMPLETED"
    assert shelves.carts.copied == [("here/cat", "there/cold")]
    assert await run_round(shelves.replicate()) == 0


async def test_rules_choose_by_prefix_tags_class_and_owner(shelves: Shelves, there: Bucket) -> None:
    wanted = LifecycleFilter(prefix="c", tags={"a": "b"})
    chosen = rule(filter=wanted, storage_class="STANDARD_IA", owner_changes=True)
    here = await shelves.bucket("here", replication=replicating(chosen))
    await put(shelves, here, "cat", tags={"a": "b"}, acl=Acl(owner_id="o"))
    plain = await put(shelves, here, "cow")
    await put(shelves, here, "dog", tags={"a": "b"})
    await run_round(shelves.replicate())
    assert await shelves.keys(there) == ["cat"]
    copy = (await shelves.histories.find(there, "cat")).parsed
    assert (copy.storage_class, copy.acl) == ("STANDARD_IA", None)
    assert await status(shelves, here, plain) == ""


async def test_each_destination_gets_its_copy(shelves: Shelves, there: Bucket) -> None:
    yonder = await shelves.bucket("yonder")
    here = await shelves.bucket("here", replication=replicating(rule(), rule("yonder", priority=2)))
    await put(shelves, here)
    await run_round(shelves.replicate())
    assert [await shelves.keys(bucket) for bucket in (there, yonder)] == [["cat"], ["cat"]]


@pytest.mark.parametrize(("wanted", "left"), [(True, ["cat!", "cat-"]), (False, ["cat"])])
async def test_delete_markers_go_where_the_rule_wants_them(
    shelves: Shelves, there: Bucket, wanted: bool, left: list[str]
) -> None:
    here = await shelves.bucket("here", replication=replicating(rule(delete_markers=wanted)))
    await put(shelves, here)
    marking = Removal(marker_event="s3:ObjectRemoved:DeleteMarkerCreated")
    await shelves.histories.delete(here, "cat", removal=marking)
    await run_round(shelves.replicate())
    assert await shelves.keys(there) == left
    assert await run_round(shelves.replicate()) == 0


async def test_two_buckets_that_copy_to_one_another_do_not_go_round(shelves: Shelves) -> None:
    left = await shelves.bucket("left", replication=replicating(rule("right")))
    right = await shelves.bucket("right", replication=replicating(rule("left")))
    await put(shelves, left, "from-left")
    await put(shelves, right, "from-right")
    marking = Removal(marker_event="s3:ObjectRemoved:DeleteMarkerCreated")
    await shelves.histories.delete(left, "from-left", removal=marking)
    for _ in range(3):
        await run_round(shelves.replicate())
    expected = ["from-left!", "from-left-", "from-right"]
    assert [await shelves.keys(bucket) for bucket in (left, right)] == [expected, expected]
    assert await shelves.outbox.due_copies(10) == []


async def test_versions_of_a_key_are_copied_in_their_order(shelves: Shelves, there: Bucket) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    for size in (1, 2, 3):
        await put(shelves, here, size=size)
    shelves.carts.failures = [Trouble("node.unreachable", "Not now.")]
    await run_round(shelves.replicate())
    assert await shelves.keys(there) == []
    shelves.clock.forward(3)
    await run_round(shelves.replicate())
    page = await shelves.histories.list_versions(there)
    assert [row.size for row in page.rows] == [3, 2, 1]


async def test_what_is_gone_or_no_longer_wanted_is_not_copied(shelves: Shelves, there: Bucket) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    gone = await put(shelves, here, "gone")
    await put(shelves, here, "kept")
    await shelves.histories.delete(here, "gone", gone.version_id)
    await shelves.set(here, replication=None)
    assert await run_round(shelves.replicate()) == 2
    assert await shelves.keys(there) == []
    assert await shelves.outbox.due_copies(10) == []


FAILURES = NotificationTarget(target_id="t", kind="Queue", arn="a", events=("s3:Replication:*",))


@pytest.mark.parametrize("versioning", [None, "off", "suspended"])
async def test_a_destination_that_does_not_keep_versions_fails_it(
    shelves: Shelves, versioning: str | None
) -> None:
    if versioning is not None:
        await shelves.bucket("there", versioning=versioning)
    here = await shelves.bucket("here", replication=replicating(rule()), notifications=(FAILURES,))
    made = await put(shelves, here)
    await run_round(shelves.replicate())
    assert await status(shelves, here, made) == "FAILED"
    assert [row.event for row in await shelves.outbox.due_events(10)] == [
        "s3:Replication:OperationFailedReplication"
    ]
    assert await shelves.outbox.due_copies(10) == []


async def test_it_is_pending_until_too_many_attempts_failed(shelves: Shelves, there: Bucket) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    made = await put(shelves, here)
    for _ in range(ATTEMPTS_MAX):
        assert await status(shelves, here, made) == "PENDING"
        shelves.carts.failures = [Trouble("node.unreachable", "Not now.")]
        await run_round(shelves.replicate())
        shelves.clock.forward(4 * 3600)
    assert await status(shelves, here, made) == "FAILED"
    assert await shelves.outbox.due_copies(10) == []


async def test_anothers_bucket_takes_copies_only_if_its_policy_says_so(shelves: Shelves) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": account_of("alice")},
        "Action": "s3:ReplicateObject",
        "Resource": "arn:aws:s3:::open/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    await shelves.buckets.create("bob", "open", "test", BucketSettings(policy=policy), "on")
    await shelves.buckets.create("bob", "shut", "test", BucketSettings(), "on")
    found = {}
    for name in ("open", "shut"):
        here = await shelves.bucket(f"to-{name}", replication=replicating(rule(name)))
        made = await put(shelves, here)
        await run_round(shelves.replicate())
        found[name] = await status(shelves, here, made)
    assert found == {"open": "COMPLETED", "shut": "FAILED"}


@pytest.mark.parametrize(("sse", "kms_objects", "outcome"), [
    ("customer", None, "FAILED"), ("aws:kms", None, "PENDING"), ("aws:kms", True, "COMPLETED"),
    ("AES256", None, "COMPLETED"),
])  # fmt: skip
async def test_what_the_key_allows_is_copied(
    shelves: Shelves, there: Bucket, sse: str, kms_objects: bool | None, outcome: str
) -> None:
    here = await shelves.bucket("here", replication=replicating(rule(kms_objects=kms_objects)))
    made = await put(shelves, here, sse=sse)
    await run_round(shelves.replicate())
    assert await status(shelves, here, made) == outcome


async def test_a_process_that_was_stopped_after_the_copy_makes_no_second_one(
    shelves: Shelves, there: Bucket
) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    made = [await put(shelves, here, key) for key in ("ant", "bee", "bee")]
    for awaits in (1, 3, 6, 9, 12, 15, 18, 30):
        task = asyncio.create_task(run_round(shelves.replicate()))
        for _ in range(awaits):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        shelves.clock.forward(61)
    await run_round(shelves.replicate())
    assert await shelves.keys(there) == ["ant", "bee", "bee-"]
    assert [await status(shelves, here, version) for version in made] == ["COMPLETED"] * 3


async def test_several_processes_make_each_copy_once(shelves: Shelves, there: Bucket) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    for number in range(12):
        await put(shelves, here, f"key-{number % 4}")
    await asyncio.gather(*(run_round(shelves.replicate()) for _ in range(3)))
    await run_round(shelves.replicate())
    assert len(await shelves.keys(there)) == 12
    assert len(shelves.carts.copied) == 12


def test_an_attribute_is_as_good_as_it_was_before_copies_were_named() -> None:
    old = msgspec.msgpack.encode({"replication_status": "REPLICA"})
    assert attributes.unpack(old) == Attributes(replication_status="REPLICA")


async def test_a_refusal_of_the_gateway_fails_it(shelves: Shelves, there: Bucket) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    made = await put(shelves, here)
    shelves.carts.failures = [Refusal("class.unknown", "No.")]
    await run_round(shelves.replicate())
    assert await status(shelves, here, made) == "FAILED"


async def test_a_fleet_that_is_too_small_for_now_is_waited_for(shelves: Shelves, there: Bucket) -> None:
    here = await shelves.bucket("here", replication=replicating(rule()))
    made = await put(shelves, here)
    shelves.carts.failures = [Refusal("fleet.too_small", "Not now.")]
    await run_round(shelves.replicate())
    assert await status(shelves, here, made) == "PENDING"
    shelves.clock.forward(3)
    await run_round(shelves.replicate())
    assert await status(shelves, here, made) == "COMPLETED"
