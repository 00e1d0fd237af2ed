"""Each setting of a bucket through the whole door: put, shown, replaced, removed; nobody else's affair."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from tests.doors.s3.program import S3Cloud, s3_story
from tests.doors.s3.test_lock_operations import refusal

from holdfast.files.tending.outbox import Outbox

QUEUE = "arn:aws:sqs:us-east-1:123456789012:jobs"


class Setting(NamedTuple):
    """How one is put, shown and removed; `absent` is what a bucket without it answers."""

    name: str
    put: str
    get: str
    delete: str
    wanted: dict[str, Any]
    payload: str
    """Where Get shows it; empty if Get shows its members by themselves."""
    absent: str
    answers: int = 200


LIFECYCLE = {"Rules": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 3}}]}
SETTINGS = [
    Setting(
        "Tagging",
        "PutBucketTagging",
        "GetBucketTagging",
        "DeleteBucketTagging",
        {"TagSet": [{"Key": "a", "Value": "1"}]},
        "",
        "NoSuchTagSet",
        204,
    ),
    Setting(
        "LifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        "GetBucketLifecycleConfiguration",
        "DeleteBucketLifecycle",
        LIFECYCLE,
        "",
        "NoSuchLifecycleConfiguration",
    ),
    Setting(
        "CORSConfiguration",
        "PutBucketCors",
        "GetBucketCors",
        "DeleteBucketCors",
        {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]},
        "",
        "NoSuchCORSConfiguration",
    ),
    Setting(
        "WebsiteConfiguration",
        "PutBucketWebsite",
        "GetBucketWebsite",
        "DeleteBucketWebsite",
        {"IndexDocument": {"Suffix": "i"}},
        "",
        "NoSuchWebsiteConfiguration",
    ),
    Setting(
        "ServerSideEncryptionConfiguration",
        "PutBucketEncryption",
        "GetBucketEncryption",
        "DeleteBucketEncryption",
        {
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k"},
                    "BucketKeyEnabled": True,
                }
            ]
        },
        "ServerSideEncryptionConfiguration",
        "",
    ),
    Setting(
        "ReplicationConfiguration",
        "PutBucketReplication",
        "GetBucketReplication",
        "DeleteBucketReplication",
        {
            "Role": "arn:aws:iam::1:role/r",
            "Rules": [
                {
                    "ID": "r",
                    "Prefix": "",
                    "Status": "Enabled",
                    "Destination": {"Bucket": "arn:aws:s3:::copies"},
                }
            ],
        },
        "ReplicationConfiguration",
        "ReplicationConfigurationNotFoundError",
    ),
]


async def made(cloud: S3Cloud) -> dict[str, str]:
    """Two buckets that keep versions."""
    for name in ("photos", "copies"):
        await cloud.alice.call("CreateBucket", Bucket=name)
        on = {"VersioningConfiguration": {"Status": "Enabled"}}
        await cloud.alice.call("PutBucketVersioning", Bucket=name, **on)
    return {"Bucket": "photos"}


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_is_put_shown_and_removed(setting: Setting) -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, await made(cloud)
        wanted = {setting.name: setting.wanted}
        if setting.absent:
            assert await refusal(alice, setting.get, **words) == (setting.absent, 404)
        for _ in range(2):
            await alice.call(setting.put, **words, **wanted)
            assert alice.last[0] == setting.answers
            shown = await alice.call(setting.get, **words)
            found = shown[setting.payload] if setting.payload else shown
            assert {name: found[name] for name in setting.wanted} == setting.wanted
        for name, more in ((setting.get, {}), (setting.put, wanted), (setting.delete, {})):
            for stranger in (cloud.bob, cloud.nobody):
                assert await refusal(stranger, name, **words, **more) == ("AccessDenied", 403)
        for _ in range(2):
            await alice.call(setting.delete, **words)
            assert (alice.last[0], alice.last[2]) == (204, b"")
        if setting.absent:
            assert await refusal(alice, setting.get, **words) == (setting.absent, 404)

    s3_story(story)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_what_is_no_document_is_malformed_and_changes_nothing(setting: Setting) -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, await made(cloud)
        await alice.call(setting.put, **words, **{setting.name: setting.wanted})
        before = await alice.call(setting.get, **words)
        query = {
            "Tagging": "tagging",
            "LifecycleConfiguration": "lifecycle",
            "CORSConfiguration": "cors",
        }.get(setting.name, "") or {"W": "website", "S": "encryption", "R": "replication"}[setting.name[0]]
        for body in (b"<a/>", b"<", b"\xff\xfe", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"{}"):
            status, _, content = await alice.send("PUT", "/photos", query, {}, body)
            assert (status, b"<Code>MalformedXML</Code>" in content) == (400, True)
        status, _, content = await alice.send("PUT", "/photos", query)
        assert (status, b"<Code>MissingRequestBodyError</Code>" in content) == (400, True)
        after = await alice.call(setting.get, **words)
        assert before | {"ResponseMetadata": 0} == after | {"ResponseMetadata": 0}

    s3_story(story)


def test_encryption_returns_to_aes256_when_its_setting_is_removed() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, await made(cloud)
        default = {
            "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
            "BucketKeyEnabled": False,
        }
        name = "ServerSideEncryptionConfiguration"
        assert (await alice.call("GetBucketEncryption", **words))[name]["Rules"] == [default]
        kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
        await alice.call("PutBucketEncryption", **words, **{name: kms})
        await alice.call("DeleteBucketEncryption", **words)
        assert (await alice.call("GetBucketEncryption", **words))[name]["Rules"] == [default]

    s3_story(story)


def test_the_least_size_for_transitions_is_kept_and_said() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, await made(cloud)
        name, put = "TransitionDefaultMinimumObjectSize", "PutBucketLifecycleConfiguration"
        wanted = {"LifecycleConfiguration": LIFECYCLE}
        for given, told in (
            ({}, "all_storage_classes_128K"),
            ({name: "varies_by_storage_class"}, "varies_by_storage_class"),
            ({name: "all_storage_classes_128K"}, "all_storage_classes_128K"),
        ):
            assert (await alice.call(put, **words, **wanted, **given))[name] == told
            assert (await alice.call("GetBucketLifecycleConfiguration", **words))[name] == told
        assert await refusal(alice, put, **words, **wanted, **{name: "1M"}) == ("InvalidArgument", 400)

    s3_story(story)


def test_notifications_go_only_to_destinations_that_the_operator_knows() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, await made(cloud)
        put, get = "PutBucketNotificationConfiguration", "GetBucketNotificationConfiguration"

        def to(arn: str) -> dict[str, Any]:
            queue = {"Id": "q", "QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}
            return {"NotificationConfiguration": {"QueueConfigurations": [queue]}}

        assert "QueueConfigurations" not in await alice.call(get, **words)
        await alice.call(put, **words, **to(QUEUE))
        shown = (await alice.call(get, **words))["QueueConfigurations"]
        assert shown == to(QUEUE)["NotificationConfiguration"]["QueueConfigurations"]
        unknown = to(f"{QUEUE}-2")
        assert await refusal(alice, put, **words, **unknown) == ("InvalidArgument", 400)
        await alice.call(put, **words, **unknown, SkipDestinationValidation=True)
        await alice.call(put, **words, NotificationConfiguration={})
        assert "QueueConfigurations" not in await alice.call(get, **words)
        assert await refusal(cloud.bob, put, **words, **to(QUEUE)) == ("AccessDenied", 403)

    s3_story(story, notification_targets={QUEUE: "http://127.0.0.1:9/"})


def test_replication_needs_versions_on_both_sides_and_leave_to_write_there() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bob = cloud.alice, cloud.bob
        words = await made(cloud)
        await alice.call("CreateBucket", Bucket="plain")
        await bob.call("CreateBucket", Bucket="bobs")
        on, off = ({"VersioningConfiguration": {"Status": each}} for each in ("Enabled", "Suspended"))
        await bob.call("PutBucketVersioning", Bucket="bobs", **on)

        def to(name: str) -> dict[str, Any]:
            rule = {"ID": "r", "Prefix": "", "Status": "Enabled"}
            rule["Destination"] = {"Bucket": f"arn:aws:s3:::{name}"}  # type: ignore[assignment]
            return {"ReplicationConfiguration": {"Role": "arn:aws:iam::1:role/r", "Rules": [rule]}}

        put = "PutBucketReplication"
        for name in ("plain", "photos", "nothing"):
            assert await refusal(alice, put, **words, **to(name)) == ("InvalidRequest", 400)
        assert await refusal(alice, put, Bucket="plain", **to("copies")) == ("InvalidRequest", 400)
        assert await refusal(alice, put, **words, **to("bobs")) == ("AccessDenied", 403)
        policy = (
            '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:ReplicateObject",'
            ' "Resource": "arn:aws:s3:::bobs/*"}]}'
        )
        await bob.call("PutBucketPolicy", Bucket="bobs", Policy=policy)
        await alice.call(put, **words, **to("bobs"))
        assert await refusal(alice, "PutBucketVersioning", **words, **off) == ("InvalidBucketState", 409)
        await alice.call("DeleteBucketReplication", **words)
        await alice.call("PutBucketVersioning", **words, **off)

    s3_story(story)


def test_tags_of_objects_go_with_versions() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, {**await made(cloud), "Key": "cat"}
        first, second = [
            (await alice.call("PutObject", **words, Body=b"x", Tagging=f"n={n}"))["VersionId"] for n in (1, 2)
        ]
        get, put, delete = "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging"

        async def tags(**more: str) -> dict[str, str]:
            shown = await alice.call(get, **words, **more)
            assert shown["VersionId"] == more.get("VersionId", second)
            return {tag["Key"]: tag["Value"] for tag in shown["TagSet"]}

        assert (await tags(), await tags(VersionId=first)) == ({"n": "2"}, {"n": "1"})
        wanted = {"Tagging": {"TagSet": [{"Key": "b", "Value": ""}, {"Key": "a", "Value": "1"}]}}
        assert (await alice.call(put, **words, VersionId=first, **wanted))["VersionId"] == first
        assert (await tags(), await tags(VersionId=first)) == ({"n": "2"}, {"b": "", "a": "1"})
        assert (await alice.call(delete, **words))["VersionId"] == second
        assert alice.last[0] == 204
        assert (await tags(), await tags(VersionId=first)) == ({}, {"b": "", "a": "1"})
        marker = (await alice.call("DeleteObject", **words))["VersionId"]
        for name, more in ((get, {}), (put, wanted), (delete, {})):
            assert await refusal(alice, name, **words, **more) == ("NoSuchKey", 404)
            refused = await refusal(alice, name, **words, VersionId=marker, **more)
            assert refused == ("MethodNotAllowed", 405)
            for stranger in (cloud.bob, cloud.nobody):
                refused = await refusal(stranger, name, **words, VersionId=first, **more)
                assert refused == ("AccessDenied", 403)

    s3_story(story)


def test_a_policy_may_ask_which_tags_and_which_retention_are_put() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="vault", ObjectLockEnabledForBucket=True)
        await cloud.alice.call("PutObject", Bucket="vault", Key="a", Body=b"x")
        policy = (
            '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:PutObjectTagging",'
            ' "Resource": "arn:aws:s3:::vault/*", "Condition": {"StringEquals":'
            ' {"s3:RequestObjectTag/team": "red"}}},'
            '{"Effect": "Allow", "Principal": "*", "Action": "s3:PutObjectRetention", "Resource":'
            ' "arn:aws:s3:::vault/*", "Condition": {"NumericLessThan":'
            ' {"s3:object-lock-remaining-retention-days": "10"}}}]}'
        )
        await cloud.alice.call("PutBucketPolicy", Bucket="vault", Policy=policy)
        for team, code in (("red", ""), ("blue", "AccessDenied")):
            tags = {"Tagging": {"TagSet": [{"Key": "team", "Value": team}]}}
            assert (await refusal(cloud.bob, "PutObjectTagging", Bucket="vault", Key="a", **tags))[0] == code
        now = cloud.cluster.coordinator.clock.now() // 1_000_000
        for days, code in ((5, ""), (50, "AccessDenied")):
            until = {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": now + days * 86400}}
            answer = await refusal(cloud.bob, "PutObjectRetention", Bucket="vault", Key="a", **until)
            assert answer[0] == code

    s3_story(story)


def test_changes_of_tags_locks_and_lists_are_told_to_those_who_asked() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, {"Bucket": "vault", "Key": "a"}
        await alice.call("CreateBucket", Bucket="vault", ObjectLockEnabledForBucket=True)
        put = (await alice.call("PutObject", **words, Body=b"x"))["VersionId"]
        wanted = ["s3:ObjectTagging:*", "s3:ObjectAcl:Put", "s3:ObjectRetention:Put"]
        queue = {"Id": "q", "QueueArn": QUEUE, "Events": wanted}
        await alice.call(
            "PutBucketNotificationConfiguration",
            Bucket="vault",
            NotificationConfiguration={"QueueConfigurations": [queue]},
        )
        await alice.call("PutObjectTagging", **words, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
        await alice.call("DeleteObjectTagging", **words)
        await alice.call("PutObjectAcl", **words, ACL="public-read")
        until = cloud.cluster.coordinator.clock.now() // 1_000_000 + 1000
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
        await alice.call("PutObjectRetention", **words, Retention=retention)
        outbox = Outbox(cloud.cluster.database, cloud.cluster.coordinator.clock)
        told = [(row.event, row.key, row.version_id) for row in await outbox.due_events(10)]
        names = ("ObjectTagging:Put", "ObjectTagging:Delete", "ObjectAcl:Put", "ObjectRetention:Put")
        assert told == [(f"s3:{name}", b"a", put) for name in names]

    s3_story(story, notification_targets={QUEUE: "http://127.0.0.1:9/"})
