"""A grant: one issuer's permission, for an hour at most, for one action on one shard at one node.

The layout (232 bytes, docs/formats/grant.md) is fixed, so that a node can refuse a wrong grant before it
pays for the signature. A grant is bound to the session key that the caller proved in the handshake: stolen
on the way it opens nothing.

How often a grant may be used: a *get* any number of times until it expires (ranges, hedges and retries are
all the same reader); a *put*, *delete* or *copy* up to `TRIES_MAX` times, because a lost answer must be safe
to ask for again (a node answers a repeated put as the first one). A serial stands for one grant: another
grant under the same serial is refused as used.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from holdfast.protocol.messages import SHARD_ID_BYTES
from holdfast.protocol.signing import KEY_ID_BYTES, PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, key_id, verify
from holdfast.world.errors import Refusal

GRANT_VERSION = 1
GRANT_DOMAIN = b"holdfast grant 1"
SERIAL_BYTES = 16
ACCOUNT_BYTES = 32
LIFE_MAX = 3600 * 1_000_000
"""The longest time between `created` and `expires`, in microseconds."""
SKEW = 60 * 1_000_000
"""How far the clocks of issuer and node may be apart, in microseconds."""
TRIES_MAX = 8
SERIALS_MAX = 1 << 17

_MEMORY = LIFE_MAX + 2 * SKEW
_MAGIC = b"HFgr"
_HEAD = struct.Struct(">4sBB")
_LAYOUT = struct.Struct(
    f">4sBB{KEY_ID_BYTES}s{SERIAL_BYTES}s{PUBLIC_BYTES}s{PUBLIC_BYTES}s{SHARD_ID_BYTES}sQQQ{ACCOUNT_BYTES}s"
)
GRANT_BYTES: Final = _LAYOUT.size + SIGNATURE_BYTES


class Action(enum.IntEnum):
    """What a grant permits."""

    PUT = 1
    GET = 2
    DELETE = 3
    COPY = 4


_ACTIONS = {action.value: action for action in Action}


class Grant(NamedTuple):
    """A grant as it was read; nothing here is believed before `check`."""

    action: Action
    issuer: bytes
    """Key id (8 bytes) of the issuer."""
    serial: bytes
    node_id: bytes
    session_key: bytes
    shard_id: bytes
    max_bytes: int
    created: int
    expires: int
    account: bytes
    """Blinded: says to the issuer, and to nobody else, who pays."""
    signature: bytes


class Serials:
    """Remembers which grants were used, until they expire; at most `limit` of them.

    When full, the oldest half is forgotten: a grant may then be tried again by its own session, which is
    harmless (puts are idempotent), while refusing new grants would not be.
    """

    def __init__(self, limit: int = SERIALS_MAX) -> None:
        self._limit = limit
        self._young: dict[bytes, tuple[bytes, int]] = {}
        self._old: dict[bytes, tuple[bytes, int]] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def allows(self, grant: Grant) -> bool:
        """Whether this grant has a try left."""
        if grant.action is Action.GET:
            return True
        seen = self._young.get(grant.serial) or self._old.get(grant.serial)
        return seen is None or (seen[0] == grant.signature[:16] and seen[1] < TRIES_MAX)

    def note(self, grant: Grant, now: int) -> None:
        """Counts one use of a grant whose signature has been verified. Times in microseconds."""
        if grant.action is Action.GET:
            return
        # Two generations, each as long as a grant can live: what is in the older one is still needed,
        # what leaves it has expired.
        if now >= self._turn or len(self._young) * 2 >= self._limit:
            self._old = self._young if now < self._turn + _MEMORY else {}
            self._young = {}
            self._turn = now + _MEMORY
        seen = self._young.get(grant.serial) or self._old.get(grant.serial)
        self._young[grant.serial] = (grant.signature[:16], 1 + (seen[1] if seen else 0))


def issue(
    issuer: SigningKey,
    *,
    action: Action,
    serial: bytes,
    node_id: bytes,
    session_key: bytes,
    shard_id: bytes,
    max_bytes: int,
    created: int,
    expires: int,
    account: bytes,
) -> bytes:
    """Signs a grant; times in microseconds since the epoch, at most `LIFE_MAX` apart."""
    assert len(serial) == SERIAL_BYTES
    assert len(node_id) == len(session_key) == PUBLIC_BYTES
    assert len(shard_id) == SHARD_ID_BYTES
    assert len(account) == ACCOUNT_BYTES
    assert 0 < expires - created <= LIFE_MAX, "a grant lives for an hour at most"
    body = _LAYOUT.pack(
        _MAGIC, GRANT_VERSION, action, key_id(issuer.public), serial, node_id, session_key, shard_id,
        max_bytes, created, expires, account,
    )  # fmt: skip
    return body + issuer.sign(GRANT_DOMAIN, body)


def read(sealed: bytes) -> Grant:
    """What the grant says, unverified; raises Refusal("format.invalid" | "format.newer")."""
    if len(sealed) < _HEAD.size or sealed[:4] != _MAGIC:
        raise Refusal("format.invalid", "These bytes are not a grant.")
    _, version, action = _HEAD.unpack_from(sealed)
    if version != GRANT_VERSION:
        raise Refusal(
            "format.newer",
            f"The grant has format version {version}; this program reads version {GRANT_VERSION}.",
            advice="Upgrade this program.",
        )
    if len(sealed) != GRANT_BYTES or action not in _ACTIONS:
        raise Refusal("format.invalid", "The grant is damaged.")
    fields = _LAYOUT.unpack_from(sealed)
    return Grant._make((_ACTIONS[action], *fields[3:], sealed[_LAYOUT.size :]))


def check(
    sealed: bytes,
    *,
    action: Action,
    node_id: bytes,
    session_key: bytes,
    shard_id: bytes | None,
    size: int,
    now: int,
    issuers: Mapping[bytes, bytes],
    used: Serials,
) -> Grant:
    """Believes a grant for this use, or refuses it; the cheap checks come first, the signature last.

    Args:
        sealed: the grant's bytes.
        action: what is asked for.
        node_id: who is asked (this node).
        session_key: the key that the caller proved in the handshake.
        shard_id: the shard asked for; None where the grant alone names it.
        size: bytes that would be stored or sent.
        now: microseconds since the epoch.
        issuers: public keys by key id, as `issuers_by_id` makes it.
        used: the memory of used serials; a success is noted there.

    Raises:
        Refusal: "grant.foreign", "grant.expired", "clock.skewed", "grant.oversized", "grant.unsigned",
            "grant.used", "format.invalid" or "format.newer".
    """
    grant = read(sealed)
    if grant.action is not action:
        raise _foreign(f"is for {grant.action.name.lower()}, not {action.name.lower()}")
    if grant.session_key != session_key:
        raise _foreign("was given to another session")
    if shard_id is not None and grant.shard_id != shard_id:
        raise _foreign("is for another shard")
    if size > grant.max_bytes:
        raise Refusal(
            "grant.oversized",
            f"The grant allows {grant.max_bytes} bytes; {size} were asked for.",
            allowed=grant.max_bytes,
            asked=size,
        )
    check_issued(grant, sealed, node_id=node_id, now=now, issuers=issuers, used=used)
    used.note(grant, now)
    return grant


def check_issued(
    grant: Grant, sealed: bytes, *, node_id: bytes, now: int, issuers: Mapping[bytes, bytes], used: Serials
) -> None:
    """The part of `check` that does not depend on the use: node, times, issuer, serial, signature.

    A relay, which sees neither session nor shard, believes a grant by this alone. Raises as `check` does.
    """
    if grant.node_id != node_id:
        raise _foreign("is for another node")
    if grant.created > now + SKEW:
        raise Refusal(
            "clock.skewed",
            "The grant's time has not begun yet.",
            advice="Set this machine's clock.",
            ahead_seconds=(grant.created - now) // 1_000_000,
        )
    if grant.expires + SKEW < now or not 0 < grant.expires - grant.created <= LIFE_MAX:
        raise Refusal("grant.expired", "The grant's time is over.", advice="Ask for a new one.")
    public = issuers.get(grant.issuer)
    if public is None:
        raise Refusal("grant.unsigned", "The grant names an issuer that is not known here.")
    if not used.allows(grant):
        raise Refusal("grant.used", "The grant was used before.", advice="Ask for a new one.")
    try:
        verify(public, GRANT_DOMAIN, sealed[: _LAYOUT.size], grant.signature)
    except Refusal as refusal:
        raise Refusal("grant.unsigned", "The grant's signature does not match its issuer.") from refusal


def issuers_by_id(publics: list[bytes]) -> dict[bytes, bytes]:
    """What `check` looks issuers up in: key id to public key."""
    return {key_id(public): public for public in publics}


def blind_account(secret: bytes, account: str, period: int) -> bytes:
    """The 32-byte account tag: nodes can link it neither to the account nor to another period's tag."""
    return hmac.digest(secret, b"holdfast account 1\0%d\0" % period + account.encode(), hashlib.sha256)


def _foreign(why: str) -> Refusal:
    return Refusal("grant.foreign", f"The grant {why}.", advice="Use the grant that was given for this.")
