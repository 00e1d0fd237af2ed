"""What an owner sets for a bucket or an object: tags, lifecycle, lock, encryption, and the rest."""

from __future__ import annotations

import base64
import hashlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.s3.refusals import refusal, status

KEY = b"k" * 32
CUSTOMER = {
    "SSECustomerAlgorithm": "AES256",
    "SSECustomerKey": KEY,
}


def test_tags_of_objects_and_buckets(s3: Any, bucket: str) -> None:
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b c", "Value": ""}]
    s3.put_object(Bucket=bucket, Key="a", Body=b"", Tagging="x=y")
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "x", "Value": "y"}]
    s3.put_object_tagging(Bucket=bucket, Key="a", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == tags
    assert (
        s3.head_object(Bucket=bucket, Key="a")["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"]
        == "2"
    )
    assert status(s3.delete_object_tagging(Bucket=bucket, Key="a")) == 204
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(11)]
    put = s3.put_object_tagging
    assert refusal(put, Bucket=bucket, Key="a", Tagging={"TagSet": many}) == (400, "BadRequest")
    long = [{"Key": "k" * 129, "Value": "v"}]
    assert refusal(put, Bucket=bucket, Key="a", Tagging={"TagSet": long}) == (400, "InvalidTag")
    twice = [{"Key": "k", "Value": "v"}, {"Key": "k", "Value": "w"}]
    assert refusal(put, Bucket=bucket, Key="a", Tagging={"TagSet": twice}) == (400, "InvalidTag")
    assert refusal(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refusal(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


def test_sse_c_needs_the_customers_key(s3: Any, bucket: str) -> None:
    content = b"secret" * 30000
    put = s3.put_object(Bucket=bucket, Key="a", Body=content, **CUSTOMER)
    md5 = base64.b64encode(hashlib.md5(KEY).digest()).decode()
    assert (put["SSECustomerAlgorithm"], put["SSECustomerKeyMD5"]) == ("AES256", md5)
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (400, "InvalidRequest")
    assert refusal(s3.head_object, Bucket=bucket, Key="a") == (400, "400")
    other = {**CUSTOMER, "SSECustomerKey": b"x" * 32}
    assert refusal(s3.get_object, Bucket=bucket, Key="a", **other) == (403, "AccessDenied")
    found = s3.get_object(Bucket=bucket, Key="a", **CUSTOMER)
    assert found["SSECustomerKeyMD5"] == md5
    assert found["Body"].read() == content
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x")
    assert refusal(s3.get_object, Bucket=bucket, Key="plain", **CUSTOMER) == (400, "InvalidRequest")
    s3.copy_object(
        Bucket=bucket,
        Key="b",
        CopySource={"Bucket": bucket, "Key": "a"},
        CopySourceSSECustomerAlgorithm="AES256",
        CopySourceSSECustomerKey=KEY,
    )
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == content
    begun = s3.create_multipart_upload(Bucket=bucket, Key="m", **CUSTOMER)["UploadId"]
    base = {"Bucket": bucket, "Key": "m", "UploadId": begun}
    assert refusal(s3.upload_part, **base, PartNumber=1, Body=b"x") == (400, "InvalidRequest")
    part = s3.upload_part(**base, PartNumber=1, Body=content, **CUSTOMER)
    s3.complete_multipart_upload(
        **base, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}, **CUSTOMER
    )
    assert s3.get_object(Bucket=bucket, Key="m", **CUSTOMER)["Body"].read() == content


def test_encryption_is_said_and_set_by_default(s3: Any, bucket: str) -> None:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
    assert s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"] == [rule]
    put = s3.put_object(
        Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="key-1"
    )
    assert (put["ServerSideEncryption"], "key-1" in put["SSEKMSKeyId"]) == ("aws:kms", True)
    assert s3.head_object(Bucket=bucket, Key="a")["ServerSideEncryption"] == "aws:kms"
    refused = refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"", ServerSideEncryption="rot13")
    assert refused == (400, "InvalidArgument")
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {
                        "SSEAlgorithm": "aws:kms",
                        "KMSMasterKeyID": "key-2",
                    },
                    "BucketKeyEnabled": True,
                }
            ]
        },
    )
    put = s3.put_object(Bucket=bucket, Key="b", Body=b"x")
    assert (put["ServerSideEncryption"], put["BucketKeyEnabled"]) == ("aws:kms", True)
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"x"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert s3.put_object(Bucket=bucket, Key="c", Body=b"x")["ServerSideEncryption"] == "AES256"


def test_locked_versions_stay(s3: Any, locked: str) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    assert s3.get_bucket_versioning(Bucket=locked)["Status"] == "Enabled"
    put = s3.put_object(
        Bucket=locked, Key="a", Body=b"x", ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until
    )["VersionId"]
    head = s3.head_object(Bucket=locked, Key="a")
    assert (head["ObjectLockMode"], head["ObjectLockRetainUntilDate"]) == ("GOVERNANCE", until)
    words = {"Bucket": locked, "Key": "a", "VersionId": put}
    assert refusal(s3.delete_object, **words) == (403, "AccessDenied")
    failed = s3.delete_objects(Bucket=locked, Delete={"Objects": [{"Key": "a", "VersionId": put}]})
    assert [one["Code"] for one in failed["Errors"]] == ["AccessDenied"]
    sooner = {"Mode": "GOVERNANCE", "RetainUntilDate": until - timedelta(hours=1)}
    assert refusal(s3.put_object_retention, **words, Retention=sooner) == (403, "AccessDenied")
    s3.put_object_retention(**words, Retention=sooner, BypassGovernanceRetention=True)
    assert s3.get_object_retention(**words)["Retention"] == sooner
    s3.put_object_legal_hold(**words, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**words)["LegalHold"] == {"Status": "ON"}
    assert refusal(s3.delete_object, **words, BypassGovernanceRetention=True) == (403, "AccessDenied")
    s3.put_object_legal_hold(**words, LegalHold={"Status": "OFF"})
    assert status(s3.delete_object(**words, BypassGovernanceRetention=True)) == 204
    suspended = {"Status": "Suspended"}
    refused = refusal(s3.put_bucket_versioning, Bucket=locked, VersioningConfiguration=suspended)
    assert refused == (409, "InvalidBucketState")


def test_a_bucket_may_lock_by_default(s3: Any, locked: str, bucket: str) -> None:
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    s3.put_object_lock_configuration(
        Bucket=locked, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    found = s3.get_object_lock_configuration(Bucket=locked)["ObjectLockConfiguration"]
    assert found == {"ObjectLockEnabled": "Enabled", "Rule": rule}
    put = s3.put_object(Bucket=locked, Key="a", Body=b"x")["VersionId"]
    kept = s3.get_object_retention(Bucket=locked, Key="a")["Retention"]
    assert kept["Mode"] == "COMPLIANCE"
    refused = refusal(s3.delete_object, Bucket=locked, Key="a", VersionId=put, BypassGovernanceRetention=True)
    assert refused == (403, "AccessDenied")
    assert refusal(s3.get_object_lock_configuration, Bucket=bucket) == (
        404,
        "ObjectLockConfigurationNotFoundError",
    )
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert refusal(s3.get_object_retention, Bucket=bucket, Key="a") == (400, "InvalidRequest")
    hold = {"Status": "ON"}
    assert refusal(s3.put_object_legal_hold, Bucket=bucket, Key="a", LegalHold=hold) == (
        400,
        "InvalidRequest",
    )


def lifecycle(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)})


def until(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.5)


def test_lifecycle_rules_are_shown_as_they_were_put(s3: Any, bucket: str) -> None:
    assert refusal(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == (
        404,
        "NoSuchLifecycleConfiguration",
    )
    rules = [
        {"ID": "one", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 3}},
        {
            "ID": "two",
            "Status": "Disabled",
            "Filter": {"And": {"Prefix": "b/", "Tags": [{"Key": "k", "Value": "v"}]}},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 2, "NewerNoncurrentVersions": 3},
        },
        {
            "ID": "three",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
    ]
    lifecycle(s3, bucket, *rules)
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
    put = s3.put_object(Bucket=bucket, Key="a/1", Body=b"x")
    assert 'rule-id="one"' in put["Expiration"]
    assert 'rule-id="one"' in s3.head_object(Bucket=bucket, Key="a/1")["Expiration"]
    s3.delete_bucket_lifecycle(Bucket=bucket)
    for wrong, code in (
        ({"Status": "enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}, "MalformedXML"),
        ({"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"ID": "x" * 256, "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}, "InvalidArgument"),
    ):
        call = s3.put_bucket_lifecycle_configuration
        assert refusal(call, Bucket=bucket, LifecycleConfiguration={"Rules": [wrong]}) == (400, code)


def test_objects_expire_by_prefix_tag_and_size(s3: Any, bucket: str) -> None:
    for key, size, tags in (
        ("old/1", 1, ""),
        ("keep/1", 1, ""),
        ("keep/2", 1, "go=yes"),
        ("keep/3", 5000, ""),
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x" * size, Tagging=tags)
    lifecycle(
        s3,
        bucket,
        {"ID": "p", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 1}},
        {
            "ID": "t",
            "Status": "Enabled",
            "Filter": {"Tag": {"Key": "go", "Value": "yes"}},
            "Expiration": {"Days": 1},
        },
        {
            "ID": "s",
            "Status": "Enabled",
            "Filter": {"ObjectSizeGreaterThan": 2000},
            "Expiration": {"Days": 1},
        },
    )
    until(lambda: [one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["keep/1"])


def test_old_versions_and_lonely_markers_expire(s3: Any, versioned: str) -> None:
    for n in range(4):
        s3.put_object(Bucket=versioned, Key="a", Body=b"%d" % n)
    s3.put_object(Bucket=versioned, Key="b", Body=b"")
    s3.delete_object(Bucket=versioned, Key="b")
    lifecycle(
        s3,
        versioned,
        {
            "ID": "n",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1},
        },
        {
            "ID": "m",
            "Status": "Enabled",
            "Filter": {"Prefix": "b"},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
    )

    def left() -> tuple[int, int]:
        listed = s3.list_object_versions(Bucket=versioned)
        return len(listed.get("Versions", [])), len(listed.get("DeleteMarkers", []))

    until(lambda: left() == (2, 0))


def test_objects_move_to_colder_classes_and_uploads_end(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x" * 200000)
    begun = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    assert begun
    lifecycle(
        s3,
        bucket,
        {
            "ID": "t",
            "Status": "Enabled",
            "Filter": {"Prefix": "a"},
            "Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}],
        },
        {
            "ID": "u",
            "Status": "Enabled",
            "Filter": {"Prefix": "m"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
    )
    until(lambda: s3.head_object(Bucket=bucket, Key="a").get("StorageClass") == "STANDARD_IA")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x" * 200000
    until(lambda: "Uploads" not in s3.list_multipart_uploads(Bucket=bucket))


def test_what_is_left_out_says_so(s3: Any, bucket: str) -> None:
    for call, words in (
        (s3.get_bucket_analytics_configuration, {"Id": "x"}),
        (s3.delete_bucket_inventory_configuration, {"Id": "x"}),
        (s3.delete_bucket_metrics_configuration, {"Id": "x"}),
        (s3.list_bucket_intelligent_tiering_configurations, {}),
        (s3.get_object_torrent, {"Key": "a"}),
    ):
        assert refusal(call, Bucket=bucket, **words) == (501, "NotImplemented")
    assert status(s3.head_bucket(Bucket=bucket)) == 200


def test_other_settings_come_back_as_they_were_put(s3: Any, bucket: str) -> None:
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert refusal(s3.get_bucket_website, Bucket=bucket) == (404, "NoSuchWebsiteConfiguration")
    website = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=website)
    found = s3.get_bucket_website(Bucket=bucket)
    assert {name: found[name] for name in website} == website
    s3.delete_bucket_website(Bucket=bucket)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=bucket)
    assert refusal(s3.get_bucket_replication, Bucket=bucket) == (
        404,
        "ReplicationConfigurationNotFoundError",
    )


@pytest.mark.parametrize("prefix", ["logs/", ""])
def test_requests_are_logged_into_a_bucket(s3: Any, bucket: str, prefix: str) -> None:
    target = f"{bucket}-logs{'-x' if prefix else ''}"
    s3.create_bucket(Bucket=target)
    s3.put_bucket_acl(
        Bucket=target,
        GrantWrite="uri=http://acs.amazonaws.com/groups/s3/LogDelivery",
        GrantReadACP="uri=http://acs.amazonaws.com/groups/s3/LogDelivery",
    )
    enabled = {"TargetBucket": target, "TargetPrefix": prefix}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == enabled
    s3.put_object(Bucket=bucket, Key="watched", Body=b"x")

    def seen() -> bool:
        logs = s3.list_objects_v2(Bucket=target, Prefix=prefix).get("Contents", [])
        texts = [s3.get_object(Bucket=target, Key=one["Key"])["Body"].read().decode() for one in logs]
        return any("REST.PUT.OBJECT watched" in text for text in texts)

    until(seen, 90)
