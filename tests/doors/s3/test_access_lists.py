"""Access control lists and who owns what others write, through the whole door, as botocore sees it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from tests.doors.s3.asking import BUCKET, EVERYBODY, bobs, outcome, put_policy, refusal, rule
from tests.doors.s3.program import S3Cloud, s3_story

from holdfast.tenants.names import account_of, canonical_id_of

META = "ResponseMetadata"
SIGNED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


# --- lists -----------------------------------------------------------------------------------------------


def test_a_list_reads_back_as_it_was_given() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, tenant = cloud.alice, cloud.cluster.tenant_id
        name = (await cloud.cluster.rooms.people.find(tenant)).display_name
        owner = {"ID": canonical_id_of(tenant), "DisplayName": name}
        other = {"ID": canonical_id_of(await bobs(cloud)), "DisplayName": "bob", "Type": "CanonicalUser"}
        full = {"Grantee": {**owner, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
        shared = {"Grantee": other, "Permission": "READ_ACP"}
        world = {"Grantee": {"Type": "Group", "URI": EVERYBODY}, "Permission": "READ"}
        await alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"x")
        for names, get, put in (
            ({}, "GetBucketAcl", "PutBucketAcl"),
            ({"Key": "k"}, "GetObjectAcl", "PutObjectAcl"),
        ):
            got = await alice.call(get, Bucket=BUCKET, **names)
            assert {"Owner": got["Owner"], "Grants": got["Grants"]} == {"Owner": owner, "Grants": [full]}
            for grants in ([full, shared, world], [world], []):
                wish = {"Owner": owner, "Grants": grants}
                await alice.call(put, Bucket=BUCKET, AccessControlPolicy=wish, **names)
                got = await alice.call(get, Bucket=BUCKET, **names)
                assert {"Owner": got["Owner"], "Grants": got["Grants"]} == wish
            grant = f'id="{other["ID"]}", uri={SIGNED}'
            await alice.call(
                put, Bucket=BUCKET, GrantRead=grant, GrantFullControl=f"id={owner['ID']}", **names
            )
            got = await alice.call(get, Bucket=BUCKET, **names)
            assert got["Grants"] == [
                full,
                {"Grantee": other, "Permission": "READ"},
                {"Grantee": {"Type": "Group", "URI": SIGNED}, "Permission": "READ"},
            ]

    s3_story(story)


def test_a_grant_by_address_finds_the_one_who_has_it() -> None:
    async def story(cloud: S3Cloud) -> None:
        people = cloud.cluster.rooms.people
        carol = await people.create("carol", email="Carol@example.org")
        await people.create("dave", email="two@example.org")
        await people.create("erin", email="two@example.org")

        def put(address: str) -> Awaitable[Any]:
            return cloud.alice.call("PutBucketAcl", Bucket=BUCKET, GrantRead=f'emailAddress="{address}"')

        await put("carol@example.org")
        got = await cloud.alice.call("GetBucketAcl", Bucket=BUCKET)
        grantee = {"Type": "CanonicalUser", "ID": carol.canonical_id, "DisplayName": "carol"}
        assert got["Grants"] == [{"Grantee": grantee, "Permission": "READ"}]
        assert await refusal(put("zoe@example.org")) == ("UnresolvableGrantByEmailAddress", 400)
        assert await refusal(put("two@example.org")) == ("AmbiguousGrantByEmailAddress", 400)

    s3_story(story)


MALFORMED = [
    b"",
    b"<x/>",
    b"<AccessControlPolicy",
    b"<AccessControlPolicy/>",
    b"<AccessControlPolicy><Owner><ID>OWNER</ID></Owner></AccessControlPolicy>",
    b"<AccessControlPolicy><AccessControlList/></AccessControlPolicy>",
    *(
        b"<AccessControlPolicy><Owner><ID>OWNER</ID></Owner><AccessControlList>%s</AccessControlList>"
        b"</AccessControlPolicy>" % inside
        for inside in (
            b"<Offer/>",
            b"<Grant/>",
            b"<Grant><Permission>READ</Permission></Grant>",
            b"<Grant><Grantee><ID>OWNER</ID></Grantee><Permission>FLY</Permission></Grant>",
            b"<Grant><Grantee><ID></ID></Grantee><Permission>READ</Permission></Grant>",
            b"<Grant><Grantee><Name>x</Name></Grantee><Permission>READ</Permission></Grant>",
            b"<Grant><Grantee><ID>OWNER</ID></Grantee><Permission>READ</Permission></Grant>" * 101,
        )
    ),
]


def test_a_document_that_is_no_list_is_malformed() -> None:
    async def story(cloud: S3Cloud) -> None:
        owner = canonical_id_of(cloud.cluster.tenant_id).encode()
        for document in MALFORMED:
            status, _, body = await cloud.alice.send(
                "PUT", f"/{BUCKET}", "acl=", body=document.replace(b"OWNER", owner)
            )
            code = b"MissingSecurityHeader" if not document else b"MalformedACLError"
            assert (status, b"<Code>%s</Code>" % code in body) == (400, True), (document, body)

    s3_story(story)


def test_what_a_list_cannot_say_is_refused() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        owner, other = canonical_id_of(cloud.cluster.tenant_id), canonical_id_of(await bobs(cloud))
        nobody = {"Grantee": {"Type": "CanonicalUser", "ID": "f" * 64}, "Permission": "READ"}

        def put(**wish: Any) -> Awaitable[Any]:
            return alice.call("PutBucketAcl", Bucket=BUCKET, **wish)

        def document(owner_id: str, *grants: Any) -> dict[str, Any]:
            return {"Owner": {"ID": owner_id}, "Grants": list(grants)}

        assert await refusal(put(ACL="public")) == ("InvalidArgument", 400)
        assert await refusal(put(ACL="private", GrantRead=f"id={owner}")) == ("InvalidRequest", 400)
        for grant in ("joe", "id=", "name=joe", f"id={'f' * 64}", "uri=http://example.org/"):
            assert await refusal(put(GrantRead=grant)) == ("InvalidArgument", 400), grant
        assert await refusal(put(AccessControlPolicy=document(other))) == ("AccessDenied", 403)
        assert await refusal(put(AccessControlPolicy=document("joe"))) == ("InvalidArgument", 400)
        assert await refusal(put(AccessControlPolicy=document(owner, nobody))) == ("InvalidArgument", 400)
        both = put(ACL="private", AccessControlPolicy=document(owner))
        assert await refusal(both) == ("UnexpectedContent", 400)
        assert (await cloud.bucket_of(BUCKET)).parsed.acl is None

    s3_story(story)


def test_each_version_has_a_list_of_its_own() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, nobody = cloud.alice, cloud.nobody
        await alice.call("PutBucketVersioning", Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        first = (await alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"1", ACL="public-read"))[
            "VersionId"
        ]
        second = (await alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"2"))["VersionId"]

        async def readable() -> list[str]:
            wishes: list[dict[str, str]] = [{}, {"VersionId": first}, {"VersionId": second}]
            return [
                await outcome(nobody.call("GetObject", Bucket=BUCKET, Key="k", **wish)) for wish in wishes
            ]

        assert await readable() == ["AccessDenied", "ok", "AccessDenied"]
        await alice.call("PutObjectAcl", Bucket=BUCKET, Key="k", VersionId=first, ACL="private")
        done = await alice.call("PutObjectAcl", Bucket=BUCKET, Key="k", ACL="public-read")
        assert done[META]["HTTPHeaders"]["x-amz-version-id"] == second
        assert await readable() == ["ok", "AccessDenied", "ok"]

    s3_story(story)


# --- who owns what others write --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ownership", "acl", "owner", "alice_reads", "bob_reads"),
    [
        ("ObjectWriter", None, "bob", False, True),
        ("ObjectWriter", "bucket-owner-read", "bob", True, True),
        ("ObjectWriter", "bucket-owner-full-control", "bob", True, True),
        ("BucketOwnerPreferred", None, "bob", False, True),
        ("BucketOwnerPreferred", "bucket-owner-full-control", "alice", True, False),
        ("BucketOwnerEnforced", None, "alice", True, False),
        ("BucketOwnerEnforced", "bucket-owner-full-control", "alice", True, False),
    ],
)
def test_ownership_controls_say_who_owns_what_another_tenant_writes(
    ownership: str, acl: str | None, owner: str, alice_reads: bool, bob_reads: bool
) -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bob, other = cloud.alice, cloud.bob, await bobs(cloud)
        rules = {"Rules": [{"ObjectOwnership": ownership}]}
        await alice.call("PutBucketOwnershipControls", Bucket=BUCKET, OwnershipControls=rules)
        assert (await alice.call("GetBucketOwnershipControls", Bucket=BUCKET))["OwnershipControls"] == rules
        await put_policy(
            alice, rule("Allow", ["s3:PutObject", "s3:PutObjectAcl"], who={"AWS": account_of(other)})
        )
        wish = {} if acl is None else {"ACL": acl}
        await bob.call("PutObject", Bucket=BUCKET, Key="k", Body=b"x", **wish)
        reads = [await outcome(who.call("GetObject", Bucket=BUCKET, Key="k")) for who in (alice, bob)]
        assert reads == ["ok" if may else "AccessDenied" for may in (alice_reads, bob_reads)]
        ids = {"alice": canonical_id_of(cloud.cluster.tenant_id), "bob": canonical_id_of(other)}
        asker = alice if owner == "alice" else bob
        got = await asker.call("GetObjectAcl", Bucket=BUCKET, Key="k")
        assert (got["Owner"]["ID"], got["Grants"][0]["Permission"]) == (ids[owner], "FULL_CONTROL")
        assert await outcome(alice.call("DeleteObject", Bucket=BUCKET, Key="k")) == "ok"

    s3_story(story)


def test_where_lists_are_off_only_the_owner_s_own_can_be_given() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        rules = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        await alice.call("PutBucketAcl", Bucket=BUCKET, ACL="public-read")
        off = ("PutBucketOwnershipControls", {"OwnershipControls": rules})
        said = await refusal(alice.call(off[0], Bucket=BUCKET, **off[1]))
        assert said == ("InvalidBucketAclWithObjectOwnership", 400)
        await alice.call("PutBucketAcl", Bucket=BUCKET, ACL="private")
        await alice.call(off[0], Bucket=BUCKET, **off[1])
        for wish in ({"ACL": "public-read"}, {"GrantRead": f"uri={EVERYBODY}"}):
            calls = (
                alice.call("PutBucketAcl", Bucket=BUCKET, **wish),
                alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"x", **wish),
            )
            for call in calls:
                assert await refusal(call) == ("AccessControlListNotSupported", 400)
        for acl in ("private", "bucket-owner-full-control"):
            await alice.call("PutBucketAcl", Bucket=BUCKET, ACL=acl)
            await alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"x", ACL=acl)
            await alice.call("PutObjectAcl", Bucket=BUCKET, Key="k", ACL=acl)
        await alice.call("DeleteBucketOwnershipControls", Bucket=BUCKET)
        got = alice.call("GetBucketOwnershipControls", Bucket=BUCKET)
        assert await refusal(got) == ("OwnershipControlsNotFoundError", 404)
        await alice.call("PutObjectAcl", Bucket=BUCKET, Key="k", ACL="public-read")
        assert await outcome(cloud.nobody.call("GetObject", Bucket=BUCKET, Key="k")) == "ok"

    s3_story(story)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({}, "ok"),
        ({"ACL": "public-read"}, "ok"),
        ({"ObjectOwnership": "BucketOwnerEnforced"}, "ok"),
        ({"ObjectOwnership": "BucketOwnerPreferred", "ACL": "public-read"}, "ok"),
        ({"ObjectOwnership": "BucketOwnerEnforced", "ACL": "private"}, "ok"),
        (
            {"ObjectOwnership": "BucketOwnerEnforced", "ACL": "public-read"},
            "InvalidBucketAclWithObjectOwnership",
        ),
        ({"ObjectOwnership": "Nobody"}, "InvalidArgument"),
        ({"ACL": "public"}, "InvalidArgument"),
    ],
)
def test_a_new_bucket_takes_its_list_and_its_ownership_from_headers(wish: dict[str, str], said: str) -> None:
    async def story(cloud: S3Cloud) -> None:
        assert await outcome(cloud.bob.call("CreateBucket", Bucket="fresh", **wish)) == said
        if said != "ok":
            return
        settings = (await cloud.bucket_of("fresh")).parsed
        assert settings.ownership == wish.get("ObjectOwnership", "")
        listed = await outcome(cloud.nobody.call("ListObjectsV2", Bucket="fresh"))
        assert listed == ("ok" if wish.get("ACL") == "public-read" else "AccessDenied")

    s3_story(story)


def test_lists_can_be_off_for_all_new_buckets() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.bob.call("CreateBucket", Bucket="fresh")
        got = await cloud.bob.call("GetBucketOwnershipControls", Bucket="fresh")
        assert got["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}

    s3_story(story, default_ownership="BucketOwnerEnforced")
