"""Bucket policies action by action and condition by condition, asked by a tenant and by nobody known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.s3.plain import ask
from tests.s3.refusals import refusal, status

DENIED = (403, "AccessDenied")
KEY = b"k" * 32


def rule(
    bucket: str,
    action: str | list[str],
    condition: dict[str, Any] | None = None,
    *,
    effect: str = "Allow",
    on: str = "/*",
    **more: Any,
) -> dict[str, Any]:
    """A statement for everybody about the bucket's objects, unless said otherwise."""
    resource = [f"arn:aws:s3:::{bucket}{each}" for each in on.split(",")]
    said = {"Effect": effect, "Principal": "*", "Action": action, "Resource": resource, **more}
    if "NotPrincipal" in more:
        del said["Principal"]
    if "NotAction" in more:
        del said["Action"]
    return {**said, "Condition": condition} if condition else said


def put_policy(s3: Any, bucket: str, *statements: dict[str, Any], **more: Any) -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    assert status(s3.put_bucket_policy(Bucket=bucket, Policy=text, **more)) == 204


@pytest.mark.parametrize("who", ["arn", "account", "canonical", "everybody", "list"])
def test_a_policy_may_name_a_tenant_in_many_ways(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, other: Any, who: str
) -> None:
    account = other.account
    principal: Any = {
        "arn": {"AWS": f"arn:aws:iam::{account}:root"},
        "account": {"AWS": account},
        "canonical": {"CanonicalUser": other.canonical_id},
        "everybody": {"AWS": "*"},
        "list": {"AWS": ["111122223333", account]},
    }[who]
    put_policy(s3, bucket, rule(bucket, "s3:ListBucket", on="", Principal=principal))
    assert status(s3_other.list_objects_v2(Bucket=bucket)) == 200
    assert status(s3_other.list_objects(Bucket=bucket)) == 200
    assert status(s3_other.head_bucket(Bucket=bucket)) == 200
    if who == "everybody":
        assert status(s3_visitor.list_objects_v2(Bucket=bucket)) == 200
    else:
        assert refusal(s3_visitor.list_objects_v2, Bucket=bucket) == DENIED
    assert refusal(s3_other.list_object_versions, Bucket=bucket) == DENIED


ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "s3:GetObject": ("get_object", {}),
    "s3:GetObjectAcl": ("get_object_acl", {}),
    "s3:PutObjectAcl": ("put_object_acl", {"ACL": "private"}),
    "s3:GetObjectTagging": ("get_object_tagging", {}),
    "s3:PutObjectTagging": ("put_object_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
    "s3:DeleteObjectTagging": ("delete_object_tagging", {}),
    "s3:GetObjectAttributes": ("get_object_attributes", {"ObjectAttributes": ["ETag"]}),
    "s3:PutObject": ("put_object", {"Body": b"y"}),
    "s3:DeleteObject": ("delete_object", {}),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_on_objects_is_allowed_and_denied_by_name(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, action: str
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    names = [action, "s3:GetObject"] if action == "s3:GetObjectAttributes" else [action]
    put_policy(s3, bucket, rule(bucket, names, on="/a"))
    named = {"Bucket": bucket, "Key": "a"}
    for client in (s3_other, s3_visitor):
        for another, (its_method, its_words) in ACTIONS.items():
            if another not in names:
                assert refusal(getattr(client, its_method), **named, **its_words) == DENIED, another
    method, words = ACTIONS[action]
    words = {**named, **words}
    for client in (s3_other, s3_visitor):
        if action == "s3:DeleteObject":
            s3.put_object(Bucket=bucket, Key="a", Body=b"x")
        assert status(getattr(client, method)(**words)) in {200, 204}
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    put_policy(s3, bucket, rule(bucket, "s3:*", on="/a"), rule(bucket, action, effect="Deny"))
    for client in (s3_other, s3_visitor, s3):
        assert refusal(getattr(client, method), **words) == DENIED


ON_BUCKET: dict[str, tuple[str, dict[str, Any]]] = {
    "s3:GetBucketLocation": ("get_bucket_location", {}),
    "s3:GetBucketAcl": ("get_bucket_acl", {}),
    "s3:PutBucketAcl": ("put_bucket_acl", {"ACL": "private"}),
    "s3:GetBucketVersioning": ("get_bucket_versioning", {}),
    "s3:ListBucketVersions": ("list_object_versions", {}),
    "s3:ListBucketMultipartUploads": ("list_multipart_uploads", {}),
    "s3:GetBucketRequestPayment": ("get_bucket_request_payment", {}),
    "s3:GetBucketNotification": ("get_bucket_notification_configuration", {}),
    "s3:GetBucketLogging": ("get_bucket_logging", {}),
    "s3:GetEncryptionConfiguration": ("get_bucket_encryption", {}),
    "s3:PutBucketTagging": ("put_bucket_tagging", {"Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}}),
    "s3:GetBucketTagging": ("get_bucket_tagging", {}),
    "s3:GetBucketPolicyStatus": ("get_bucket_policy_status", {}),
}


def test_each_action_on_the_bucket_is_allowed_by_name(s3: Any, s3_other: Any, bucket: str) -> None:
    for action, (method, words) in ON_BUCKET.items():
        put_policy(s3, bucket, rule(bucket, action, on=""))
        for another, (its_method, its_words) in ON_BUCKET.items():
            if another != action and not another.startswith("s3:Put"):
                assert refusal(getattr(s3_other, its_method), Bucket=bucket, **its_words) == DENIED
        assert status(getattr(s3_other, method)(Bucket=bucket, **words)) in {200, 204}


def test_uploads_in_parts_need_the_right_to_put(s3: Any, s3_other: Any, bucket: str) -> None:
    words = {"Bucket": bucket, "Key": "m"}
    assert refusal(s3_other.create_multipart_upload, **words) == DENIED
    put_policy(s3, bucket, rule(bucket, "s3:PutObject"))
    begun = s3_other.create_multipart_upload(**words)["UploadId"]
    part = s3_other.upload_part(**words, UploadId=begun, PartNumber=1, Body=b"x")
    assert refusal(s3_other.list_multipart_uploads, Bucket=bucket) == DENIED
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert status(s3_other.complete_multipart_upload(**words, UploadId=begun, MultipartUpload=done)) == 200
    put_policy(s3, bucket, rule(bucket, "s3:AbortMultipartUpload"))
    begun = s3.create_multipart_upload(**words)["UploadId"]
    assert refusal(s3_other.upload_part, **words, UploadId=begun, PartNumber=1, Body=b"x") == DENIED
    assert status(s3_other.abort_multipart_upload(**words, UploadId=begun)) == 204


def test_versions_are_actions_of_their_own(s3: Any, s3_other: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1")["VersionId"]
    s3.put_object(Bucket=versioned, Key="a", Body=b"2")
    put_policy(s3, versioned, rule(versioned, "s3:GetObject"))
    assert s3_other.get_object(Bucket=versioned, Key="a")["Body"].read() == b"2"
    assert refusal(s3_other.get_object, Bucket=versioned, Key="a", VersionId=first) == DENIED
    named = {"StringEquals": {"s3:VersionId": first}}
    put_policy(s3, versioned, rule(versioned, ["s3:GetObjectVersion", "s3:DeleteObjectVersion"], named))
    assert s3_other.get_object(Bucket=versioned, Key="a", VersionId=first)["Body"].read() == b"1"
    assert refusal(s3_other.get_object, Bucket=versioned, Key="a") == DENIED
    assert refusal(s3_other.delete_object, Bucket=versioned, Key="a") == DENIED
    assert status(s3_other.delete_object(Bucket=versioned, Key="a", VersionId=first)) == 204


def test_copies_are_bound_by_their_source_and_directive(s3: Any, s3_other: Any, bucket: str) -> None:
    source = f"{bucket}-source"
    s3.create_bucket(Bucket=source)
    for key in ("public/a b", "private/a"):
        s3.put_object(Bucket=source, Key=key, Body=b"x")
    put_policy(s3, source, rule(source, ["s3:GetObject", "s3:GetObjectTagging"]))
    from_public = {"StringLike": {"s3:x-amz-copy-source": f"{source}/public/*"}}
    put_policy(s3, bucket, rule(bucket, "s3:PutObject", from_public))
    good, bad = ({"Bucket": source, "Key": key} for key in ("public/a b", "private/a"))
    assert status(s3_other.copy_object(Bucket=bucket, Key="c", CopySource=good)) == 200
    assert refusal(s3_other.copy_object, Bucket=bucket, Key="c", CopySource=bad) == DENIED
    assert refusal(s3_other.put_object, Bucket=bucket, Key="c", Body=b"") == DENIED
    replaced = {"StringEquals": {"s3:x-amz-metadata-directive": "COPY"}}
    put_policy(s3, bucket, rule(bucket, "s3:PutObject", replaced))
    words = {"Bucket": bucket, "Key": "c", "CopySource": good}
    assert status(s3_other.copy_object(**words, MetadataDirective="COPY")) == 200
    refused = refusal(s3_other.copy_object, **words, MetadataDirective="REPLACE", Metadata={"a": "b"})
    assert refused == DENIED


def test_lists_that_come_with_an_object_may_be_asked_for(
    s3: Any, s3_other: Any, bucket: str, owner: Any
) -> None:
    asked = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
    put_policy(s3, bucket, rule(bucket, ["s3:PutObject", "s3:PutObjectAcl"], asked))
    words = {"Bucket": bucket, "Key": "a", "Body": b"x"}
    assert refusal(s3_other.put_object, **words) == DENIED
    assert refusal(s3_other.put_object, **words, ACL="public-read") == DENIED
    s3_other.put_object(**words, ACL="bucket-owner-full-control")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    full = {"StringEquals": {"s3:x-amz-grant-full-control": f"id={owner.canonical_id}"}}
    put_policy(s3, bucket, rule(bucket, ["s3:PutObject", "s3:PutObjectAcl"], full))
    assert refusal(s3_other.put_object, **words) == DENIED
    s3_other.put_object(**words, GrantFullControl=f"id={owner.canonical_id}")
    public = {"StringLike": {"s3:x-amz-acl": "public*"}}
    put_policy(s3, bucket, rule(bucket, "s3:PutObject"), rule(bucket, "s3:PutObject", public, effect="Deny"))
    assert refusal(s3_other.put_object, **words, ACL="public-read") == DENIED
    assert status(s3_other.put_object(**words, ACL="private")) == 200


TAGS = {"TagSet": [{"Key": "security", "Value": "public"}, {"Key": "else", "Value": "1"}]}


def test_what_is_tagged_may_be_read_by_its_tags(s3: Any, s3_other: Any, bucket: str) -> None:
    for key, tags in (("open", "security=public&x=y"), ("shut", "security=private"), ("bare", "")):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x", Tagging=tags)
    actions = ["s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging", "s3:GetObjectAcl"]
    tagged = {"StringEquals": {"s3:ExistingObjectTag/security": "public"}}
    put_policy(s3, bucket, rule(bucket, actions, tagged))
    for key, opens in (("open", True), ("shut", False), ("bare", False)):
        for call in (s3_other.get_object, s3_other.get_object_tagging, s3_other.get_object_acl):
            if opens:
                assert status(call(Bucket=bucket, Key=key)) == 200
            else:
                assert refusal(call, Bucket=bucket, Key=key) == DENIED
    assert refusal(s3_other.head_object, Bucket=bucket, Key="shut") == (403, "403")
    assert refusal(s3_other.get_object, Bucket=bucket, Key="none") == DENIED
    s3_other.put_object_tagging(Bucket=bucket, Key="open", Tagging={"TagSet": []})
    assert refusal(s3_other.put_object_tagging, Bucket=bucket, Key="open", Tagging=TAGS) == DENIED


def test_tags_that_are_put_may_be_asked_for(s3: Any, s3_other: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    asked = {"StringEquals": {"s3:RequestObjectTag/security": "public"}}
    put_policy(s3, bucket, rule(bucket, ["s3:PutObject", "s3:PutObjectTagging"], asked))
    words = {"Bucket": bucket, "Key": "a"}
    assert status(s3_other.put_object_tagging(**words, Tagging=TAGS)) == 200
    wrong = {"TagSet": [{"Key": "security", "Value": "private"}]}
    assert refusal(s3_other.put_object_tagging, **words, Tagging=wrong) == DENIED
    assert refusal(s3_other.put_object, **words, Body=b"") == DENIED
    assert refusal(s3_other.put_object, **words, Body=b"", Tagging="security=private") == DENIED
    assert status(s3_other.put_object(**words, Body=b"", Tagging="security=public")) == 200
    begun = s3_other.create_multipart_upload(Bucket=bucket, Key="m", Tagging="security=public")
    assert begun["UploadId"]


def test_tags_are_deleted_where_it_is_allowed(s3: Any, s3_other: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", Tagging="a=b")
    put_policy(s3, bucket, rule(bucket, ["s3:DeleteObjectTagging"]))
    assert refusal(s3_other.get_object_tagging, Bucket=bucket, Key="a") == DENIED
    assert status(s3_other.delete_object_tagging(Bucket=bucket, Key="a")) == 204
    assert s3.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == []


def test_what_is_not_encrypted_as_asked_is_denied(s3: Any, bucket: str) -> None:
    header = "s3:x-amz-server-side-encryption"
    put_policy(
        s3,
        bucket,
        rule(bucket, "s3:PutObject", {"Null": {header: "true"}}, effect="Deny"),
        rule(bucket, "s3:PutObject", {"StringNotEquals": {header: "AES256"}}, effect="Deny"),
    )
    words = {"Bucket": bucket, "Key": "a", "Body": b"x"}
    assert refusal(s3.put_object, **words) == DENIED
    assert refusal(s3.put_object, **words, ServerSideEncryption="aws:kms") == DENIED
    assert status(s3.put_object(**words, ServerSideEncryption="AES256")) == 200
    begin = {"Bucket": bucket, "Key": "m"}
    assert refusal(s3.create_multipart_upload, **begin) == DENIED
    assert s3.create_multipart_upload(**begin, ServerSideEncryption="AES256")["UploadId"]


def test_sse_c_and_kms_keys_may_be_asked_for(s3: Any, bucket: str) -> None:
    header = "s3:x-amz-server-side-encryption-customer-algorithm"
    put_policy(s3, bucket, rule(bucket, "s3:PutObject", {"Null": {header: "true"}}, effect="Deny"))
    words = {"Bucket": bucket, "Key": "a", "Body": b"x"}
    assert refusal(s3.put_object, **words) == DENIED
    assert status(s3.put_object(**words, SSECustomerAlgorithm="AES256", SSECustomerKey=KEY)) == 200
    header = "s3:x-amz-server-side-encryption-aws-kms-key-id"
    put_policy(s3, bucket, rule(bucket, "s3:PutObject", {"StringNotEquals": {header: "mine"}}, effect="Deny"))
    kms = {"ServerSideEncryption": "aws:kms"}
    assert refusal(s3.put_object, **words, **kms, SSEKMSKeyId="yours") == DENIED
    assert status(s3.put_object(**words, **kms, SSEKMSKeyId="mine")) == 200


def test_conditions_on_listings_addresses_and_transport(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, endpoint: Any
) -> None:
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"x")
    for condition, words, other_words in (
        ({"StringEquals": {"s3:prefix": "a/"}}, {"Prefix": "a/"}, {"Prefix": "b/"}),
        ({"StringEquals": {"s3:delimiter": "/"}}, {"Delimiter": "/"}, {}),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"MaxKeys": 10}, {"MaxKeys": 11}),
    ):
        put_policy(s3, bucket, rule(bucket, "s3:ListBucket", condition, on=""))
        for client in (s3_other, s3_visitor):
            for list_call in (client.list_objects, client.list_objects_v2):
                assert status(list_call(Bucket=bucket, **words)) == 200
                assert refusal(list_call, Bucket=bucket, **other_words) == DENIED
    secure = "true" if endpoint.scheme == "https" else "false"
    other = "false" if secure == "true" else "true"
    for condition, holds in (
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.1"]}}, False),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
        ({"Bool": {"aws:SecureTransport": secure}}, True),
        ({"Bool": {"aws:SecureTransport": other}}, False),
        ({"StringLike": {"aws:UserAgent": "*Botocore*"}}, True),
        ({"StringEquals": {"aws:Referer": "http://here/"}}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
    ):
        put_policy(s3, bucket, rule(bucket, "s3:GetObject", condition))
        if holds:
            assert s3_visitor.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"x"
        else:
            assert refusal(s3_visitor.get_object, Bucket=bucket, Key="a/b") == DENIED


def test_inverted_statements(s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, other: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    everyone = rule(bucket, "s3:*", on=",/*")
    them = {"CanonicalUser": other.canonical_id}
    put_policy(s3, bucket, everyone, rule(bucket, "s3:GetObject", effect="Deny", NotPrincipal=them))
    assert status(s3_other.get_object(Bucket=bucket, Key="a")) == 200
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="a") == DENIED
    put_policy(s3, bucket, everyone, rule(bucket, "", effect="Deny", NotAction="s3:GetObject"))
    assert status(s3_visitor.get_object(Bucket=bucket, Key="a")) == 200
    assert refusal(s3_visitor.put_object, Bucket=bucket, Key="a", Body=b"") == DENIED
    without = rule(bucket, "s3:GetObject")
    without["NotResource"] = [f"arn:aws:s3:::{bucket}/secret/*"]
    del without["Resource"]
    put_policy(s3, bucket, without)
    s3.put_object(Bucket=bucket, Key="secret/a", Body=b"x")
    assert status(s3_visitor.get_object(Bucket=bucket, Key="a")) == 200
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="secret/a") == DENIED


def test_the_root_can_always_mend_a_policy(s3: Any, bucket: str) -> None:
    put_policy(s3, bucket, rule(bucket, "s3:*", effect="Deny", on=",/*"))
    assert refusal(s3.list_objects_v2, Bucket=bucket) == DENIED
    assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"") == DENIED
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    put_policy(s3, bucket, rule(bucket, "s3:*", effect="Deny", on=",/*"))
    assert status(s3.delete_bucket_policy(Bucket=bucket)) == 204
    assert status(s3.list_objects_v2(Bucket=bucket)) == 200


def test_the_root_may_give_up_even_that(s3: Any, bucket: str) -> None:
    deny = rule(bucket, ["s3:GetBucketPolicy", "s3:DeleteBucketPolicy"], effect="Deny", on="")
    put_policy(s3, bucket, deny, ConfirmRemoveSelfBucketAccess=True)
    assert refusal(s3.get_bucket_policy, Bucket=bucket) == DENIED
    assert refusal(s3.delete_bucket_policy, Bucket=bucket) == DENIED
    put_policy(s3, bucket, rule(bucket, "s3:GetObject"))
    assert status(s3.delete_bucket_policy(Bucket=bucket)) == 204


def test_policies_are_the_owners_affair(s3: Any, s3_other: Any, bucket: str) -> None:
    put_policy(s3, bucket, rule(bucket, "s3:*", on=",/*"))
    text = json.dumps({"Version": "2012-10-17", "Statement": [rule(bucket, "s3:*")]})
    assert refusal(s3_other.put_bucket_policy, Bucket=bucket, Policy=text) == (405, "MethodNotAllowed")
    assert refusal(s3_other.get_bucket_policy, Bucket=bucket) == (405, "MethodNotAllowed")
    s3.delete_bucket_policy(Bucket=bucket)
    assert refusal(s3_other.put_bucket_policy, Bucket=bucket, Policy=text) == DENIED
    assert refusal(s3.put_bucket_policy, Bucket=f"{bucket}-no", Policy=text) == (404, "NoSuchBucket")


def test_a_policy_has_at_most_20_kib(s3: Any, bucket: str) -> None:
    long = rule(bucket, "s3:GetObject", Sid="a" * 21_000)
    text = json.dumps({"Version": "2012-10-17", "Statement": [long]})
    assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy=text)[0] == 400


PUBLIC = [
    ({}, True),
    ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
    ({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, True),
    ({"StringEquals": {"aws:SourceVpc": "vpc-1"}}, False),
    ({"StringLike": {"aws:SourceVpc": "vpc-*"}}, True),
    ({"StringEquals": {"aws:SourceAccount": "111122223333"}}, False),
    ({"StringEquals": {"s3:prefix": "a"}}, True),
    ({"Bool": {"aws:SecureTransport": "true"}}, True),
]


@pytest.mark.parametrize(("condition", "public"), PUBLIC)
def test_the_policys_status_says_whether_it_is_public(
    s3: Any, bucket: str, condition: dict[str, Any], public: bool
) -> None:
    put_policy(s3, bucket, rule(bucket, "s3:GetObject", condition or None))
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is public
    switches = {"BlockPublicPolicy": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=switches)
    text = json.dumps(
        {"Version": "2012-10-17", "Statement": [rule(bucket, "s3:GetObject", condition or None)]}
    )
    if public:
        assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy=text) == DENIED
    else:
        assert status(s3.put_bucket_policy(Bucket=bucket, Policy=text)) == 204


def test_a_policy_for_certain_tenants_is_not_public(s3: Any, bucket: str, other: Any) -> None:
    them = {"CanonicalUser": other.canonical_id}
    put_policy(s3, bucket, rule(bucket, "s3:GetObject", Principal=them))
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False
    put_policy(s3, bucket, rule(bucket, "s3:GetObject", effect="Deny"))
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is False


def test_restricted_public_buckets_are_their_owners_alone(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, other: Any
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    put_policy(s3, bucket, rule(bucket, "s3:GetObject"))
    assert s3_visitor.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    switches = {"RestrictPublicBuckets": True}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=switches)
    for client in (s3_other, s3_visitor):
        assert refusal(client.get_object, Bucket=bucket, Key="a") == DENIED
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    them = {"CanonicalUser": other.canonical_id}
    put_policy(s3, bucket, rule(bucket, "s3:GetObject", Principal=them))
    assert s3_other.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_many_deletions_are_judged_one_by_one(s3: Any, s3_other: Any, bucket: str) -> None:
    for key in ("a", "b", "keep"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    put_policy(
        s3,
        bucket,
        rule(bucket, "s3:DeleteObject"),
        rule(bucket, "s3:DeleteObject", effect="Deny", on="/keep"),
    )
    keys = {"Objects": [{"Key": key} for key in ("a", "keep", "b")]}
    answer = s3_other.delete_objects(Bucket=bucket, Delete=keys)
    assert [one["Key"] for one in answer["Deleted"]] == ["a", "b"]
    assert [(one["Key"], one["Code"]) for one in answer["Errors"]] == [("keep", "AccessDenied")]


def test_presigned_urls_may_do_what_their_signer_may(
    s3: Any, s3_other: Any, bucket: str, endpoint: Any
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    url = s3_other.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})
    assert ask("GET", url).status == 403
    put_policy(
        s3, bucket, rule(bucket, "s3:GetObject", {"StringEquals": {"s3:authType": "REST-QUERY-STRING"}})
    )
    assert ask("GET", url).content == b"x"
    assert refusal(s3_other.get_object, Bucket=bucket, Key="a") == DENIED
    assert ask("GET", f"{endpoint.url}/{bucket}/a").status == 403
