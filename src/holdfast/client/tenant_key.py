"""The key that seals: from a key file or a passphrase, and checked against what the tenant seals with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from holdfast.chunks import key_file, passphrase
from holdfast.chunks.keys import TenantKey
from holdfast.client.profile import Profile
from holdfast.protocol.control import TenantInfo
from holdfast.world.errors import Refusal

KeySource = Callable[[str], TenantKey]
"""Gives the tenant key, from the tenant id. Slow for a passphrase: called in a thread."""


def key_source_of(profile: Profile) -> KeySource:
    """How the profile says to get the key. It raises Refusal("config.missing" | "key.wrong" | "format.*")."""

    def load(tenant_id: str) -> TenantKey:
        if profile.key_file:
            return key_file.read(_text_of(Path(profile.key_file).expanduser()), profile.passphrase or None)
        if profile.passphrase:
            return passphrase.tenant_key(profile.passphrase, tenant_id)
        raise Refusal(
            "config.missing",
            "There is no key to seal and open with.",
            advice="Set HOLDFAST_KEY_FILE or HOLDFAST_PASSPHRASE; `holdfast key new` makes a key file.",
        )

    return load


def checked_key(key: TenantKey, tenant: TenantInfo) -> TenantKey:
    """The key itself, if the tenant seals with it or with none yet.

    Raises Refusal("key.wrong") for a passphrase and Refusal("key.mismatch") for a key file otherwise: bytes
    sealed with a key that nobody expects would be lost to whoever holds the right one.
    """
    known = [registered.key_id for registered in tenant.keys]
    if not known or key.key_id in known:
        return key
    ids = ", ".join(key_id.hex() for key_id in known)
    if key.from_passphrase:
        raise Refusal(
            "key.wrong",
            f"The passphrase gives key {key.key_id.hex()}, but this tenant seals with {ids}.",
            advice="Check the passphrase.",
            key_id=key.key_id.hex(),
        )
    raise Refusal(
        "key.mismatch",
        f"The key at hand is {key.key_id.hex()}, but this tenant seals with {ids}.",
        advice="Use the key file with that id. To seal with this one as well: holdfast key register --add.",
        key_id=key.key_id.hex(),
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise Refusal(
            "config.missing",
            f"There is no key file at {path}.",
            advice="Name the right one in HOLDFAST_KEY_FILE; without the key the data stays closed.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal("config.invalid", f"The key file {path} cannot be read: {error}.") from error
