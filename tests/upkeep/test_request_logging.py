"""Request logs: S3's lines under S3's names, in buckets that let them in; nothing lost that need not be."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from tests.upkeep.watch import START, Watch

from holdfast.files.attributes import Acl, Grant
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.bucket_settings import BucketSettings, Logging
from holdfast.files.records import Bucket
from holdfast.files.tending.request_log import RequestFacts, RequestLog, log_operation
from holdfast.gateway.body import Body
from holdfast.gateway.wish import PutWish
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.upkeep.passes import run_round
from holdfast.upkeep.plans.request_log import line
from holdfast.upkeep.request_log import FLUSH_LINES, RequestLogging
from holdfast.world.database import Database
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.simulated.chance import SimulatedChance

OWNER, ACCOUNT = canonical_id_of("alice"), account_of("alice")
SIMPLE = Logging(target_bucket="logs", target_prefix="p/")
OPEN = BucketSettings(acl=Acl(owner_id=OWNER, grants=(Grant(permission="WRITE", group="LogDelivery"),)))


def asked(request_id: str = "R", *, logging: Logging = SIMPLE, **more: object) -> RequestFacts:
    facts = {
        "bucket": "photos", "owner": OWNER, "account": ACCOUNT, "logging": logging, "time": START,
        "remote": "192.0.2.3", "requester": OWNER, "request_id": request_id,
        "operation": log_operation("GET", "cat"), "key": "cat", "method": "GET", "uri": "/photos/cat",
        "status": 200,
    } | more  # fmt: skip
    return RequestFacts(**facts)


class Shelf:
    """Keeps what is put; `failure` is raised instead of the next one."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str, PutWish]] = []
        self.failure: BaseException | None = None

    async def put(self, bucket: Bucket, key: str, body: Body, wish: PutWish) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        buffer = bytearray(body.size)
        await body.fill(memoryview(buffer))
        self.kept.append((bucket.name, key, buffer.decode(), wish))


class Desk:
    """A request log, its pass, and two buckets."""

    def __init__(self, database: Database) -> None:
        self.clock = Watch()
        self.log = RequestLog()
        self.shelf = Shelf()
        self.buckets = BucketRecords(database, self.clock)
        self.work = RequestLogging(
            request_log=self.log, buckets=self.buckets, gateway=self.shelf, clock=self.clock,
            chance=SimulatedChance("desk"), region="here",
        )  # fmt: skip

    async def write(self) -> list[str]:
        """The request ids of every line written once all is due."""
        self.clock.forward(301)
        await run_round(self.work)
        return self.ids()

    def ids(self) -> list[str]:
        return [each.split(" ")[6] for _, _, text, _ in self.shelf.kept for each in text.splitlines()]


@pytest.fixture
async def desk(database: Database) -> Desk:
    made = Desk(database)
    await made.buckets.create("alice", "logs", "test", OPEN)
    return made


FULL = asked(
    key="a b/ü",
    uri="/photos/a%20b/%C3%BC?versionId=1",
    error="NoSuchKey",
    sent=113,
    size=4096,
    total=7_900,
    turnaround=6_100,
    referer="http://x/",
    agent='curl "quoted"\r\nnew line',
    version_id="v1",
    host_id="H",
    signature="SigV4",
    cipher="TLS_AES_128_GCM_SHA256",
    authentication="AuthHeader",
    host="photos.s3.example",
    tls="TLSv1.3",
    acl_required=True,
)


def test_a_line_has_the_26_fields_of_s3() -> None:
    assert line(FULL) == (
        f"{OWNER} photos [15/Jun/2025:15:06:40 +0000] 192.0.2.3 {OWNER} R REST.GET.OBJECT a%20b/%C3%BC "
        '"GET /photos/a%20b/%C3%BC?versionId=1 HTTP/1.1" 200 NoSuchKey 113 4096 7 6 "http://x/" '
        '"curl %22quoted%22%0D%0Anew line" v1 H SigV4 TLS_AES_128_GCM_SHA256 AuthHeader photos.s3.example '
        "TLSv1.3 - Yes"
    )
    fields = re.findall(r'\[[^]]*\]|"[^"]*"|\S+', line(FULL))
    assert len(fields) == 26


def test_what_is_not_known_is_a_hyphen() -> None:
    bare = asked(requester="", key=None, operation=log_operation("GET", None, "ACL"), sent=0)
    found = line(bare)
    assert re.findall(r'\[[^]]*\]|"[^"]*"|\S+', found)[4:] == [
        "-", "R", "REST.GET.ACL", "-", '"GET /photos/cat HTTP/1.1"', "200", "-", "-", "-", "-", "-", '"-"',
        '"-"', "-", "-", "-", "-", "-", "-", "-", "-", "-",
    ]  # fmt: skip


async def test_lines_are_written_together_once_they_are_old_enough(desk: Desk) -> None:
    desk.log.note(asked("one"))
    desk.log.note(asked("two"))
    await run_round(desk.work)
    assert desk.shelf.kept == []
    assert await desk.write() == ["one", "two"]
    [(bucket, key, _, wish)] = desk.shelf.kept
    assert bucket == "logs"
    assert re.fullmatch(r"p/2025-06-15-15-11-41-[0-9A-F]{16}", key)
    assert wish.attributes.headers == {"content-type": "text/plain"}
    assert len(desk.log) == 0


async def test_many_lines_are_written_at_once(desk: Desk) -> None:
    for _ in range(FLUSH_LINES):
        desk.log.note(FULL)
    await run_round(desk.work)
    assert len(desk.ids()) == FLUSH_LINES


@pytest.mark.parametrize(
    ("key_format", "names"),
    [
        ("event_time", ["2025/06/14/2025-06-14-00-00-00", "2025/06/15/2025-06-15-00-00-00"]),
        ("delivery_time", ["2025/06/15/2025-06-15-15-11-41"]),
    ],
)
async def test_parted_names_tell_the_day_of_events_or_of_delivery(
    desk: Desk, key_format: str, names: list[str]
) -> None:
    logging = Logging(target_bucket="logs", target_prefix="p/", key_format=key_format)
    for request_id, time in (("one", START - 86_400_000_000), ("two", START)):
        desk.log.note(asked(request_id, logging=logging, time=time))
    assert await desk.write() == ["one", "two"]
    found = [key.rpartition("-")[0] for _, key, _, _ in desk.shelf.kept]
    assert found == [f"p/{ACCOUNT}/here/photos/{name}" for name in names]


def policy(**changes: object) -> BucketSettings:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::more/p/*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": "arn:aws:s3:::photos"},
            "StringEquals": {"aws:SourceAccount": ACCOUNT},
        },
    } | changes
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return BucketSettings(policy=json.dumps(document), ownership="BucketOwnerEnforced")


DENIED = policy(Effect="Deny", Condition={}).policy
LETS_IN = [
    (policy(), True, "the policy lets the service in"),
    (policy(Principal="*"), True, "the policy lets everybody in"),
    (policy(Principal={"Service": ["logging.s3.amazonaws.com", "x.amazonaws.com"]}), True, "among others"),
    (policy(Principal={"Service": "x.amazonaws.com"}), False, "another service"),
    (policy(Resource="arn:aws:s3:::more/q/*"), False, "another prefix"),
    (policy(Action="s3:GetObject"), False, "another action"),
    (policy(Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}}), False, "another source"),
    (BucketSettings(), False, "nothing said"),
    (OPEN, True, "the list lets the group write"),
    (BucketSettings(acl=OPEN.acl, ownership="BucketOwnerEnforced"), False, "lists are off"),
    (BucketSettings(acl=OPEN.acl, policy=DENIED), False, "a denial wins"),
]


@pytest.mark.parametrize(("settings", "let_in", "why"), LETS_IN, ids=[why for _, _, why in LETS_IN])
async def test_a_bucket_says_by_policy_or_list_whether_it_takes_logs(
    desk: Desk, settings: BucketSettings, let_in: bool, why: str
) -> None:
    await desk.buckets.create("alice", "more", "test", settings)
    desk.log.note(asked("one", logging=Logging(target_bucket="more", target_prefix="p/")))
    assert await desk.write() == (["one"] if let_in else [])
    assert len(desk.log) == 0


async def test_lines_for_a_bucket_of_others_or_of_nobody_are_dropped(desk: Desk) -> None:
    await desk.buckets.create("bob", "bobs", "test", OPEN)
    for target in ("bobs", "nobodys", "logs"):
        desk.log.note(asked(target, logging=Logging(target_bucket=target)))
    assert await desk.write() == ["logs"]


async def test_log_objects_are_shared_with_whom_the_setting_names_where_lists_count(desk: Desk) -> None:
    grant = Grant(permission="READ", canonical_id="f" * 64)
    desk.log.note(asked("one", logging=Logging(target_bucket="logs", grants=(grant,))))
    await desk.write()
    assert desk.shelf.kept[0][3].attributes.acl == Acl(owner_id=OWNER, grants=(grant,))


@pytest.mark.parametrize(
    "failure", [Trouble("database.busy", "Later."), Refusal("fleet.too_small", "Not now.")], ids=str
)
async def test_what_the_world_kept_from_being_written_is_written_later_in_order(
    desk: Desk, failure: Failure
) -> None:
    desk.log.note(asked("one"))
    desk.shelf.failure = failure
    assert await desk.write() == []
    desk.log.note(asked("two"))
    assert await desk.write() == ["one", "two"]


async def test_what_is_refused_is_dropped(desk: Desk) -> None:
    desk.log.note(asked("one"))
    desk.shelf.failure = Refusal("class.unknown", "No.")
    assert await desk.write() == []
    assert len(desk.log) == 0


async def test_a_pass_that_is_stopped_loses_nothing_and_the_end_writes_all(desk: Desk) -> None:
    desk.log.note(asked("one", logging=Logging(target_bucket="logs", target_prefix="x")))
    desk.log.note(asked("two"))
    desk.shelf.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await desk.write()
    assert len(desk.log) == 2
    await desk.work.flush()
    assert desk.ids() == ["one", "two"]


def test_memory_is_bounded_and_what_does_not_fit_is_counted() -> None:
    held = RequestLog(lines_max=2)
    for name in ("one", "two", "three"):
        held.note(asked(name))
    taken, dropped = held.take()
    [lines] = taken.values()
    assert ([each.request_id for each in lines], dropped) == (["one", "two"], 1)
    held.note(asked("four"))
    held.give_back(lines)
    taken, dropped = held.take()
    [lines] = taken.values()
    assert ([each.request_id for each in lines], dropped) == (["one", "four"], 1)
