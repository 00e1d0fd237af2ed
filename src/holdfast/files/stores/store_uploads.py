"""The SQL of uploads: the row that is open while an object arrives."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, update

from holdfast.files.stores.store import OPEN, add_if_free, uploads
from holdfast.files.stores.store_references import doom
from holdfast.protocol.nouns import Envelope, RedundancyInfo


class Upload(NamedTuple):
    """A row of `uploads`."""

    stream: int
    upload_id: str
    tenant: str
    bucket_id: int
    key: bytes
    storage_class: str
    k: int
    n: int
    repair_at: int
    ack_at: int
    chunk_size: int
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    user_metadata: bytes
    if_absent: bool
    if_version: str | None
    state: str
    version_id: str | None
    chunks_changed: int
    created: int
    last_active: int

    @property
    def redundancy(self) -> RedundancyInfo:
        """`k of n, repair at r`."""
        return RedundancyInfo(k=self.k, n=self.n, repair_at=self.repair_at)

    @property
    def envelope(self) -> Envelope:
        """The wrapped data key."""
        return Envelope(mode=self.envelope_mode, key_id=self.envelope_key_id, wrapped=self.envelope_wrapped)


_BY_ID = select(uploads).where(
    uploads.c.upload_id == bindparam("upload_id"), uploads.c.tenant == bindparam("tenant")
)
_TOUCH = (
    update(uploads)
    .where(uploads.c.stream == bindparam("of_stream"))
    .values(last_active=bindparam("now"), chunks_changed=uploads.c.chunks_changed + bindparam("changed"))
    .returning(uploads.c.state)
)
_COMMIT = (
    update(uploads)
    .where(
        uploads.c.stream == bindparam("of_stream"),
        uploads.c.state == OPEN,
        uploads.c.chunks_changed == bindparam("seen"),
    )
    .values(state="committed", version_id=bindparam("new_version"), last_active=bindparam("now"))
)
_ADD = add_if_free(uploads)


def add_upload(connection: Connection, upload: Upload) -> bool:
    """Opens the upload; `stream` is given by the database. False if there is one with its id."""
    values = upload._asdict()
    del values["stream"]
    return connection.execute(_ADD[connection.dialect.name], values).first() is not None


def upload_by_id(connection: Connection, tenant: str, upload_id: str) -> Upload | None:
    """The tenant's upload, open or committed."""
    row = connection.execute(_BY_ID, {"upload_id": upload_id, "tenant": tenant}).first()
    return None if row is None else Upload(*row)


def touch(connection: Connection, upload: Upload, now: int, *, changed: bool) -> str | None:
    """The client was heard of; `changed` says that the set of recorded chunks is another one now.

    The state that the upload is in now; None if it has ended.
    """
    done = connection.execute(_TOUCH, {"of_stream": upload.stream, "now": now, "changed": int(changed)})
    return done.scalar()


def mark_committed(connection: Connection, upload: Upload, version_id: str, now: int) -> bool:
    """The upload becomes a version, which owns its stream from now on.

    False if it is not open any more, or if chunks were recorded since it was read.
    """
    bound = {
        "of_stream": upload.stream,
        "seen": upload.chunks_changed,
        "new_version": version_id,
        "now": now,
    }
    return bool(connection.execute(_COMMIT, bound).rowcount)


def abandon(connection: Connection, upload: Upload, now: int) -> None:
    """Forgets an upload that never became a version, and dooms its chunks."""
    assert upload.state == "open", "a committed upload's stream belongs to a version"
    connection.execute(delete(uploads).where(uploads.c.stream == upload.stream))
    doom(connection, upload.stream, now)


def abandon_all(connection: Connection, bucket_id: int, now: int) -> None:
    """Abandons whatever is open of a bucket that is going."""
    query = select(uploads).where(uploads.c.bucket_id == bucket_id, uploads.c.state == OPEN)
    for row in connection.execute(query.order_by(uploads.c.stream)).all():
        abandon(connection, Upload(*row), now)


def forget(connection: Connection, upload: Upload) -> None:
    """Forgets a committed upload: from now on it is no longer answered, and takes no late shards."""
    assert upload.state == "committed", "an open upload is abandoned, not forgotten"
    connection.execute(delete(uploads).where(uploads.c.stream == upload.stream))


def idle_uploads(connection: Connection, idle_since: int, limit: int) -> list[Upload]:
    """Uploads, open or committed, that nobody has touched since, in the order in which they began.

    Reads them all: they are few next to versions, since the idle ones go.
    """
    rows = connection.execute(
        select(uploads).where(uploads.c.last_active < idle_since).order_by(uploads.c.stream).limit(limit)
    )
    return [Upload(*row) for row in rows]
