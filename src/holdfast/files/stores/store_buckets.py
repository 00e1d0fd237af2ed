"""The SQL of buckets."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from holdfast.files.records import Bucket
from holdfast.files.stores.store import CURRENT, HIDDEN, OPEN, buckets, uploads, versions
from holdfast.files.stores.store_prepared import Prepared

_BUCKET_BY_NAME = Prepared(select(buckets).where(buckets.c.name == bindparam("name")))
_BUCKET_BY_ID = Prepared(select(buckets).where(buckets.c.id == bindparam("id")))
_CHANGE = update(buckets).where(buckets.c.id == bindparam("of_bucket"))


def bucket_named(connection: Connection, name: str) -> Bucket | None:
    """The bucket of this name, whoever owns it."""
    row = _BUCKET_BY_NAME(connection, name=name).fetchone()
    return None if row is None else Bucket(*row)


def bucket_by_id(connection: Connection, bucket_id: int) -> Bucket | None:
    """The bucket of this number."""
    row = _BUCKET_BY_ID(connection, id=bucket_id).fetchone()
    return None if row is None else Bucket(*row)


def add_bucket(
    connection: Connection,
    tenant: str,
    name: str,
    storage_class: str,
    created: int,
    *,
    settings: bytes = b"",
    versioning: str = "off",
) -> Bucket:
    """Makes the bucket; the name must be free."""
    values = {
        "tenant": tenant,
        "name": name,
        "storage_class": storage_class,
        "versioning": versioning,
        "created": created,
        "settings": settings,
        "revision": 0,
    }
    row = connection.execute(insert(buckets).values(values).returning(buckets)).one()
    return Bucket(*row)


def change_bucket(connection: Connection, changed: Bucket) -> Bucket:
    """Stores what may change of a bucket, under the next revision; as it is now."""
    changed = changed._replace(revision=changed.revision + 1)
    values = {
        "storage_class": changed.storage_class,
        "versioning": changed.versioning,
        "settings": changed.settings,
        "revision": changed.revision,
    }
    connection.execute(_CHANGE.values(values), {"of_bucket": changed.id})
    return changed


def buckets_of(
    connection: Connection, tenant: str, after: str, limit: int, *, prefix: str = "", end: str | None = None
) -> list[Bucket]:
    """The tenant's buckets in the order of their names; those with the prefix, which all are below `end`."""
    query = select(buckets).where(buckets.c.tenant == tenant, buckets.c.name > after)
    if prefix:
        query = query.where(buckets.c.name >= prefix)
    if end is not None:
        query = query.where(buckets.c.name < end)
    return [Bucket(*row) for row in connection.execute(query.order_by(buckets.c.name).limit(limit))]


def bucket_has_versions(connection: Connection, bucket_id: int) -> bool:
    """Whether the bucket has any version or delete marker but for those in the trash."""
    of_bucket = select(versions.c.id).where(versions.c.bucket_id == bucket_id)
    queries = (of_bucket.where(versions.c.state == CURRENT), of_bucket.where(text(HIDDEN)))
    return any(connection.execute(query.limit(1)).first() is not None for query in queries)


def bucket_has_uploads(connection: Connection, bucket_id: int) -> bool:
    """Whether an upload into the bucket is open."""
    under_way = select(uploads.c.stream).where(uploads.c.bucket_id == bucket_id, uploads.c.state == OPEN)
    return connection.execute(under_way.limit(1)).first() is not None


def remove_bucket(connection: Connection, bucket_id: int) -> None:
    """Forgets the bucket's name."""
    connection.execute(delete(buckets).where(buckets.c.id == bucket_id))
