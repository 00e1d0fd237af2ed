"""Passphrases into keys, by Argon2id (RFC 9106), dear on purpose: each guess costs what we pay once."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from blake3 import blake3
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from holdfast.chunks.keys import TenantKey
from holdfast.chunks.metadata import KEY_BYTES
from holdfast.world.errors import Refusal

SALT_BYTES = 16
_TENANT_SALT_TAG = b"holdfast passphrase key v1\0"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one derivation takes: memory in KiB, passes over it, lanes side by side."""

    memory_kib: int
    passes: int
    lanes: int


# Twice the memory of RFC 9106's second choice, and still small beside a transfer's buffers. Keys derived from
# a passphrase alone are bound to it for good: another cost is another key.
COST = Cost(memory_kib=131_072, passes=3, lanes=4)
COST_MAX = Cost(memory_kib=2_097_152, passes=64, lanes=64)
"""A key file that asks for more is refused: it could stop the machine that reads it."""


def stretch(passphrase: str, salt: bytes, cost: Cost = COST) -> bytes:
    """32 bytes from the passphrase's NFC form in UTF-8; raises Refusal("config.invalid") if it is empty."""
    if not passphrase:
        raise Refusal(
            "config.invalid", "The passphrase is empty.", advice="Choose one that is hard to guess."
        )
    secret = unicodedata.normalize("NFC", passphrase).encode()
    derivation = Argon2id(
        salt=salt, length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
    )
    return derivation.derive(secret)


def tenant_key(passphrase: str, tenant_id: str) -> TenantKey:
    """The client key that follows from passphrase and tenant id alone: nothing needs to be kept.

    Takes about a third of a second and 128 MiB. A wrong passphrase gives another key, not an error here.
    """
    salt = blake3(_TENANT_SALT_TAG + tenant_id.encode()).digest(SALT_BYTES)
    return TenantKey(stretch(passphrase, salt), from_passphrase=True)
