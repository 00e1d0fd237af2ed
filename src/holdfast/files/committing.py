"""Making an upload a version, or a part of a multipart upload: whole, in one transaction, once.

The law: of writers of one key the last to commit wins with its whole object; what becomes of the version
before it is for the bucket's versioning. Preconditions are judged in that same transaction, so of many that
require the key to be absent one wins. What is long (adding up a huge object's chunks) is read beforehand; the
transaction only has to see that the upload's set of chunks is still the one that was added up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.chunks import checksum
from holdfast.files import assembling, history
from holdfast.files.attributes import ANYHOW, NOTHING, Conditions
from holdfast.files.recording import known_upload, unknown_upload
from holdfast.files.records import Bucket, Content, Multipart, NewPart, NewVersion, Part, Version
from holdfast.files.stores import store_chunks, store_multiparts, store_uploads, store_versions
from holdfast.files.stores.store_chunks import PlainSum
from holdfast.files.stores.store_uploads import Upload
from holdfast.files.stores.store_versions import Looked
from holdfast.files.writing import LostRaceError, check_bucket, gone_bucket, put
from holdfast.protocol.control import UploadCommit
from holdfast.world.errors import Refusal

CREATED = "s3:ObjectCreated:Put"
_PART = "part/"
"""What the note of an upload begins with that became a part."""


class Total(NamedTuple):
    """What an upload's recorded chunks add up to."""

    size: int
    chunk_count: int
    checksum: str
    missing: int | None
    """The first chunk number that is not recorded though a later one is."""
    short: int | None
    """The first chunk, but for the last, that is not `chunk_size` long."""


class NativeEnding(NamedTuple):
    """The upload becomes the current version of its key, on the conditions it was begun with."""


class VersionEnding(NamedTuple):
    """The upload becomes this version; its content is the upload's."""

    new: NewVersion
    conditions: Conditions


class PartEnding(NamedTuple):
    """The upload becomes a part of a multipart upload; its content is the upload's."""

    multipart: Multipart
    part: NewPart


Ending = NativeEnding | VersionEnding | PartEnding
NATIVE = NativeEnding()
NOTHING_YET = Content(0, "", "", 0, 0, 0, 0, 0, "", b"", b"", b"")
"""In the place of the content of a version or part that an upload is going to fill."""


class Seen(NamedTuple):
    """An upload and the key it goes to, on one snapshot. `done`: what it became before."""

    upload: Upload
    bucket: Bucket
    looked: Looked
    sums: list[PlainSum]
    done: Version | Part | None


def see(connection: Connection, tenant: str, upload_id: str) -> Seen:
    """Reads all that a commit depends on; raises Refusal("upload.unknown" | "bucket.unknown")."""
    upload = known_upload(connection, tenant, upload_id)
    looked = store_versions.look(connection, upload.bucket_id, upload.key)
    if looked is None:
        raise gone_bucket()
    if upload.state == "committed":
        done = _become(connection, upload)
        if done is None:
            raise unknown_upload(upload_id)
        return Seen(upload, looked.bucket, looked, [], done)
    sums = store_chunks.plain_sums(connection, upload.stream)
    return Seen(upload, looked.bucket, looked, sums, None)


def _become(connection: Connection, upload: Upload) -> Version | Part | None:
    """What a committed upload has become, if that is still there."""
    assert upload.version_id is not None, "a committed upload says what it became"
    if upload.version_id.startswith(_PART):
        _, multipart, number = upload.version_id.split("/")
        part = store_multiparts.part_numbered(connection, int(multipart), int(number))
        return part if part is not None and part.stream == upload.stream else None
    return store_versions.version_by_id(connection, upload.bucket_id, upload.version_id)


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


def check_preconditions(looked: Looked, *, if_absent: bool, if_version: str | None) -> None:
    """Raises Refusal("precondition.failed") where the key is not as the writer requires it."""
    current = history.visible(looked.latest)
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


def check_ending(seen: Seen, ending: Ending) -> None:
    """What can be told before the transaction: raises Refusal("precondition.failed" | "object.unknown")."""
    if isinstance(ending, NativeEnding):
        upload = seen.upload
        check_preconditions(seen.looked, if_absent=upload.if_absent, if_version=upload.if_version)
    elif isinstance(ending, VersionEnding):
        history.check(ending.conditions, history.visible(seen.looked.latest))


def commit(
    connection: Connection, request: UploadCommit, seen: Seen, ending: Ending, version_id: str, now: int
) -> Version | Part:
    """The transaction of `upload-commit`: every write is on condition that what was seen still stands.

    Raises:
        LostRaceError: it does not.
        Refusal: "bucket.unknown", "precondition.failed", "multipart.unknown".
    """
    upload, content = seen.upload, content_of(seen.upload, request)
    became = version_id
    if isinstance(ending, PartEnding):
        became = f"{_PART}{ending.multipart.id}/{ending.part.number}"
    if not store_uploads.mark_committed(connection, upload, became, now):
        raise LostRaceError
    if isinstance(ending, PartEnding):
        part = ending.part._replace(content=content)
        return assembling.put_part(connection, ending.multipart, part, now)
    check_bucket(connection, seen.looked)
    check_ending(seen, ending)
    if isinstance(ending, VersionEnding):
        new, conditions = ending.new._replace(content=content, version_id=version_id), ending.conditions
    else:
        new, conditions = _native(upload, content, version_id), ANYHOW
    return put(connection, seen.looked, upload.key, new, conditions, now)


def _native(upload: Upload, content: Content, version_id: str) -> NewVersion:
    return NewVersion(
        content, NOTHING, event=CREATED, user_metadata=upload.user_metadata, version_id=version_id
    )


def content_of(upload: Upload, request: UploadCommit) -> Content:
    """What an upload's stream holds, as whatever it becomes has it."""
    return Content(
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
        stream=upload.stream,
    )
