"""Small secrets sealed under a key: one format for wrapped data keys and closings.

    box = version (1 byte, 1), nonce (16 random bytes), AES-256-GCM ciphertext and its 16-byte tag

The GCM key is HKDF-Expand-SHA256(key, label, 0, nonce), the GCM nonce 12 zero bytes. With a key of its own
for each box, 16 random bytes may be drawn without counting: GCM's own 12 would not be enough for a key that
wraps billions of times.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from holdfast.chunks.metadata import KEY_BYTES, NONCE_BYTES
from holdfast.world.errors import Refusal

BOX_VERSION = 1
_TAG_BYTES = 16
_HEAD_BYTES = 1 + NONCE_BYTES
_ZERO_NONCE = bytes(12)


def expand(key: bytes, label: bytes, length: int = KEY_BYTES) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869); `key` is already uniformly random, so it needs no extraction."""
    assert len(key) == KEY_BYTES, "a key is 32 bytes"
    if length <= KEY_BYTES:
        # One round of it is one HMAC; asked for with every small object, so without the object around it.
        return hmac.digest(key, label + b"\x01", "sha256")[:length]
    return HKDFExpand(algorithm=SHA256(), length=length, info=label).derive(key)


def shut(key: bytes, label: bytes, *, nonce: bytes, secret: bytes, context: bytes) -> bytes:
    """The box around `secret`, bound to `context`; `nonce` is 16 bytes of chance, never used twice."""
    assert len(nonce) == NONCE_BYTES, "a box's nonce is 16 random bytes"
    cipher = AESGCM(expand(key, label + b"\0" + nonce))
    head = bytes([BOX_VERSION]) + nonce
    return head + cipher.encrypt(_ZERO_NONCE, secret, head + context)


def unshut(key: bytes, label: bytes, *, box: bytes, context: bytes) -> bytes | None:
    """The secret, or None if key, label, context or a byte of the box is not the one it was shut with.

    Raises Refusal("format.newer" | "format.invalid").
    """
    if len(box) < _HEAD_BYTES + _TAG_BYTES or box[0] == 0:
        raise Refusal(
            "format.invalid",
            "A sealed key or closing is damaged.",
            advice="Restore the metadata, or open the object from its manifest.",
        )
    if box[0] > BOX_VERSION:
        raise Refusal(
            "format.newer",
            f"A sealed key or closing is of version {box[0]}; this program knows up to {BOX_VERSION}.",
            advice="Update Holdfast.",
        )
    head, sealed = box[:_HEAD_BYTES], box[_HEAD_BYTES:]
    cipher = AESGCM(expand(key, label + b"\0" + head[1:]))
    try:
        return cipher.decrypt(_ZERO_NONCE, sealed, head + context)
    except InvalidTag:
        return None
