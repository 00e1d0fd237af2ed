"""The text of an invitation: `hf1-` and base32 of a secret and of the coordinator's fingerprint.

The secret (20 bytes) lets one node join, once. The fingerprint (the first 10 bytes of the SHA-256 of the
issuer's public key) lets the node tell that the coordinator it reached is the one that made the invitation,
whatever stood in between. Base32 is RFC 4648, written in lower case without padding, read in any case.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final, NamedTuple

from holdfast.world.errors import Refusal

HEAD: Final = "hf1-"
SECRET_BYTES: Final = 20
FINGERPRINT_BYTES: Final = 10


class InvitationText(NamedTuple):
    """What an invitation says."""

    secret: bytes
    fingerprint: bytes

    def made_by(self, issuer: bytes) -> bool:
        """Whether the holder of this public issuer key made the invitation."""
        return hmac.compare_digest(self.fingerprint, fingerprint(issuer))

    def __repr__(self) -> str:
        return f"InvitationText(fingerprint={self.fingerprint.hex()})"


def fingerprint(issuer: bytes) -> bytes:
    """Ten bytes that name an issuer's public key."""
    return hashlib.sha256(issuer).digest()[:FINGERPRINT_BYTES]


def write_invitation(secret: bytes, issuer: bytes) -> str:
    """The text of an invitation by the coordinator whose issuer's public key is `issuer`."""
    assert len(secret) == SECRET_BYTES, "an invitation's secret is 20 bytes"
    # 30 bytes are 48 letters exactly: there is no padding to drop.
    return HEAD + base64.b32encode(secret + fingerprint(issuer)).decode().lower()


def read_invitation(text: str) -> InvitationText:
    """What the text says; raises Refusal("invitation.invalid")."""
    text = text.strip()
    if text[: len(HEAD)].lower() == HEAD:
        try:
            raw = base64.b32decode(text[len(HEAD) :].encode("ascii"), casefold=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) == SECRET_BYTES + FINGERPRINT_BYTES:
            return InvitationText(raw[:SECRET_BYTES], raw[SECRET_BYTES:])
    raise Refusal(
        "invitation.invalid",
        "This is not an invitation, or a part of it is missing.",
        advice=f"Copy the whole token; it begins with '{HEAD}'.",
    )
