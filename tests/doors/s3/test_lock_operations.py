"""Object lock as S3 programs ask for it: configurations, retentions, holds, headers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes
from tests.doors.s3.program import Answer, Program, S3Cloud, s3_story

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import lock_operations as locks
from holdfast.doors.s3.wire.xml_reading import parse
from holdfast.files.attributes import Retention
from holdfast.files.bucket_settings import BucketSettings, ObjectLock
from holdfast.world.clock import MICROSECONDS

NOW = 1_750_000_000 * MICROSECONDS
LOCKED = BucketSettings(object_lock=ObjectLock())
MODES = st.sampled_from(["GOVERNANCE", "COMPLIANCE"])
CONFIGURATION, RETENTION = "ObjectLockConfiguration", "Retention"


def lock_of(**default: Any) -> dict[str, Any]:
    rule = {"Rule": {"DefaultRetention": default}} if default else {}
    return {"ObjectLockEnabled": "Enabled"} | rule


def put(configuration: dict[str, Any]) -> ObjectLock:
    return locks.read_lock(shapes.sent("PutObjectLockConfiguration", ObjectLockConfiguration=configuration))


@given(
    st.one_of(
        st.just({}),
        st.builds(lambda mode, days: {"Mode": mode, "Days": days}, MODES, st.integers(1, 36500)),
        st.builds(lambda mode, years: {"Mode": mode, "Years": years}, MODES, st.integers(1, 100)),
    )
)
def test_a_configuration_comes_back_as_it_was_put(default: dict[str, Any]) -> None:
    given = lock_of(**default)
    body = locks.lock_document(put(given)).content
    assert shapes.understood("GetObjectLockConfiguration", body)[CONFIGURATION] == given


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({}, "MalformedXML"),
        ({"ObjectLockEnabled": "enabled"}, "MalformedXML"),
        ({"Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}, "MalformedXML"),
        ({"ObjectLockEnabled": "Enabled", "Rule": {}}, "MalformedXML"),
        (lock_of(Mode="GOVERNANCE"), "MalformedXML"),
        (lock_of(Days=1), "MalformedXML"),
        (lock_of(Mode="governance", Days=1), "MalformedXML"),
        (lock_of(Mode="GOVERNANCE", Days=1, Years=1), "MalformedXML"),
        (lock_of(Mode="GOVERNANCE", Days=0), "InvalidArgument"),
        (lock_of(Mode="GOVERNANCE", Days=-1), "InvalidArgument"),
        (lock_of(Mode="GOVERNANCE", Years=0), "InvalidArgument"),
        (lock_of(Mode="GOVERNANCE", Days=36501), "InvalidArgument"),
        (lock_of(Mode="GOVERNANCE", Years=101), "InvalidArgument"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(configuration: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(configuration)
    assert shapes.code_of(caught.value) == (code, 400)


@given(MODES, st.integers(1, 10**12))
def test_a_retention_is_read_to_the_microsecond_that_was_sent(mode: str, later: int) -> None:
    until = NOW + later
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=until)
    root = shapes.sent("PutObjectRetention", Retention={"Mode": mode, "RetainUntilDate": when})
    assert locks.read_retention(root, NOW) == Retention(mode=mode, until=until)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<Retention><Mode>GOVERNANCE</Mode></Retention>", "MalformedXML"),
        ("<Retention><RetainUntilDate>2099-01-01</RetainUntilDate></Retention>", "MalformedXML"),
        (
            "<Retention><Mode>NONE</Mode><RetainUntilDate>2099-01-01</RetainUntilDate></Retention>",
            "MalformedXML",
        ),
        (
            "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>soon</RetainUntilDate></Retention>",
            "MalformedXML",
        ),
        (
            "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>2015-01-01T00:00:00Z</RetainUntilDate></Retention>",
            "InvalidArgument",
        ),
        ("<Retention><EventHold>ON</EventHold></Retention>", "NotImplemented"),
    ],
)
def test_a_retention_that_cannot_be_is_refused(document: str, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        locks.read_retention(parse(document.encode()), NOW)
    assert caught.value.code == code


def test_an_empty_retention_takes_one_away() -> None:
    assert locks.read_retention(parse(b"<Retention/>"), NOW) is None


@dataclass
class Headed:
    """Something with headers: all that is asked of a request here."""

    headers: dict[str, str] = field(default_factory=dict)


def from_headers(settings: BucketSettings = LOCKED, **headers: str) -> tuple[Retention | None, bool]:
    named = {f"x-amz-object-lock-{name.replace('_', '-')}": value for name, value in headers.items()}
    return locks.lock_from_headers(Headed(named), settings, NOW)  # type: ignore[arg-type]


def test_headers_lock_a_new_version() -> None:
    until = Retention(mode="COMPLIANCE", until=4_102_444_800 * MICROSECONDS)
    when = "2100-01-01T00:00:00Z"
    assert from_headers() == (None, False)
    assert from_headers(BucketSettings()) == (None, False)
    assert from_headers(mode="COMPLIANCE", retain_until_date=when) == (until, False)
    assert from_headers(mode="COMPLIANCE", retain_until_date=when, legal_hold="ON") == (until, True)
    assert from_headers(legal_hold="OFF") == (None, False)


@pytest.mark.parametrize(
    ("settings", "headers", "code"),
    [
        (BucketSettings(), {"legal_hold": "ON"}, "InvalidRequest"),
        (LOCKED, {"mode": "GOVERNANCE"}, "InvalidArgument"),
        (LOCKED, {"retain_until_date": "2100-01-01T00:00:00Z"}, "InvalidArgument"),
        (LOCKED, {"mode": "abc", "retain_until_date": "2100-01-01T00:00:00Z"}, "InvalidArgument"),
        (LOCKED, {"mode": "GOVERNANCE", "retain_until_date": "1 January"}, "InvalidArgument"),
        (LOCKED, {"mode": "GOVERNANCE", "retain_until_date": "2010-01-01T00:00:00Z"}, "InvalidArgument"),
        (LOCKED, {"legal_hold": "on"}, "InvalidArgument"),
    ],
)
def test_headers_that_cannot_be_are_refused(
    settings: BucketSettings, headers: dict[str, str], code: str
) -> None:
    with pytest.raises(S3Error) as caught:
        from_headers(settings, **headers)
    assert shapes.code_of(caught.value) == (code, 400)


VALID = shapes.written(
    "PutObjectLockConfiguration", ObjectLockConfiguration=lock_of(Mode="GOVERNANCE", Days=3)
)
VALID_RETENTION = shapes.written(
    "PutObjectRetention",
    Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime(2099, 1, 1, tzinfo=UTC)},
)


@given(st.data())
def test_documents_nearly_right_never_trip_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, locks.read_lock)
    mutations.survives(data, VALID_RETENTION, lambda root: locks.read_retention(root, NOW))


async def refusal(program: Program, name: str, **parameters: Any) -> tuple[str, int]:
    try:
        await program.call(name, **parameters)
    except Answer as answer:
        return answer.code, answer.status
    return "", 200


def test_a_bucket_gets_locks_only_while_it_keeps_versions_and_keeps_them_then() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bucket = cloud.alice, {"Bucket": "vault"}
        await alice.call("CreateBucket", **bucket)
        get = "GetObjectLockConfiguration"
        assert await refusal(alice, get, **bucket) == ("ObjectLockConfigurationNotFoundError", 404)
        lock = {**bucket, CONFIGURATION: lock_of(Mode="GOVERNANCE", Days=3)}
        assert await refusal(alice, "PutObjectLockConfiguration", **lock) == ("InvalidBucketState", 409)
        on, off = ({"VersioningConfiguration": {"Status": each}} for each in ("Enabled", "Suspended"))
        await alice.call("PutBucketVersioning", **bucket, **off)
        assert await refusal(alice, "PutObjectLockConfiguration", **lock) == ("InvalidBucketState", 409)
        await alice.call("PutBucketVersioning", **bucket, **on)
        await alice.call("PutObjectLockConfiguration", **lock)
        assert (await alice.call(get, **bucket))[CONFIGURATION] == lock[CONFIGURATION]
        assert await refusal(alice, "PutBucketVersioning", **bucket, **off) == ("InvalidBucketState", 409)
        assert await refusal(cloud.bob, get, **bucket) == ("AccessDenied", 403)

    s3_story(story)


def test_a_locked_version_stays_and_its_lock_is_weakened_only_by_who_may() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("CreateBucket", Bucket="vault", ObjectLockEnabledForBucket=True)
        put = await alice.call("PutObject", Bucket="vault", Key="a", Body=b"x")
        words = {"Bucket": "vault", "Key": "a", "VersionId": put["VersionId"]}
        missing = ("NoSuchObjectLockConfiguration", 404)
        assert await refusal(alice, "GetObjectRetention", **words) == missing
        assert await refusal(alice, "GetObjectLegalHold", **words) == missing
        begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            microseconds=cloud.cluster.coordinator.clock.now() // 1000 * 1000
        )
        long, short = ({"Mode": "GOVERNANCE", "RetainUntilDate": begin + timedelta(days=d)} for d in (9, 3))
        await alice.call("PutObjectRetention", **words, Retention=long)
        assert (await alice.call("GetObjectRetention", **words))["Retention"] == long
        denied = ("AccessDenied", 403)
        assert await refusal(alice, "PutObjectRetention", **words, Retention=short) == denied
        assert await refusal(alice, "PutObjectRetention", **words, Retention={}) == denied
        assert await refusal(alice, "DeleteObject", **words) == denied
        await alice.call("PutObjectRetention", **words, Retention=short, BypassGovernanceRetention=True)
        assert (await alice.call("GetObjectRetention", **words))["Retention"] == short
        await alice.call("PutObjectLegalHold", **words, LegalHold={"Status": "ON"})
        assert await refusal(alice, "DeleteObject", **words, BypassGovernanceRetention=True) == denied
        await alice.call("PutObjectLegalHold", **words, LegalHold={"Status": "OFF"})
        assert (await alice.call("GetObjectLegalHold", **words))["LegalHold"] == {"Status": "OFF"}
        await alice.call("PutObjectRetention", **words, Retention={}, BypassGovernanceRetention=True)
        assert await refusal(alice, "GetObjectRetention", **words) == missing
        await alice.call("DeleteObject", **words)
        assert await refusal(alice, "GetObjectRetention", **words) == ("NoSuchVersion", 404)
        await alice.call("PutObject", Bucket="vault", Key="b", Body=b"x", ObjectLockLegalHoldStatus="OFF")
        hold = await alice.call("GetObjectLegalHold", Bucket="vault", Key="b")
        assert hold["LegalHold"] == {"Status": "OFF"}

    s3_story(story)


def test_what_a_bucket_without_locks_is_asked_is_an_invalid_request() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, words = cloud.alice, {"Bucket": "open", "Key": "a"}
        await alice.call("CreateBucket", Bucket="open")
        await alice.call("PutObject", **words, Body=b"x")
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime(2199, 1, 1, tzinfo=UTC)}
        for name, more in (
            ("GetObjectRetention", {}),
            ("PutObjectRetention", {"Retention": retention}),
            ("GetObjectLegalHold", {}),
            ("PutObjectLegalHold", {"LegalHold": {"Status": "ON"}}),
        ):
            assert await refusal(alice, name, **words, **more) == ("InvalidRequest", 400)
        missing = {"Bucket": "open", "Key": "b"}
        assert await refusal(alice, "GetObjectRetention", **missing) == ("NoSuchKey", 404)

    s3_story(story)
