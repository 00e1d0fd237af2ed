"""Changes of a key's versions, each inside its caller's transaction.

The law: every change rests on what was seen of the key (`Looked`), and every row it touches is changed on
condition that it still is as it was seen; else LostRaceError undoes all of it. Where transactions run one
after the other what is seen is read in the transaction itself and no race can be lost. Where they run beside
one another it is read before: a serialisable transaction that has read the place it writes to would be run
again for neighbours' sake too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from holdfast.files import attributes as packing
from holdfast.files import history, locking
from holdfast.files.attributes import ANYHOW, Conditions
from holdfast.files.records import NULL, Bucket, Content, Deleted, NewVersion, Version, pack_metadata
from holdfast.files.stores import store_buckets, store_references, store_versions
from holdfast.files.stores.store_versions import Known, Looked
from holdfast.files.tending import outbox
from holdfast.world.errors import Refusal

MARKER = Content(0, "", "", 0, 0, 0, 0, 0, "", b"", b"", b"")
"""What a delete marker has for content."""
EMPTY_CHECKSUM = "crc64nvme:0000000000000000"


class LostRaceError(Exception):
    """Something changed between reading and writing; nothing was done: read again."""


class Removal(NamedTuple):
    """A delete as it was asked for.

    `state`: what the named version must be, where that matters: one that was noncurrent when it was looked at
    may have become the key's latest since. Empty: whatever it is.
    """

    version_id: str | None = None
    conditions: Conditions = ANYHOW
    bypass_governance: bool = False
    event: str = ""
    marker_event: str = ""
    who: Mapping[str, str] = {}
    state: str = ""


def look(connection: Connection, bucket_id: int, key: bytes) -> Looked:
    """The key as it is now; raises Refusal("bucket.unknown")."""
    looked = store_versions.look(connection, bucket_id, key)
    if looked is None:
        raise gone_bucket()
    return looked


def gone_bucket() -> Refusal:
    """The bucket was removed meanwhile."""
    return Refusal("bucket.unknown", "The bucket was removed.", advice="Make it again.")


def check_bucket(connection: Connection, looked: Looked) -> None:
    """Raises LostRaceError if the bucket has changed since it was seen; Refusal("bucket.unknown")."""
    bucket = store_buckets.bucket_by_id(connection, looked.bucket.id)
    if bucket is None:
        raise gone_bucket()
    if bucket.revision != looked.bucket.revision:
        raise LostRaceError


def put(
    connection: Connection,
    looked: Looked,
    key: bytes,
    new: NewVersion,
    conditions: Conditions,
    now: int,
    *,
    part_count: int | None = None,
) -> Version:
    """Adds a version on top; `part_count` where its pieces are added by the caller.

    Raises:
        LostRaceError: the key has changed since it was seen.
        Refusal: "precondition.failed"; "object.unknown" for an ETag required of nothing, or a source that is
            gone.
    """
    history.check(conditions, history.visible(looked.latest))
    if new.copied_from is not None:
        streams = [new.content.stream, *[piece.stream for piece in new.pieces]]
        check_source(connection, new.copied_from, streams)
    content = new.content
    if new.keep is not None:
        content = content._replace(small=new.keep(connection))
    count = len(new.pieces) if part_count is None else part_count
    version = _row(looked, key, new._replace(content=content), now)._replace(part_count=count)
    return _add(connection, looked, _kept_by_default(looked.bucket, version, now), new, now)


def check_source(connection: Connection, copied_from: int, streams: Sequence[int | None]) -> None:
    """Raises unless the version is there and its bytes still lie in these streams.

    A version keeps its row when its bytes are moved to another class; the streams that held them go.

    Raises:
        Refusal: "object.unknown" for a version that is gone; "precondition.conflict" with the fact `moved`
            for one whose bytes were moved.
    """
    if not store_versions.version_exists(connection, copied_from):
        raise Refusal("object.unknown", "The version that was to be copied is gone.")
    if not store_references.held(connection, streams):
        raise Refusal(
            "precondition.conflict",
            "The bytes that were to be copied were moved meanwhile.",
            advice="Look up again where they are.",
            moved=True,
        )


def put_marker(
    connection: Connection, looked: Looked, key: bytes, version_id: str, removal: Removal, now: int
) -> Deleted:
    """Deletes the key as its bucket's versioning has it; raises like `put`."""
    found = history.visible(looked.latest)
    history.check(removal.conditions, found)
    bucket = looked.bucket
    if bucket.versioning == "off":
        if looked.latest is None:
            return Deleted(None, marker=False, removed=False)
        _move(connection, bucket, looked.latest, "trashed", now)
        tell(connection, bucket, key, looked.latest, removal.event, removal.who, now)
        return Deleted(None, marker=False)
    new = NewVersion(
        MARKER, packing.NOTHING, event=removal.marker_event, who=removal.who, version_id=version_id
    )
    blank = _row(looked, key, new, now)
    version = _add(connection, looked, blank._replace(state="marker", marker=True, etag=""), new, now)
    return Deleted(version.s3_version_id, marker=True)


def remove_version(
    connection: Connection, bucket: Bucket, version: Version, removal: Removal, now: int
) -> Deleted:
    """Takes one version, which is not in the trash, away for good: it goes to the trash.

    Raises:
        LostRaceError: it, or the one that follows it, has changed since it was seen.
        Refusal: "version.locked", "precondition.failed".
    """
    if removal.state not in {"", version.state}:
        raise history.failed("The version does not stand where it stood in its key's history.")
    history.check(removal.conditions, version)
    _check_lock(version.attributes, now, bypass=removal.bypass_governance)
    following = None
    if version.state != "noncurrent":
        following = store_versions.next_below(connection, bucket.id, version.key, version.sequence)
    for step in history.removing(version, following):
        row = version if step.place == "victim" else following
        assert row is not None, "only what is there gets another state"
        _move(connection, bucket, row, step.state, now)
    tell(connection, bucket, version.key, version, removal.event, removal.who, now)
    return Deleted(version.s3_version_id, marker=version.marker)


def find(connection: Connection, bucket: Bucket, key: bytes, version_id: str | None) -> Version | None:
    """The key's latest version, or the one of this id ("null" is one); None for what is in the trash."""
    if version_id is None:
        return store_versions.latest_version(connection, bucket.id, key)
    if version_id == NULL:
        return store_versions.null_version(connection, bucket.id, key)
    version = store_versions.version_by_id(connection, bucket.id, version_id)
    if version is None or version.key != key or version.state == "trashed" or version.is_null:
        return None
    return version


def _check_lock(attributes: bytes, now: int, *, bypass: bool) -> None:
    if not attributes:
        return
    why = locking.refuses_removal(packing.unpack(attributes), now, bypass)
    if why is not None:
        raise Refusal("version.locked", why)


def _add(connection: Connection, looked: Looked, version: Version, new: NewVersion, now: int) -> Version:
    """Puts a version or delete marker on top, and what was there before where it belongs now."""
    bucket = looked.bucket
    plan = history.writing(bucket.versioning, looked.latest, looked.null)
    for step in plan.steps:
        row = looked.latest if step.place == "latest" else looked.null
        assert row is not None, "only what is there gets another state"
        _move(connection, bucket, row, step.state, now)
    version = version._replace(is_null=plan.is_null)
    row_id = store_versions.add_version(connection, version)
    if row_id is None:
        raise LostRaceError
    version = version._replace(id=row_id)
    if new.pieces:
        store_versions.add_pieces(connection, [piece._replace(version=row_id) for piece in new.pieces])
    if not version.marker:
        store_versions.add_usage(connection, bucket, version.version_id, version.size, now, sign=1)
    tell(connection, bucket, version.key, version, new.event, new.who, now)
    return version


def _kept_by_default(bucket: Bucket, version: Version, now: int) -> Version:
    """With the retention that the bucket gives to whatever comes without one, by whichever door."""
    settings = bucket.parsed
    if settings.object_lock is None or not settings.object_lock.mode:
        return version
    shown = version.parsed
    if shown.retention is not None:
        return version
    kept = msgspec.structs.replace(shown, retention=locking.default_retention(settings, now))
    return version._replace(attributes=packing.pack(kept))


def _row(looked: Looked, key: bytes, new: NewVersion, now: int) -> Version:
    """The row of a version that becomes current."""
    assert new.version_id, "a version id is drawn before the transaction"
    return Version(
        0,
        looked.bucket.tenant,
        looked.bucket.id,
        key,
        new.version_id,
        looked.top + 1,
        *new.content,
        part_count=0,
        user_metadata=new.user_metadata or pack_metadata(new.attributes.metadata),
        etag=new.etag or f"{new.version_id}-1",
        attributes=b"" if new.user_metadata else packing.pack(new.attributes),
        created=now,
        modified=now,
        state="current",
        superseded=None,
        trashed_at=None,
        is_null=False,
        marker=False,
    )


def _move(connection: Connection, bucket: Bucket, row: Known | Version, state: str, now: int) -> None:
    if not store_versions.move_version(connection, row, state, now):
        raise LostRaceError
    if state == "trashed" and not row.marker:
        store_versions.add_usage(connection, bucket, row.version_id, row.size, now, sign=-1)


def tell(
    connection: Connection,
    bucket: Bucket,
    key: bytes,
    row: Known | Version,
    event: str,
    who: Mapping[str, str],
    now: int,
) -> None:
    """Notes an event of a version for those who are to be told; an empty one is none."""
    if not event:
        return
    shown = None
    if bucket.versioning != "off":
        shown = NULL if row.is_null else row.version_id
    outbox.note(
        connection,
        bucket,
        event,
        key=key,
        size=row.size,
        etag=row.etag,
        version_id=shown,
        sequencer=row.sequence,
        who=who,
        now=now,
    )


def rename(
    connection: Connection,
    looked: Looked,
    before: Looked,
    keys: tuple[bytes, bytes],
    conditions: tuple[Conditions, Conditions],
    closing: bytes | None,
    version_id: str,
    now: int,
) -> Version:
    """Puts the current version of the first key on top of the second, and takes it away from the first.

    Raises:
        LostRaceError: one of the keys has changed since it was seen.
        Refusal: "object.unknown", "precondition.failed", "request.invalid" (the same name).
    """
    bucket, source = looked.bucket, history.visible(before.latest)
    if keys[0] == keys[1]:
        raise Refusal("request.invalid", "An object is renamed to another name than it has.")
    if source is None:
        raise Refusal("object.unknown", "There is no object to rename.", key=keys[0].decode()[:200])
    history.check(conditions[0], source)
    held = store_versions.current_version(connection, bucket.id, keys[0])
    if held is None or held.id != source.id:
        raise LostRaceError
    name = "" if closing is not None else held.sealed_as or f"{bucket.name}/{held.name}"
    content = held.content._replace(closing=held.closing if closing is None else closing, sealed_as=name)
    pieces = [
        piece._replace(sealed_as=piece.sealed_as or f"{bucket.name}/{held.name}")
        for piece in store_versions.pieces_of(connection, held.id, 0, held.part_count)
    ]
    new = NewVersion(content, held.parsed, held.etag, pieces=pieces, version_id=version_id)
    version = put(connection, looked, keys[1], new, conditions[1], now)
    removal = Removal()
    marker_id = f"{version_id[:-1]}{int(version_id[-1], 16) ^ 1:x}"
    put_marker(connection, before, keys[0], marker_id, removal, now)
    return version
