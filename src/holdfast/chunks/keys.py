"""Keys: the tenant's root key, the data key of each version under it, the chunk keys under that; closings.

    root key  --wraps-->  data key (random, one per version)  --HKDF with the chunk id-->  chunk key
                                                              --shuts-->  closing

Random bytes are handed in. A root key comes from a key file (`key_file`) or from a passphrase (`passphrase`);
a managed key is the same thing with mode "gateway". Byte by byte: docs/formats/key.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from blake3 import blake3

from holdfast.chunks.boxes import expand, shut, unshut
from holdfast.chunks.metadata import CHUNK_ID_BYTES, KEY_BYTES, KEY_ID_BYTES, Closing, Envelope
from holdfast.world.errors import Refusal, Trouble

Mode = Literal["client", "gateway", "customer"]
MODES: tuple[Mode, ...] = ("client", "gateway")
"""Those of keys that somebody keeps; a "customer" key comes with each request and is never stored."""

_ID_LABEL = b"holdfast key id v1"
_WRAP_LABEL = b"holdfast envelope v1"
_CHUNK_LABEL = b"holdfast chunk key v1"
_CLOSING_LABEL = b"holdfast closing"
_CLOSING_VERSION = 2
_CLOSING = struct.Struct(">BQQQ32s32s")
_IDS_TAG = b"holdfast chunk ids\0"
_NAME_TAG = b"holdfast object name\0"


class Whole(NamedTuple):
    """What a closing vouches for: under which name an object was stored, and what it is as a whole.

    `chunk_ids`: 16 bytes each, in order, joined. `checksum`: CRC-64/NVME of the plain bytes.
    """

    bucket: str
    key: str
    size: int
    chunk_ids: bytes
    checksum: int


@dataclass(frozen=True, slots=True)
class TenantKey:
    """32 random bytes that wrap data keys, known by an id that says nothing about them.

    `mode` is "client" (only the tenant holds it), "gateway" (managed) or "customer" (sent along with each
    request to a gateway). `from_passphrase` tells only which advice fits when the key does not. `key_id`: 8
    bytes derived from root and mode.
    """

    root: bytes = field(repr=False)
    mode: Mode = "client"
    from_passphrase: bool = field(default=False, compare=False)
    key_id: bytes = field(init=False, compare=False)

    def __post_init__(self) -> None:
        assert len(self.root) == KEY_BYTES, "a root key is 32 bytes"
        assert self.mode in (*MODES, "customer"), "a key is the client's, a gateway's or a customer's"
        key_id = expand(self.root, _ID_LABEL + b"\0" + self.mode.encode(), KEY_ID_BYTES)
        object.__setattr__(self, "key_id", key_id)


def new_envelope(tenant_key: TenantKey, data_key: bytes, nonce: bytes) -> Envelope:
    """The data key (32 random bytes) wrapped; `nonce` is 16 random bytes, new for each envelope."""
    assert len(data_key) == KEY_BYTES, "a data key is 32 bytes"
    key_id = tenant_key.key_id
    wrapped = shut(
        tenant_key.root,
        _WRAP_LABEL,
        nonce=nonce,
        secret=data_key,
        context=_envelope_context(tenant_key.mode, key_id),
    )
    return Envelope(mode=tenant_key.mode, key_id=key_id, wrapped=wrapped)


def open_envelope(tenant_key: TenantKey, envelope: Envelope) -> bytes:
    """The data key.

    Raises Refusal("key.unknown") where the envelope names another key, naming both; Refusal("key.wrong")
    where a passphrase gave another key, or the envelope was tampered with; Refusal("format.newer" |
    "format.invalid") for an envelope this program cannot read.
    """
    key_id = tenant_key.key_id
    if envelope.key_id != key_id:
        if envelope.mode != tenant_key.mode == "client":
            raise Refusal(
                "key.unknown",
                "The data was not sealed by its owner's own key, but by the S3 gateway.",
                advice="Read it through S3.",
            )
        raise _other_key(tenant_key, envelope.key_id)
    context = _envelope_context(envelope.mode, envelope.key_id)
    data_key = unshut(tenant_key.root, _WRAP_LABEL, box=envelope.wrapped, context=context)
    if data_key is None or len(data_key) != KEY_BYTES:
        raise Refusal(
            "key.wrong",
            f"Key {key_id.hex()} does not open the envelope that names it.",
            advice="The envelope is damaged; restore the metadata, or open the object from its manifest.",
            key_id=key_id.hex(),
        )
    return data_key


def chunk_key(data_key: bytes, chunk_id: bytes) -> bytes:
    """The AES-256 key of one chunk. A chunk sealed again has a new id, so no nonce is ever used twice."""
    assert len(chunk_id) == CHUNK_ID_BYTES, "a chunk id is 16 random bytes"
    return expand(data_key, _CHUNK_LABEL + b"\0" + chunk_id)


def close(data_key: bytes, whole: Whole, *, nonce: bytes) -> Closing:
    """Seals what the whole object is; `nonce`: 16 random bytes, new for each closing."""
    secret = _closing_text(whole)
    return Closing(sealed=shut(data_key, _CLOSING_LABEL, nonce=nonce, secret=secret, context=b""))


def check_closing(closing: Closing, whole: Whole, *, data_key: bytes) -> None:
    """Believes an object's name, size, chunks and checksum only if they are those that were sealed.

    Raises Trouble("metadata.forged") for a list of chunks that was reordered, cut, extended or exchanged, and
    for an object that was stored under another name; Refusal("format.newer" | "format.invalid").
    """
    secret = unshut(data_key, _CLOSING_LABEL, box=closing.sealed, context=b"")
    if secret == _closing_text(whole):
        return
    facts: dict[str, int] = {"size": whole.size, "chunks": len(whole.chunk_ids) // CHUNK_ID_BYTES}
    words = "Its seal does not open with the object's key."
    if secret and secret[0] > _CLOSING_VERSION:
        raise Refusal(
            "format.newer",
            f"The closing is of version {secret[0]}; this program knows up to {_CLOSING_VERSION}.",
            advice="Update Holdfast.",
        )
    if secret is not None and len(secret) == _CLOSING.size:
        _, sealed_size, sealed_count, _, _, name = _CLOSING.unpack(secret)
        facts |= {"sealed_size": sealed_size, "sealed_chunks": sealed_count}
        words = f"It was sealed with {sealed_size} bytes in {sealed_count} chunks, in a certain order."
        if name != _name_digest(whole):
            words = f"It was not stored as '{whole.key[:200]}' in the bucket '{whole.bucket}'."
    raise Trouble(
        "metadata.forged",
        f"What the coordinator says of this object is not what was sealed. {words}",
        retry=False,
        advice="Do not trust this copy of the object; tell the operator, or open it from its manifest.",
        **facts,
    )


def _closing_text(whole: Whole) -> bytes:
    count, rest = divmod(len(whole.chunk_ids), CHUNK_ID_BYTES)
    assert not rest, "chunk ids are 16 bytes each"
    ids = blake3(_IDS_TAG + whole.chunk_ids).digest()
    return _CLOSING.pack(_CLOSING_VERSION, whole.size, count, whole.checksum, ids, _name_digest(whole))


def _name_digest(whole: Whole) -> bytes:
    # Neither bucket nor key can hold the character that parts them.
    return blake3(_NAME_TAG + whole.bucket.encode() + b"\0" + whole.key.encode()).digest()


def _envelope_context(mode: str, key_id: bytes) -> bytes:
    return mode.encode() + b"\0" + key_id


def _other_key(tenant_key: TenantKey, wanted: bytes) -> Refusal:
    mine = tenant_key.key_id.hex()
    if tenant_key.from_passphrase:
        return Refusal(
            "key.wrong",
            f"The passphrase gives key {mine}, but the data was sealed with key {wanted.hex()}.",
            advice="Check the passphrase and the tenant id.",
            key_id=mine,
            wanted=wanted.hex(),
        )
    return Refusal(
        "key.unknown",
        f"The data was sealed with key {wanted.hex()}; the key at hand is {mine}.",
        advice="Choose the key file with that id.",
        key_id=mine,
        wanted=wanted.hex(),
    )
