"""How registrations and heartbeats are signed: a struct in MessagePack, sealed under a domain tag."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from holdfast.protocol.fleet import Signed, decode_as
from holdfast.protocol.signing import SigningKey, verify

REGISTER_DOMAIN = b"holdfast register 1"
HEARTBEAT_DOMAIN = b"holdfast heartbeat 1"

S = TypeVar("S", bound=msgspec.Struct)


def seal_signed(key: SigningKey, domain: bytes, said: msgspec.Struct) -> Signed:
    """`said` with the node's signature over it in `domain`."""
    payload = msgspec.msgpack.encode(said)
    return Signed(node_id=key.public, payload=payload, signature=key.sign(domain, payload))


def open_signed(signed: Signed, domain: bytes, kind: type[S]) -> S:
    """What `signed.node_id` said; raises Refusal("signature.invalid" | "request.invalid").

    Nothing is decoded before the signature is believed. That the node id inside the struct (where it has
    one) is the signer's, and that the message is fresh, is for the caller to check.
    """
    verify(signed.node_id, domain, signed.payload, signed.signature)
    opened: S = decode_as(signed.payload, kind)
    return opened
