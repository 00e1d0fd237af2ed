"""Lifecycle rules: which are taken, and what they do, with days that last seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.s3.refusals import header, refusal, status

EVERY = {"Status": "Enabled", "Filter": {"Prefix": ""}}
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def put_rules(s3: Any, bucket: str, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **more
    )
    return answer


def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.4)


def keys(s3: Any, bucket: str) -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def class_of(s3: Any, bucket: str, key: str, version: str | None = None) -> str:
    named = {"VersionId": version} if version else {}
    found: str = s3.head_object(Bucket=bucket, Key=key, **named).get("StorageClass", "STANDARD")
    return found


TAKEN: list[list[dict[str, Any]]] = [
    [{**EVERY, "ID": "a", "Expiration": {"Days": 1}}],
    [{**EVERY, "ID": "a", "Expiration": {"Date": MIDNIGHT}}],
    [{**EVERY, "ID": "a", "Expiration": {"ExpiredObjectDeleteMarker": True}}],
    [{"ID": "a", "Status": "Disabled", "Prefix": "p/", "Expiration": {"Days": 1}}],
    [
        {"ID": "a", "Status": "Enabled", "Prefix": "a/", "Expiration": {"Days": 1}},
        {"ID": "b", "Status": "Enabled", "Prefix": "b/", "Expiration": {"Days": 9}},
    ],
    [{"ID": "a", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}],
    [
        {
            "ID": "a",
            "Status": "Enabled",
            "Filter": {"Tag": {"Key": "k", "Value": ""}},
            "Expiration": {"Days": 1},
        }
    ],
    [
        {
            "ID": "a",
            "Status": "Enabled",
            "Filter": {
                "And": {
                    "Prefix": "p",
                    "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "w"}],
                    "ObjectSizeGreaterThan": 1,
                    "ObjectSizeLessThan": 9,
                }
            },
            "Expiration": {"Days": 1},
        }
    ],
    [{"ID": "a", "Status": "Enabled", "Filter": {"ObjectSizeGreaterThan": 5}, "Expiration": {"Days": 1}}],
    [{"ID": "a", "Status": "Enabled", "Filter": {"ObjectSizeLessThan": 5}, "Expiration": {"Days": 1}}],
    [
        {
            **EVERY,
            "ID": "a",
            "Expiration": {"Days": 400},
            "Transitions": [
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 90, "StorageClass": "GLACIER"},
                {"Days": 180, "StorageClass": "DEEP_ARCHIVE"},
            ],
        }
    ],
    [
        {
            **EVERY,
            "ID": "a",
            "NoncurrentVersionExpiration": {"NoncurrentDays": 365, "NewerNoncurrentVersions": 5},
            "NoncurrentVersionTransitions": [
                {"NoncurrentDays": 30, "NewerNoncurrentVersions": 5, "StorageClass": "STANDARD_IA"},
                {"NoncurrentDays": 60, "StorageClass": "GLACIER_IR"},
            ],
        }
    ],
    [{**EVERY, "ID": "a", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}],
    [{**EVERY, "ID": "a", "Transitions": [{"Date": MIDNIGHT, "StorageClass": "ONEZONE_IA"}]}],
]


@pytest.mark.parametrize("rules", TAKEN)
def test_rules_come_back_as_they_were_put(s3: Any, bucket: str, rules: list[dict[str, Any]]) -> None:
    answer = put_rules(s3, bucket, *rules)
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert found["Rules"] == rules
    assert status(s3.delete_bucket_lifecycle(Bucket=bucket)) == 204
    refused = refusal(s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    assert refused == (404, "NoSuchLifecycleConfiguration")


def test_a_rule_without_a_name_gets_one(s3: Any, bucket: str) -> None:
    rules = [{"Status": "Enabled", "Prefix": f"{n}/", "Expiration": {"Days": 1}} for n in range(2)]
    put_rules(s3, bucket, *rules)
    names = {one["ID"] for one in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert len(names) == 2


DAY = {"Days": 1}
REFUSED: list[tuple[list[dict[str, Any]], str]] = [
    ([{**EVERY, "ID": "x" * 256, "Expiration": DAY}], "InvalidArgument"),
    ([{**EVERY, "ID": "a", "Expiration": DAY}, {**EVERY, "ID": "a", "Expiration": DAY}], "InvalidArgument"),
    ([{**EVERY, "Status": "enabled", "Expiration": DAY}], "MalformedXML"),
    ([{**EVERY, "Status": "invalid", "Expiration": DAY}], "MalformedXML"),
    ([{"Filter": {"Prefix": ""}, "Expiration": DAY}], "MalformedXML"),
    ([{"Status": "Enabled", "Expiration": DAY}], "MalformedXML"),
    ([{**EVERY, "Prefix": "", "Expiration": DAY}], "MalformedXML"),
    ([{**EVERY}], "InvalidRequest"),
    ([{**EVERY, "Expiration": {"Days": 0}}], "InvalidArgument"),
    ([{**EVERY, "Expiration": {"Days": -1}}], "InvalidArgument"),
    ([{**EVERY, "Expiration": {"Days": 1, "Date": MIDNIGHT}}], "MalformedXML"),
    ([{**EVERY, "Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}], "MalformedXML"),
    ([{**EVERY, "Expiration": {}}], "MalformedXML"),
    ([{**EVERY, "Expiration": {"Date": MIDNIGHT + timedelta(hours=1)}}], "InvalidArgument"),
    ([{**EVERY, "NoncurrentVersionExpiration": {"NoncurrentDays": 0}}], "InvalidArgument"),
    ([{**EVERY, "NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 1}}], "MalformedXML"),
    ([{**EVERY, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 0}}], "InvalidArgument"),
    ([{**EVERY, "Transitions": [{"Days": 1, "StorageClass": "STANDARD"}]}], "MalformedXML"),
    ([{**EVERY, "Transitions": [{"Days": -1, "StorageClass": "GLACIER"}]}], "InvalidArgument"),
    ([{**EVERY, "Transitions": [{"StorageClass": "GLACIER"}]}], "MalformedXML"),
    (
        [{**EVERY, "Expiration": DAY, "Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]}],
        "InvalidArgument",
    ),
    (
        [{**EVERY, "Expiration": DAY, "Transitions": [{"Date": MIDNIGHT, "StorageClass": "GLACIER"}]}],
        "InvalidRequest",
    ),
    (
        [
            {
                **EVERY,
                "Transitions": [
                    {"Days": 5, "StorageClass": "GLACIER"},
                    {"Days": 9, "StorageClass": "STANDARD_IA"},
                ],
            }
        ],
        "InvalidArgument",
    ),
    (
        [
            {
                "Status": "Enabled",
                "Filter": {"Tag": {"Key": "a", "Value": "b"}},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            }
        ],
        "InvalidRequest",
    ),
    (
        [
            {
                "Status": "Enabled",
                "Filter": {"Tag": {"Key": "a", "Value": "b"}},
                "Expiration": {"ExpiredObjectDeleteMarker": True},
            }
        ],
        "InvalidRequest",
    ),
    (
        [
            {"ID": "a", "Status": "Enabled", "Prefix": "a", "Expiration": DAY},
            {"ID": "b", "Status": "Enabled", "Prefix": "ab", "Expiration": DAY},
        ],
        "InvalidRequest",
    ),
    ([], "MalformedXML"),
]


@pytest.mark.parametrize(("rules", "code"), REFUSED)
def test_rules_that_cannot_be(s3: Any, bucket: str, rules: list[dict[str, Any]], code: str) -> None:
    put = s3.put_bucket_lifecycle_configuration
    assert refusal(put, Bucket=bucket, LifecycleConfiguration={"Rules": rules}) == (400, code)
    refused = refusal(s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    assert refused == (404, "NoSuchLifecycleConfiguration")


def test_when_an_object_expires_is_told(s3: Any, bucket: str) -> None:
    put_rules(
        s3,
        bucket,
        {"ID": "p", "Status": "Enabled", "Filter": {"Prefix": "p/"}, "Expiration": {"Days": 5}},
        {"ID": "soon", "Status": "Enabled", "Filter": {"Prefix": "p/q/"}, "Expiration": {"Days": 2}},
        {
            "ID": "t",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "t/", "Tags": [{"Key": "a", "Value": "b"}]}},
            "Expiration": {"Days": 3},
        },
        {"ID": "off", "Status": "Disabled", "Filter": {"Prefix": "o/"}, "Expiration": {"Days": 3}},
    )

    def told(key: str, days: int, rule: str, **words: Any) -> None:
        """From the next midnight on, days count."""
        end = MIDNIGHT + timedelta(days=days + 1)
        expected = f'expiry-date="{end.strftime("%a, %d %b %Y 00:00:00 GMT")}", rule-id="{rule}"'
        put = s3.put_object(Bucket=bucket, Key=key, Body=b"x", **words)
        assert put["Expiration"] == expected
        assert s3.head_object(Bucket=bucket, Key=key)["Expiration"] == expected
        assert s3.get_object(Bucket=bucket, Key=key)["Expiration"] == expected

    told("p/a", 5, "p")
    told("p/q/a", 2, "soon")
    told("t/a", 3, "t", Tagging="a=b&c=d")
    for key, words in (("t/b", {"Tagging": "a=c"}), ("o/a", {}), ("else", {})):
        assert "Expiration" not in s3.put_object(Bucket=bucket, Key=key, Body=b"x", **words)
        assert "Expiration" not in s3.head_object(Bucket=bucket, Key=key)
    s3.put_object_tagging(Bucket=bucket, Key="t/b", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert 'rule-id="t"' in s3.head_object(Bucket=bucket, Key="t/b")["Expiration"]
    copied = s3.copy_object(Bucket=bucket, Key="p/c", CopySource=f"{bucket}/else")
    assert 'rule-id="p"' in str(header(copied, "x-amz-expiration"))


def test_expiry_takes_days_and_dates_and_prefixes(s3: Any, bucket: str) -> None:
    for key in ("days/1", "later/1", "past/1", "future/1", "keep/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    put_rules(
        s3,
        bucket,
        {"ID": "1", "Status": "Enabled", "Prefix": "days/", "Expiration": {"Days": 1}},
        {"ID": "2", "Status": "Enabled", "Prefix": "later/", "Expiration": {"Days": 6}},
        {"ID": "3", "Status": "Enabled", "Prefix": "past/", "Expiration": {"Date": MIDNIGHT}},
        {
            "ID": "4",
            "Status": "Enabled",
            "Prefix": "future/",
            "Expiration": {"Date": MIDNIGHT + timedelta(days=3)},
        },
        {"ID": "5", "Status": "Disabled", "Prefix": "keep/", "Expiration": {"Days": 1}},
    )
    until(lambda: keys(s3, bucket) == ["future/1", "keep/1", "later/1"], 10)
    until(lambda: keys(s3, bucket) == ["future/1", "keep/1"])


def test_expiry_takes_tags_and_sizes(s3: Any, bucket: str) -> None:
    for key, tags, size in (
        ("one", "a=1", 1),
        ("both", "a=1&b=2", 1),
        ("none", "", 1),
        ("p/both", "a=1&b=2", 1),
        ("small", "", 500),
        ("middle", "", 2000),
        ("large", "", 5000),
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * size, Tagging=tags)
    both = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    put_rules(
        s3,
        bucket,
        {
            "ID": "1",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "p/", "Tags": both}},
            "Expiration": {"Days": 1},
        },
        {
            "ID": "2",
            "Status": "Enabled",
            "Filter": {"And": {"ObjectSizeGreaterThan": 500, "ObjectSizeLessThan": 2001}},
            "Expiration": {"Days": 1},
        },
    )
    until(lambda: keys(s3, bucket) == ["both", "large", "none", "one", "small"])
    put_rules(
        s3,
        bucket,
        {"ID": "1", "Status": "Enabled", "Filter": {"And": {"Tags": both}}, "Expiration": {"Days": 1}},
        {
            "ID": "2",
            "Status": "Enabled",
            "Filter": {"ObjectSizeGreaterThan": 2000},
            "Expiration": {"Days": 1},
        },
    )
    until(lambda: keys(s3, bucket) == ["none", "one", "small"])


def versions(s3: Any, bucket: str) -> list[tuple[str, str, bool]]:
    """(key, version id or "marker", whether it is the latest)."""
    listed = s3.list_object_versions(Bucket=bucket)
    found = [(one["Key"], one["VersionId"], one["IsLatest"]) for one in listed.get("Versions", [])]
    return found + [(one["Key"], "marker", one["IsLatest"]) for one in listed.get("DeleteMarkers", [])]


def test_expiry_of_a_versioned_object_hides_it(s3: Any, versioned: str) -> None:
    made = s3.put_object(Bucket=versioned, Key="a", Body=b"x")["VersionId"]
    put_rules(s3, versioned, {**EVERY, "ID": "1", "Expiration": {"Days": 1}})
    until(lambda: versions(s3, versioned) == [("a", made, False), ("a", "marker", True)])
    put_rules(
        s3,
        versioned,
        {
            **EVERY,
            "ID": "1",
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        },
    )
    until(lambda: versions(s3, versioned) == [])


def test_noncurrent_versions_are_kept_by_number(s3: Any, versioned: str) -> None:
    made = {
        key: [s3.put_object(Bucket=versioned, Key=key, Body=b"x")["VersionId"] for _ in range(6)]
        for key in ("p/a", "p/b", "q/a")
    }
    put_rules(
        s3,
        versioned,
        {
            "ID": "1",
            "Status": "Enabled",
            "Filter": {"Prefix": "p/"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2},
        },
    )

    def left(key: str) -> list[str]:
        return [version for name, version, _ in versions(s3, versioned) if name == key]

    for key in ("p/a", "p/b"):
        until(lambda key=key: left(key) == made[key][:2:-1])
    assert left("q/a") == made["q/a"][::-1]


def test_markers_with_nothing_behind_go_and_others_stay(s3: Any, versioned: str) -> None:
    s3.put_object(Bucket=versioned, Key="full", Body=b"x")
    for key in ("full", "empty"):
        s3.delete_object(Bucket=versioned, Key=key)
    put_rules(s3, versioned, {**EVERY, "ID": "1", "Expiration": {"ExpiredObjectDeleteMarker": True}})
    until(lambda: [name for name, version, _ in versions(s3, versioned) if version == "marker"] == ["full"])


def test_uploads_are_aborted_by_prefix(s3: Any, bucket: str) -> None:
    for key in ("p/a", "p/b", "q/a"):
        begun = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        s3.upload_part(Bucket=bucket, Key=key, UploadId=begun, PartNumber=1, Body=b"x")
    put_rules(
        s3,
        bucket,
        {
            "ID": "ab ort",
            "Status": "Enabled",
            "Filter": {"Prefix": "p/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
        },
    )
    answer = s3.create_multipart_upload(Bucket=bucket, Key="p/c")
    assert answer["AbortRuleId"] == "ab ort"
    assert answer["AbortDate"] == MIDNIGHT + timedelta(days=3)
    until(lambda: [one["Key"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["q/a"])


def test_objects_go_from_class_to_class(s3: Any, bucket: str) -> None:
    """Where days are seconds, so are the objects small: they are moved unless it was said otherwise."""
    for key in ("p/a", "keep/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"few bytes")
    put_rules(
        s3,
        bucket,
        {
            "ID": "1",
            "Status": "Enabled",
            "Filter": {"Prefix": "p/"},
            "Transitions": [
                {"Days": 1, "StorageClass": "STANDARD_IA"},
                {"Days": 5, "StorageClass": "GLACIER_IR"},
                {"Days": 9, "StorageClass": "GLACIER"},
            ],
            "Expiration": {"Days": 14},
        },
    )
    for storage_class in ("STANDARD_IA", "GLACIER_IR", "GLACIER"):
        until(lambda storage_class=storage_class: class_of(s3, bucket, "p/a") == storage_class, 30)
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="p/")["Contents"]
        assert [one["StorageClass"] for one in listed] == [storage_class]
    assert refusal(s3.get_object, Bucket=bucket, Key="p/a") == (403, "InvalidObjectState")
    until(lambda: keys(s3, bucket) == ["keep/a"])
    assert class_of(s3, bucket, "keep/a") == "STANDARD"


def test_noncurrent_versions_go_from_class_to_class(s3: Any, versioned: str) -> None:
    first, second = (s3.put_object(Bucket=versioned, Key="a", Body=b"x")["VersionId"] for _ in range(2))
    put_rules(
        s3,
        versioned,
        {
            **EVERY,
            "ID": "1",
            "NoncurrentVersionTransitions": [
                {"NoncurrentDays": 1, "StorageClass": "STANDARD_IA"},
                {"NoncurrentDays": 4, "StorageClass": "ONEZONE_IA"},
            ],
        },
    )
    for storage_class in ("STANDARD_IA", "ONEZONE_IA"):
        until(lambda name=storage_class: class_of(s3, versioned, "a", first) == name, 30)
    assert class_of(s3, versioned, "a", second) == "STANDARD"


def test_small_objects_stay_where_that_was_chosen(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="ia/a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="ice/a", Body=b"x")
    moves = [
        {
            "ID": name,
            "Status": "Enabled",
            "Filter": {"Prefix": f"{name}/"},
            "Transitions": [{"Days": 0, "StorageClass": storage_class}],
        }
        for name, storage_class in (("ia", "STANDARD_IA"), ("ice", "GLACIER"))
    ]
    answer = put_rules(s3, bucket, *moves, TransitionDefaultMinimumObjectSize="varies_by_storage_class")
    assert answer["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert found["TransitionDefaultMinimumObjectSize"] == "varies_by_storage_class"
    until(lambda: class_of(s3, bucket, "ice/a") == "GLACIER", 30)
    assert class_of(s3, bucket, "ia/a") == "STANDARD"
    put = s3.put_bucket_lifecycle_configuration
    words = {"Bucket": bucket, "LifecycleConfiguration": {"Rules": moves}}
    assert refusal(put, **words, TransitionDefaultMinimumObjectSize="none") == (400, "InvalidArgument")
