"""Who is let in: policies, public access blocks and keys through the whole door, as botocore sees it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.doors.s3.asking import ARN, BUCKET, EVERYBODY, bobs, joes, outcome, put_policy, refusal, rule
from tests.doors.s3.program import Answer, Program, S3Cloud, s3_story

from holdfast.doors.s3.operation_table import OPERATIONS
from holdfast.doors.s3.operations import RULES
from holdfast.doors.s3.rights.access import Access
from holdfast.tenants.names import account_of
from holdfast.tenants.s3_actions import HOUSE_ACTION, ON_OBJECTS

META = "ResponseMetadata"


def test_every_operation_is_a_known_action_on_the_right_kind_of_thing() -> None:
    levels = {operation.name: operation.level for operation in OPERATIONS} | {"PostObject": "object"}
    levels |= {"DeleteObjects": "object"}
    for operation, known in RULES.items():
        assert known.action in HOUSE_ACTION, operation
        assert (known.action in ON_OBJECTS) == (levels[operation] == "object"), operation


# --- strangers -------------------------------------------------------------------------------------------

ASKED: dict[str, dict[str, Any]] = {
    "GetObject": {"Key": "k"},
    "HeadObject": {"Key": "k"},
    "PutObject": {"Key": "k", "Body": b"x"},
    "DeleteObject": {"Key": "k"},
    "GetObjectAcl": {"Key": "k"},
    "PutObjectAcl": {"Key": "k", "ACL": "public-read"},
    "GetObjectTagging": {"Key": "k"},
    "ListObjectsV2": {},
    "ListObjectVersions": {},
    "ListMultipartUploads": {},
    "HeadBucket": {},
    "GetBucketAcl": {},
    "PutBucketAcl": {"ACL": "private"},
    "GetBucketPolicy": {},
    "DeleteBucketPolicy": {},
    "GetBucketLocation": {},
    "GetBucketVersioning": {},
    "DeleteBucket": {},
}


def test_a_private_bucket_is_closed_to_everybody_else() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"secret")
        for who, (operation, wish) in itertools.product((cloud.bob, cloud.nobody), ASKED.items()):
            said = await outcome(who.call(operation, Bucket=BUCKET, **wish))
            assert said in {"AccessDenied", "403"}, (operation, said)
        got = await cloud.alice.call("GetObject", Bucket=BUCKET, Key="k")
        assert got["Body"] == b"secret"

    s3_story(story)


BODIES = {
    "PutObjectTagging": b"<Tagging><TagSet/></Tagging>",
    "PutObjectLegalHold": b"<LegalHold><Status>ON</Status></LegalHold>",
    "PutObjectRetention": b"<Retention/>",
    "RestoreObject": b"<RestoreRequest><Days>1</Days></RestoreRequest>",
}
"""Of the few that read their body before they look for the object."""


def test_no_operation_at_all_is_open_to_strangers() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"secret")
        before = await cloud.bucket_of(BUCKET)
        open_to_all = []
        for operation in OPERATIONS:
            known = RULES.get(operation.name)
            if known is None or not known.reads_bucket:
                continue
            path = f"/{BUCKET}/k" if operation.level == "object" else f"/{BUCKET}"
            query = "&".join([f"{name}=1" for name in operation.query])
            query = "&".join(filter(None, [operation.selector and f"{operation.selector}=2", query]))
            headers = {name: f"/{BUCKET}/other" if "source" in name else "ETag" for name in operation.header}
            sent = BODIES.get(operation.name, b"")
            for who in (cloud.bob, cloud.nobody):
                status, _, body = await who.send(operation.method, path, query, headers, sent)
                if status != 403:
                    open_to_all.append((operation.name, status, body))
        told = {name: (status, body) for name, status, body in open_to_all}
        # A batch of deletions is answered key by key: the empty one is none.
        assert set(told) <= {"DeleteObjects"}, told
        assert await cloud.bucket_of(BUCKET) == before

    s3_story(story)


@pytest.mark.parametrize(
    ("canned", "strangers", "signed"),
    [
        ("private", set(), set()),
        ("public-read", {"ListObjectsV2"}, {"ListObjectsV2"}),
        ("public-read-write", {"ListObjectsV2", "PutObject"}, {"ListObjectsV2", "PutObject"}),
        ("authenticated-read", set(), {"ListObjectsV2"}),
    ],
)
def test_a_canned_list_opens_a_bucket_as_far_as_its_name_says(
    canned: str, strangers: set[str], signed: set[str]
) -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("PutBucketAcl", Bucket=BUCKET, ACL=canned)
        for who, opened in ((cloud.nobody, strangers), (cloud.bob, signed)):
            for operation in ("ListObjectsV2", "PutObject", "GetBucketAcl"):
                wish = {"Key": "new", "Body": b"x"} if operation == "PutObject" else {}
                said = await outcome(who.call(operation, Bucket=BUCKET, **wish))
                assert said == ("ok" if operation in opened else "AccessDenied"), (operation, said)

    s3_story(story)


def test_what_is_not_there_is_said_only_to_those_who_may_list() -> None:
    async def story(cloud: S3Cloud) -> None:
        assert await refusal(cloud.nobody.call("GetObject", Bucket=BUCKET, Key="none")) == (
            "AccessDenied",
            403,
        )
        await cloud.alice.call("PutBucketAcl", Bucket=BUCKET, ACL="public-read")
        assert await refusal(cloud.nobody.call("GetObject", Bucket=BUCKET, Key="none")) == ("NoSuchKey", 404)

    s3_story(story)


# --- policies --------------------------------------------------------------------------------------------


def test_a_policy_is_kept_as_it_was_written() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        none = alice.call("GetBucketPolicy", Bucket=BUCKET)
        assert await refusal(none) == ("NoSuchBucketPolicy", 404)
        text = json.dumps({"Statement": rule("Allow", "s3:GetObject")}, indent=3)
        await alice.call("PutBucketPolicy", Bucket=BUCKET, Policy=text)
        assert (await alice.call("GetBucketPolicy", Bucket=BUCKET))["Policy"] == text
        bad = alice.call("PutBucketPolicy", Bucket=BUCKET, Policy=text.replace("photos", "papers"))
        assert await refusal(bad) == ("MalformedPolicy", 400)
        assert (await alice.call("GetBucketPolicy", Bucket=BUCKET))["Policy"] == text
        for _ in range(2):
            done = await alice.call("DeleteBucketPolicy", Bucket=BUCKET)
            assert done[META]["HTTPStatusCode"] == 204
        none = alice.call("GetBucketPolicy", Bucket=BUCKET)
        assert await refusal(none) == ("NoSuchBucketPolicy", 404)

    s3_story(story)


def test_a_policy_lets_others_in_and_keeps_its_own_out() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bob, nobody = cloud.alice, cloud.bob, cloud.nobody
        joe = await joes(cloud)
        for key in ("open/a", "bob/a", "shut/a"):
            await alice.call("PutObject", Bucket=BUCKET, Key=key, Body=b"x")
        account = account_of(cloud.cluster.tenant_id)
        await put_policy(
            alice,
            rule("Allow", "s3:GetObject", f"{ARN}/open/*"),
            rule(
                "Allow",
                ["s3:GetObject", "s3:PutObject"],
                f"{ARN}/bob/*",
                {"AWS": account_of(await bobs(cloud))},
            ),
            rule("Allow", "s3:ListBucket", ARN, Condition={"StringEquals": {"s3:prefix": "open/"}}),
            rule("Deny", "s3:*", f"{ARN}/shut/*", {"AWS": f"arn:aws:iam::{account}:user/joe"}),
        )

        async def row(who: Program) -> list[str]:
            reads = [who.call("GetObject", Bucket=BUCKET, Key=key) for key in ("open/a", "bob/a", "shut/a")]
            write = who.call("PutObject", Bucket=BUCKET, Key="bob/b", Body=b"x")
            lists = [who.call("ListObjectsV2", Bucket=BUCKET, Prefix=prefix) for prefix in ("open/", "")]
            said = [await outcome(call) for call in (*reads, write, *lists)]
            return ["no" if each == "AccessDenied" else each for each in said]

        assert await row(alice) == ["ok", "ok", "ok", "ok", "ok", "ok"]
        assert await row(joe) == ["ok", "ok", "no", "ok", "ok", "ok"]
        assert await row(bob) == ["ok", "ok", "no", "ok", "ok", "no"]
        assert await row(nobody) == ["ok", "no", "no", "no", "ok", "no"]

    s3_story(story)


def test_conditions_ask_about_headers_and_tags() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, bob = cloud.alice, cloud.bob
        await alice.call("PutObject", Bucket=BUCKET, Key="public", Body=b"x", Tagging="security=public")
        await alice.call("PutObject", Bucket=BUCKET, Key="private", Body=b"x", Tagging="security=private")
        shown = {"StringEquals": {"s3:ExistingObjectTag/security": "public"}}
        own = {"StringLike": {"s3:x-amz-acl": "public*"}}
        sealed = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}
        await put_policy(
            alice,
            rule("Allow", ["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectAcl"]),
            rule("Allow", "s3:GetObject", Condition=shown),
            rule("Deny", "s3:PutObject", f"{ARN}/sealed/*", Condition=sealed),
            rule("Deny", "s3:PutObject", f"{ARN}/own/*", Condition=own),
            rule(
                "Deny", "s3:PutObject", f"{ARN}/tagged/*",
                Condition={"ForAllValues:StringNotEquals": {"s3:RequestObjectTagKeys": ["team"]}},
            ),
        )  # fmt: skip

        async def put(key: str, **wish: Any) -> str:
            return await outcome(bob.call("PutObject", Bucket=BUCKET, Key=key, Body=b"x", **wish))

        reads = [
            await outcome(bob.call("GetObject", Bucket=BUCKET, Key=key)) for key in ("public", "private")
        ]
        assert reads == ["ok", "AccessDenied"]
        assert await put("sealed/a") == "AccessDenied"
        assert await put("sealed/a", ServerSideEncryption="AES256") == "ok"
        assert await put("own/a") == "ok"
        assert await put("own/a", ACL="public-read") == "AccessDenied"
        assert await put("tagged/a", Tagging="colour=red") == "AccessDenied"
        assert await put("tagged/a", Tagging="team=a") == "ok"

    s3_story(story)


def test_an_owner_shut_out_by_a_policy_can_mend_it_unless_it_gave_that_up() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        joe = await joes(cloud)
        deny = rule("Deny", "s3:*", [ARN, f"{ARN}/*"])
        await put_policy(alice, deny)
        assert await outcome(alice.call("ListObjectsV2", Bucket=BUCKET)) == "AccessDenied"
        assert await outcome(joe.call("GetBucketPolicy", Bucket=BUCKET)) == "AccessDenied"
        assert await outcome(alice.call("GetBucketPolicy", Bucket=BUCKET)) == "ok"
        assert await outcome(alice.call("DeleteBucketPolicy", Bucket=BUCKET)) == "ok"
        await put_policy(alice, deny, ConfirmRemoveSelfBucketAccess=True)
        for operation in ("GetBucketPolicy", "DeleteBucketPolicy"):
            assert await outcome(alice.call(operation, Bucket=BUCKET)) == "AccessDenied"

    s3_story(story)


def test_a_policy_stays_the_affair_of_the_owner_s_account() -> None:
    async def story(cloud: S3Cloud) -> None:
        await put_policy(cloud.alice, rule("Allow", "s3:*", [ARN, f"{ARN}/*"]))
        assert await refusal(cloud.bob.call("GetBucketPolicy", Bucket=BUCKET)) == ("MethodNotAllowed", 405)
        assert await refusal(cloud.nobody.call("DeleteBucketPolicy", Bucket=BUCKET)) == (
            "MethodNotAllowed",
            405,
        )
        assert await refusal(put_policy(cloud.bob, rule("Allow", "s3:*"))) == ("MethodNotAllowed", 405)

    s3_story(story)


def test_the_right_to_write_brings_the_right_to_a_list() -> None:
    async def story(cloud: S3Cloud) -> None:
        wish = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}
        await put_policy(cloud.alice, rule("Allow", "s3:PutObject", Condition=wish))

        def put(**more: Any) -> Awaitable[str]:
            return outcome(cloud.bob.call("PutObject", Bucket=BUCKET, Key="k", Body=b"x", **more))

        assert await put() == "AccessDenied"
        assert await put(ACL="bucket-owner-full-control") == "ok"
        assert await outcome(cloud.alice.call("GetObject", Bucket=BUCKET, Key="k")) == "ok"

    s3_story(story)


# --- public access blocks --------------------------------------------------------------------------------


def block(**switches: bool) -> dict[str, bool]:
    off = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False
    )
    return off | switches


def test_a_public_access_block_reads_back_and_goes() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        get = lambda: alice.call("GetPublicAccessBlock", Bucket=BUCKET)  # noqa: E731
        assert await refusal(get()) == ("NoSuchPublicAccessBlockConfiguration", 404)
        wish = {"BlockPublicAcls": True, "RestrictPublicBuckets": True}
        await alice.call("PutPublicAccessBlock", Bucket=BUCKET, PublicAccessBlockConfiguration=wish)
        assert (await get())["PublicAccessBlockConfiguration"] == block(**wish)
        done = await alice.call("DeletePublicAccessBlock", Bucket=BUCKET)
        assert done[META]["HTTPStatusCode"] == 204
        assert await refusal(get()) == ("NoSuchPublicAccessBlockConfiguration", 404)

    s3_story(story)


def test_each_switch_blocks_its_own_way_of_being_public() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice, nobody = cloud.alice, cloud.nobody
        await alice.call("PutObject", Bucket=BUCKET, Key="k", Body=b"x", ACL="public-read")

        async def switch(**switches: bool) -> None:
            wish = block(**switches)
            await alice.call("PutPublicAccessBlock", Bucket=BUCKET, PublicAccessBlockConfiguration=wish)

        def read(who: Program, key: str) -> Awaitable[str]:
            return outcome(who.call("GetObject", Bucket=BUCKET, Key=key))

        await switch(BlockPublicAcls=True)
        for call in (
            alice.call("PutObject", Bucket=BUCKET, Key="n", Body=b"x", ACL="public-read"),
            alice.call("PutObjectAcl", Bucket=BUCKET, Key="k", ACL="authenticated-read"),
            alice.call("PutBucketAcl", Bucket=BUCKET, GrantWrite=f"uri={EVERYBODY}"),
        ):
            assert await refusal(call) == ("AccessDenied", 403)
        assert await read(nobody, "k") == "ok"
        await switch(IgnorePublicAcls=True)
        assert await read(nobody, "k") == "AccessDenied"
        await switch(BlockPublicPolicy=True)
        assert await refusal(put_policy(alice, rule("Allow", "s3:GetObject"))) == ("AccessDenied", 403)
        known = {"AWS": account_of(await bobs(cloud))}
        await put_policy(alice, rule("Allow", "s3:GetObject", who=known))
        await switch(RestrictPublicBuckets=True)
        await alice.call("PutObject", Bucket=BUCKET, Key="p", Body=b"x")
        assert [await read(who, "p") for who in (cloud.bob, nobody)] == ["ok", "AccessDenied"]
        await put_policy(alice, rule("Allow", "s3:GetObject"))
        assert [await read(who, "p") for who in (alice, cloud.bob, nobody)] == [
            "ok",
            "AccessDenied",
            "AccessDenied",
        ]
        await alice.call("DeletePublicAccessBlock", Bucket=BUCKET)
        assert [await read(who, "p") for who in (cloud.bob, nobody)] == ["ok", "ok"]

    s3_story(story)


@pytest.mark.parametrize(
    ("acl", "policy", "switches", "public"),
    [
        ("private", None, {}, False),
        ("public-read", None, {}, True),
        ("public-read", None, {"IgnorePublicAcls": True}, False),
        ("private", "*", {}, True),
        ("private", "*", {"RestrictPublicBuckets": True}, False),
        ("private", {"AWS": "111122223333"}, {}, False),
    ],
)
def test_the_policy_status_says_whether_a_bucket_is_public(
    acl: str, policy: Any, switches: dict[str, bool], public: bool
) -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("PutBucketAcl", Bucket=BUCKET, ACL=acl)
        if policy is not None:
            await put_policy(alice, rule("Allow", "s3:GetObject", who=policy))
        await alice.call(
            "PutPublicAccessBlock", Bucket=BUCKET, PublicAccessBlockConfiguration=block(**switches)
        )
        got = await alice.call("GetBucketPolicyStatus", Bucket=BUCKET)
        assert got["PolicyStatus"] == {"IsPublic": public}

    s3_story(story)


# --- keys, owners, answers -------------------------------------------------------------------------------


def test_an_access_key_for_certain_prefixes_reaches_nothing_else() -> None:
    async def story(cloud: S3Cloud) -> None:
        joe = await joes(cloud, actions=("object.read", "object.write"), prefixes=("joe/",))
        said = {
            key: await outcome(joe.call("PutObject", Bucket=BUCKET, Key=key, Body=b"x"))
            for key in ("joe/a", "a")
        }
        assert said == {"joe/a": "ok", "a": "AccessDenied"}
        for operation in ("ListObjectsV2", "GetBucketPolicy", "DeleteBucketPolicy", "DeleteBucket"):
            assert await outcome(joe.call(operation, Bucket=BUCKET)) == "AccessDenied"
        assert await outcome(joe.call("DeleteObject", Bucket=BUCKET, Key="joe/a")) == "AccessDenied"
        ann = await joes(cloud, "ann", prefixes=("ann/", "shared/"))
        for operation in ("ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads"):
            lists = [ann.call(operation, Bucket=BUCKET, Prefix=prefix) for prefix in ("shared/", "joe/", "")]
            assert [await outcome(call) for call in lists] == ["ok", "AccessDenied", "AccessDenied"]
        assert await outcome(ann.call("HeadBucket", Bucket=BUCKET)) == "ok"
        assert await refusal(ann.call("GetObject", Bucket=BUCKET, Key="ann/none")) == ("NoSuchKey", 404)

    s3_story(story)


def test_a_caller_who_expects_another_owner_is_stopped() -> None:
    async def story(cloud: S3Cloud) -> None:
        account = account_of(cloud.cluster.tenant_id)

        def head(expected: str) -> Awaitable[str]:
            return outcome(cloud.alice.call("ListObjectsV2", Bucket=BUCKET, ExpectedBucketOwner=expected))

        assert await head(account) == "ok"
        assert await head(account_of(await bobs(cloud))) == "AccessDenied"
        assert await head("alice") == "InvalidBucketOwnerAWSAccountID"

    s3_story(story)


def test_only_the_owner_s_side_is_told_why() -> None:
    async def story(cloud: S3Cloud) -> None:
        await put_policy(cloud.alice, rule("Deny", "s3:GetObject"))
        said = []
        for who in (cloud.alice, cloud.bob):
            with pytest.raises(Answer) as caught:
                await who.call("GetObject", Bucket=BUCKET, Key="k", VersionId="null")
            said.append(caught.value.fields["Message"])
        assert "policy" not in said[1]

    s3_story(story)


def test_an_access_says_whether_it_was_asked() -> None:
    async def story(cloud: S3Cloud) -> None:
        record = await cloud.bucket_of(BUCKET)
        rooms = cloud.cluster.rooms
        key = await rooms.keys.create_access_key(cloud.cluster.tenant_id)
        identity = (await rooms.keys.secret_of(key.access_key)).identity
        access = Access(identity, record, context={})
        assert (access.judged, access.is_owner, access.bucket_name) == (False, True, BUCKET)
        assert access.allows("s3:GetObject", "k")
        assert not access.judged
        access.demand("s3:GetObject", "k")
        assert access.judged
        assert access.for_bucket(record).allows("s3:PutObject", "k")

    s3_story(story)


def test_a_key_for_some_prefixes_learns_nothing_of_others() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("PutObject", Bucket=BUCKET, Key="hers/there", Body=b"x")
        await cloud.alice.call("CreateBucket", Bucket="empty")
        await cloud.alice.call("CreateMultipartUpload", Bucket="empty", Key="hers/under-way")
        joe = await joes(cloud, prefixes=("his/",))
        for key in ("hers/there", "hers/not-there"):
            for operation in ("GetObject", "HeadObject", "GetObjectTagging", "GetObjectAcl"):
                said = await outcome(joe.call(operation, Bucket=BUCKET, Key=key))
                assert said in {"AccessDenied", "403"}, (operation, key, said)
            said = await outcome(
                joe.call("CopyObject", Bucket=BUCKET, Key="his/copy", CopySource=f"{BUCKET}/{key}")
            )
            assert said == "AccessDenied", key
        assert await outcome(joe.call("GetObject", Bucket=BUCKET, Key="his/not-there")) == "NoSuchKey"
        # An empty bucket goes with the uploads under way in it, whosever prefix they are under.
        assert await outcome(joe.call("DeleteBucket", Bucket="empty")) == "AccessDenied"

    s3_story(story)


def test_a_key_for_one_bucket_sends_no_logs_into_another() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="other")
        joe = await joes(cloud, buckets=(BUCKET,))
        for target, expected in (("other", "AccessDenied"), (BUCKET, "")):
            status = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "logs/"}}
            call = joe.call("PutBucketLogging", Bucket=BUCKET, BucketLoggingStatus=status)
            assert (await outcome(call) == "AccessDenied") == bool(expected), target

    s3_story(story)


def test_replication_takes_nothing_where_its_setter_could_not() -> None:
    async def story(cloud: S3Cloud) -> None:
        for name in ("here", "there"):
            await cloud.alice.call("CreateBucket", Bucket=name)
            enabled = {"Status": "Enabled"}
            await cloud.alice.call("PutBucketVersioning", Bucket=name, VersioningConfiguration=enabled)

        async def replicate(by: Program) -> str:
            destination = {"Bucket": "arn:aws:s3:::there"}
            rule = {"ID": "r", "Status": "Enabled", "Prefix": "", "Destination": destination}
            setting = {"Role": "arn:aws:iam::1:role/r", "Rules": [rule]}
            return await outcome(
                by.call("PutBucketReplication", Bucket="here", ReplicationConfiguration=setting)
            )

        elsewhere = await joes(cloud, "elsewhere", buckets=("here",))
        blind = await joes(cloud, "blind", actions=("bucket.change", "bucket.show", "object.write"))
        assert await replicate(elsewhere) == "AccessDenied"
        assert await replicate(blind) == "AccessDenied"
        assert await replicate(cloud.alice) == "ok"
        both = await joes(cloud, "both", buckets=("here", "there"))
        assert await replicate(both) == "ok"

    s3_story(story)


def test_what_a_document_says_in_several_lines_is_one_header() -> None:
    async def story(cloud: S3Cloud) -> None:
        evil = "x-a\r\nset-cookie: a=b"
        rules = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": [evil]}]
        said = await outcome(
            cloud.alice.call("PutBucketCors", Bucket=BUCKET, CORSConfiguration={"CORSRules": rules})
        )
        _, headers, _ = await cloud.alice.send("GET", f"/{BUCKET}", headers={"Origin": "http://a"})
        assert said != "ok" or "\n" not in headers["access-control-expose-headers"]

    s3_story(story)
