"""The master keys that wrap every stored secret, so that a stolen database opens nothing.

Several can be held at once, by id: the current one wraps, all of them unwrap. To rotate, add a new current
one, rewrap everything (`Keys.rewrap_all`), then destroy the old one. Wrapping is AES-256-GCM with a random
96-bit nonce (NIST SP 800-38D); `context` names the place of the secret, so that a wrapped secret copied into
another row does not open.

A wrapped secret is: format version 1 (one byte), nonce (12), ciphertext with tag (length of the secret + 16).
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.world.chance import Chance
from holdfast.world.errors import Refusal, Trouble

MASTER_BYTES = 32

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Master:
    """Master keys by id; `current` names the one that wraps. Their bytes show in no repr."""

    __slots__ = ("_ciphers", "current")

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        if current not in keys or any(len(key) != MASTER_BYTES for key in keys.values()):
            raise Refusal(
                "config.invalid",
                "The master keys are not usable.",
                advice=f"Each is {MASTER_BYTES} bytes under an id of its own, and one of them is current.",
            )
        self._ciphers = {master_id: AESGCM(key) for master_id, key in keys.items()}
        self.current = current

    def wrap(self, secret: bytes, context: bytes, chance: Chance) -> bytes:
        """`secret` wrapped by the current master key, for this `context` only."""
        nonce = chance.bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._ciphers[self.current].encrypt(nonce, secret, _VERSION + context)

    def unwrap(self, master_id: str, wrapped: bytes, context: bytes) -> bytes:
        """The secret again.

        Raises:
            Trouble: "internal", not to be retried, if the master key is missing or the bytes were changed.
            Refusal: "format.newer" for a format this program does not know.
        """
        if wrapped[:1] != _VERSION:
            raise Refusal("format.newer", "A stored secret has a newer format.", advice="Upgrade Holdfast.")
        cipher = self._ciphers.get(master_id)
        if cipher is None:
            raise Trouble(
                "internal",
                f"A stored secret is wrapped with the master key '{master_id}', which is not at hand.",
                retry=False,
                advice="Add that master key to the settings again.",
            )
        nonce, sealed = wrapped[1 : 1 + _NONCE_BYTES], wrapped[1 + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, sealed, _VERSION + context)
        except (InvalidTag, ValueError) as error:
            raise Trouble(
                "internal",
                f"A stored secret does not open with the master key '{master_id}'.",
                retry=False,
                advice="The key under this id was exchanged, or the database was changed.",
            ) from error

    def __repr__(self) -> str:
        return f"Master(ids={sorted(self._ciphers)}, current={self.current!r})"
