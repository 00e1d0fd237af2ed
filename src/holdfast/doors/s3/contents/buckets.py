"""Buckets themselves: ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.doors.s3.contents import listings, showing
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.rights.acl_headers import acl_from_headers, check_acl_allowed, ownership_of_new_bucket
from holdfast.doors.s3.settings import tagging
from holdfast.doors.s3.settings.settings_documents import expect, leaf
from holdfast.doors.s3.wire.xml_reading import parse
from holdfast.doors.s3.wire.xml_writing import document, element, escape, group, groups, optional, time_text
from holdfast.files.bucket_settings import UNSET, BucketSettings, ObjectLock
from holdfast.tenants.names import canonical_id_of
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request
    from holdfast.files.records import Bucket

LIST_MAX: Final = 10_000
LIST_UNPAGED: Final = 10_000
"""How many are told to those who ask for no number."""
FIRST_REGION: Final = "us-east-1"
"""The region that needs no LocationConstraint, and where making a bucket again succeeds."""
LOCK_HEADER: Final = "x-amz-bucket-object-lock-enabled"
_REGION: Final = re.compile(r"EU|[a-z]{2,4}(-[a-z]+)+-\d{1,2}")
_BODY_BYTES_MAX: Final = 64 << 10


async def list_buckets(door: Door, request: S3Request) -> S3Response:
    """GET of the service: the caller's own buckets."""
    request.access.demand("s3:ListAllMyBuckets")
    query, identity = request.query, request.identity
    prefix, region = query.get("prefix", ""), query.get("bucket-region", "")
    limit = _asked_limit(query.get("max-buckets"))
    token = query.get("continuation-token")
    after = listings.from_token(token) if token else ""
    found: list[Bucket] = []
    if region in {"", door.region}:
        rows = await door.buckets.of_tenant(identity.tenant_id, prefix=prefix, after=after, limit=limit + 1)
        # Rows come in the order of names, those beyond the prefix last.
        found = [record for record in rows if record.name.startswith(prefix)]
    shown = found[:limit]
    further = listings.to_token(shown[-1].name) if len(found) > limit else ""
    content = document(
        "ListAllMyBucketsResult",
        listings.owner_line((identity.canonical_id, identity.display_name), "Owner"),
        group("Buckets", groups("Bucket", [_line(door, record) for record in shown])),
        optional("ContinuationToken", further),
        optional("Prefix", prefix),
    )
    return S3Response(headers=[showing.XML], content=content)


def _asked_limit(text: str | None) -> int:
    if text is None:
        return LIST_UNPAGED
    limit = listings.asked_number(text, "max-buckets", LIST_MAX)
    if not 1 <= limit <= LIST_MAX:
        raise listings.invalid(
            "max-buckets", text, f"Argument max-buckets must be an integer between 1 and {LIST_MAX}"
        )
    return limit


def _line(door: Door, record: Bucket) -> str:
    return (
        element("Name", record.name)
        + element("CreationDate", time_text(record.created))
        + element("BucketRegion", door.region)
        + element("BucketArn", f"arn:aws:s3:::{record.name}")
    )


async def create_bucket(door: Door, request: S3Request) -> S3Response:
    """PUT of a bucket."""
    request.access.demand("s3:CreateBucket")
    name = request.bucket_name or ""
    body = await request.body.document(_BODY_BYTES_MAX)
    location, tags = _read_configuration(door, body)
    lock = _lock_asked(request)
    settings = BucketSettings(
        acl=await acl_from_headers(door, request, bucket=True),
        ownership=ownership_of_new_bucket(door, request.headers),
        tags=tags,
        object_lock=ObjectLock() if lock else None,
        location=location,
    )
    try:
        await door.buckets.create(
            request.identity.tenant_id,
            name,
            door.classes.default,
            settings,
            versioning="on" if lock else "off",
        )
    except Refusal as refusal:
        await _again(door, request, refusal, settings)
    return S3Response(headers=[("location", f"/{name}"), ("x-amz-bucket-arn", f"arn:aws:s3:::{name}")])


async def _again(door: Door, request: S3Request, refusal: Refusal, settings: BucketSettings) -> None:
    """Making a bucket that is there: in the first region its owner may, and sets its ACL back.

    That is PutBucketAcl by another name: it needs the same right, and a list that the bucket allows.
    """
    name = request.bucket_name or ""
    if refusal.code == "bucket.exists" and refusal.facts.get("yours"):
        if door.region != FIRST_REGION:
            raise S3Error("BucketAlreadyOwnedByYou", BucketName=name)
        record: Bucket = await door.buckets.find(name)
        if settings.acl == record.parsed.acl:
            return
        request.access.for_bucket(record).demand("s3:PutBucketAcl")

        def reset(record: Bucket, old: BucketSettings) -> BucketSettings:
            if settings.acl is not None:
                check_acl_allowed(old, settings.acl, canonical_id_of(record.tenant))
            return msgspec.structs.replace(old, acl=settings.acl)

        await door.buckets.change(record.id, reset)
        return
    if refusal.code == "bucket.exists":
        raise S3Error("BucketAlreadyExists", BucketName=name) from refusal
    if refusal.code == "bucket.invalid":
        raise S3Error("InvalidBucketName", BucketName=name) from refusal
    raise refusal


def _read_configuration(door: Door, body: bytes) -> tuple[str, dict[str, str] | None]:
    """The location and the tags that a new bucket is asked to have."""
    if not body.strip():
        return "", None
    root = parse(body, "CreateBucketConfiguration")
    expect(root, one="LocationConstraint Location Bucket Tags")
    if root.find("Location") is not None or root.find("Bucket") is not None:
        raise S3Error("NotImplemented", "Directory buckets are not implemented.")
    location = (leaf(root, "LocationConstraint") or "").strip()
    _check_location(location, door.region)
    given = root.find("Tags")
    if given is None:
        return location, None
    expect(given, many="Tag")
    tags = tagging.read_tags(given.children)
    tagging.check(tags, tagging.BUCKET_TAGS_MAX)
    return location, tags or None


def _check_location(location: str, region: str) -> None:
    if location in {"", region}:
        return
    if _REGION.fullmatch(location) is None:
        raise S3Error("InvalidLocationConstraint", LocationConstraint=location)
    raise S3Error(
        "IllegalLocationConstraintException",
        f"The {location} location constraint is incompatible for the region specific endpoint this request "
        "was sent to.",
    )


def _lock_asked(request: S3Request) -> bool:
    text = request.headers.get(LOCK_HEADER, "false").strip().lower()
    if text not in {"true", "false"}:
        raise listings.invalid(LOCK_HEADER, text, f"Invalid value for header {LOCK_HEADER}.")
    if text == "true":
        request.access.demand("s3:PutBucketObjectLockConfiguration")
        request.access.demand("s3:PutBucketVersioning")
    return text == "true"


async def head_bucket(door: Door, request: S3Request) -> S3Response:
    """HEAD of a bucket: whether it is there and may be listed."""
    request.access.demand("s3:ListBucket")
    name = request.bucket.name
    return S3Response(
        headers=[
            showing.XML,
            ("x-amz-bucket-region", door.region),
            ("x-amz-bucket-arn", f"arn:aws:s3:::{name}"),
            ("x-amz-access-point-alias", "false"),
        ]
    )


async def delete_bucket(door: Door, request: S3Request) -> S3Response:
    """DELETE of an empty bucket."""
    request.access.demand("s3:DeleteBucket")
    try:
        await door.buckets.remove(request.bucket)
    except Refusal as refusal:
        if refusal.code != "bucket.not_empty":
            raise
        message = (
            "The bucket you tried to delete is not empty"
            if request.bucket.versioning == "off"
            else "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
        )
        raise S3Error("BucketNotEmpty", message, BucketName=request.bucket.name) from refusal
    return S3Response(status=204)


async def get_bucket_location(door: Door, request: S3Request) -> S3Response:
    """GET ?location: empty for the first region."""
    request.access.demand("s3:GetBucketLocation")
    settings = request.bucket.parsed if request.bucket.settings else UNSET
    location = settings.location or door.region
    shown = "" if location == FIRST_REGION else location
    return S3Response(headers=[showing.XML], content=document("LocationConstraint", escape(shown)))


HANDLERS: Final[dict[str, Handler]] = {
    "ListBuckets": list_buckets,
    "CreateBucket": create_bucket,
    "HeadBucket": head_bucket,
    "DeleteBucket": delete_bucket,
    "GetBucketLocation": get_bucket_location,
}
