"""Small objects: sealed by themselves, whole, in memory. Byte by byte: docs/formats/small.md.

    sealed = version (1 byte, 1), AES-256-GCM of the plain bytes under the object's own data key, tag

The data key is drawn for this object and encrypts nothing else, so the GCM nonce is zero. Tenant, bucket and
key are bound as associated data: bytes moved under another name do not open.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.world.disk import Buffer
from holdfast.world.errors import Refusal, Trouble

SMALL_BYTES_MAX = 64 << 10
SMALL_VERSION = 1
OVERHEAD_BYTES = 17
_HEAD = bytes([SMALL_VERSION])
_TAG_BYTES = 16
_ZERO_NONCE = bytes(12)
_LABEL = b"holdfast small v1\0"


def name_of(bucket: str, key: str) -> str:
    """Under which name something is sealed. Neither bucket nor key can hold the character NUL."""
    return f"{bucket}/{key}"


def seal(plain: Buffer, data_key: bytes, tenant: str, name: str) -> bytes:
    """The sealed bytes: OVERHEAD_BYTES longer; `data_key` is random and used this once."""
    return _HEAD + AESGCM(data_key).encrypt(_ZERO_NONCE, plain, _context(tenant, name))


def unseal(sealed: Buffer, data_key: bytes, tenant: str, name: str) -> bytes:
    """The plain bytes.

    Raises Trouble("metadata.forged") if they are not those that were sealed under this name, Refusal
    ("format.newer" | "format.invalid").
    """
    view = memoryview(sealed)
    if len(view) < OVERHEAD_BYTES or view[0] == 0:
        raise Refusal("format.invalid", "A sealed small object is damaged.", advice="Restore the metadata.")
    if view[0] > SMALL_VERSION:
        raise Refusal(
            "format.newer",
            f"A small object is of version {view[0]}; this program knows up to {SMALL_VERSION}.",
            advice="Update Holdfast.",
        )
    try:
        return AESGCM(data_key).decrypt(_ZERO_NONCE, view[1:], _context(tenant, name))
    except InvalidTag:
        raise Trouble(
            "metadata.forged",
            "A small object does not open under its name and key: it is not what was sealed.",
            retry=False,
            advice="Do not trust this copy of the object; tell the operator.",
        ) from None


def _context(tenant: str, name: str) -> bytes:
    return _LABEL + tenant.encode() + b"\0" + name.encode()
