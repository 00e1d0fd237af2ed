"""How registrations, heartbeats and welcomes are signed: MessagePack, sealed under a domain tag."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from holdfast.protocol.fleet import FLEET_VERSION, Signed, SignedWelcome, Welcome, decode_as
from holdfast.protocol.signing import PUBLIC_BYTES, SigningKey, verify
from holdfast.world.errors import Refusal

REGISTER_DOMAIN = b"holdfast register 1"
HEARTBEAT_DOMAIN = b"holdfast heartbeat 1"
WELCOME_DOMAIN = b"holdfast welcome 1"
ISSUERS_MAX = 16

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


def seal_welcome(issuer: SigningKey, welcome: Welcome) -> SignedWelcome:
    """`welcome` with the issuer's signature over it."""
    payload = msgspec.msgpack.encode(welcome)
    return SignedWelcome(
        issuer=issuer.public, payload=payload, signature=issuer.sign(WELCOME_DOMAIN, payload)
    )


def open_welcome(
    sealed: SignedWelcome, *, believed: Callable[[bytes], bool], node_id: bytes, sequence: int
) -> Welcome:
    """What the coordinator answered this node's message number `sequence`.

    Args:
        sealed: as it came; nothing is decoded before the signature is believed.
        believed: whether an issuer's public key is one that this node has a reason to believe.
        node_id: this node.
        sequence: of the message that it answers.

    Raises:
        Refusal: "signature.invalid" for an issuer not believed, a wrong signature, or an answer to another
            message; "format.newer"; "request.invalid".
    """
    if not believed(sealed.issuer):
        raise Refusal(
            "signature.invalid",
            "The answer was signed by somebody this node has no reason to believe.",
            advice="Check the endpoint's URL, and who is in between. If the coordinator's issuer key was "
            "exchanged while this node was away, register it again: holdfast node init with a new token.",
        )
    verify(sealed.issuer, WELCOME_DOMAIN, sealed.payload, sealed.signature)
    welcome: Welcome = decode_as(sealed.payload, Welcome)
    if welcome.version > FLEET_VERSION:
        raise Refusal(
            "format.newer",
            f"The coordinator answers in version {welcome.version}; this program reads {FLEET_VERSION}.",
            advice="Upgrade this node.",
        )
    if (welcome.node_id, welcome.sequence) != (node_id, sequence):
        raise Refusal(
            "signature.invalid", "The answer belongs to another message: it was recorded, or is late."
        )
    keys = welcome.issuer_keys
    if not 1 <= len(keys) <= ISSUERS_MAX or any(len(public) != PUBLIC_BYTES for public in keys):
        raise Refusal("request.invalid", f"A coordinator has 1 to {ISSUERS_MAX} issuer keys.")
    return welcome
