"""Multipart uploads inside their transactions: opened, given parts, completed, aborted.

The law: a part belongs to its upload until the upload is completed; then those chosen become the pieces of a
version, in one statement, and the others go. A completed upload is still known for a while: completing it
again answers the same version.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from holdfast.chunks import checksum
from holdfast.files import writing
from holdfast.files.attributes import Conditions
from holdfast.files.records import Content, Multipart, NewPart, NewVersion, Part, Version
from holdfast.files.stores import store_buckets, store_multiparts, store_references, store_versions
from holdfast.files.stores.store_multiparts import Stamp
from holdfast.files.stores.store_versions import Looked
from holdfast.files.writing import LostRaceError
from holdfast.world.errors import Refusal


def unknown_multipart(upload_id: str) -> Refusal:
    """The same words for an upload that never was and one that is over."""
    return Refusal(
        "multipart.unknown",
        "There is no such multipart upload.",
        advice="It was completed or aborted: begin a new one.",
        upload=upload_id[:80],
    )


def known_multipart(connection: Connection, bucket_id: int, key: bytes, upload_id: str) -> Multipart:
    """The upload, open or completed; raises Refusal("multipart.unknown"), also for another key's."""
    multipart = store_multiparts.multipart_by_id(connection, upload_id)
    if multipart is None or (multipart.bucket_id, multipart.key) != (bucket_id, key):
        raise unknown_multipart(upload_id)
    return multipart


def open_upload(connection: Connection, multipart: Multipart) -> Multipart:
    """Adds the upload; raises Refusal("bucket.unknown")."""
    if store_buckets.bucket_by_id(connection, multipart.bucket_id) is None:
        raise writing.gone_bucket()
    opened = store_multiparts.add_multipart(connection, multipart)
    assert opened is not None, "its id was drawn at random"
    return opened


def completed(connection: Connection, multipart: Multipart) -> Version | None:
    """What the upload has become; None while it is open.

    Raises Refusal("multipart.unknown") for one that is gone, or whose version is.
    """
    known = store_multiparts.multipart_by_id(connection, multipart.upload_id)
    if known is None:
        raise unknown_multipart(multipart.upload_id)
    if known.version_id is None:
        return None
    version = store_versions.version_by_id(connection, known.bucket_id, known.version_id)
    if version is None:
        raise unknown_multipart(multipart.upload_id)
    return version


def put_part(connection: Connection, multipart: Multipart, new: NewPart, now: int) -> Part:
    """Adds the part, or puts it in the place of the one with its number, whose bytes are freed.

    Raises:
        Refusal: "multipart.unknown"; "object.unknown" if what it was to share bytes with is gone.
    """
    if not store_multiparts.is_open(connection, multipart.id):
        raise unknown_multipart(multipart.upload_id)
    if new.copied_from is not None:
        writing.check_source(connection, new.copied_from, [new.content.stream])
    content = new.content
    if new.keep is not None:
        content = content._replace(small=new.keep(connection))
    part = Part(multipart.id, new.number, new.etag, new.checksum_value, now, *content)
    # Nothing is read before it is known to be there: most parts are new, and their insertion says so.
    if store_multiparts.add_part(connection, part):
        return part
    before = store_multiparts.take_part(connection, multipart.id, new.number)
    if before is None or not store_multiparts.add_part(connection, part):
        raise LostRaceError
    store_references.release(connection, [before[0]], [before[1]], now)
    return part


def complete(
    connection: Connection,
    looked: Looked,
    multipart: Multipart,
    chosen: Sequence[Part],
    new: NewVersion,
    conditions: Conditions,
    now: int,
) -> Version:
    """Makes a version of the chosen parts.

    Raises:
        LostRaceError: the upload or the key has changed since they were seen.
        Refusal: "precondition.failed", "object.unknown" (an ETag required of nothing), "part.unknown".
    """
    if not store_multiparts.finish(connection, multipart.id, new.version_id, now):
        raise LostRaceError
    _drop_others(connection, multipart, chosen, now)
    version = writing.put(connection, looked, multipart.key, new, conditions, now, part_count=len(chosen))
    store_multiparts.assemble(connection, multipart.id, version.id)
    return version


def _drop_others(connection: Connection, multipart: Multipart, chosen: Sequence[Part], now: int) -> None:
    """Removes the parts that were not chosen; those that were must still be the ones that were seen."""
    held = {stamp.number: stamp for stamp in store_multiparts.stamps_of(connection, multipart.id)}
    for part in chosen:
        seen = Stamp(part.number, part.etag, part.modified, part.stream, part.small)
        if held.pop(part.number, None) != seen:
            raise Refusal(
                "part.unknown",
                f"Part {part.number} is not the one that was to be used.",
                advice="List the parts, and decide anew.",
                number=part.number,
            )
    left = store_multiparts.take_these(connection, multipart.id, sorted(held))
    store_references.release(connection, [stream for stream, _ in left], [small for _, small in left], now)


def abort(connection: Connection, multipart: Multipart, now: int) -> None:
    """Gives up an open upload and its parts; raises Refusal("multipart.unknown")."""
    if not store_multiparts.abort(connection, multipart.id):
        raise unknown_multipart(multipart.upload_id)
    _free_parts(connection, multipart.id, now)


def abort_all(connection: Connection, bucket_id: int, now: int) -> None:
    """Gives up all open uploads of a bucket that is going."""
    for number in store_multiparts.open_of_bucket(connection, bucket_id):
        store_multiparts.abort(connection, number)
        _free_parts(connection, number, now)


def _free_parts(connection: Connection, multipart: int, now: int) -> None:
    left = store_multiparts.take_all(connection, multipart)
    store_references.release(connection, [stream for stream, _ in left], [small for _, small in left], now)


def whole(chosen: Sequence[Part], multipart: Multipart) -> Content:
    """The content of the version that parts make together: theirs, added up."""
    first, crc = chosen[0].content, 0
    for part in chosen:
        crc = checksum.combine(crc, checksum.parse(part.checksum), part.size)
    return first._replace(
        size=sum(part.size for part in chosen),
        checksum=checksum.text(crc),
        storage_class=multipart.storage_class,
        chunk_count=sum(part.chunk_count for part in chosen),
        envelope_mode=multipart.envelope_mode,
        envelope_key_id=multipart.envelope_key_id,
        envelope_wrapped=multipart.envelope_wrapped,
        closing=b"",
        stream=None,
        small=None,
        sealed_as="",
    )
