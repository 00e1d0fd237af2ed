"""Buckets as the S3 door reads and changes them: found by name, whoever owns them, with their settings."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from holdfast.files import assembling, bucket_settings
from holdfast.files.bucket_settings import UNSET, BucketSettings
from holdfast.files.names import check_bucket_name
from holdfast.files.records import Bucket
from holdfast.files.stores import store_buckets, store_uploads
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

Change = Callable[[Bucket, BucketSettings], BucketSettings]
"""The new settings from the bucket and its settings as they are; may raise. It may be run more than once."""


def bucket_named(connection: Connection, name: str) -> Bucket:
    """Whoever owns it; raises Refusal("bucket.unknown")."""
    bucket = store_buckets.bucket_named(connection, name)
    if bucket is None:
        raise unknown_bucket(name)
    return bucket


def unknown_bucket(name: str) -> Refusal:
    """There is no such bucket."""
    return Refusal(
        "bucket.unknown",
        f"There is no bucket '{name[:80]}'.",
        advice="Make it first, or check its name.",
        bucket=name[:80],
    )


def taken_bucket(name: str, *, yours: bool) -> Refusal:
    """The name is somebody's already."""
    return Refusal(
        "bucket.exists",
        f"You already have a bucket '{name}'." if yours else f"The bucket name '{name}' is taken.",
        advice="" if yours else "Names are shared by all tenants: choose another one.",
        bucket=name,
        yours=yours,
    )


def filled_bucket(name: str) -> Refusal:
    """The bucket is not empty."""
    return Refusal(
        "bucket.not_empty",
        f"The bucket '{name}' still has objects or uploads under way.",
        advice="Remove its objects, all their versions and delete markers, and end its uploads first.",
        bucket=name,
    )


class BucketRecords:
    """Buckets by name and number. Who may do what was decided before."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, name: str) -> Bucket:
        """Raises Refusal("bucket.unknown")."""
        return await self._database.peek(bucket_named, name)

    async def create(
        self,
        tenant: str,
        name: str,
        storage_class: str,
        settings: BucketSettings = UNSET,
        versioning: str = "off",
    ) -> Bucket:
        """Raises Refusal("bucket.invalid" | "bucket.exists"), the latter with the fact `yours`."""
        check_bucket_name(name)
        now, packed = self._clock.now(), b"" if settings == UNSET else bucket_settings.pack(settings)

        def work(connection: Connection) -> Bucket:
            held = store_buckets.bucket_named(connection, name)
            if held is not None:
                raise taken_bucket(name, yours=held.tenant == tenant)
            return store_buckets.add_bucket(
                connection, tenant, name, storage_class, now, settings=packed, versioning=versioning
            )

        return await self._database.transact(work)

    async def remove(self, bucket: Bucket) -> None:
        """Removes an empty bucket; uploads under way, of parts too, are given up with it, as S3 does.

        Raises Refusal("bucket.unknown"), and "bucket.not_empty" for any version or delete marker.
        """
        now = self._clock.now()

        def work(connection: Connection) -> None:
            if store_buckets.bucket_by_id(connection, bucket.id) is None:
                raise unknown_bucket(bucket.name)
            if store_buckets.bucket_has_versions(connection, bucket.id):
                raise filled_bucket(bucket.name)
            assembling.abort_all(connection, bucket.id, now)
            store_uploads.abandon_all(connection, bucket.id, now)
            store_buckets.remove_bucket(connection, bucket.id)

        await self._database.transact(work)

    async def of_tenant(self, tenant: str, *, prefix: str = "", after: str = "", limit: int) -> list[Bucket]:
        """The tenant's buckets in the order of their names."""
        return await self._database.read(store_buckets.buckets_of, tenant, after, limit, prefix=prefix)

    async def change(self, bucket_id: int, fn: Change) -> Bucket:
        """Gives the bucket the settings that `fn` says, in one transaction; raises what `fn` raises."""

        def work(connection: Connection) -> Bucket:
            bucket = known_bucket(connection, bucket_id)
            settings = fn(bucket, bucket.parsed)
            if settings == bucket.parsed:
                return bucket
            packed = bucket_settings.pack(settings)
            return store_buckets.change_bucket(connection, bucket._replace(settings=packed))

        return await self._database.transact(work)

    async def set_versioning(
        self, bucket_id: int, versioning: str, check: Callable[[Bucket], None] | None = None
    ) -> Bucket:
        """Turns versioning "on", or "suspended" it; once on it is never off again.

        `check` is shown the bucket in the same transaction, before anything changes, and may raise.

        Raises Refusal("bucket.unknown" | "request.invalid").
        """
        if versioning not in {"on", "suspended"}:
            raise Refusal("request.invalid", "Versioning is turned on, or suspended.")

        def work(connection: Connection) -> Bucket:
            bucket = known_bucket(connection, bucket_id)
            if check is not None:
                check(bucket)
            if bucket.versioning == versioning:
                return bucket
            return store_buckets.change_bucket(connection, bucket._replace(versioning=versioning))

        return await self._database.transact(work)


def known_bucket(connection: Connection, bucket_id: int) -> Bucket:
    """Raises Refusal("bucket.unknown")."""
    bucket = store_buckets.bucket_by_id(connection, bucket_id)
    if bucket is None:
        raise Refusal("bucket.unknown", "The bucket was removed.", advice="Make it again.")
    return bucket
