"""The outbox: what is noted with a change, and taken by one process at a time."""

from __future__ import annotations

import pytest
from tests.upkeep.watch import Watch

from holdfast.files import notifying
from holdfast.files.bucket_settings import (
    BucketSettings,
    LifecycleFilter,
    NotificationTarget,
    Replication,
    ReplicationRule,
    pack,
)
from holdfast.files.records import Bucket
from holdfast.files.tending.outbox import Outbox, note
from holdfast.world.database import Database

ALL = "s3:ObjectCreated:*"


def target(target_id: str, *events: str, **more: str) -> NotificationTarget:
    return NotificationTarget(
        target_id=target_id, kind="Queue", arn=f"arn:aws:sqs:::{target_id}", events=events, **more
    )


def bucket_with(*targets: NotificationTarget, replication: Replication | None = None) -> Bucket:
    settings = BucketSettings(notifications=targets, replication=replication)
    return Bucket(7, "alice", "photos", "test", "on", 0, pack(settings), 1)


def replicating(*rules: ReplicationRule) -> Replication:
    return Replication(role="r", rules=rules)


def rule(rule_id: str, destination: str, **more: object) -> ReplicationRule:
    return ReplicationRule(rule_id=rule_id, enabled=True, destination=destination, **more)


async def happen(
    database: Database, clock: Watch, bucket: Bucket, event: str = "s3:ObjectCreated:Put", key: str = "cat"
) -> None:
    await database.transact(
        note,
        bucket,
        event,
        key=key.encode(),
        size=5,
        etag="e",
        version_id="v1",
        sequencer=3,
        who={"principal": "p"},
        now=clock.now(),
    )


@pytest.fixture
def clock() -> Watch:
    return Watch()


@pytest.fixture
def outbox(database: Database, clock: Watch) -> Outbox:
    return Outbox(database, clock)


@pytest.mark.parametrize(
    ("wanted", "event", "key", "told"),
    [
        (target("t", "s3:ObjectCreated:Put"), "s3:ObjectCreated:Put", "a", True),
        (target("t", "s3:ObjectCreated:Put"), "s3:ObjectCreated:Copy", "a", False),
        (target("t", ALL), "s3:ObjectCreated:Copy", "a", True),
        (target("t", ALL), "s3:ObjectRemoved:Delete", "a", False),
        (target("t", ALL, "s3:ObjectRemoved:*"), "s3:ObjectRemoved:Delete", "a", True),
        (target("t", ALL, prefix="a/"), "s3:ObjectCreated:Put", "a/b", True),
        (target("t", ALL, prefix="a/"), "s3:ObjectCreated:Put", "a", False),
        (target("t", ALL, suffix=".jpg"), "s3:ObjectCreated:Put", "a.jpg", True),
        (target("t", ALL, prefix="a", suffix=".jpg"), "s3:ObjectCreated:Put", "b.jpg", False),
        (target("t", ALL, prefix="", suffix=""), "s3:ObjectCreated:Put", "", True),
    ],
)
def test_a_target_hears_of_what_it_asked_for(
    wanted: NotificationTarget, event: str, key: str, told: bool
) -> None:
    assert notifying.asks_for(wanted, event, key) is told


def test_a_version_goes_to_each_destination_by_the_rule_of_the_highest_priority() -> None:
    settings = BucketSettings(
        replication=replicating(
            rule("old", "there"),
            rule("low", "there", priority=1, storage_class="GLACIER"),
            rule("high", "there", priority=2, filter=LifecycleFilter(tags={"a": "b"})),
            rule("elsewhere", "yonder", filter=LifecycleFilter(prefix="c")),
            ReplicationRule(rule_id="off", enabled=False, destination="nowhere"),
        )
    )

    def chosen(key: str, tags: dict[str, str]) -> list[str]:
        return [found.rule_id for found in notifying.replication_rules_for(settings, key, tags)]

    assert chosen("cat", {}) == ["low", "elsewhere"]
    assert chosen("dog", {"a": "b"}) == ["high"]
    assert notifying.first_status(settings, "cat", {}) == "PENDING"
    assert notifying.first_status(BucketSettings(), "cat", {}) == ""


async def test_every_target_that_asked_gets_a_row_and_an_event_nobody_asked_for_none(
    database: Database, outbox: Outbox, clock: Watch
) -> None:
    bucket = bucket_with(target("one", ALL), target("two", ALL), target("three", "s3:ObjectRemoved:*"))
    await happen(database, clock, bucket)
    await happen(database, clock, bucket, "s3:ObjectTagging:Put")
    await happen(database, clock, bucket_with())
    rows = await outbox.due_events(10)
    assert [(row.target_id, row.event, row.key, row.version_id, row.due) for row in rows] == [
        ("one", "s3:ObjectCreated:Put", b"cat", "v1", clock.now()),
        ("two", "s3:ObjectCreated:Put", b"cat", "v1", clock.now()),
    ]
    assert await outbox.due_copies(10) == []


async def test_new_versions_and_markers_that_a_rule_may_be_about_are_noted_for_copying(
    database: Database, outbox: Outbox, clock: Watch
) -> None:
    wanted = LifecycleFilter(prefix="c", tags={"a": "b"})
    bucket = bucket_with(replication=replicating(rule("r", "there", filter=wanted)))
    for event in ("s3:ObjectCreated:Put", "s3:ObjectRemoved:DeleteMarkerCreated", "s3:ObjectRemoved:Delete"):
        await happen(database, clock, bucket, event)
    await happen(database, clock, bucket, key="dog")
    assert [row.key for row in await outbox.due_copies(10)] == [b"cat", b"cat"]
    assert await outbox.due_events(10) == []


async def test_an_event_is_noted_exactly_if_its_change_was_made(
    database: Database, outbox: Outbox, clock: Watch
) -> None:
    def fail_after(connection: object) -> None:
        note(
            connection, bucket_with(target("one", ALL)), "s3:ObjectCreated:Put", key=b"k", size=0, etag="",
            version_id=None, sequencer=1, who={}, now=0,
        )  # fmt: skip
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        await database.transact(fail_after)
    assert await outbox.due_events(10) == []


async def test_rows_of_a_key_wait_for_the_one_before_and_others_do_not(
    database: Database, outbox: Outbox, clock: Watch
) -> None:
    bucket = bucket_with(target("one", ALL))
    for key in ("cat", "cat", "dog"):
        await happen(database, clock, bucket, key=key)
    first, second, third = await outbox.due_events(10)
    held = clock.now() + 10
    assert [row.id for row in await outbox.take_events([first], held)] == [first.id]
    assert [row.id for row in await outbox.due_events(10)] == [third.id]
    # Who read before may not overtake either, nor take what is taken.
    assert [row.id for row in await outbox.take_events([first, second, third], held)] == [third.id]
    clock.forward(1)
    assert [row.id for row in await outbox.due_events(10)] == [first.id, second.id, third.id]


async def test_who_comes_back_after_others_took_over_changes_nothing_of_theirs(
    database: Database, outbox: Outbox, clock: Watch
) -> None:
    await happen(database, clock, bucket_with(target("one", ALL)))
    slow = await outbox.take_events(await outbox.due_events(10), clock.now() + 10)
    clock.forward(1)
    quick = await outbox.take_events(await outbox.due_events(10), clock.now() + 20)
    await outbox.settle_events([], [slow[0]._replace(due=0, attempts=1)], slow[0].due)
    assert await outbox.due_events(10) == []
    await outbox.settle_events([], [quick[0]._replace(due=0, attempts=7, failure="no")], quick[0].due)
    assert [(row.attempts, row.failure) for row in await outbox.due_events(10)] == [(7, "no")]


async def test_what_was_given_up_is_listed_and_can_be_tried_again_or_dropped(
    database: Database, outbox: Outbox, clock: Watch
) -> None:
    for _ in range(3):
        await happen(database, clock, bucket_with(target("one", ALL)))
    taken = await outbox.take_events(await outbox.due_events(10), clock.now() + 10)
    await outbox.settle_events([], [row._replace(state="dead", due=5) for row in taken], clock.now() + 10)
    assert await outbox.due_events(10) == []
    dead = [row.id for row in await outbox.dead_events()]
    assert dead == [row.id for row in taken]
    assert [row.id for row in await outbox.dead_events(dead[0], limit=1)] == [dead[1]]
    assert (await outbox.revive_events(dead[:1]), await outbox.drop_events(dead)) == (1, 2)
    assert [row.id for row in await outbox.due_events(10)] == dead[:1]


async def test_a_target_that_was_set_is_told_so(outbox: Outbox) -> None:
    await outbox.test(bucket_with(), [target("one", ALL)], {"request_id": "r"})
    await outbox.test(bucket_with(), [], {})
    assert [(row.event, row.target_id, row.key) for row in await outbox.due_events(10)] == [
        ("s3:TestEvent", "one", b"")
    ]
