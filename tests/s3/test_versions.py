"""Versions, delete markers, and what suspends them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.s3.refusals import header, refusal, status


def body(s3: Any, bucket: str, key: str, version: str | None = None) -> bytes:
    more = {"VersionId": version} if version else {}
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def test_versioning_is_off_on_and_suspended(s3: Any, bucket: str) -> None:
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for state in ("Enabled", "Suspended", "Enabled"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": state})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == state
    put = s3.put_bucket_versioning
    assert refusal(put, Bucket=bucket, VersioningConfiguration={"Status": "Maybe"}) == (400, "MalformedXML")


def test_every_write_is_a_version_of_its_own(s3: Any, versioned: str) -> None:
    ids = [s3.put_object(Bucket=versioned, Key="a", Body=b"%d" % n)["VersionId"] for n in range(3)]
    assert len(set(ids)) == 3
    assert body(s3, versioned, "a") == b"2"
    for number, version in enumerate(ids):
        assert body(s3, versioned, "a", version) == b"%d" % number
        assert s3.head_object(Bucket=versioned, Key="a", VersionId=version)["VersionId"] == version
    assert refusal(s3.get_object, Bucket=versioned, Key="a", VersionId="nonsense") == (400, "InvalidArgument")


def test_a_delete_marks_and_a_marker_can_be_deleted(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key="a")
    assert marker["DeleteMarker"] is True
    assert refusal(s3.get_object, Bucket=versioned, Key="a") == (404, "NoSuchKey")
    refused = refusal(s3.get_object, Bucket=versioned, Key="a", VersionId=marker["VersionId"])
    assert refused == (405, "MethodNotAllowed")
    assert refusal(s3.head_object, Bucket=versioned, Key="a", VersionId=marker["VersionId"]) == (405, "405")
    gone = s3.delete_object(Bucket=versioned, Key="a", VersionId=marker["VersionId"])
    assert (gone["DeleteMarker"], gone["VersionId"]) == (True, marker["VersionId"])
    assert body(s3, versioned, "a") == b"1"
    gone = s3.delete_object(Bucket=versioned, Key="a", VersionId=first)
    assert (gone.get("DeleteMarker"), gone["VersionId"]) == (None, first)
    assert refusal(s3.get_object, Bucket=versioned, Key="a") == (404, "NoSuchKey")
    assert refusal(s3.get_object, Bucket=versioned, Key="a", VersionId=first) == (404, "NoSuchVersion")
    assert status(s3.delete_object(Bucket=versioned, Key="a", VersionId=first)) == 204


def test_deleting_the_latest_brings_the_one_before_back(s3: Any, versioned: str) -> None:
    ids = [s3.put_object(Bucket=versioned, Key="a", Body=b"%d" % n)["VersionId"] for n in range(3)]
    s3.delete_object(Bucket=versioned, Key="a", VersionId=ids[2])
    assert body(s3, versioned, "a") == b"1"
    s3.delete_object(Bucket=versioned, Key="a", VersionId=ids[0])
    assert body(s3, versioned, "a") == b"1"


def test_objects_from_before_versioning_are_null(s3: Any, bucket: str) -> None:
    before = s3.put_object(Bucket=bucket, Key="a", Body=b"0")
    assert "VersionId" not in before
    enabled = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    second = s3.put_object(Bucket=bucket, Key="a", Body=b"1")["VersionId"]
    assert body(s3, bucket, "a", "null") == b"0"
    assert [one["VersionId"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]] == [
        second,
        "null",
    ]
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    third = s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    assert header(third, "x-amz-version-id") == "null"
    assert [one["VersionId"] for one in s3.list_object_versions(Bucket=bucket)["Versions"]] == [
        "null",
        second,
    ]
    assert body(s3, bucket, "a", "null") == b"2"
    marker = s3.delete_object(Bucket=bucket, Key="a")
    assert (marker["DeleteMarker"], marker["VersionId"]) == (True, "null")
    listed = s3.list_object_versions(Bucket=bucket)
    assert [one["VersionId"] for one in listed["Versions"]] == [second]
    assert [one["VersionId"] for one in listed["DeleteMarkers"]] == ["null"]
    assert s3.delete_object(Bucket=bucket, Key="a", VersionId="null")["DeleteMarker"] is True
    assert body(s3, bucket, "a") == b"1"


def test_versions_are_deleted_many_at_once(s3: Any, versioned: str) -> None:
    ids = [s3.put_object(Bucket=versioned, Key="a", Body=b"x")["VersionId"] for _ in range(3)]
    gone = s3.delete_objects(
        Bucket=versioned, Delete={"Objects": [{"Key": "a", "VersionId": version} for version in ids]}
    )
    assert sorted(one["VersionId"] for one in gone["Deleted"]) == sorted(ids)
    marked = s3.delete_objects(Bucket=versioned, Delete={"Objects": [{"Key": "b"}]})["Deleted"][0]
    assert (marked["DeleteMarker"], marked["Key"]) == (True, "b")
    gone = s3.delete_objects(
        Bucket=versioned,
        Delete={"Objects": [{"Key": "b", "VersionId": marked["DeleteMarkerVersionId"]}]},
    )["Deleted"][0]
    assert gone["DeleteMarkerVersionId"] == marked["DeleteMarkerVersionId"]
    s3.delete_bucket(Bucket=versioned)


def test_a_copy_brings_an_old_version_back(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["VersionId"]
    s3.put_object(Bucket=versioned, Key="a", Body=b"2")
    copied = s3.copy_object(
        Bucket=versioned, Key="a", CopySource={"Bucket": versioned, "Key": "a", "VersionId": first}
    )
    assert header(copied, "x-amz-copy-source-version-id") == first
    assert copied["VersionId"] not in {first, None}
    assert body(s3, versioned, "a") == b"1"
    assert len(s3.list_object_versions(Bucket=versioned)["Versions"]) == 3


def test_deletes_meet_conditions(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")
    second = s3.put_object(Bucket=versioned, Key="a", Body=b"22")
    delete, failed = s3.delete_object, (412, "PreconditionFailed")
    words = {"Bucket": versioned, "Key": "a"}
    assert refusal(delete, **words, IfMatch=first["ETag"]) == failed
    assert refusal(delete, **words, IfMatchSize=1) == failed
    assert refusal(delete, **words, VersionId=second["VersionId"], IfMatch=first["ETag"]) == failed
    modified = s3.head_object(**words)["LastModified"]
    assert refusal(delete, **words, IfMatchLastModifiedTime=modified - timedelta(days=1)) == failed
    assert len(s3.list_object_versions(Bucket=versioned)["Versions"]) == 2
    marked = delete(**words, IfMatch=second["ETag"], IfMatchSize=2, IfMatchLastModifiedTime=modified)
    assert marked["DeleteMarker"] is True
    assert refusal(delete, **words, IfMatch="*") == (404, "NoSuchKey")
    assert refusal(delete, **words, IfMatch=second["ETag"]) == (404, "NoSuchKey")
    gone = delete(**words, VersionId=first["VersionId"], IfMatch=first["ETag"])
    assert gone["VersionId"] == first["VersionId"]


def test_conditions_on_nothing(s3: Any, bucket: str) -> None:
    words = {"Bucket": bucket, "Key": "none"}
    assert refusal(s3.delete_object, **words, IfMatch="*") == (404, "NoSuchKey")
    assert status(s3.delete_object(**words, IfMatchSize=3)) == 204
    assert status(s3.delete_object(**words, IfMatchLastModifiedTime=datetime(2020, 1, 1, tzinfo=UTC))) == 204


def test_each_of_many_deletes_meets_its_own_conditions(s3: Any, versioned: str) -> None:
    etag = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["ETag"]
    s3.put_object(Bucket=versioned, Key="b", Body=b"22")
    names = [
        {"Key": "a", "ETag": etag},
        {"Key": "b", "ETag": etag},
        {"Key": "none", "ETag": "*"},
        {"Key": "b", "Size": 5},
        {"Key": "b", "VersionId": "garbage"},
    ]
    answer = s3.delete_objects(Bucket=versioned, Delete={"Objects": names})
    assert [one["Key"] for one in answer["Deleted"]] == ["a"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [
        ("b", "PreconditionFailed"),
        ("none", "NoSuchKey"),
        ("b", "PreconditionFailed"),
        ("b", "NoSuchVersion"),
    ]
    quiet = {"Objects": [{"Key": "b"}, {"Key": "none", "ETag": "*"}], "Quiet": True}
    answer = s3.delete_objects(Bucket=versioned, Delete=quiet)
    assert "Deleted" not in answer
    assert [one["Key"] for one in answer["Errors"]] == ["none"]


def test_a_delete_marker_hides_and_is_told_of(s3: Any, versioned: str) -> None:
    marker = s3.delete_object(Bucket=versioned, Key="never")
    assert marker["DeleteMarker"] is True
    again = s3.delete_object(Bucket=versioned, Key="never")
    assert again["VersionId"] != marker["VersionId"]
    listed = s3.list_object_versions(Bucket=versioned)["DeleteMarkers"]
    assert [(one["VersionId"], one["IsLatest"]) for one in listed] == [
        (again["VersionId"], True),
        (marker["VersionId"], False),
    ]
    with pytest.raises(s3.exceptions.ClientError) as caught:
        s3.get_object(Bucket=versioned, Key="never")
    told = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert (told["x-amz-delete-marker"], told["x-amz-version-id"]) == ("true", again["VersionId"])


def test_writes_of_a_key_that_was_deleted_meet_conditions(s3: Any, versioned: str) -> None:
    etag = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["ETag"]
    s3.delete_object(Bucket=versioned, Key="a")
    words = {"Bucket": versioned, "Key": "a", "Body": b"2"}
    assert refusal(s3.put_object, **words, IfMatch=etag) == (404, "NoSuchKey")
    assert status(s3.put_object(**words, IfNoneMatch="*")) == 200
