"""A receipt: a node's signature that it durably holds a shard, made under one grant.

Commits stand on receipts: neither "never got it" nor "stored it there" can be invented. It also names the
shard roots that came with the shard, all n of them: the shard is proven by its own root among them, and the
list is what readers will be shown, so nobody can hand a node a false list and have the node blamed for it.
184 bytes, laid out in docs/formats/grant.md.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from holdfast.chunks.tree import HASH_BYTES, roots_digest
from holdfast.protocol.grants import SERIAL_BYTES, SKEW
from holdfast.protocol.messages import SHARD_ID_BYTES
from holdfast.protocol.signing import PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, verify
from holdfast.world.errors import Refusal

RECEIPT_VERSION = 2
RECEIPT_DOMAIN = b"holdfast receipt 2"

_MAGIC = b"HFre"
_STORED = 1
_LAYOUT = struct.Struct(f">4sBB{SERIAL_BYTES}s{PUBLIC_BYTES}s{SHARD_ID_BYTES}s{HASH_BYTES}sQQ")
RECEIPT_BYTES: Final = _LAYOUT.size + SIGNATURE_BYTES


class Receipt(NamedTuple):
    """What a node signed: since `time`, `size` bytes are durable under `shard_id`, beside shard roots.

    `roots` is the digest of those n roots; the bytes hash to the one of them that is the shard's.
    """

    serial: bytes
    node_id: bytes
    shard_id: bytes
    roots: bytes
    size: int
    time: int


def sign_receipt(
    node: SigningKey, *, serial: bytes, shard_id: bytes, roots: bytes, size: int, time: int
) -> bytes:
    """The receipt for a shard stored under the grant `serial`; `time` in microseconds since the epoch.

    `roots` are the n shard roots of its chunk, joined.
    """
    assert len(serial) == SERIAL_BYTES
    assert len(shard_id) == SHARD_ID_BYTES
    digest = roots_digest(roots)
    body = _LAYOUT.pack(_MAGIC, RECEIPT_VERSION, _STORED, serial, node.public, shard_id, digest, size, time)
    return body + node.sign(RECEIPT_DOMAIN, body)


def check_receipt(
    sealed: bytes,
    *,
    node_id: bytes,
    shard_id: bytes,
    roots: bytes,
    size: int,
    now: int,
    serial: bytes | None = None,
) -> Receipt:
    """Believes a receipt for exactly this shard beside these n shard roots (joined), or raises.

    `serial` may be None where the caller does not know it and takes what the node signed.

    Raises:
        Refusal: "format.invalid", "format.newer", or "signature.invalid" where the receipt is for something
            else, comes from the future, or was not signed by `node_id`.
    """
    if len(sealed) <= len(_MAGIC) or sealed[:4] != _MAGIC:
        raise Refusal("format.invalid", "These bytes are not a receipt.")
    if sealed[4] != RECEIPT_VERSION:
        raise Refusal(
            "format.newer",
            f"The receipt has format version {sealed[4]}; this program reads version {RECEIPT_VERSION}.",
            advice="Upgrade this program.",
        )
    if len(sealed) != RECEIPT_BYTES or sealed[5] != _STORED:
        raise Refusal("format.invalid", "The receipt is damaged.")
    receipt = Receipt(*_LAYOUT.unpack_from(sealed)[3:])
    expected = (
        serial if serial is not None else receipt.serial,
        node_id,
        shard_id,
        roots_digest(roots),
        size,
    )
    if receipt[:5] != expected:
        raise Refusal("signature.invalid", "The receipt is for another grant, node, shard, roots or size.")
    if receipt.time > now + SKEW:
        raise Refusal(
            "signature.invalid", "The receipt comes from the future.", advice="Set the node's clock."
        )
    verify(node_id, RECEIPT_DOMAIN, sealed[: _LAYOUT.size], sealed[_LAYOUT.size :])
    return receipt
