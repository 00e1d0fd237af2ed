"""Object lock: what may be asked for, what is kept from whom, and until when."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.s3.refusals import refusal, status

DENIED = (403, "AccessDenied")
INVALID = (400, "InvalidRequest")


def soon(**words: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(**words)


def put_lock(s3: Any, bucket: str, **default: Any) -> Any:
    rule = {"Rule": {"DefaultRetention": default}} if default else {}
    return s3.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", **rule}
    )


def retained(s3: Any, bucket: str, mode: str, until: datetime, key: str = "a") -> dict[str, str]:
    made = s3.put_object(
        Bucket=bucket, Key=key, Body=b"x", ObjectLockMode=mode, ObjectLockRetainUntilDate=until
    )
    return {"Bucket": bucket, "Key": key, "VersionId": made["VersionId"]}


def test_a_bucket_made_for_locks_keeps_versions_and_shows_it(s3: Any, locked: str) -> None:
    found = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert found == {"ObjectLockEnabled": "Enabled"}
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    suspended = {"Status": "Suspended"}
    refused = refusal(s3.put_bucket_versioning, Bucket=locked, VersioningConfiguration=suspended)
    assert refused == (409, "InvalidBucketState")


def test_locks_may_be_switched_on_where_versions_are_kept(s3: Any, bucket: str) -> None:
    words = {"Bucket": bucket, "ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    assert refusal(s3.put_object_lock_configuration, **words) == (409, "InvalidBucketState")
    assert refusal(s3.get_object_lock_configuration, Bucket=bucket) == (
        404,
        "ObjectLockConfigurationNotFoundError",
    )
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    put_lock(s3, bucket)
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]


@pytest.mark.parametrize(
    "default",
    [
        {"Mode": "GOVERNANCE", "Days": 1},
        {"Mode": "COMPLIANCE", "Years": 1},
        {"Mode": "GOVERNANCE", "Days": 36500},
    ],
)
def test_default_retentions_come_back(s3: Any, locked: str, default: dict[str, Any]) -> None:
    put_lock(s3, locked, **default)
    found = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert found["Rule"]["DefaultRetention"] == default


@pytest.mark.parametrize(
    ("default", "code"),
    [
        ({"Mode": "GOVERNANCE", "Days": 1, "Years": 1}, "MalformedXML"),
        ({"Mode": "GOVERNANCE"}, "MalformedXML"),
        ({"Days": 1}, "MalformedXML"),
        ({"Mode": "governance", "Days": 1}, "MalformedXML"),
        ({"Mode": "abc", "Years": 1}, "MalformedXML"),
        ({"Mode": "GOVERNANCE", "Days": 0}, "InvalidArgument"),
        ({"Mode": "GOVERNANCE", "Years": -1}, "InvalidArgument"),
        ({"Mode": "GOVERNANCE", "Days": 36501}, "InvalidArgument"),
        ({"Mode": "GOVERNANCE", "Years": 101}, "InvalidArgument"),
    ],
)
def test_default_retentions_that_cannot_be(s3: Any, locked: str, default: dict[str, Any], code: str) -> None:
    given = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": default}}
    put = s3.put_object_lock_configuration
    assert refusal(put, Bucket=locked, ObjectLockConfiguration=given) == (400, code)
    wrong = {"ObjectLockEnabled": "Disabled"}
    assert refusal(put, Bucket=locked, ObjectLockConfiguration=wrong) == (400, "MalformedXML")


def test_the_default_holds_for_all_that_is_written(s3: Any, locked: str) -> None:
    s3.put_object(Bucket=locked, Key="before", Body=b"x")
    put_lock(s3, locked, Mode="GOVERNANCE", Days=2)
    s3.put_object(Bucket=locked, Key="put", Body=b"x")
    s3.copy_object(Bucket=locked, Key="copied", CopySource=f"{locked}/before")
    begun = s3.create_multipart_upload(Bucket=locked, Key="parts")["UploadId"]
    part = s3.upload_part(Bucket=locked, Key="parts", UploadId=begun, PartNumber=1, Body=b"x")
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=locked, Key="parts", UploadId=begun, MultipartUpload=done)
    for key in ("put", "copied", "parts"):
        head = s3.head_object(Bucket=locked, Key=key)
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert abs(head["ObjectLockRetainUntilDate"] - soon(days=2)) < timedelta(minutes=2)
    assert "ObjectLockMode" not in s3.head_object(Bucket=locked, Key="before")
    own = retained(s3, locked, "COMPLIANCE", soon(seconds=30), "own")
    assert s3.head_object(**own)["ObjectLockMode"] == "COMPLIANCE"


def test_locks_come_with_uploads_of_every_kind(s3: Any, locked: str) -> None:
    until = soon(hours=1)
    words = {
        "ObjectLockMode": "GOVERNANCE",
        "ObjectLockRetainUntilDate": until,
        "ObjectLockLegalHoldStatus": "ON",
    }
    s3.put_object(Bucket=locked, Key="source", Body=b"x")
    s3.copy_object(Bucket=locked, Key="copied", CopySource=f"{locked}/source", **words)
    begun = s3.create_multipart_upload(Bucket=locked, Key="parts", **words)["UploadId"]
    part = s3.upload_part(Bucket=locked, Key="parts", UploadId=begun, PartNumber=1, Body=b"x")
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=locked, Key="parts", UploadId=begun, MultipartUpload=done)
    s3.put_object(Bucket=locked, Key="put", Body=b"x", **words)
    for key in ("copied", "parts", "put"):
        for answer in (s3.head_object(Bucket=locked, Key=key), s3.get_object(Bucket=locked, Key=key)):
            assert {name: answer[name] for name in words} == words
    plain = s3.head_object(Bucket=locked, Key="source")
    assert not set(words) & set(plain)
    s3.copy_object(Bucket=locked, Key="again", CopySource=f"{locked}/put")
    assert not set(words) & set(s3.head_object(Bucket=locked, Key="again"))


@pytest.mark.parametrize(
    "words",
    [
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockRetainUntilDate": "2099-01-01T00:00:00Z"},
        {"ObjectLockMode": "abc", "ObjectLockRetainUntilDate": "2099-01-01T00:00:00Z"},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": "2020-01-01T00:00:00Z"},
        {"ObjectLockLegalHoldStatus": "on"},
    ],
)
def test_locks_that_cannot_be(s3: Any, locked: str, words: dict[str, str]) -> None:
    assert refusal(s3.put_object, Bucket=locked, Key="a", Body=b"", **words) == (400, "InvalidArgument")


def test_buckets_without_locks_take_none(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    words = {"Bucket": bucket, "Key": "a"}
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": soon(hours=1)}
    for call, more in (
        (s3.get_object_retention, {}),
        (s3.get_object_legal_hold, {}),
        (s3.put_object_retention, {"Retention": retention}),
        (s3.put_object_legal_hold, {"LegalHold": {"Status": "ON"}}),
        (s3.put_object, {"ObjectLockLegalHoldStatus": "ON"}),
    ):
        assert refusal(call, **words, **more) == INVALID


def test_governance_may_be_passed_over_and_compliance_not(s3: Any, locked: str) -> None:
    until = soon(hours=1)
    words = retained(s3, locked, "GOVERNANCE", until)
    assert refusal(s3.delete_object, **words) == DENIED
    assert status(s3.delete_object(Bucket=locked, Key="a")) == 204
    listed = s3.list_object_versions(Bucket=locked)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (1, 1)
    assert status(s3.delete_object(**words, BypassGovernanceRetention=True)) == 204
    kept = retained(s3, locked, "COMPLIANCE", soon(seconds=40), "kept")
    assert refusal(s3.delete_object, **kept, BypassGovernanceRetention=True) == DENIED
    longer = {"Mode": "COMPLIANCE", "RetainUntilDate": soon(seconds=50)}
    s3.put_object_retention(**kept, Retention=longer)
    for wrong in (
        {"Mode": "COMPLIANCE", "RetainUntilDate": soon(seconds=30)},
        {"Mode": "GOVERNANCE", "RetainUntilDate": soon(seconds=60)},
        {},
    ):
        refused = refusal(s3.put_object_retention, **kept, Retention=wrong, BypassGovernanceRetention=True)
        assert refused == DENIED


def test_governance_is_changed_only_to_be_longer_or_by_who_passes_over_it(s3: Any, locked: str) -> None:
    words = retained(s3, locked, "GOVERNANCE", soon(hours=2))
    longer = {"Mode": "GOVERNANCE", "RetainUntilDate": soon(hours=3)}
    s3.put_object_retention(**words, Retention=longer)
    assert s3.get_object_retention(**words)["Retention"] == longer
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": soon(hours=1)}
    assert refusal(s3.put_object_retention, **words, Retention=shorter) == DENIED
    s3.put_object_retention(**words, Retention=shorter, BypassGovernanceRetention=True)
    assert s3.get_object_retention(**words)["Retention"] == shorter
    s3.put_object_retention(**words, Retention={}, BypassGovernanceRetention=True)
    assert refusal(s3.get_object_retention, **words) == (404, "NoSuchObjectLockConfiguration")
    assert status(s3.delete_object(**words)) == 204


def test_retentions_that_cannot_be(s3: Any, locked: str) -> None:
    made = s3.put_object(Bucket=locked, Key="a", Body=b"x")["VersionId"]
    words = {"Bucket": locked, "Key": "a", "VersionId": made}
    for wrong, code in (
        ({"Mode": "abc", "RetainUntilDate": soon(hours=1)}, "MalformedXML"),
        ({"Mode": "GOVERNANCE"}, "MalformedXML"),
        ({"RetainUntilDate": soon(hours=1)}, "MalformedXML"),
        ({"Mode": "GOVERNANCE", "RetainUntilDate": soon(hours=-1)}, "InvalidArgument"),
    ):
        assert refusal(s3.put_object_retention, **words, Retention=wrong) == (400, code)
    for wrong_hold in ({"Status": "abc"}, {}):
        refused = refusal(s3.put_object_legal_hold, **words, LegalHold=wrong_hold)
        assert refused == (400, "MalformedXML")
    assert refusal(s3.get_object_legal_hold, **words) == (404, "NoSuchObjectLockConfiguration")


def test_a_legal_hold_keeps_until_it_is_lifted(s3: Any, locked: str) -> None:
    made = s3.put_object(Bucket=locked, Key="a", Body=b"x")["VersionId"]
    words = {"Bucket": locked, "Key": "a", "VersionId": made}
    s3.put_object_legal_hold(**words, LegalHold={"Status": "ON"})
    assert s3.head_object(**words)["ObjectLockLegalHoldStatus"] == "ON"
    assert refusal(s3.delete_object, **words, BypassGovernanceRetention=True) == DENIED
    s3.put_object_legal_hold(**words, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**words)["LegalHold"] == {"Status": "OFF"}
    assert s3.head_object(**words)["ObjectLockLegalHoldStatus"] == "OFF"
    assert status(s3.delete_object(**words)) == 204


def test_many_deletions_keep_what_is_locked(s3: Any, locked: str) -> None:
    kept = retained(s3, locked, "GOVERNANCE", soon(hours=1), "kept")
    free = {"Key": "free", "VersionId": s3.put_object(Bucket=locked, Key="free", Body=b"")["VersionId"]}
    named = {"Key": "kept", "VersionId": kept["VersionId"]}
    answer = s3.delete_objects(Bucket=locked, Delete={"Objects": [named, free]})
    assert [one["Key"] for one in answer["Deleted"]] == ["free"]
    assert [(one["Key"], one["VersionId"], one["Code"]) for one in answer["Errors"]] == [
        ("kept", kept["VersionId"], "AccessDenied")
    ]
    answer = s3.delete_objects(Bucket=locked, Delete={"Objects": [named]}, BypassGovernanceRetention=True)
    assert [one["Key"] for one in answer["Deleted"]] == ["kept"]


def test_locks_are_rights_of_their_own(s3: Any, s3_other: Any, locked: str) -> None:
    words = retained(s3, locked, "GOVERNANCE", soon(hours=1))
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:DeleteObjectVersion", "s3:PutObject", "s3:GetObject*"],
        "Resource": f"arn:aws:s3:::{locked}/*",
    }
    s3.put_bucket_policy(
        Bucket=locked, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    assert refusal(s3_other.delete_object, **words, BypassGovernanceRetention=True) == DENIED
    refused = refusal(s3_other.put_object, Bucket=locked, Key="b", Body=b"x", ObjectLockLegalHoldStatus="ON")
    assert refused == DENIED
    assert s3_other.get_object_retention(**words)["Retention"]["Mode"] == "GOVERNANCE"
    statement["Action"] = ["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"]
    s3.put_bucket_policy(
        Bucket=locked, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    assert status(s3_other.delete_object(**words, BypassGovernanceRetention=True)) == 204
