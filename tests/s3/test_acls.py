"""Access control lists grant by grant: what each permission opens, to whom, and to nobody else."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.s3.refusals import refusal, status

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOGS = "http://acs.amazonaws.com/groups/s3/LogDelivery"
DENIED = (403, "AccessDenied")
HEADERS = {
    "GrantFullControl": "FULL_CONTROL",
    "GrantRead": "READ",
    "GrantReadACP": "READ_ACP",
    "GrantWrite": "WRITE",
    "GrantWriteACP": "WRITE_ACP",
}


def grants(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(kind, who, permission) of each grant, in order."""
    found = []
    for one in answer["Grants"]:
        grantee = one["Grantee"]
        found.append((grantee["Type"], grantee.get("ID") or grantee["URI"], one["Permission"]))
    return found


def allowed(call: Callable[..., Any], **words: Any) -> bool:
    """Whether a call succeeds; one that fails must be denied, not fail for another reason."""
    try:
        call(**words)
    except ClientError as error:
        found = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if found == 403:
            return False
        raise
    return True


def canonical(account: Any, permission: str) -> dict[str, Any]:
    return {"Grantee": {"Type": "CanonicalUser", "ID": account.canonical_id}, "Permission": permission}


def acl(account: Any, *granted: dict[str, Any]) -> dict[str, Any]:
    return {"Owner": {"ID": account.canonical_id}, "Grants": list(granted)}


def test_a_new_bucket_and_a_new_object_are_their_owners_alone(s3: Any, bucket: str, owner: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    for answer in (s3.get_bucket_acl(Bucket=bucket), s3.get_object_acl(Bucket=bucket, Key="a")):
        assert answer["Owner"] == {"ID": owner.canonical_id, "DisplayName": owner.display_name}
        assert answer["Grants"] == [
            {
                "Grantee": {
                    "Type": "CanonicalUser",
                    "ID": owner.canonical_id,
                    "DisplayName": owner.display_name,
                },
                "Permission": "FULL_CONTROL",
            }
        ]


CANNED = [
    ("private", []),
    ("public-read", [("Group", ALL_USERS, "READ")]),
    ("public-read-write", [("Group", ALL_USERS, "READ"), ("Group", ALL_USERS, "WRITE")]),
    ("authenticated-read", [("Group", AUTHENTICATED, "READ")]),
    ("log-delivery-write", [("Group", LOGS, "WRITE"), ("Group", LOGS, "READ_ACP")]),
    ("bucket-owner-read", []),
    ("bucket-owner-full-control", []),
]


@pytest.mark.parametrize(("name", "expected"), CANNED)
def test_a_canned_list_is_shown_grant_by_grant(
    s3: Any, bucket: str, owner: Any, name: str, expected: list[Any]
) -> None:
    expected = [("CanonicalUser", owner.canonical_id, "FULL_CONTROL"), *expected]
    s3.put_bucket_acl(Bucket=bucket, ACL=name)
    assert grants(s3.get_bucket_acl(Bucket=bucket)) == expected
    s3.put_object(Bucket=bucket, Key="put", Body=b"", ACL=name)
    s3.put_object(Bucket=bucket, Key="set", Body=b"")
    s3.put_object_acl(Bucket=bucket, Key="set", ACL=name)
    s3.copy_object(Bucket=bucket, Key="copied", CopySource=f"{bucket}/set", ACL=name)
    begun = s3.create_multipart_upload(Bucket=bucket, Key="parts", ACL=name)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=begun, PartNumber=1, Body=b"x")
    done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=begun, MultipartUpload=done)
    for key in ("put", "set", "copied", "parts"):
        assert grants(s3.get_object_acl(Bucket=bucket, Key=key)) == expected


@pytest.mark.parametrize(("name", "expected"), CANNED[:4])
def test_a_bucket_may_be_made_with_a_canned_list(
    s3: Any, bucket: str, owner: Any, name: str, expected: list[Any]
) -> None:
    s3.create_bucket(Bucket=f"{bucket}-canned", ACL=name)
    assert grants(s3.get_bucket_acl(Bucket=f"{bucket}-canned")) == [
        ("CanonicalUser", owner.canonical_id, "FULL_CONTROL"),
        *expected,
    ]


@pytest.mark.parametrize("name", ["public-ready", "", "Private"])
def test_there_are_no_other_canned_lists(s3: Any, bucket: str, name: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL=name)[0] == 400
    assert refusal(s3.put_object_acl, Bucket=bucket, Key="a", ACL=name)[0] == 400
    if name:
        refused = refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"", ACL=name)
        assert refused == (400, "InvalidArgument")


@pytest.mark.parametrize(("word", "permission"), list(HEADERS.items()))
def test_each_header_grants_to_ids_groups_and_addresses(
    s3: Any, bucket: str, owner: Any, other: Any, word: str, permission: str
) -> None:
    """What is given in headers is all there is: the owner is not added."""
    names = f'id="{other.canonical_id}", uri="{ALL_USERS}",emailAddress={owner.email}'
    expected = [
        ("CanonicalUser", other.canonical_id, permission),
        ("Group", ALL_USERS, permission),
        ("CanonicalUser", owner.canonical_id, permission),
    ]
    s3.create_bucket(Bucket=f"{bucket}-granted", **{word: names})
    assert grants(s3.get_bucket_acl(Bucket=f"{bucket}-granted")) == expected
    s3.put_bucket_acl(Bucket=bucket, **{word: names})
    assert grants(s3.get_bucket_acl(Bucket=bucket)) == expected
    if word == "GrantWrite":
        return
    s3.put_object(Bucket=bucket, Key="a", Body=b"", **{word: names})
    s3.put_object(Bucket=bucket, Key="b", Body=b"")
    s3.put_object_acl(Bucket=bucket, Key="b", **{word: names})
    s3.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/b", **{word: names})
    for key in ("a", "b", "c"):
        assert grants(s3.get_object_acl(Bucket=bucket, Key=key)) == expected


def test_all_five_headers_together(s3: Any, bucket: str, other: Any) -> None:
    said = dict.fromkeys(HEADERS, f"id={other.canonical_id}")
    s3.put_bucket_acl(Bucket=bucket, **said)
    expected = {("CanonicalUser", other.canonical_id, permission) for permission in HEADERS.values()}
    assert set(grants(s3.get_bucket_acl(Bucket=bucket))) == expected


def test_canned_lists_and_grants_do_not_go_together(s3: Any, bucket: str, other: Any) -> None:
    refused = refusal(
        s3.put_object, Bucket=bucket, Key="a", Body=b"", ACL="private", GrantRead=f"id={other.canonical_id}"
    )
    assert refused == (400, "InvalidRequest")


def test_grants_to_nobody_are_refused(s3: Any, bucket: str, owner: Any) -> None:
    nobody = {"Type": "CanonicalUser", "ID": "f" * 64}
    short = {"Type": "CanonicalUser", "ID": "_foo"}
    group = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/Everybody"}
    for grantee in (nobody, short, group):
        given = acl(owner, {"Grantee": grantee, "Permission": "READ"})
        assert refusal(s3.put_bucket_acl, Bucket=bucket, AccessControlPolicy=given) == (
            400,
            "InvalidArgument",
        )
    mail = {"Type": "AmazonCustomerByEmail", "EmailAddress": "nobody@example.invalid"}
    given = acl(owner, {"Grantee": mail, "Permission": "READ"})
    refused = refusal(s3.put_bucket_acl, Bucket=bucket, AccessControlPolicy=given)
    assert refused == (400, "UnresolvableGrantByEmailAddress")
    for words, code in (
        ({"GrantRead": f"id={'f' * 64}"}, "InvalidArgument"),
        ({"GrantRead": "uri=http://example.com/group"}, "InvalidArgument"),
        ({"GrantRead": "emailAddress=nobody@example.invalid"}, "UnresolvableGrantByEmailAddress"),
        ({"GrantRead": "name=me"}, "InvalidArgument"),
        ({"GrantRead": "me"}, "InvalidArgument"),
    ):
        assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"", **words) == (400, code)
        assert refusal(s3.put_bucket_acl, Bucket=bucket, **words) == (400, code)


def test_malformed_lists_are_refused(s3: Any, bucket: str, owner: Any) -> None:
    wrong = {**canonical(owner, "READ"), "Permission": "EVERYTHING"}
    refused = refusal(s3.put_bucket_acl, Bucket=bucket, AccessControlPolicy=acl(owner, wrong))
    assert refused == (400, "MalformedACLError")
    without = {"Grants": [canonical(owner, "FULL_CONTROL")]}
    assert refusal(s3.put_bucket_acl, Bucket=bucket, AccessControlPolicy=without) == (
        400,
        "MalformedACLError",
    )
    assert refusal(s3.put_bucket_acl, Bucket=bucket)[0] == 400
    many = acl(owner, *[canonical(owner, "READ")] * 101)
    assert refusal(s3.put_bucket_acl, Bucket=bucket, AccessControlPolicy=many)[0] == 400


def probe_bucket(client: Any, bucket: str) -> dict[str, bool]:
    """What somebody may do with a bucket that has the private objects "a" and "old"."""
    return {
        "list": allowed(client.list_objects_v2, Bucket=bucket),
        "head": allowed(client.head_bucket, Bucket=bucket),
        "versions": allowed(client.list_object_versions, Bucket=bucket),
        "uploads": allowed(client.list_multipart_uploads, Bucket=bucket),
        "read": allowed(client.get_object, Bucket=bucket, Key="a"),
        "write": allowed(client.put_object, Bucket=bucket, Key="new", Body=b"x"),
        "overwrite": allowed(client.put_object, Bucket=bucket, Key="old", Body=b"x"),
        "read list": allowed(client.get_bucket_acl, Bucket=bucket),
        "read object's list": allowed(client.get_object_acl, Bucket=bucket, Key="a"),
        "write object's list": allowed(client.put_object_acl, Bucket=bucket, Key="a", ACL="private"),
        "policy": allowed(client.put_bucket_policy, Bucket=bucket, Policy="{}"),
        "versioning": allowed(client.get_bucket_versioning, Bucket=bucket),
        "delete bucket": allowed(client.delete_bucket, Bucket=bucket),
    }


OPENS = {
    "READ": {"list", "head", "versions", "uploads"},
    "WRITE": {"write", "overwrite"},
    "READ_ACP": {"read list"},
    "WRITE_ACP": set[str](),
}
OPENS["FULL_CONTROL"] = set.union(*OPENS.values())


@pytest.mark.parametrize("permission", OPENS)
@pytest.mark.parametrize("group", ["", AUTHENTICATED, ALL_USERS])
def test_a_permission_on_a_bucket_opens_what_it_says_and_no_more(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, owner: Any, other: Any, permission: str, group: str
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    s3.put_object(Bucket=bucket, Key="old", Body=b"")
    grantee = {"Type": "Group", "URI": group} if group else canonical(other, "")["Grantee"]
    own = canonical(owner, "FULL_CONTROL")
    given = acl(owner, own, {"Grantee": grantee, "Permission": permission})
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=given)
    for client, meant in ((s3_other, True), (s3_visitor, group == ALL_USERS)):
        found = {name for name, may in probe_bucket(client, bucket).items() if may}
        assert found == (OPENS[permission] if meant else set())
        given_on = {"Bucket": bucket, "AccessControlPolicy": given}
        may_share = meant and permission in {"WRITE_ACP", "FULL_CONTROL"}
        assert allowed(client.put_bucket_acl, **given_on) == may_share
    assert s3.get_bucket_acl(Bucket=bucket)["Owner"]["ID"] == owner.canonical_id


def probe_object(client: Any, bucket: str, key: str) -> dict[str, bool]:
    """What somebody may do with an object."""
    return {
        "read": allowed(client.get_object, Bucket=bucket, Key=key),
        "head": allowed(client.head_object, Bucket=bucket, Key=key),
        "read list": allowed(client.get_object_acl, Bucket=bucket, Key=key),
        "tags": allowed(client.get_object_tagging, Bucket=bucket, Key=key),
        "tag": allowed(client.put_object_tagging, Bucket=bucket, Key=key, Tagging={"TagSet": []}),
        "write": allowed(client.put_object, Bucket=bucket, Key=key, Body=b"x"),
        "delete": allowed(client.delete_object, Bucket=bucket, Key=key),
        "bucket": allowed(client.list_objects_v2, Bucket=bucket),
    }


ON_OBJECT = {
    "READ": {"read", "head"},
    "WRITE": set[str](),
    "READ_ACP": {"read list"},
    "WRITE_ACP": set[str](),
    "FULL_CONTROL": {"read", "head", "read list"},
}


@pytest.mark.parametrize("permission", ON_OBJECT)
@pytest.mark.parametrize("group", ["", AUTHENTICATED, ALL_USERS])
def test_a_permission_on_an_object_opens_what_it_says_and_no_more(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, owner: Any, other: Any, permission: str, group: str
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    grantee = {"Type": "Group", "URI": group} if group else canonical(other, "")["Grantee"]
    given = acl(owner, canonical(owner, "FULL_CONTROL"), {"Grantee": grantee, "Permission": permission})
    s3.put_object_acl(Bucket=bucket, Key="a", AccessControlPolicy=given)
    for client, meant in ((s3_other, True), (s3_visitor, group == ALL_USERS)):
        found = {name for name, may in probe_object(client, bucket, "a").items() if may}
        assert found == (ON_OBJECT[permission] if meant else set())
        may_share = meant and permission in {"WRITE_ACP", "FULL_CONTROL"}
        assert allowed(client.put_object_acl, Bucket=bucket, Key="a", AccessControlPolicy=given) == may_share
    assert s3.get_object_acl(Bucket=bucket, Key="a")["Owner"]["ID"] == owner.canonical_id


def test_who_may_write_a_list_may_open_the_object_but_not_take_it(
    s3: Any, s3_other: Any, bucket: str, owner: Any, other: Any
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", GrantWriteACP=f"id={other.canonical_id}")
    assert refusal(s3_other.get_object, Bucket=bucket, Key="a") == DENIED
    taken = acl(other, canonical(other, "FULL_CONTROL"))
    refused = refusal(s3_other.put_object_acl, Bucket=bucket, Key="a", AccessControlPolicy=taken)
    assert refused == DENIED
    s3_other.put_object_acl(
        Bucket=bucket, Key="a", AccessControlPolicy=acl(owner, canonical(other, "FULL_CONTROL"))
    )
    assert s3_other.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    s3_other.put_object_acl(Bucket=bucket, Key="a", ACL="private")
    answer = s3.get_object_acl(Bucket=bucket, Key="a")
    assert answer["Owner"]["ID"] == owner.canonical_id
    assert grants(answer) == [("CanonicalUser", owner.canonical_id, "FULL_CONTROL")]


def test_an_owner_without_grants_may_still_mend_its_list(s3: Any, bucket: str, owner: Any) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.put_object_acl(Bucket=bucket, Key="a", AccessControlPolicy=acl(owner))
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=acl(owner))
    assert s3.get_object_acl(Bucket=bucket, Key="a")["Grants"] == []
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"] == []
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    s3.put_object_acl(Bucket=bucket, Key="a", ACL="private")
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


BUCKETS = ["private", "public-read", "public-read-write", "authenticated-read"]


@pytest.mark.parametrize(("of_bucket", "of_object"), list(itertools.product(BUCKETS, BUCKETS)))
def test_lists_of_bucket_and_object_count_each_for_itself(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, of_bucket: str, of_object: str
) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL=of_bucket)
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL=of_object)
    s3.put_object(Bucket=bucket, Key="b", Body=b"y")
    for client, signed in ((s3_other, True), (s3_visitor, False)):
        reads = of_object.startswith("public") or (signed and of_object == "authenticated-read")
        lists = of_bucket.startswith("public") or (signed and of_bucket == "authenticated-read")
        assert allowed(client.get_object, Bucket=bucket, Key="a") == reads
        assert not allowed(client.get_object, Bucket=bucket, Key="b")
        assert allowed(client.list_objects, Bucket=bucket) == lists
        assert allowed(client.list_objects_v2, Bucket=bucket) == lists
        missing = refusal(client.get_object, Bucket=bucket, Key="no")
        assert missing == ((404, "NoSuchKey") if lists else DENIED)
        writes = of_bucket == "public-read-write"
        assert allowed(client.put_object, Bucket=bucket, Key=f"new {signed}", Body=b"") == writes
        assert allowed(client.put_object, Bucket=bucket, Key="b", Body=b"z") == writes
        if writes:
            s3.put_object(Bucket=bucket, Key="b", Body=b"y")
        assert not allowed(client.put_object_acl, Bucket=bucket, Key="a", ACL="public-read")


def test_lists_belong_to_versions(s3: Any, s3_visitor: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="a", Body=b"1", ACL="public-read")["VersionId"]
    second = s3.put_object(Bucket=versioned, Key="a", Body=b"2")["VersionId"]
    assert refusal(s3_visitor.get_object, Bucket=versioned, Key="a") == DENIED
    assert s3_visitor.get_object(Bucket=versioned, Key="a", VersionId=first)["Body"].read() == b"1"
    s3.put_object_acl(Bucket=versioned, Key="a", VersionId=first, ACL="private")
    s3.put_object_acl(Bucket=versioned, Key="a", ACL="public-read")
    assert refusal(s3_visitor.get_object, Bucket=versioned, Key="a", VersionId=first) == DENIED
    assert s3_visitor.get_object(Bucket=versioned, Key="a", VersionId=second)["Body"].read() == b"2"


def test_overwriting_and_copying_forget_the_list(s3: Any, s3_visitor: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"1", ACL="public-read")
    s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a")
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="b") == DENIED
    s3.put_object(Bucket=bucket, Key="a", Body=b"2")
    assert refusal(s3_visitor.get_object, Bucket=bucket, Key="a") == DENIED


def test_lists_of_what_is_not_there(s3: Any, s3_other: Any, bucket: str) -> None:
    assert refusal(s3.get_object_acl, Bucket=bucket, Key="no") == (404, "NoSuchKey")
    assert refusal(s3.put_object_acl, Bucket=bucket, Key="no", ACL="private") == (404, "NoSuchKey")
    assert refusal(s3.get_bucket_acl, Bucket=f"{bucket}-no") == (404, "NoSuchBucket")
    assert refusal(s3.put_bucket_acl, Bucket=f"{bucket}-no", ACL="private") == (404, "NoSuchBucket")
    assert refusal(s3_other.get_object_acl, Bucket=bucket, Key="no") == DENIED


def enforce(s3: Any, bucket: str, ownership: str) -> None:
    controls = {"Rules": [{"ObjectOwnership": ownership}]}
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=controls)


@pytest.mark.parametrize("how", ["put", "copy", "multipart"])
@pytest.mark.parametrize("ownership", ["ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"])
@pytest.mark.parametrize("canned", ["", "bucket-owner-full-control", "bucket-owner-read"])
def test_who_owns_what_another_tenant_writes(
    s3: Any, s3_other: Any, bucket: str, owner: Any, other: Any, how: str, ownership: str, canned: str
) -> None:
    if ownership != "BucketOwnerEnforced":
        s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    else:
        allow = {
            "Effect": "Allow",
            "Principal": {"CanonicalUser": other.canonical_id},
            "Action": ["s3:PutObject", "s3:GetObject", "s3:PutObjectAcl"],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        s3.put_bucket_policy(
            Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        )
    enforce(s3, bucket, ownership)
    more = {"ACL": canned} if canned else {}
    write(s3_other, bucket, how, more)
    bucket_owners = ownership == "BucketOwnerEnforced" or (
        ownership == "BucketOwnerPreferred" and canned == "bucket-owner-full-control"
    )
    reads = bucket_owners or canned in {"bucket-owner-full-control", "bucket-owner-read"}
    assert allowed(s3.get_object, Bucket=bucket, Key="a") == reads
    if bucket_owners or canned == "bucket-owner-full-control":
        answer = s3.get_object_acl(Bucket=bucket, Key="a")
        owned_by = owner if bucket_owners else other
        assert answer["Owner"]["ID"] == owned_by.canonical_id
        full = [("CanonicalUser", owned_by.canonical_id, "FULL_CONTROL")]
        if not bucket_owners:
            full.append(("CanonicalUser", owner.canonical_id, "FULL_CONTROL"))
        assert grants(answer) == full
    assert status(s3.delete_object(Bucket=bucket, Key="a")) == 204


def write(client: Any, bucket: str, how: str, more: dict[str, str]) -> None:
    """Writes the object "a" in one of the ways there are."""
    words = {"Bucket": bucket, "Key": "a"}
    if how == "put":
        client.put_object(**words, Body=b"x", **more)
    elif how == "copy":
        client.create_bucket(Bucket=f"{bucket}-source")
        client.put_object(Bucket=f"{bucket}-source", Key="s", Body=b"x")
        client.copy_object(**words, CopySource=f"{bucket}-source/s", **more)
    else:
        begun = client.create_multipart_upload(**words, **more)["UploadId"]
        part = client.upload_part(**words, UploadId=begun, PartNumber=1, Body=b"x")
        done = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        client.complete_multipart_upload(**words, UploadId=begun, MultipartUpload=done)


def test_ownership_controls_come_and_go(s3: Any, bucket: str) -> None:
    get = s3.get_bucket_ownership_controls
    assert refusal(get, Bucket=bucket) == (404, "OwnershipControlsNotFoundError")
    for ownership in ("ObjectWriter", "BucketOwnerPreferred", "BucketOwnerEnforced"):
        enforce(s3, bucket, ownership)
        assert get(Bucket=bucket)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": ownership}]
        made = f"{bucket}-{ownership.lower()}"
        s3.create_bucket(Bucket=made, ObjectOwnership=ownership)
        assert get(Bucket=made)["OwnershipControls"]["Rules"] == [{"ObjectOwnership": ownership}]
    assert status(s3.delete_bucket_ownership_controls(Bucket=bucket)) == 204
    assert refusal(get, Bucket=bucket) == (404, "OwnershipControlsNotFoundError")
    put = s3.put_bucket_ownership_controls
    wrong = {"Rules": [{"ObjectOwnership": "Nobody"}]}
    assert refusal(put, Bucket=bucket, OwnershipControls=wrong) == (400, "MalformedXML")
    refused = refusal(
        s3.create_bucket, Bucket=f"{bucket}-z", ObjectOwnership="BucketOwnerEnforced", ACL="public-read"
    )
    assert refused == (400, "InvalidBucketAclWithObjectOwnership")
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    enforced = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert refusal(put, Bucket=bucket, OwnershipControls=enforced) == (
        400,
        "InvalidBucketAclWithObjectOwnership",
    )


SWITCHES = ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"]


def block(s3: Any, bucket: str, *on: str) -> None:
    switches = {name: name in on for name in SWITCHES}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=switches)
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == switches


@pytest.mark.parametrize("canned", ["public-read", "public-read-write", "authenticated-read"])
def test_public_lists_are_blocked_or_ignored(
    s3: Any, s3_other: Any, s3_visitor: Any, bucket: str, canned: str
) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL=canned)
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL=canned)
    block(s3, bucket, "IgnorePublicAcls")
    s3.put_object(Bucket=bucket, Key="b", Body=b"x", ACL=canned)
    s3.put_bucket_acl(Bucket=bucket, ACL=canned)
    for client in (s3_other, s3_visitor):
        for key in ("a", "b"):
            assert refusal(client.get_object, Bucket=bucket, Key=key) == DENIED
        assert refusal(client.list_objects_v2, Bucket=bucket) == DENIED
        assert refusal(client.put_object, Bucket=bucket, Key="c", Body=b"") == DENIED
    block(s3, bucket, "BlockPublicAcls")
    assert s3_other.get_object(Bucket=bucket, Key="b")["Body"].read() == b"x"
    assert refusal(s3.put_bucket_acl, Bucket=bucket, ACL=canned) == DENIED
    assert refusal(s3.put_object_acl, Bucket=bucket, Key="a", ACL=canned) == DENIED
    assert refusal(s3.put_object, Bucket=bucket, Key="d", Body=b"", ACL=canned) == DENIED
    assert refusal(s3.copy_object, Bucket=bucket, Key="d", CopySource=f"{bucket}/a", ACL=canned) == DENIED
    assert refusal(s3.create_multipart_upload, Bucket=bucket, Key="d", ACL=canned) == DENIED
    uri = f"uri={ALL_USERS if canned.startswith('public') else AUTHENTICATED}"
    assert refusal(s3.put_object, Bucket=bucket, Key="d", Body=b"", GrantRead=uri) == DENIED
    s3.put_object(Bucket=bucket, Key="d", Body=b"", ACL="private")
    s3.delete_public_access_block(Bucket=bucket)
    refused = refusal(s3.get_public_access_block, Bucket=bucket)
    assert refused == (404, "NoSuchPublicAccessBlockConfiguration")


def test_switches_that_are_not_named_are_off(s3: Any, bucket: str) -> None:
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={"BlockPublicPolicy": True})
    found = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert found == {name: name == "BlockPublicPolicy" for name in SWITCHES}
