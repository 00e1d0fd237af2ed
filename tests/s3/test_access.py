"""Who may do what: ACLs, policies, ownership, the public access block, presigned URLs, forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.s3.plain import ask, post_form
from tests.s3.refusals import refusal, status

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def grants(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (one["Grantee"].get("ID") or one["Grantee"]["URI"], one["Permission"]) for one in answer["Grants"]
    }


def test_what_is_private_is_its_owners(s3: Any, s3_other: Any, s3_visitor: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for stranger in (s3_other, s3_visitor):
        assert refusal(stranger.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
        assert refusal(stranger.get_object, Bucket=bucket, Key="no") == (403, "AccessDenied")
        assert refusal(stranger.head_object, Bucket=bucket, Key="a") == (403, "403")
        assert refusal(stranger.put_object, Bucket=bucket, Key="b", Body=b"") == (403, "AccessDenied")
        assert refusal(stranger.delete_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
        assert refusal(stranger.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
        assert refusal(stranger.get_bucket_acl, Bucket=bucket) == (403, "AccessDenied")
        assert refusal(stranger.get_bucket_policy, Bucket=bucket) == (403, "AccessDenied")
        assert refusal(stranger.delete_bucket, Bucket=bucket) == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("canned", "expected"),
    [
        ("private", set()),
        ("public-read", {(ALL_USERS, "READ")}),
        ("public-read-write", {(ALL_USERS, "READ"), (ALL_USERS, "WRITE")}),
        ("authenticated-read", {(AUTHENTICATED, "READ")}),
    ],
)
def test_canned_acls(
    s3: Any, s3_visitor: Any, bucket: str, owner: Any, canned: str, expected: set[tuple[str, str]]
) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL=canned)
    answer = s3.get_bucket_acl(Bucket=bucket)
    assert answer["Owner"]["ID"] == owner.canonical_id
    assert grants(answer) == expected | {(owner.canonical_id, "FULL_CONTROL")}
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL=canned)
    assert grants(s3.get_object_acl(Bucket=bucket, Key="a")) == expected | {
        (owner.canonical_id, "FULL_CONTROL")
    }
    if canned.startswith("public"):
        assert s3_visitor.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
        assert status(s3_visitor.list_objects_v2(Bucket=bucket)) == 200
    else:
        assert refusal(s3_visitor.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    if canned == "public-read-write":
        s3_visitor.put_object(Bucket=bucket, Key="b", Body=b"y")
    else:
        assert refusal(s3_visitor.put_object, Bucket=bucket, Key="b", Body=b"") == (403, "AccessDenied")


def test_grants_by_name(s3: Any, s3_other: Any, bucket: str, owner: Any, other: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", GrantRead=f"id={other.canonical_id}")
    assert s3_other.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    assert refusal(s3_other.get_object_acl, Bucket=bucket, Key="a") == (403, "AccessDenied")
    grant = {
        "Grantee": {"Type": "CanonicalUser", "ID": other.canonical_id},
        "Permission": "FULL_CONTROL",
    }
    own = {"Grantee": {"Type": "CanonicalUser", "ID": owner.canonical_id}, "Permission": "FULL_CONTROL"}
    acl = {"Owner": {"ID": owner.canonical_id}, "Grants": [own, grant]}
    s3.put_object_acl(Bucket=bucket, Key="a", AccessControlPolicy=acl)
    assert grants(s3_other.get_object_acl(Bucket=bucket, Key="a")) == {
        (owner.canonical_id, "FULL_CONTROL"),
        (other.canonical_id, "FULL_CONTROL"),
    }
    unknown = {"Grantee": {"Type": "CanonicalUser", "ID": "0" * 64}, "Permission": "READ"}
    refused = refusal(
        s3.put_object_acl,
        Bucket=bucket,
        Key="a",
        AccessControlPolicy={"Owner": {"ID": owner.canonical_id}, "Grants": [unknown]},
    )
    assert refused == (400, "InvalidArgument")
    mail = {"Grantee": {"Type": "AmazonCustomerByEmail", "EmailAddress": other.email}, "Permission": "READ"}
    s3.put_bucket_acl(
        Bucket=bucket, AccessControlPolicy={"Owner": {"ID": owner.canonical_id}, "Grants": [own, mail]}
    )
    assert (other.canonical_id, "READ") in grants(s3.get_bucket_acl(Bucket=bucket))
    assert status(s3_other.list_objects_v2(Bucket=bucket)) == 200


def test_what_another_tenant_wrote_is_its_own(
    s3: Any, s3_other: Any, bucket: str, other: Any, owner: Any
) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    s3_other.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert s3_other.get_object_acl(Bucket=bucket, Key="a")["Owner"]["ID"] == other.canonical_id
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    s3_other.put_object(Bucket=bucket, Key="b", Body=b"x", ACL="bucket-owner-full-control")
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"x"
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    )
    s3_other.put_object(Bucket=bucket, Key="c", Body=b"x", ACL="bucket-owner-full-control")
    assert s3.get_object_acl(Bucket=bucket, Key="c")["Owner"]["ID"] == owner.canonical_id


def test_owner_enforced_buckets_have_no_acls(s3: Any, bucket: str) -> None:
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    refused = refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"", ACL="public-read")
    assert refused == (400, "AccessControlListNotSupported")
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == (
        400,
        "AccessControlListNotSupported",
    )
    s3.put_object(Bucket=bucket, Key="a", Body=b"", ACL="bucket-owner-full-control")
    s3.delete_bucket_ownership_controls(Bucket=bucket)


def test_policies_allow_and_deny(s3: Any, s3_other: Any, s3_visitor: Any, bucket: str) -> None:
    assert refusal(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="closed/a", Body=b"x", Tagging="show=yes")
    text = policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": ["s3:GetObject"],
            "Resource": f"arn:aws:s3:::{bucket}/open/*",
        },
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:ListBucket",
            "Resource": [f"arn:aws:s3:::{bucket}"],
            "Condition": {"StringLike": {"s3:prefix": "open/*"}},
        },
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": {"StringEquals": {"s3:ExistingObjectTag/show": "yes"}},
        },
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/denied*",
        },
    )
    s3.put_bucket_policy(Bucket=bucket, Policy=text)
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == json.loads(text)
    for stranger in (s3_other, s3_visitor):
        assert stranger.get_object(Bucket=bucket, Key="open/a")["Body"].read() == b"x"
        assert stranger.get_object(Bucket=bucket, Key="closed/a")["Body"].read() == b"x"
        assert refusal(stranger.get_object, Bucket=bucket, Key="closed/b") == (403, "AccessDenied")
        assert status(stranger.list_objects_v2(Bucket=bucket, Prefix="open/")) == 200
        assert refusal(stranger.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    assert refusal(s3.put_object, Bucket=bucket, Key="denied", Body=b"") == (403, "AccessDenied")
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"] is True
    s3.delete_bucket_policy(Bucket=bucket)
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="open/a") == (403, "AccessDenied")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "not json",
        policy(
            {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::else/*"}
        ),
        policy({"Effect": "Perhaps", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET"}),
        policy({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::BUCKET"}),
        policy({"Effect": "Allow", "Principal": "*", "Resource": "arn:aws:s3:::BUCKET"}),
        policy({"Effect": "Allow", "Principal": "*", "Action": "s3:Fly", "Resource": "arn:aws:s3:::BUCKET"}),
    ],
)
def test_malformed_policies_are_refused(s3: Any, bucket: str, text: str) -> None:
    refused = refusal(s3.put_bucket_policy, Bucket=bucket, Policy=text.replace("BUCKET", bucket))
    assert refused == (400, "MalformedPolicy")


def test_the_public_access_block_wins(s3: Any, s3_visitor: Any, bucket: str) -> None:
    assert refusal(s3.get_public_access_block, Bucket=bucket) == (404, "NoSuchPublicAccessBlockConfiguration")
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL="public-read")
    assert s3_visitor.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    switches = {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": False,
    }
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=switches)
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == switches
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="a") == (403, "AccessDenied")
    assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"x", ACL="public-read") == (
        403,
        "AccessDenied",
    )
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == (403, "AccessDenied")
    text = policy(
        {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
    )
    assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy=text) == (403, "AccessDenied")
    s3.delete_public_access_block(Bucket=bucket)
    assert s3_visitor.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_presigned_urls_work_without_a_key(s3: Any, bucket: str) -> None:
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b", "ContentType": "text/x"})
    answer = ask("PUT", put, body=b"hello", headers={"Content-Type": "text/x"})
    assert answer.status == 200, answer.text
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    assert ask("GET", get).content == b"hello"
    assert ask("GET", get + "x").status == 403
    assert ask("PUT", get, body=b"").status == 403
    late = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=604801)
    refused = ask("GET", late)
    assert (refused.status, "AuthorizationQueryParametersError" in refused.text) == (400, True)


def test_forms_of_browsers_are_taken(s3: Any, bucket: str) -> None:
    form = s3.generate_presigned_post(
        bucket,
        "up/${filename}",
        Fields={"acl": "private", "Content-Type": "text/x", "success_action_status": "201"},
        Conditions=[
            {"acl": "private"},
            ["starts-with", "$Content-Type", "text/"],
            ["content-length-range", 1, 100],
            {"success_action_status": "201"},
        ],
    )
    sent = post_form(form["url"], form["fields"], "f.txt", b"hello")
    assert sent.status == 201, sent.text
    assert "<Key>up/f.txt</Key>" in sent.text
    assert s3.get_object(Bucket=bucket, Key="up/f.txt")["Body"].read() == b"hello"
    large = post_form(form["url"], form["fields"], "f", b"x" * 101)
    assert (large.status, "EntityTooLarge" in large.text) == (400, True)
    small = post_form(form["url"], form["fields"], "f", b"")
    assert (small.status, "EntityTooSmall" in small.text) == (400, True)
    other = post_form(form["url"], {**form["fields"], "acl": "public-read"}, "f", b"x")
    assert other.status == 403, other.text


def test_cors_is_answered(s3: Any, bucket: str, endpoint: Any) -> None:
    assert refusal(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")
    url = f"{endpoint.url}/{bucket}/a"
    rule = {
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedHeaders": ["x-amz-*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 30,
    }
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    asked = {
        "Origin": "https://a.example.com",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-amz-date",
    }
    answer = ask("OPTIONS", url, headers=asked)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "https://a.example.com"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-max-age"] == "30"
    assert ask("OPTIONS", url, headers={**asked, "Origin": "https://b.org"}).status == 403
    get = ask("GET", url, headers={"Origin": "https://a.example.com"})
    assert get.headers["access-control-allow-origin"] == "https://a.example.com"
    assert get.headers["access-control-expose-headers"] == "ETag"
    s3.delete_bucket_cors(Bucket=bucket)
    assert ask("OPTIONS", url, headers=asked).status == 403
