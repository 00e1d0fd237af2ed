"""What a version carries besides its bytes, and what a version in the making is required to meet.

Pure data, stored as MessagePack in one column: fields may be added, never given another meaning.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

Sse = Literal["", "AES256", "aws:kms", "aws:kms:dsse", "customer"]
ChecksumType = Literal["", "FULL_OBJECT", "COMPOSITE"]


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of an access control list: whom, what. Exactly one of `canonical_id` and `group` is given."""

    permission: Literal["FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP"]
    canonical_id: str = ""
    display_name: str = ""
    group: Literal["", "AllUsers", "AuthenticatedUsers", "LogDelivery"] = ""


class Acl(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who owns it (canonical id and display name), and the grants in the order given."""

    owner_id: str
    owner_name: str = ""
    grants: tuple[Grant, ...] = ()


class PartInfo(msgspec.Struct, frozen=True, array_like=True):
    """A part of a completed multipart object: its number, size and checksum in base64 (or empty)."""

    number: int
    size: int
    checksum: str = ""


class Retention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Object lock: until when (microseconds since the epoch) the version may not go, and how strictly."""

    mode: Literal["GOVERNANCE", "COMPLIANCE"]
    until: int


class Attributes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything of a version that S3 shows and that is not a column of its own.

    `headers`: content headers by lower-case name (content-type, cache-control, content-disposition,
    content-encoding without aws-chunked, content-language, expires, x-amz-website-redirect-location) as
    they were sent. `metadata`: user metadata, lower-case names without `x-amz-meta-`. `checksum_*`: as S3
    writes them: algorithm CRC32 | CRC32C | CRC64NVME | SHA1 | SHA256, base64 value (`-N` after it for a
    composite one). `parts`: empty unless made by a multipart upload. `restored_until`: of an archived
    version that can be read for a while.
    """

    storage_class: str = ""
    """S3's name for it, as it is shown; empty: STANDARD."""
    headers: dict[str, str] = {}
    metadata: dict[str, str] = {}
    metadata_lost: int = 0
    checksum_algorithm: str = ""
    checksum_value: str = ""
    checksum_type: ChecksumType = ""
    tags: dict[str, str] = {}
    acl: Acl | None = None
    sse: Sse = ""
    kms_key_id: str = ""
    kms_context: str = ""
    bucket_key: bool = False
    customer_key_md5: str = ""
    retention: Retention | None = None
    legal_hold: bool = False
    legal_hold_ended: bool = False
    """It was said that there is none: S3 then shows OFF, and no error."""
    restored_until: int = 0
    restoring: bool = False
    replication_status: str = ""
    replica_of: str = ""
    """The id of the version that replication copied it from."""
    parts: tuple[PartInfo, ...] = ()
    website_redirect: str = ""


NOTHING = Attributes()


def pack(attributes: Attributes) -> bytes:
    """As it is stored."""
    return msgspec.msgpack.encode(attributes)


def unpack(packed: bytes) -> Attributes:
    """As it was given."""
    return NOTHING if not packed else msgspec.msgpack.decode(packed, type=Attributes)


class Conditions(NamedTuple):
    """What must hold of the key's latest version when a write or delete takes effect, judged in its
    transaction.

    ETags without quotes; `*` in `if_match` asks for any object to be there. `size` and `modified` (whole
    seconds, in microseconds) are the directory-bucket forms of conditional deletes.
    """

    if_absent: bool = False
    if_match: str | None = None
    if_none_match: str | None = None
    size: int | None = None
    modified: int | None = None


ANYHOW = Conditions()
