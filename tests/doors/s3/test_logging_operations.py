"""Request logging: the setting comes back as it was put, and only fitting buckets are taken as targets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes
from tests.doors.s3.program import Answer, Program, S3Cloud, s3_story
from tests.doors.s3.test_lock_operations import refusal

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import logging_operations as logs
from holdfast.doors.s3.wire.xml_reading import parse

PUT, GET = "PutBucketLogging", "GetBucketLogging"
LOG_GROUP = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/s3/LogDelivery"}


def status_of(**enabled: Any) -> dict[str, Any]:
    return {"BucketLoggingStatus": {"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": ""} | enabled}}


@pytest.mark.parametrize(
    ("key_format", "name"),
    [
        (None, ""),
        ({"SimplePrefix": {}}, "simple"),
        ({"PartitionedPrefix": {"PartitionDateSource": "EventTime"}}, "event_time"),
        ({"PartitionedPrefix": {"PartitionDateSource": "DeliveryTime"}}, "delivery_time"),
    ],
)
def test_forms_of_names_are_understood(key_format: dict[str, Any] | None, name: str) -> None:
    more = {} if key_format is None else {"TargetObjectKeyFormat": key_format}
    asked = logs.read_logging(shapes.sent(PUT, **status_of(TargetPrefix="a/", **more)))
    assert asked == logs.Asked("logs", "a/", name, ())


def test_an_empty_status_asks_for_nothing() -> None:
    assert logs.read_logging(shapes.sent(PUT, BucketLoggingStatus={})) is None


@pytest.mark.parametrize(
    "enabled",
    [
        "",
        "<TargetBucket>logs</TargetBucket>",
        "<TargetPrefix>a</TargetPrefix>",
        "<TargetBucket/><TargetPrefix/>",
        "<TargetBucket>logs</TargetBucket><TargetPrefix/><TargetObjectKeyFormat/>",
        "<TargetBucket>logs</TargetBucket><TargetPrefix/><TargetGrants><Grant/></TargetGrants>",
        (
            "<TargetBucket>logs</TargetBucket><TargetPrefix/><TargetGrants><Grant><Grantee><ID>a</ID></Grantee>"
            "<Permission>READ</Permission></Grant></TargetGrants>"
        ),
    ],
)
def test_a_document_of_another_form_is_malformed(enabled: str) -> None:
    root = f"<BucketLoggingStatus><LoggingEnabled>{enabled}</LoggingEnabled></BucketLoggingStatus>"
    with pytest.raises(S3Error) as caught:
        logs.read_logging(parse(root.encode()))
    assert shapes.code_of(caught.value) == ("MalformedXML", 400)


VALID = shapes.written(
    PUT,
    **status_of(
        TargetGrants=[{"Grantee": LOG_GROUP, "Permission": "READ"}],
        TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
    ),
)


@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, logs.read_logging)


async def buckets(program: Program, *names: str) -> None:
    for name in names:
        await program.call("CreateBucket", Bucket=name)


def test_a_setting_comes_back_as_it_was_put_and_ends_when_it_is_emptied() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await buckets(alice, "photos", "logs")
        assert "LoggingEnabled" not in await alice.call(GET, Bucket="photos")
        owner = (await alice.call("ListBuckets"))["Owner"]
        person = {"Type": "CanonicalUser", "ID": owner["ID"], "DisplayName": owner["DisplayName"]}
        wanted = status_of(
            TargetPrefix="a/é&",
            TargetGrants=[
                {"Grantee": person, "Permission": "FULL_CONTROL"},
                {"Grantee": LOG_GROUP, "Permission": "READ"},
            ],
            TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
        )
        await alice.call(PUT, Bucket="photos", **wanted)
        shown = (await alice.call(GET, Bucket="photos"))["LoggingEnabled"]
        assert shown == wanted["BucketLoggingStatus"]["LoggingEnabled"]
        await alice.call(PUT, Bucket="photos", BucketLoggingStatus={})
        assert "LoggingEnabled" not in await alice.call(GET, Bucket="photos")

    s3_story(story)


def test_the_target_must_be_there_be_the_owners_and_not_keep_what_it_gets() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, unfit = cloud.alice, ("InvalidTargetBucketForLogging", 400)
        await buckets(alice, "photos", "logs")
        await buckets(cloud.bob, "bobs-logs")
        for name in ("no-such-bucket", "bobs-logs", "B A D"):
            wanted = status_of(TargetBucket=name)
            assert await refusal(alice, PUT, Bucket="photos", **wanted) == unfit
        assert await refusal(cloud.bob, PUT, Bucket="photos", **status_of()) == ("AccessDenied", 403)
        await alice.call("CreateBucket", Bucket="vault", ObjectLockEnabledForBucket=True)
        await alice.call(PUT, Bucket="photos", **status_of(TargetBucket="vault"))
        lock = {
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
        }
        await alice.call("PutObjectLockConfiguration", Bucket="vault", ObjectLockConfiguration=lock)
        assert await refusal(alice, PUT, Bucket="photos", **status_of(TargetBucket="vault")) == unfit
        payer = {"RequestPaymentConfiguration": {"Payer": "Requester"}}
        await alice.call("PutBucketRequestPayment", Bucket="logs", **payer)
        assert await refusal(alice, PUT, Bucket="photos", **status_of()) == unfit

    s3_story(story)


def test_grantees_that_nobody_is_are_refused() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await buckets(alice, "photos", "logs")
        for grantee, code in (
            ({"Type": "CanonicalUser", "ID": "0" * 64}, "InvalidArgument"),
            ({"Type": "Group", "URI": "http://example.com"}, "InvalidArgument"),
            (
                {"Type": "AmazonCustomerByEmail", "EmailAddress": "x@example.com"},
                "UnresolvableGrantByEmailAddress",
            ),
        ):
            wanted = status_of(TargetGrants=[{"Grantee": grantee, "Permission": "READ"}])
            with pytest.raises(Answer) as caught:
                await alice.call(PUT, Bucket="photos", **wanted)
            assert (caught.value.code, caught.value.status) == (code, 400)

    s3_story(story)
