"""The coordinator's issuer: it signs the grants that nodes and readers act on, and the answers to nodes.

Nodes learn the issuer's public key from every answer to a heartbeat, and believe an answer only if a key that
they knew signed it. To exchange the key, let the new one be known as an older one first until every node has
been heard of, then let it issue while the old one stays known for an hour: no grant is refused on the way. A
node that was away all the time has to register again.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from holdfast.protocol.fleet import SignedWelcome, Welcome
from holdfast.protocol.grants import LIFE_MAX, SERIAL_BYTES, Action, blind_account, issue
from holdfast.protocol.heartbeats import seal_welcome
from holdfast.protocol.messages import shard_id
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Refusal

GRANT_SECONDS: Final = 1800
GRANT_SECONDS_MIN: Final = 15 * 60
ACCOUNT_PERIOD_SECONDS: Final = 86400
"""A node can link what it does for one account within this time, and no longer."""


class Issuer:
    """Issues grants with one key. Signing takes 20 microseconds a grant and releases no lock: batch it.

    `others` are public keys of issuers that nodes are to believe too. Raises Refusal("config.invalid") for a
    life of grants outside of 15 to 60 minutes.
    """

    def __init__(
        self,
        key: SigningKey,
        clock: Clock,
        chance: Chance,
        *,
        grant_seconds: int = GRANT_SECONDS,
        others: Sequence[bytes] = (),
    ) -> None:
        if not GRANT_SECONDS_MIN <= grant_seconds <= LIFE_MAX // MICROSECONDS:
            raise Refusal(
                "config.invalid",
                f"Grants of {grant_seconds} s cannot work.",
                advice="Choose 900 to 3600 seconds.",
            )
        self._key = key
        self._clock = clock
        self._chance = chance
        self._life = grant_seconds * MICROSECONDS
        self._others = [public for public in others if public != key.public]
        self._account_secret = hmac.digest(key.seed, b"holdfast account secret 1", hashlib.sha256)

    def publics(self) -> list[bytes]:
        """The public keys nodes are to believe, this issuer's own first."""
        return [self._key.public, *self._others]

    def welcome(self, welcome: Welcome) -> SignedWelcome:
        """The answer to a node's message, signed: what makes the node believe these public keys."""
        return seal_welcome(self._key, welcome)

    def grant(
        self,
        action: Action,
        *,
        node_id: bytes,
        session_key: bytes,
        chunk_id: bytes,
        index: int,
        max_bytes: int,
        account: str,
    ) -> bytes:
        """Permission for one action on shard `index` of a chunk at one node, for one session.

        `account` is the tenant that pays; the node sees only a tag that changes every day.
        """
        now = self._clock.now()
        period = now // (ACCOUNT_PERIOD_SECONDS * MICROSECONDS)
        return issue(
            self._key,
            action=action,
            serial=self._chance.bytes(SERIAL_BYTES),
            node_id=node_id,
            session_key=session_key,
            shard_id=shard_id(chunk_id, index),
            max_bytes=max_bytes,
            created=now,
            expires=now + self._life,
            account=blind_account(self._account_secret, account, period),
        )
