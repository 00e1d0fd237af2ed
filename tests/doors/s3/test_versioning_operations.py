"""Versioning, payment and acceleration: small settings, told in S3's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes
from tests.doors.s3.program import S3Cloud, s3_story
from tests.doors.s3.test_lock_operations import refusal

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import payment_operations as payment
from holdfast.doors.s3.settings import versioning_operations as versioning


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({}, "IllegalVersioningConfigurationException"),
        ({"MFADelete": "Disabled"}, "IllegalVersioningConfigurationException"),
        ({"Status": "On"}, "MalformedXML"),
        ({"Status": ""}, "MalformedXML"),
        ({"Status": "Enabled", "MFADelete": "on"}, "MalformedXML"),
    ],
)
def test_what_cannot_be_is_refused(configuration: dict[str, str], code: str) -> None:
    root = shapes.sent("PutBucketVersioning", VersioningConfiguration=configuration)
    with pytest.raises(S3Error) as caught:
        versioning.read_versioning(root)
    assert shapes.code_of(caught.value) == (code, 400)


VALID = shapes.written(
    "PutBucketVersioning", VersioningConfiguration={"Status": "Enabled", "MFADelete": "Disabled"}
)


@given(st.data())
def test_documents_nearly_right_never_trip_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, versioning.read_versioning)
    mutations.survives(data, VALID, payment.read_payer)


def test_versioning_goes_on_and_is_suspended_but_never_off_again() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bucket = cloud.alice, {"Bucket": "photos"}
        await alice.call("CreateBucket", **bucket)
        get, put = "GetBucketVersioning", "PutBucketVersioning"
        assert await alice.call(get, **bucket) | {"ResponseMetadata": 0} == {"ResponseMetadata": 0}
        for status in ("Suspended", "Enabled", "Suspended"):
            await alice.call(put, **bucket, VersioningConfiguration={"Status": status})
            assert (await alice.call(get, **bucket))["Status"] == status
        mfa: dict[str, Any] = {"VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Enabled"}}
        assert await refusal(alice, put, **bucket, **mfa) == ("AccessDenied", 403)
        assert await refusal(alice, put, **bucket, MFA="1 2", **mfa) == ("TokenCodeInvalidError", 400)
        assert (await alice.call(get, **bucket))["Status"] == "Suspended"
        off = {"VersioningConfiguration": {"Status": "Enabled", "MFADelete": "Disabled"}}
        await alice.call(put, **bucket, **off)
        shown = await alice.call(get, **bucket)
        assert (shown["Status"], shown["MFADelete"]) == ("Enabled", "Disabled")
        assert await refusal(cloud.bob, get, **bucket) == ("AccessDenied", 403)

    s3_story(story)


def test_the_owner_pays_until_it_is_said_otherwise() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bucket = cloud.alice, {"Bucket": "photos"}
        await alice.call("CreateBucket", **bucket)
        get, put = "GetBucketRequestPayment", "PutBucketRequestPayment"
        assert (await alice.call(get, **bucket))["Payer"] == "BucketOwner"
        for payer in ("Requester", "BucketOwner"):
            await alice.call(put, **bucket, RequestPaymentConfiguration={"Payer": payer})
            assert (await alice.call(get, **bucket))["Payer"] == payer
        wrong = {"RequestPaymentConfiguration": {"Payer": "Nobody"}}
        assert await refusal(alice, put, **bucket, **wrong) == ("MalformedXML", 400)

    s3_story(story)


def test_acceleration_is_not_there_and_cannot_be_put_on() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bucket = cloud.alice, {"Bucket": "photos"}
        await alice.call("CreateBucket", **bucket)
        assert "Status" not in await alice.call("GetBucketAccelerateConfiguration", **bucket)
        on = {"AccelerateConfiguration": {"Status": "Enabled"}}
        answer = await refusal(alice, "PutBucketAccelerateConfiguration", **bucket, **on)
        assert answer == ("NotImplemented", 501)

    s3_story(story)
