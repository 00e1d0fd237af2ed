"""Events on their way: at least once, in order, tried again with growing rests, given up in the end."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.upkeep.watch import START, Watch

from holdfast.files.bucket_settings import BucketSettings, NotificationTarget, pack
from holdfast.files.records import Bucket
from holdfast.files.tending.outbox import Outbox, note
from holdfast.upkeep.delivery import PAGE, Delivery
from holdfast.upkeep.passes import dry_run, run_round
from holdfast.upkeep.plans.delivery import ATTEMPTS_MAX, rest_before
from holdfast.upkeep.senders import Senders, Webhooks, parse_targets
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.simulated.chance import SimulatedChance

ARN = "arn:aws:sqs:here:1:queue"
OTHER = "arn:aws:sqs:here:1:other"


class Ear:
    """A target that writes down what it takes; `deaf` holds the URLs that refuse."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.tried: list[str] = []
        self.deaf: set[str] = set()
        self.stop_after: int | None = None

    async def send(self, url: str, body: bytes) -> None:
        await asyncio.sleep(0)
        self.tried.append(url)
        if url in self.deaf:
            raise Trouble("target.refused", "No.")
        if self.stop_after is not None and len(self.heard) >= self.stop_after:
            raise asyncio.CancelledError
        self.heard.append((url, json.loads(body)))

    async def close(self) -> None:
        pass

    @property
    def keys(self) -> list[str]:
        return [told["Records"][0]["s3"]["object"]["key"] for _, told in self.heard]


class Post:
    """An outbox, a delivery and who listens."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Watch()
        self.outbox = Outbox(database, self.clock)
        self.ear = Ear()
        self.count = 0

    def delivery(self) -> Delivery:
        """As a process makes it; several share the outbox."""
        return Delivery(
            outbox=self.outbox,
            sender=self.ear,
            targets={ARN: "http://here", OTHER: "http://other"},
            clock=self.clock,
            chance=SimulatedChance("post"),
            region="here",
        )

    async def happen(self, key: str = "cat", event: str = "s3:ObjectCreated:Put", arn: str = ARN) -> None:
        target = NotificationTarget(target_id="id", kind="Queue", arn=arn, events=("s3:*",))
        settings = pack(BucketSettings(notifications=(target,)))
        bucket = Bucket(7, "alice", "photos", "test", "on", 0, settings, 1)
        self.count += 1
        await self.database.transact(
            note, bucket, event, key=key.encode(), size=5, etag="abc", version_id="v1", sequencer=self.count,
            who={"principal": "p", "ip": "10.0.0.1", "request_id": "R"}, now=self.clock.now(),
        )  # fmt: skip


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database)


async def test_an_event_is_told_as_s3_tells_it(post: Post) -> None:
    await post.happen("red flower/ä+b~*.jpg")
    await run_round(post.delivery())
    [(url, told)] = post.ear.heard
    owner = told["Records"][0]["s3"]["bucket"].pop("ownerIdentity")
    assert len(owner["principalId"]) == 64
    assert (url, told) == (
        "http://here",
        {
            "Records": [
                {
                    "eventVersion": "2.1",
                    "eventSource": "aws:s3",
                    "awsRegion": "here",
                    "eventTime": "2025-06-15T15:06:40.000Z",
                    "eventName": "ObjectCreated:Put",
                    "userIdentity": {"principalId": "p"},
                    "requestParameters": {"sourceIPAddress": "10.0.0.1"},
                    "responseElements": {"x-amz-request-id": "R", "x-amz-id-2": ""},
                    "s3": {
                        "s3SchemaVersion": "1.0",
                        "configurationId": "id",
                        "bucket": {"name": "photos", "arn": "arn:aws:s3:::photos"},
                        "object": {
                            "key": "red+flower/%C3%A4%2Bb~*.jpg",
                            "size": 5,
                            "eTag": "abc",
                            "versionId": "v1",
                            "sequencer": "0000000000000001",
                        },
                    },
                }
            ]
        },
    )
    assert await post.outbox.due_events(10) == []


@pytest.mark.parametrize(
    ("event", "version", "sized"),
    [
        ("s3:ObjectRemoved:Delete", "2.1", False),
        ("s3:LifecycleExpiration:Delete", "2.3", False),
        ("s3:LifecycleTransition", "2.3", True),
        ("s3:ObjectTagging:Put", "2.3", True),
        ("s3:Replication:OperationFailedReplication", "2.2", True),
    ],
)
async def test_each_kind_of_event_has_its_version(post: Post, event: str, version: str, sized: bool) -> None:
    await post.happen(event=event)
    await run_round(post.delivery())
    record = post.ear.heard[0][1]["Records"][0]
    assert record["eventVersion"] == version
    assert record["eventName"] == event[3:]
    assert ("size" in record["s3"]["object"]) is sized


async def test_a_new_target_is_told_that_it_is_heard(post: Post) -> None:
    bucket = Bucket(7, "alice", "photos", "test", "on", 0)
    target = NotificationTarget(target_id="id", kind="Queue", arn=ARN, events=())
    await post.outbox.test(bucket, [target], {"request_id": "R"})
    await run_round(post.delivery())
    assert post.ear.heard[0][1] == {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2025-06-15T15:06:40.000Z",
        "Bucket": "photos",
        "RequestId": "R",
        "HostId": "",
    }


async def test_a_failed_event_is_tried_again_and_holds_back_only_its_own_key(post: Post) -> None:
    for key in ("cat", "cat", "dog"):
        await post.happen(key)
    await post.happen("cat", arn=OTHER)
    post.ear.deaf = {"http://here"}
    await run_round(post.delivery())
    assert [url for url, _ in post.ear.heard] == ["http://other"]
    assert await post.outbox.due_events(10) == []
    post.ear.deaf = set()
    await run_round(post.delivery())
    assert len(post.ear.heard) == 1
    post.clock.forward(3)
    await run_round(post.delivery())
    assert sorted(post.ear.keys) == ["cat", "cat", "cat", "dog"]
    sequencers = [
        told["Records"][0]["s3"]["object"]["sequencer"]
        for url, told in post.ear.heard
        if url == "http://here" and told["Records"][0]["s3"]["object"]["key"] == "cat"
    ]
    assert sequencers == sorted(sequencers)


async def test_an_event_that_nobody_takes_is_given_up_and_can_be_revived(post: Post) -> None:
    await post.happen()
    post.ear.deaf = {"http://here"}
    for _ in range(ATTEMPTS_MAX):
        await run_round(post.delivery())
        post.clock.forward(4 * 3600)
    assert len(post.ear.tried) == ATTEMPTS_MAX
    await run_round(post.delivery())
    assert len(post.ear.tried) == ATTEMPTS_MAX
    [dead] = await post.outbox.dead_events()
    assert (dead.attempts, dead.failure) == (ATTEMPTS_MAX, "No.")
    post.ear.deaf = set()
    assert await post.outbox.revive_events([dead.id]) == 1
    await run_round(post.delivery())
    assert post.ear.keys == ["cat"]


async def test_an_event_for_a_target_that_is_not_set_is_given_up_at_once(post: Post) -> None:
    await post.happen(arn="arn:aws:sqs:here:1:gone")
    await post.happen()
    lines = [line async for line in dry_run(post.delivery())]
    assert lines == [
        "give up s3:ObjectCreated:Put of 'cat' in 'photos': no target is set for arn:aws:sqs:here:1:gone",
        f"tell {ARN} of s3:ObjectCreated:Put of 'cat' in 'photos'",
    ]
    assert post.ear.tried == []
    await run_round(post.delivery())
    assert [row.arn for row in await post.outbox.dead_events()] == ["arn:aws:sqs:here:1:gone"]
    assert post.ear.keys == ["cat"]


async def test_what_was_given_up_is_kept_for_a_month(post: Post) -> None:
    await post.happen(arn="arn:aws:sqs:here:1:gone")
    delivery = post.delivery()
    await run_round(delivery)
    for days, left in ((30, 1), (1, 0)):
        post.clock.forward(days * 86_400)
        await run_round(delivery)
        assert len(await post.outbox.dead_events()) == left


async def test_a_target_that_refuses_again_and_again_is_left_alone_for_a_while(post: Post) -> None:
    for number in range(40):
        await post.happen(f"key-{number}")
    post.ear.deaf = {"http://here"}
    delivery = post.delivery()
    await run_round(delivery)
    assert len(post.ear.tried) <= 3 + 16
    post.ear.deaf = set()
    for _ in range(4):
        post.clock.forward(16)
        await run_round(delivery)
    assert sorted(post.ear.keys) == sorted(f"key-{number}" for number in range(40))


async def test_more_than_a_page_is_told_in_one_round(post: Post) -> None:
    for number in range(PAGE + 5):
        await post.happen(f"key-{number}")
    await run_round(post.delivery())
    assert len(set(post.ear.keys)) == len(post.ear.keys) == PAGE + 5


@pytest.mark.parametrize("told_before", [0, 1, 3])
async def test_what_a_stopped_process_left_is_told_by_the_next(post: Post, told_before: int) -> None:
    for number in range(6):
        await post.happen(f"key-{number % 3}")
    post.ear.stop_after = told_before
    with pytest.raises(asyncio.CancelledError):
        await run_round(post.delivery())
    post.ear.stop_after = None
    await run_round(post.delivery())
    assert len(post.ear.heard) == told_before
    post.clock.forward(121)
    await run_round(post.delivery())
    last = {}
    for _, told in post.ear.heard:
        last[told["Records"][0]["s3"]["object"]["key"]] = told["Records"][0]["s3"]["object"]["sequencer"]
    assert {key: int(value, 16) for key, value in last.items()} == {"key-0": 4, "key-1": 5, "key-2": 6}
    assert await post.outbox.due_events(10) == []


async def test_two_processes_share_the_work_and_tell_nothing_twice(post: Post) -> None:
    for number in range(60):
        await post.happen(f"key-{number % 20}")
    await asyncio.gather(*(run_round(post.delivery()) for _ in range(3)))
    await run_round(post.delivery())
    found = [told["Records"][0]["s3"]["object"] for _, told in post.ear.heard]
    assert len(found) == 60
    for key in {each["key"] for each in found}:
        order = [each["sequencer"] for each in found if each["key"] == key]
        assert order == sorted(order)


def test_rests_grow_to_their_bound_and_are_jittered() -> None:
    longest = [rest_before(attempts, 0.999999) // 1_000_000 for attempts in (1, 2, 3, 10, 100)]
    assert longest == [1, 3, 7, 1023, 10799]
    assert rest_before(3, 0.0) == 4_000_000


# --- over HTTP -------------------------------------------------------------------------------------------


class Hook:
    """A web server that takes events."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append(
            ({name.lower(): value for name, value in request.headers.items()}, await request.read())
        )
        return web.Response(status=self.status, headers={"Location": "http://127.0.0.1:1/"})


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    application = web.Application()
    application.router.add_post("/events", made.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/events"
    yield made
    await runner.cleanup()


async def test_a_webhook_is_posted_and_signed_with_its_key(hook: Hook) -> None:
    senders = Senders(Watch())
    await senders.send(hook.url, b'{"a":1}')
    await senders.send(f"{hook.url}#key", b'{"a":2}')
    await senders.close()
    (plain, first), (signed, second) = hook.requests
    assert (first, second) == (b'{"a":1}', b'{"a":2}')
    assert plain["content-type"] == "application/json"
    assert "x-holdfast-signature" not in plain
    seconds = START // 1_000_000
    expected = hmac.new(b"key", f"{seconds}.".encode() + second, hashlib.sha256).hexdigest()
    assert signed["x-holdfast-signature"] == f"t={seconds},v1={expected}"


@pytest.mark.parametrize("status", [302, 307, 400, 404, 500, 503])
async def test_any_other_answer_is_a_refusal_and_redirects_are_not_followed(hook: Hook, status: int) -> None:
    hook.status = status
    webhooks = Webhooks(Watch())
    with pytest.raises(Trouble, match=f"answered {status}") as caught:
        await webhooks.send(hook.url, b"{}")
    await webhooks.close()
    assert caught.value.code == "target.refused"
    assert len(hook.requests) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "gopher://here", "http://", "nats://here/x", "amqp://h/"]
)
async def test_what_cannot_be_reached_is_a_refusal(url: str) -> None:
    senders = Senders(Watch())
    with pytest.raises(Trouble) as caught:
        await senders.send(url, b"{}")
    await senders.close()
    assert caught.value.code == "target.refused"


def test_targets_are_what_the_operator_wrote() -> None:
    text = f"{ARN}=https://hooks.example/x?y=z#key\n  {OTHER}=nats://n.example/subject"
    assert parse_targets(text) == {
        ARN: "https://hooks.example/x?y=z#key",
        OTHER: "nats://n.example/subject",
    }
    assert parse_targets("") == {}
    for wrong in ("arn:x", "queue=http://here", "arn:x=file:///etc/passwd", "arn:x=http://"):
        with pytest.raises(Refusal) as caught:
            parse_targets(wrong)
        assert caught.value.code == "config.invalid"
