"""Buckets: made, removed and listed by the tenant that owns them."""

from __future__ import annotations

from sqlalchemy import Connection

from holdfast.files import assembling
from holdfast.files.answered import check_token, once
from holdfast.files.bucket_records import filled_bucket, taken_bucket, unknown_bucket
from holdfast.files.names import check_bucket_name
from holdfast.files.places import Places
from holdfast.files.records import Bucket
from holdfast.files.stores import store_buckets
from holdfast.protocol.control import LIST_KEYS_MAX, BucketList, BucketMake, BucketRemove, Done
from holdfast.protocol.control import Buckets as BucketPage
from holdfast.protocol.nouns import BucketInfo
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal


def owned_bucket(connection: Connection, tenant: str, name: str) -> Bucket:
    """The tenant's bucket; raises Refusal("bucket.unknown"), also for a bucket of somebody else."""
    bucket = store_buckets.bucket_named(connection, name)
    if bucket is None or bucket.tenant != tenant:
        raise unknown_bucket(name)
    return bucket


def make(connection: Connection, tenant: str, name: str, storage_class: str, now: int) -> Bucket:
    """Makes a bucket; raises Refusal("bucket.exists"), whoever has the name."""
    held = store_buckets.bucket_named(connection, name)
    if held is not None:
        raise taken_bucket(name, yours=held.tenant == tenant)
    return store_buckets.add_bucket(connection, tenant, name, storage_class, now)


def remove(connection: Connection, tenant: str, name: str, now: int) -> None:
    """Removes an empty bucket; what is in its trash is freed in its time.

    Multipart uploads do not keep it, as in S3: they are given up with it.

    Raises:
        Refusal: "bucket.unknown"; "bucket.not_empty" while it has objects or open uploads.
    """
    bucket = owned_bucket(connection, tenant, name)
    of_bucket = (connection, bucket.id)
    if store_buckets.bucket_has_versions(*of_bucket) or store_buckets.bucket_has_uploads(*of_bucket):
        raise filled_bucket(name)
    assembling.abort_all(connection, bucket.id, now)
    store_buckets.remove_bucket(connection, bucket.id)


def info(bucket: Bucket) -> BucketInfo:
    """The bucket as its owner sees it."""
    return BucketInfo(bucket=bucket.name, created=bucket.created, storage_class=bucket.storage_class)


def check_limit(limit: int, most: int) -> int:
    """A page size from 0 up; more than `most` is cut down to it. Raises Refusal("request.invalid")."""
    if limit < 0:
        raise Refusal("request.invalid", f"A page of {limit} entries cannot be given.")
    return min(limit, most)


class Buckets:
    """The bucket operations, each for one tenant."""

    def __init__(self, *, database: Database, places: Places, clock: Clock) -> None:
        self._database = database
        self._places = places
        self._clock = clock

    async def make(self, tenant: str, request: BucketMake) -> BucketInfo:
        """Raises Refusal("bucket.invalid" | "bucket.exists" | "class.unknown")."""
        check_bucket_name(request.bucket)
        check_token(request.token)
        storage_class = self._places.storage_class(request.storage_class).class_name
        now = self._clock.now()

        def work(connection: Connection) -> BucketInfo:
            def make_it() -> BucketInfo:
                return info(make(connection, tenant, request.bucket, storage_class, now))

            return once(connection, tenant, request, request.token, now, make_it)

        return await self._database.transact(work)

    async def remove(self, tenant: str, request: BucketRemove) -> Done:
        """Raises Refusal("bucket.unknown" | "bucket.not_empty")."""
        check_token(request.token)
        now = self._clock.now()

        def work(connection: Connection) -> Done:
            def remove_it() -> Done:
                remove(connection, tenant, request.bucket, now)
                return Done()

            return once(connection, tenant, request, request.token, now, remove_it)

        return await self._database.transact(work)

    async def list(self, tenant: str, request: BucketList) -> BucketPage:
        """The tenant's buckets by name, a page at a time."""
        limit = check_limit(request.limit, LIST_KEYS_MAX)
        found = await self._database.read(store_buckets.buckets_of, tenant, request.after or "", limit + 1)
        shown = found[:limit]
        more = len(found) > limit > 0
        return BucketPage(buckets=[info(b) for b in shown], after=shown[-1].name if more else None)
