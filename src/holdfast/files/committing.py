"""Making an upload a version: whole, in one transaction, once.

The law: of writers of one key the last to commit wins with its whole object; the version before it goes to
the trash. Preconditions are judged in that same transaction, so of many that require the key to be absent one
wins. What is long (adding up a huge object's chunks) is read beforehand; the transaction only has to see that
the upload's set of chunks is still the one that was added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.chunks import checksum
from holdfast.files import store, store_chunks, store_uploads
from holdfast.files.recording import known_upload, unknown_upload
from holdfast.files.store import Bucket, Version
from holdfast.files.store_chunks import PlainSum
from holdfast.files.store_uploads import Upload
from holdfast.protocol.control import UploadCommit
from holdfast.world.errors import Refusal


class LostRaceError(Exception):
    """Something changed between reading and committing; nothing was done: read again."""


class Total(NamedTuple):
    """What an upload's recorded chunks add up to."""

    size: int
    chunk_count: int
    checksum: str
    missing: int | None
    """The first chunk number that is not recorded though a later one is."""
    short: int | None
    """The first chunk, but for the last, that is not `chunk_size` long."""


class Seen(NamedTuple):
    """An upload and the key it goes to, on one snapshot. `done`: the version that it became before."""

    upload: Upload
    bucket: Bucket
    current: Version | None
    sequence: int
    sums: list[PlainSum]
    done: Version | None


def see(connection: Connection, tenant: str, upload_id: str) -> Seen:
    """Reads all that a commit depends on; raises Refusal("upload.unknown" | "bucket.unknown")."""
    upload = known_upload(connection, tenant, upload_id)
    bucket = bucket_of(connection, upload)
    if upload.state == "committed":
        assert upload.version_id is not None, "a committed upload names its version"
        version = store.version_by_id(connection, bucket.id, upload.version_id)
        if version is None:
            raise unknown_upload(upload_id)
        return Seen(upload, bucket, None, 0, [], version)
    current = store.current_version(connection, bucket.id, upload.key)
    if current is not None:
        sequence = current.sequence + 1
    else:
        sequence = store.next_sequence(connection, bucket.id, upload.key)
    sums = store_chunks.plain_sums(connection, upload.stream)
    return Seen(upload, bucket, current, sequence, sums, None)


def add_up(chunk_size: int, sums: Sequence[PlainSum]) -> Total:
    """The total of chunks in the order of their numbers."""
    size, crc = 0, 0
    missing = short = None
    for position, chunk in enumerate(sums):
        if missing is None and chunk.number != position:
            missing = position
        if short is None and position < len(sums) - 1 and chunk.plain_length != chunk_size:
            short = chunk.number
        crc = checksum.combine(crc, chunk.checksum, chunk.plain_length)
        size += chunk.plain_length
    return Total(size, len(sums), checksum.text(crc), missing, short)


def check_total(summed: Total, request: UploadCommit) -> None:
    """Raises Refusal("upload.incomplete") unless the chunks are exactly those of the object announced."""
    if summed.missing is not None or summed.chunk_count < request.chunk_count:
        number = summed.chunk_count if summed.missing is None else summed.missing
        raise Refusal(
            "upload.incomplete",
            f"{summed.chunk_count} of {request.chunk_count} chunks are recorded; number {number} is missing.",
            advice="Send and record what is missing, then commit again.",
            recorded=summed.chunk_count,
            chunks=request.chunk_count,
            number=number,
        )
    if summed.chunk_count > request.chunk_count or summed.size != request.size:
        raise Refusal(
            "upload.incomplete",
            f"The recorded chunks are {summed.chunk_count} with {summed.size} bytes; "
            f"{request.chunk_count} with {request.size} bytes were announced.",
            advice="Begin the upload again.",
            recorded=summed.chunk_count,
            chunks=request.chunk_count,
        )
    if summed.short is not None:
        raise Refusal(
            "upload.incomplete",
            f"Chunk {summed.short} is not the last one, but not as long as the others.",
            advice="Every chunk but the last is as long as the upload's ticket says.",
            number=summed.short,
        )
    if summed.checksum != request.checksum:
        raise Refusal(
            "upload.incomplete",
            f"The chunks add up to {summed.checksum}, not to {request.checksum[:40]}.",
            advice="The source changed, or chunks of two attempts were mixed: begin the upload again.",
            recorded=summed.checksum,
        )


def check_preconditions(current: Version | None, *, if_absent: bool, if_version: str | None) -> None:
    """Raises Refusal("precondition.failed") where the key is not as the writer requires it."""
    if if_absent and current is not None:
        raise Refusal(
            "precondition.failed",
            "The object exists already.",
            advice="Write without the condition to replace it.",
            version_id=current.version_id,
        )
    if if_version is not None and (current is None or current.version_id != if_version):
        raise Refusal(
            "precondition.failed",
            "The object is not the version that was expected.",
            advice="Read it again, and decide anew.",
            version_id=None if current is None else current.version_id,
        )


def commit(connection: Connection, request: UploadCommit, seen: Seen, version_id: str, now: int) -> Version:
    """The transaction of `upload-commit`: every write is on condition that what was seen still stands.

    Raises LostRaceError if it does not; Refusal("bucket.unknown").
    """
    upload = seen.upload
    bucket_of(connection, upload)
    if not store_uploads.mark_committed(connection, upload, version_id, now):
        raise LostRaceError
    if seen.current is not None and not store.trash_version(connection, seen.current, now):
        raise LostRaceError
    version = _version(upload, request, version_id, seen.sequence, now)
    if not store.add_version(connection, version):
        raise LostRaceError
    store.add_usage(connection, version, now, sign=1)
    return version


def bucket_of(connection: Connection, upload: Upload) -> Bucket:
    """The bucket that the upload goes to."""
    bucket = store.bucket_by_id(connection, upload.bucket_id)
    if bucket is None:
        raise Refusal("bucket.unknown", "The upload's bucket was removed.", advice="Make it again.")
    return bucket


def _version(upload: Upload, request: UploadCommit, version_id: str, sequence: int, now: int) -> Version:
    return Version(
        id=0,
        tenant=upload.tenant,
        bucket_id=upload.bucket_id,
        key=upload.key,
        version_id=version_id,
        sequence=sequence,
        stream=upload.stream,
        size=request.size,
        checksum=request.checksum,
        storage_class=upload.storage_class,
        k=upload.k,
        n=upload.n,
        repair_at=upload.repair_at,
        chunk_size=upload.chunk_size,
        chunk_count=request.chunk_count,
        envelope_mode=upload.envelope_mode,
        envelope_key_id=upload.envelope_key_id,
        envelope_wrapped=upload.envelope_wrapped,
        closing=request.closing.sealed,
        user_metadata=upload.user_metadata,
        created=now,
        state="current",
        trashed_at=None,
    )
