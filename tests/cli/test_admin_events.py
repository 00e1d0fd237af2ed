"""`holdfast admin events` and `upkeep`: events that were given up, and what passes for buckets would do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.app.cli.main import root
from holdfast.app.rooms import open_rooms
from holdfast.app.s3_rooms import S3Rooms
from holdfast.app.secrets import load_master
from holdfast.files.bucket_settings import BucketSettings, LifecycleRule, NotificationTarget
from holdfast.upkeep.passes import run_round
from holdfast.world.chance import SystemChance
from holdfast.world.errors import Refusal
from holdfast.world.offload import InlineOffload

Admin = Callable[..., list[str]]
ARN = "arn:aws:sqs:::gone"


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    """The lines that a command of `holdfast admin` prints, on a coordinator's home that is not running."""
    load_master(tmp_path, SystemChance())

    def run(*words: str) -> list[str]:
        result = CliRunner().invoke(root, ["admin", *words, "--home", str(tmp_path)])
        if result.exception is not None:
            raise result.exception
        return result.stdout.splitlines()

    return run


@asynccontextmanager
async def s3_of(home: Path) -> AsyncIterator[S3Rooms]:
    async with open_rooms(home) as rooms:
        s3 = rooms.open_s3(InlineOffload())
        yield s3
        await s3.close()


async def give_up(home: Path) -> None:
    """Three events whose target the operator has not set."""
    target = NotificationTarget(target_id="t", kind="Queue", arn=ARN, events=())
    async with s3_of(home) as s3:
        bucket = await s3.buckets.create("alice", "photos", "standard")
        await s3.outbox.test(bucket, [target] * 3, {})
        await run_round(s3.passes.delivery())


async def mark(home: Path) -> None:
    """A delete marker with nothing behind it, in a bucket whose rule ends such."""
    rule = LifecycleRule(rule_id="r", enabled=True, expire_marker=True)
    async with s3_of(home) as s3:
        settings = BucketSettings(lifecycle=(rule,))
        bucket = await s3.buckets.create("alice", "photos", "standard", settings, "on")
        await s3.histories.delete(bucket, "cat")


def listed(admin: Admin) -> list[dict]:
    return [json.loads(line) for line in admin("events", "list", "--json")]


def test_given_up_events_are_listed_tried_again_and_dropped(admin: Admin, tmp_path: Path) -> None:
    assert admin("events", "list") == ["No event was given up."]
    asyncio.run(give_up(tmp_path))
    rows = listed(admin)
    assert [(row["id"], row["event"], row["bucket"], row["arn"], row["failure"]) for row in rows] == [
        (number, "s3:TestEvent", "photos", ARN, "no target") for number in (1, 2, 3)
    ]
    assert admin("events", "retry", "2") == ["1 events are told again."]
    assert admin("upkeep", "--dry-run", "delivery") == [
        f"delivery: give up s3:TestEvent of '' in 'photos': no target is set for {ARN}"
    ]
    assert admin("events", "drop", "1", "2") == ["1 events are forgotten."]
    assert [row["id"] for row in listed(admin)] == [3]
    assert admin("events", "drop", "--all") == ["1 events are forgotten."]
    assert listed(admin) == []


@pytest.mark.parametrize("words", [(), ("1", "--all")])
def test_it_must_be_said_which_events_are_meant(admin: Admin, words: tuple[str, ...]) -> None:
    with pytest.raises(Refusal) as refused:
        admin("events", "drop", *words)
    assert refused.value.code == "config.invalid"


def test_a_dry_run_shows_what_rules_of_buckets_ask_for_and_does_nothing(admin: Admin, tmp_path: Path) -> None:
    asyncio.run(mark(tmp_path))
    for _ in range(2):
        (line,) = admin("upkeep", "--dry-run", "lifecycle")
        assert line.startswith("lifecycle: remove delete marker ")
        assert line.endswith("of 'cat' in 'photos': a delete marker with nothing behind it (rule 'r')")
    assert admin("upkeep", "--dry-run", "restores", "replication") == ["Nothing to do."]
