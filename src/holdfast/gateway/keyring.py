"""The keys that wrap data keys: managed ones, remembered for a little while, and those that customers send.

A managed key that another process rotated is still used here for `REMEMBER_SECONDS` at most. What it wraps
meanwhile opens as well as ever: a rotated key is not a lost one.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import md5
from hmac import compare_digest

from holdfast.chunks import keys
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.metadata import KEY_BYTES, Envelope
from holdfast.tenants.keys import REMEMBER_KEYS_MAX, REMEMBER_SECONDS, Keys
from holdfast.tenants.remembered import Remembered
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal


class Keyring:
    """One per process."""

    def __init__(self, managed: Keys, clock: Clock) -> None:
        self._managed = managed
        self._current: Remembered[str, TenantKey] = Remembered(REMEMBER_KEYS_MAX, REMEMBER_SECONDS, clock)
        self._known: Remembered[tuple[str, bytes], TenantKey] = Remembered(
            REMEMBER_KEYS_MAX, REMEMBER_SECONDS, clock
        )

    async def to_seal(self, tenant: str, customer_key: bytes | None = None) -> TenantKey:
        """The key for something new of this tenant; raises Refusal("tenant.unknown" | "key.wrong")."""
        if customer_key is not None:
            return customers(customer_key)
        found = self._current.recall(tenant)
        if found is None:
            turn = self._current.turn
            found = TenantKey((await self._managed.managed_key(tenant)).secret, mode="gateway")
            self._current.keep(tenant, found, turn)
            self._known.keep((tenant, found.key_id), found, self._known.turn)
        return found

    async def data_key(self, tenant: str, envelope: Envelope, customer_key: bytes | None = None) -> bytes:
        """What the envelope wraps.

        Raises Refusal("key.unknown") for what only its owner can open, or if a customer's key is needed and
        none is there; Refusal("key.wrong") for the wrong one, or for one where none is needed.
        """
        check_mode(envelope.mode, customer_key)
        if customer_key is not None:
            key = customers(customer_key)
            if key.key_id != envelope.key_id:
                raise wrong_key()
            return keys.open_envelope(key, envelope)
        found = self._known.recall((tenant, envelope.key_id))
        if found is None:
            turn = self._known.turn
            managed = await self._managed.managed_key_by_id(tenant, envelope.key_id)
            found = TenantKey(managed.secret, mode="gateway")
            self._known.keep((tenant, found.key_id), found, turn)
        return keys.open_envelope(found, envelope)


def customers(customer_key: bytes) -> TenantKey:
    """A key that came with a request; raises Refusal("key.wrong") for one that is not 32 bytes."""
    if len(customer_key) != KEY_BYTES:
        raise Refusal("key.wrong", f"A customer's key is {KEY_BYTES} bytes.")
    return TenantKey(customer_key, mode="customer")


def check_mode(mode: str, customer_key: bytes | None) -> None:
    """Refuses what cannot fit before anything is looked up, as `Keyring.data_key` says."""
    if mode == "client":
        raise Refusal(
            "key.unknown",
            "This object is sealed by its owner's own key, which no gateway holds.",
            advice="Use the SDK or the command line with that key.",
        )
    if mode == "customer" and customer_key is None:
        raise Refusal(
            "key.unknown",
            "This object is sealed by a key that its owner sends along.",
            advice="Send the key with which it was written.",
        )
    if mode != "customer" and customer_key is not None:
        raise Refusal(
            "key.wrong",
            "This object is not sealed by a customer's key, but one was sent.",
            advice="Leave the key away.",
        )


def check_customer_key(mode: str, key_id: bytes, key: bytes | None, stored: str) -> None:
    """Raises as `Keyring.data_key` would, without opening anything.

    `stored` is the MD5 of the key in base64, for objects in several pieces, which have no envelope of their
    own.
    """
    if mode:
        check_mode(mode, key)
        fits = key is None or compare_digest(customers(key).key_id, key_id)
    else:
        check_mode("customer" if stored else "gateway", key)
        fits = key is None or compare_digest(
            b64encode(md5(key, usedforsecurity=False).digest()).decode(), stored
        )
    if not fits:
        raise wrong_key()


def wrong_key() -> Refusal:
    """The key is not the one that the object was written with."""
    return Refusal(
        "key.wrong",
        "The key that was sent is not the one with which the object was written.",
        advice="Send the key with which it was written.",
    )


NOBODYS = Envelope(mode="", key_id=b"", wrapped=b"")
"""Of what holds no bytes of its own."""
