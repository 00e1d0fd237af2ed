"""Ed25519 signatures (RFC 8032) that can never be taken for one another.

What is signed is always `domain + NUL + payload`: the domain tag names the format and its version, so that a
signature made for one purpose is worthless for any other. Free text is never signed.
"""

from __future__ import annotations

import hashlib

from nacl import bindings
from nacl.exceptions import BadSignatureError

from holdfast.world.errors import Refusal

SEED_BYTES = 32
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
KEY_ID_BYTES = 8


class SigningKey:
    """A private key, made from a 32-byte seed; `public` is its 32-byte public half. Never shown in a repr."""

    __slots__ = ("_secret", "_seed", "public")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES, "an Ed25519 seed is 32 bytes"
        self.public, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self._seed = seed

    @property
    def seed(self) -> bytes:
        """The 32 bytes that make this key again: only for keeping it on disk, or in a certificate's key."""
        return self._seed

    def sign(self, domain: bytes, payload: bytes) -> bytes:
        """The 64-byte signature over `payload` in `domain`."""
        signed: bytes = bindings.crypto_sign(_framed(domain, payload), self._secret)
        return signed[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"


def verify(public: bytes, domain: bytes, payload: bytes, signature: bytes) -> None:
    """Raises Refusal("signature.invalid") unless `public` signed `payload` in `domain`."""
    # libsodium reads 32 and 64 bytes whatever it is handed, so lengths are checked here.
    if len(public) == PUBLIC_BYTES and len(signature) == SIGNATURE_BYTES:
        try:
            bindings.crypto_sign_open(signature + _framed(domain, payload), public)
        except BadSignatureError:
            pass
        else:
            return
    raise Refusal(
        "signature.invalid", f"The signature over a '{domain.decode('ascii')}' does not match its key."
    )


def key_id(public: bytes) -> bytes:
    """Eight bytes that name a public key where 32 would be too many: the head of its SHA-256."""
    return hashlib.sha256(public).digest()[:KEY_ID_BYTES]


def _framed(domain: bytes, payload: bytes) -> bytes:
    assert domain, "every signature starts with a domain tag"
    assert 0 not in domain, "NUL ends the domain tag"
    return domain + b"\0" + payload
