"""The lifecycle pass: what rules ask for happens, to what was read, however often and wherever it runs."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from tests.upkeep.shelves import Shelves

from holdfast.files.attributes import Attributes, Retention
from holdfast.files.bucket_settings import LifecycleFilter, LifecycleRule, NotificationTarget, Transition
from holdfast.files.records import Bucket
from holdfast.upkeep.passes import dry_run, run_round
from holdfast.upkeep.restores import EndRestores
from holdfast.world.clock import MICROSECONDS
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble

DAY = 86_400
GLACIER = (Transition(storage_class="GLACIER", days=1),)


def rule(rule_id: str = "r", *, prefix: str = "", **parts: object) -> LifecycleRule:
    wanted = {"filter": LifecycleFilter(prefix=prefix)} | parts
    return LifecycleRule(rule_id=rule_id, enabled=True, **wanted)


@pytest.fixture
def shelves(database: Database) -> Shelves:
    return Shelves(database)


async def events(shelves: Shelves) -> list[tuple[str, str]]:
    return [(row.event, row.key.decode()) for row in await shelves.outbox.due_events(1000)]


EVERYTHING = NotificationTarget(
    target_id="t",
    kind="Queue",
    arn="arn:aws:sqs:::q",
    events=("s3:LifecycleExpiration:*", "s3:LifecycleTransition"),
)


async def test_only_buckets_with_rules_are_looked_at_and_only_what_is_due_goes(shelves: Shelves) -> None:
    plain = await shelves.bucket("plain", versioning="off")
    ruled = await shelves.bucket("ruled", rule(expire_days=2, prefix="logs/"), versioning="off")
    off = await shelves.bucket(
        "switched-off", LifecycleRule(rule_id="r", enabled=False, expire_days=1), versioning="off"
    )
    for bucket in (plain, ruled, off):
        await shelves.put(bucket, "logs/old")
        await shelves.put(bucket, "kept")
    shelves.clock.forward(3 * DAY)
    await shelves.put(ruled, "logs/new")
    assert [line async for line in dry_run(shelves.lifecycle())] == [
        "remove version null of 'logs/old' in 'ruled': stored 3.0 days ago (rule 'r')"
    ]
    assert await run_round(shelves.lifecycle()) == 1
    assert [await shelves.keys(bucket) for bucket in (plain, ruled, off)] == [
        ["kept", "logs/old"],
        ["kept", "logs/new"],
        ["kept", "logs/old"],
    ]
    assert await run_round(shelves.lifecycle()) == 0


async def test_a_versioned_bucket_comes_down_to_nothing_over_the_days(shelves: Shelves) -> None:
    bucket = await shelves.bucket(
        "photos", rule(expire_days=1, noncurrent_days=2), notifications=(EVERYTHING,)
    )
    await shelves.put(bucket)
    seen = []
    for _ in range(6):
        await run_round(shelves.lifecycle())
        seen.append(await shelves.keys(bucket))
        shelves.clock.forward(DAY)
    assert seen == [["cat"], ["cat"], ["cat!", "cat-"], ["cat!", "cat-"], ["cat!", "cat-"], ["cat!"]]
    await run_round(shelves.lifecycle())
    assert await shelves.keys(bucket) == []
    assert await events(shelves) == [
        ("s3:LifecycleExpiration:DeleteMarkerCreated", "cat"),
        ("s3:LifecycleExpiration:Delete", "cat"),
        ("s3:LifecycleExpiration:Delete", "cat"),
    ]


async def test_days_may_last_seconds(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(expire_days=3), versioning="off")
    await shelves.put(bucket)
    for seconds, left in ((29, ["cat"]), (1, [])):
        shelves.clock.forward(seconds)
        await run_round(shelves.lifecycle(day_seconds=10))
        assert await shelves.keys(bucket) == left


@pytest.mark.parametrize("page", [1, 2, 3, 4, 7, 1000])
async def test_versions_are_counted_and_markers_are_known_across_pages(shelves: Shelves, page: int) -> None:
    bucket = await shelves.bucket(
        "photos", rule(noncurrent_days=1, noncurrent_newer_kept=2, expire_marker=True)
    )
    for key in ("ant", "bee", "cat"):
        for size in range(5):
            await shelves.put(bucket, key, size=size)
    await shelves.histories.delete(bucket, "bee")
    await shelves.histories.delete(bucket, "lone")
    await shelves.histories.delete(bucket, "zzz")
    await shelves.put(bucket, "zzz")
    shelves.clock.forward(3 * DAY)
    await run_round(shelves.lifecycle(page=page))
    assert await shelves.keys(bucket) == [
        "ant", "ant-", "ant-", "bee!", "bee-", "bee-", "cat", "cat-", "cat-", "zzz", "zzz!-",
    ]  # fmt: skip


async def test_classes_change_and_what_is_shown_stays(shelves: Shelves) -> None:
    moves = rule(transitions=GLACIER, noncurrent_transitions=GLACIER)
    bucket = await shelves.bucket("photos", moves, notifications=(EVERYTHING,))
    old = await shelves.put(bucket, tags={"a": "b"})
    new = await shelves.put(bucket, size=2 << 20)
    shelves.clock.forward(3 * DAY)
    await run_round(shelves.lifecycle())
    for version in (old, new):
        found = await shelves.histories.find(bucket, "cat", version.version_id)
        assert (found.etag, found.modified, found.size) == (version.etag, version.modified, version.size)
        expected = msgspec.structs.replace(version.parsed, storage_class="GLACIER")
        assert found.parsed == expected
    assert shelves.carts.moved == [("cat", "cold"), ("cat", "cold")]
    assert await events(shelves) == [("s3:LifecycleTransition", "cat")] * 2
    assert await run_round(shelves.lifecycle()) == 0


async def test_a_move_that_fails_is_made_by_a_later_round(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(transitions=GLACIER))
    await shelves.put(bucket, "ant")
    await shelves.put(bucket, "bee")
    shelves.clock.forward(3 * DAY)
    shelves.carts.failures = [
        Trouble("node.unreachable", "Not now."),
        Refusal("fleet.too_small", "Not here."),
    ]
    await run_round(shelves.lifecycle())
    assert shelves.carts.moved == []
    await run_round(shelves.lifecycle())
    assert sorted(shelves.carts.moved) == [("ant", "cold"), ("bee", "cold")]


async def test_what_is_locked_stays_until_its_lock_is_over(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(expire_days=1, noncurrent_days=1))
    until = shelves.clock.now() + 10 * DAY * MICROSECONDS
    await shelves.put(bucket, "kept", retention=Retention(mode="GOVERNANCE", until=until))
    await shelves.put(bucket, "held", legal_hold=True)
    for _ in range(6):
        shelves.clock.forward(DAY)
        await run_round(shelves.lifecycle())
    assert await shelves.keys(bucket) == ["held!", "held-", "kept!", "kept-"]
    shelves.clock.forward(5 * DAY)
    for _ in range(2):
        await run_round(shelves.lifecycle())
    assert await shelves.keys(bucket) == ["held!", "held-"]


async def test_unfinished_uploads_are_aborted(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(abort_days=1, prefix="a"))
    for key in ("ant", "ape", "bee"):
        await shelves.multiparts.create(bucket, key, "test", Attributes())
    shelves.clock.forward(3 * DAY)
    late = await shelves.multiparts.create(bucket, "axe", "test", Attributes())
    await run_round(shelves.lifecycle(page=1))
    left = (await shelves.multiparts.list(bucket)).rows
    assert [row.name for row in left] == ["axe", "bee"]
    assert left[0].upload_id == late.upload_id


# --- races, stops and several processes ------------------------------------------------------------------


async def planned(shelves: Shelves, bucket: Bucket) -> tuple:
    work = shelves.lifecycle()
    reading = await work.read(None)
    plan = work.plan(reading.page)
    assert plan.actions
    return work, plan


@pytest.mark.parametrize("versioning", ["off", "on", "suspended"])
async def test_what_was_written_again_since_it_was_read_is_left_alone(
    shelves: Shelves, versioning: str
) -> None:
    bucket = await shelves.bucket("photos", rule(expire_days=1), versioning=versioning)
    await shelves.put(bucket, size=5)
    shelves.clock.forward(3 * DAY)
    work, plan = await planned(shelves, bucket)
    again = await shelves.put(bucket, size=5)
    assert await work.do(plan) is False
    assert (await shelves.histories.find(bucket, "cat")).version_id == again.version_id


async def test_a_null_version_that_took_the_place_of_another_is_left_alone(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(noncurrent_days=1), versioning="off")
    await shelves.put(bucket, size=5)
    bucket = await shelves.buckets.set_versioning(bucket.id, "on")
    await shelves.put(bucket, size=6)
    shelves.clock.forward(3 * DAY)
    bucket = await shelves.buckets.set_versioning(bucket.id, "suspended")
    work, plan = await planned(shelves, bucket)
    again = await shelves.put(bucket, size=5)
    await work.do(plan)
    assert (await shelves.histories.find(bucket, "cat")).version_id == again.version_id
    assert await shelves.keys(bucket) == ["cat", "cat-"]


async def test_what_became_the_latest_since_it_was_read_is_left_alone(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(noncurrent_days=1))
    old = await shelves.put(bucket, size=5)
    new = await shelves.put(bucket, size=6)
    shelves.clock.forward(3 * DAY)
    work, plan = await planned(shelves, bucket)
    assert len(plan.actions) == 1
    await shelves.histories.delete(bucket, "cat", new.version_id)
    await work.do(plan)
    assert (await shelves.histories.find(bucket, "cat")).version_id == old.version_id


async def test_rules_that_changed_since_they_were_read_are_read_again(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(expire_days=1), versioning="off")
    await shelves.put(bucket)
    shelves.clock.forward(3 * DAY)
    work, plan = await planned(shelves, bucket)
    await shelves.set(bucket, lifecycle=(rule(expire_days=9),))
    assert await work.do(plan) is True
    assert await shelves.keys(bucket) == ["cat"]


async def test_a_bucket_that_is_gone_is_no_trouble(shelves: Shelves) -> None:
    bucket = await shelves.bucket("photos", rule(expire_days=1), versioning="off")
    await shelves.put(bucket)
    shelves.clock.forward(3 * DAY)
    work, plan = await planned(shelves, bucket)
    await shelves.histories.delete(bucket, "cat")
    await shelves.buckets.remove(bucket)
    assert await work.do(plan) is False
    assert await run_round(work) == 0


async def fill(shelves: Shelves) -> Bucket:
    bucket = await shelves.bucket(
        "photos",
        rule("old", expire_days=1, prefix="a"),
        rule("moved", transitions=GLACIER, prefix="b"),
        rule("thinned", noncurrent_days=1, noncurrent_newer_kept=1),
    )
    for key in ("a1", "a2", "b1", "b2", "c"):
        for _ in range(3):
            await shelves.put(bucket, key)
    shelves.clock.forward(3 * DAY)
    return bucket


async def settle(shelves: Shelves) -> None:
    """Rounds until there is nothing left to do: a version that was hidden lets an older one go."""
    while await run_round(shelves.lifecycle()):
        pass


OUTCOME = ["a1!", "a1-", "a2!", "a2-", "b1", "b1-", "b2", "b2-", "c", "c-"]


@pytest.mark.parametrize("awaits", [1, 5, 20, 40, 80])
async def test_a_pass_that_is_stopped_anywhere_is_completed_by_the_next(
    shelves: Shelves, awaits: int
) -> None:
    bucket = await fill(shelves)
    task = asyncio.create_task(run_round(shelves.lifecycle(page=4)))
    for _ in range(awaits):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await settle(shelves)
    assert await shelves.keys(bucket) == OUTCOME
    classes = [(await shelves.histories.find(bucket, key)).parsed.storage_class for key in ("b1", "b2", "c")]
    assert classes == ["GLACIER", "GLACIER", ""]


async def test_several_processes_come_to_the_same_end(shelves: Shelves) -> None:
    bucket = await fill(shelves)
    await asyncio.gather(*(run_round(shelves.lifecycle(page=size)) for size in (1, 3, 1000)))
    await settle(shelves)
    assert await shelves.keys(bucket) == OUTCOME


# --- restores --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("versioning", ["off", "on"])
async def test_a_restored_version_is_archived_again_when_its_days_are_over(
    shelves: Shelves, versioning: str
) -> None:
    target = NotificationTarget(target_id="t", kind="Queue", arn="a", events=("s3:ObjectRestore:*",))
    bucket = await shelves.bucket("photos", versioning=versioning, notifications=(target,))
    ends = shelves.clock.now() + 100 * MICROSECONDS
    versions = {}
    for key, until in (("short", ends), ("longer", ends)):
        versions[key] = await shelves.put(bucket, key, storage_class="GLACIER", restored_until=until)
        await shelves.restores.note(bucket.id, key.encode(), versions[key].version_id, until)
    later = ends + 100 * MICROSECONDS
    await shelves.histories.change(
        bucket, versions["longer"], lambda old: msgspec.structs.replace(old, restored_until=later)
    )
    gone = await shelves.put(bucket, "gone", storage_class="GLACIER", restored_until=ends)
    await shelves.restores.note(bucket.id, b"gone", gone.version_id, ends)
    await shelves.histories.delete(bucket, "gone", gone.s3_version_id)
    work = EndRestores(
        restores=shelves.restores, ageing=shelves.ageing, histories=shelves.histories,
        outbox=shelves.outbox, clock=shelves.clock,
    )  # fmt: skip
    assert await run_round(work) == 0
    shelves.clock.forward(101)
    assert await run_round(work) == 3
    found = [(await shelves.histories.find(bucket, key)).parsed.restored_until for key in versions]
    assert found == [0, later]
    assert await events(shelves) == [("s3:ObjectRestore:Delete", "short")]
    assert await run_round(work) == 0
