"""Buckets made, found, listed and removed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.doors.s3.asking import joes, rule
from tests.doors.s3.program import Answer, S3Cloud, s3_story

META = "ResponseMetadata"


async def refusal(call: Any) -> tuple[str, int]:
    with pytest.raises(Answer) as caught:
        await call
    return caught.value.code, caught.value.status


def test_a_bucket_is_made_found_and_removed() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        made = await alice.call("CreateBucket", Bucket="holiday")
        assert (made["Location"], made["BucketArn"]) == ("/holiday", "arn:aws:s3:::holiday")
        head = await alice.call("HeadBucket", Bucket="holiday")
        assert (head["BucketRegion"], head["AccessPointAlias"]) == ("us-east-1", False)
        where = await alice.call("GetBucketLocation", Bucket="holiday")
        assert where.get("LocationConstraint") is None
        names = [row["Name"] for row in (await alice.call("ListBuckets"))["Buckets"]]
        assert names == ["holiday", "photos"]
        await alice.call("DeleteBucket", Bucket="holiday")
        assert await refusal(alice.call("HeadBucket", Bucket="holiday")) == ("404", 404)
        assert await refusal(alice.call("DeleteBucket", Bucket="holiday")) == ("NoSuchBucket", 404)

    s3_story(story)


def test_a_bucket_with_anything_in_it_stays() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("PutObject", Bucket="photos", Key="k", Body=b"x")
        assert await refusal(alice.call("DeleteBucket", Bucket="photos")) == ("BucketNotEmpty", 409)
        bucket = await cloud.bucket_of("photos")
        await cloud.buckets.set_versioning(bucket.id, "on")
        await alice.call("DeleteObject", Bucket="photos", Key="k")
        assert await refusal(alice.call("DeleteBucket", Bucket="photos")) == ("BucketNotEmpty", 409)

    s3_story(story)


def test_a_name_belongs_to_whoever_took_it_first() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="photos")
        assert await refusal(cloud.bob.call("CreateBucket", Bucket="photos")) == ("BucketAlreadyExists", 409)
        assert await refusal(cloud.nobody.call("CreateBucket", Bucket="mine")) == ("AccessDenied", 403)
        assert await refusal(cloud.bob.call("HeadBucket", Bucket="photos")) == ("403", 403)
        assert await refusal(cloud.bob.call("DeleteBucket", Bucket="photos")) == ("AccessDenied", 403)
        for name in ("ab", "Upper", "a..b", "-a-", "192.168.1.1", "a" * 64, "under_score"):
            code, status = await refusal(cloud.alice.call("CreateBucket", Bucket=name))
            assert (code, status) == ("InvalidBucketName", 400), name

    s3_story(story)


def test_making_a_bucket_again_takes_no_way_around_its_lists() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("CreateBucket", Bucket="mine", ACL="authenticated-read")
        maker = await joes(cloud, "maker", actions=("bucket.make", "bucket.list"))
        assert await refusal(maker.call("CreateBucket", Bucket="mine")) == ("AccessDenied", 403)
        assert (await cloud.bucket_of("mine")).parsed.acl is not None
        await alice.call("CreateBucket", Bucket="mine")
        assert (await cloud.bucket_of("mine")).parsed.acl is None
        await maker.call("CreateBucket", Bucket="mine")
        blocked = {"BlockPublicAcls": True}
        await alice.call("PutPublicAccessBlock", Bucket="mine", PublicAccessBlockConfiguration=blocked)
        again = alice.call("CreateBucket", Bucket="mine", ACL="public-read")
        assert await refusal(again) == ("AccessDenied", 403)
        await alice.call("DeletePublicAccessBlock", Bucket="mine")
        denied = rule("Deny", "s3:PutBucketAcl", "arn:aws:s3:::mine")
        policy = json.dumps({"Statement": [denied]})
        await alice.call("PutBucketPolicy", Bucket="mine", Policy=policy)
        again = alice.call("CreateBucket", Bucket="mine", ACL="public-read")
        assert await refusal(again) == ("AccessDenied", 403)
        assert (await cloud.bucket_of("mine")).parsed.acl is None

    s3_story(story)


def test_outside_the_first_region_a_bucket_is_made_once() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("CreateBucket", Bucket="there", **located("us-east-1"))
        for region in ("eu-west-1", "local", "no region"):
            code, status = await refusal(alice.call("CreateBucket", Bucket="else", **located(region)))
            expected = (
                "IllegalLocationConstraintException" if region == "eu-west-1" else "InvalidLocationConstraint"
            )
            assert (code, status) == (expected, 400)

    s3_story(story)


def located(region: str) -> dict[str, Any]:
    return {"CreateBucketConfiguration": {"LocationConstraint": region}}


def test_a_bucket_may_be_made_with_locks_tags_and_an_owner_s_rule() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call(
            "CreateBucket",
            Bucket="kept",
            ObjectLockEnabledForBucket=True,
            ObjectOwnership="BucketOwnerEnforced",
            CreateBucketConfiguration={"Tags": [{"Key": "a", "Value": "1"}]},
        )
        bucket = await cloud.bucket_of("kept")
        settings = bucket.parsed
        assert (bucket.versioning, settings.object_lock is not None) == ("on", True)
        assert (settings.ownership, settings.tags) == ("BucketOwnerEnforced", {"a": "1"})
        call = cloud.alice.call("CreateBucket", Bucket="never", ObjectOwnership="Everybody")
        assert await refusal(call) == ("InvalidArgument", 400)
        assert await refusal(cloud.alice.send_raw("PUT", "/never", b"<CreateBucketConfiguration><a/>")) == (
            "MalformedXML", 400,
        )  # fmt: skip

    s3_story(story)


def test_buckets_are_listed_in_pages() -> None:
    async def story(cloud: S3Cloud) -> None:
        alice = cloud.alice
        for number in range(5):
            await alice.call("CreateBucket", Bucket=f"page-{number}")
        names: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await alice.call("ListBuckets", MaxBuckets=2, Prefix="page-", **token)
            assert (len(page["Buckets"]) <= 2, page["Prefix"]) == (True, "page-")
            names += [row["Name"] for row in page["Buckets"]]
            if "ContinuationToken" not in page:
                break
            token = {"ContinuationToken": page["ContinuationToken"]}
        assert names == [f"page-{number}" for number in range(5)]
        assert (await cloud.bob.call("ListBuckets"))["Buckets"] == []
        assert (await alice.call("ListBuckets", BucketRegion="eu-west-1"))["Buckets"] == []
        for limit in (0, 10_001):
            assert await refusal(alice.call("ListBuckets", MaxBuckets=limit)) == ("InvalidArgument", 400)
        assert await refusal(cloud.nobody.call("ListBuckets")) == ("AccessDenied", 403)

    s3_story(story)
