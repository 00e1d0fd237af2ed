"""The rows of this room as everybody reads them: plain tuples, no SQL.

Keys are bytes (UTF-8), times microseconds since the epoch, ids of rows numbers of the database. What a
version shows besides its bytes is decoded when it is asked for (`parsed`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from holdfast.chunks import checksum as checksums
from holdfast.files import attributes as attributes_of_versions
from holdfast.files import bucket_settings
from holdfast.files.attributes import NOTHING, Attributes
from holdfast.files.bucket_settings import BucketSettings
from holdfast.protocol.nouns import Envelope, RedundancyInfo

if TYPE_CHECKING:
    from sqlalchemy import Connection

NULL = "null"
"""What S3 calls a version that was written while versioning was off or suspended."""

Versioning = Literal["off", "on", "suspended"]

_settings = lru_cache(maxsize=4096)(bucket_settings.unpack)


class Bucket(NamedTuple):
    """A row of `buckets`. `revision` grows with every change of it."""

    id: int
    tenant: str
    name: str
    storage_class: str
    versioning: str
    created: int
    settings: bytes = b""
    revision: int = 0

    @property
    def parsed(self) -> BucketSettings:
        """Its settings; decoded once for all rows with the same."""
        return _settings(self.settings)


class Content(NamedTuple):
    """Where bytes lie and how they are opened: the columns that versions, pieces and parts share.

    `stream` names the chunks that hold them, `small` a row of packed small ones; both are None where there
    are none, or where they lie in the pieces of a version. `sealed_as` is the "bucket/key" that the closing
    names where it is not the one it is stored under.
    """

    size: int
    checksum: str
    storage_class: str
    k: int
    n: int
    repair_at: int
    chunk_size: int
    chunk_count: int
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    closing: bytes
    stream: int | None = None
    small: int | None = None
    sealed_as: str = ""

    @property
    def redundancy(self) -> RedundancyInfo:
        """`k of n, repair at r`."""
        return RedundancyInfo(k=self.k, n=self.n, repair_at=self.repair_at)

    @property
    def envelope(self) -> Envelope:
        """The wrapped data key."""
        return Envelope(mode=self.envelope_mode, key_id=self.envelope_key_id, wrapped=self.envelope_wrapped)


class Version(NamedTuple):
    """A row of `versions`: an object as it was at some time, or a delete marker.

    `state`: `current` (what a plain read finds), `marker` (a delete marker that hides the key),
    `noncurrent` (superseded at `superseded`; a marker may be that too), `trashed`. Of a key at most one is
    current or marker, and that is the one with the highest `sequence` but for trashed ones. `modified` is
    what S3 shows as its time: like `created`, but for changes of attributes that S3 counts as a new
    writing.
    """

    id: int
    tenant: str
    bucket_id: int
    key: bytes
    version_id: str
    sequence: int
    size: int
    checksum: str
    storage_class: str
    k: int
    n: int
    repair_at: int
    chunk_size: int
    chunk_count: int
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    closing: bytes
    stream: int | None
    small: int | None
    sealed_as: str
    part_count: int
    user_metadata: bytes
    etag: str
    attributes: bytes
    created: int
    modified: int
    state: str
    superseded: int | None
    trashed_at: int | None
    is_null: bool
    marker: bool

    @property
    def content(self) -> Content:
        """Where its bytes lie."""
        return Content._make(self[_CONTENT_FIRST:_CONTENT_END])

    @property
    def redundancy(self) -> RedundancyInfo:
        """`k of n, repair at r`."""
        return RedundancyInfo(k=self.k, n=self.n, repair_at=self.repair_at)

    @property
    def envelope(self) -> Envelope:
        """The wrapped data key."""
        return Envelope(mode=self.envelope_mode, key_id=self.envelope_key_id, wrapped=self.envelope_wrapped)

    @property
    def name(self) -> str:
        """The key as text."""
        return self.key.decode()

    @property
    def s3_version_id(self) -> str:
        """The version id as S3 shows it."""
        return NULL if self.is_null else self.version_id

    @property
    def parsed(self) -> Attributes:
        """What S3 shows of it; for what a native client wrote, its metadata and its checksum."""
        if self.attributes:
            return attributes_of_versions.unpack(self.attributes)
        return NOTHING if self.marker else native_attributes(self.user_metadata, self.checksum)


_CONTENT_FIRST = Version._fields.index("size")
_CONTENT_END = _CONTENT_FIRST + len(Content._fields)
assert Version._fields[_CONTENT_FIRST:_CONTENT_END] == Content._fields, (
    "a version's columns hold a content's side by side, in the same order"
)


def native_attributes(user_metadata: bytes, checksum: str) -> Attributes:
    """What S3 shows of a version that was not written through S3."""
    words = unpack_metadata(user_metadata) if user_metadata else {}
    value = checksums.parse(checksum).to_bytes(8, "big") if checksum else b""
    return Attributes(
        metadata={name.lower(): value for name, value in words.items()},
        checksum_algorithm="CRC64NVME" if value else "",
        checksum_value=b64encode(value).decode(),
        checksum_type="FULL_OBJECT" if value else "",
    )


class Listed(NamedTuple):
    """What listings show of a version: the columns of `Version` that they need, under the same names."""

    key: bytes
    version_id: str
    sequence: int
    size: int
    checksum: str
    storage_class: str
    etag: str
    attributes: bytes
    user_metadata: bytes
    created: int
    modified: int
    state: str
    superseded: int | None
    is_null: bool
    marker: bool

    @property
    def name(self) -> str:
        """The key as text."""
        return self.key.decode()

    @property
    def s3_version_id(self) -> str:
        """The version id as S3 shows it."""
        return NULL if self.is_null else self.version_id

    @property
    def latest(self) -> bool:
        """Whether a plain read of the key comes upon it."""
        return self.state != "noncurrent"

    @property
    def parsed(self) -> Attributes:
        """What S3 shows of it."""
        if self.attributes:
            return attributes_of_versions.unpack(self.attributes)
        return NOTHING if self.marker else native_attributes(self.user_metadata, self.checksum)


class Piece(NamedTuple):
    """A row of `version_parts`: one of the parts that a version's bytes lie in, one after another."""

    version: int
    number: int
    offset: int
    etag: str
    checksum_value: str
    size: int
    checksum: str
    storage_class: str
    k: int
    n: int
    repair_at: int
    chunk_size: int
    chunk_count: int
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    closing: bytes
    stream: int | None
    small: int | None
    sealed_as: str

    @property
    def content(self) -> Content:
        """Where its bytes lie."""
        return Content._make(self[5:])

    @property
    def redundancy(self) -> RedundancyInfo:
        """`k of n, repair at r`."""
        return RedundancyInfo(k=self.k, n=self.n, repair_at=self.repair_at)

    @property
    def envelope(self) -> Envelope:
        """The wrapped data key."""
        return Envelope(mode=self.envelope_mode, key_id=self.envelope_key_id, wrapped=self.envelope_wrapped)


class Multipart(NamedTuple):
    """A row of `multiparts`: a multipart upload. `state`: open | completed, then with what it became.

    `initiator` is a canonical id. `finished` is when it was completed: it is still answered for a while.
    """

    id: int
    upload_id: str
    tenant: str
    bucket_id: int
    key: bytes
    storage_class: str
    attributes: bytes
    initiator: str
    initiator_name: str
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    created: int
    state: str
    version_id: str | None
    finished: int | None

    @property
    def envelope(self) -> Envelope:
        """The wrapped data key of parts that have none of their own."""
        return Envelope(mode=self.envelope_mode, key_id=self.envelope_key_id, wrapped=self.envelope_wrapped)

    @property
    def name(self) -> str:
        """The key as text."""
        return self.key.decode()

    @property
    def parsed(self) -> Attributes:
        """What the object is going to show."""
        return attributes_of_versions.unpack(self.attributes)


class Part(NamedTuple):
    """A row of `multipart_parts`: an uploaded part of a multipart upload."""

    multipart: int
    number: int
    etag: str
    checksum_value: str
    modified: int
    size: int
    checksum: str
    storage_class: str
    k: int
    n: int
    repair_at: int
    chunk_size: int
    chunk_count: int
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    closing: bytes
    stream: int | None
    small: int | None
    sealed_as: str

    @property
    def content(self) -> Content:
        """Where its bytes lie."""
        return Content._make(self[5:])


assert Piece._fields[5:] == Part._fields[5:] == Content._fields, "parts are moved into pieces as they are"


class NewVersion(NamedTuple):
    """A version in the making.

    `keep` stores its bytes in the transaction that adds it and returns the row of `smalls` that holds them;
    `copied_from` is the number of the version whose stream, small or pieces it shares: if that is gone
    meanwhile nothing is added. `event` is S3's name of what happened, `who` did it. An empty `version_id` is
    drawn, an `etag` of "" becomes one that no client takes for a digest.
    """

    content: Content
    attributes: Attributes
    etag: str = ""
    event: str = ""
    who: Mapping[str, str] = {}
    keep: Callable[[Connection], int] | None = None
    pieces: Sequence[Piece] = ()
    copied_from: int | None = None
    version_id: str = ""
    user_metadata: bytes = b""
    """Packed, of a version that was not written through S3; its attributes are derived from it then."""


class NewPart(NamedTuple):
    """A part in the making; `keep` and `copied_from` as in `NewVersion`."""

    number: int
    etag: str
    content: Content
    checksum_value: str = ""
    keep: Callable[[Connection], int] | None = None
    copied_from: int | None = None


class Deleted(NamedTuple):
    """What a delete did.

    `version_id` is what S3 names (None: the bucket was never versioned), `marker` whether that is a delete
    marker, made or removed; `removed` whether anything came or went at all.
    """

    version_id: str | None
    marker: bool
    removed: bool = True


class KeyPage(NamedTuple):
    """A page of keys; `after` is how to go on, None at the end."""

    rows: list[Listed]
    prefixes: list[str]
    after: str | None


class VersionPage(NamedTuple):
    """A page of versions; it goes on after (`next_key`, `next_version`), both None at the end.

    `next_version` is None where the page ended with a common prefix, or with all versions of a key.
    """

    rows: list[Listed]
    prefixes: list[str]
    next_key: str | None
    next_version: str | None


class MultipartPage(NamedTuple):
    """A page of multipart uploads; it goes on after (`next_key`, `next_upload`), None at the end."""

    rows: list[Multipart]
    prefixes: list[str]
    next_key: str | None
    next_upload: str | None


def pack_metadata(words: dict[str, str]) -> bytes:
    """User metadata as it is stored."""
    return msgspec.json.encode(words, order="sorted")


def unpack_metadata(packed: bytes) -> dict[str, str]:
    """User metadata as it was given."""
    return msgspec.json.decode(packed, type=dict[str, str])
