"""Joining a fleet: a node binds its key to a provider's account with a one-time invitation.

The same node may register again with the same token, so a lost answer is mended by asking again.
"""

from __future__ import annotations

from importlib.metadata import version

import msgspec

from holdfast.agent.home import Home, Settings, next_sequence
from holdfast.protocol.fleet import Coordinator, NodeFacts, Register, Signed, SignedWelcome, Welcome
from holdfast.protocol.heartbeats import REGISTER_DOMAIN, open_welcome, seal_signed
from holdfast.protocol.invitations import read_invitation
from holdfast.protocol.signing import SigningKey
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal


def registration(key: SigningKey, token: str, facts: NodeFacts) -> Signed:
    """What a node sends to join; raises Refusal("config.missing" | "invitation.invalid")."""
    if not token:
        raise Refusal(
            "config.missing",
            "This node has no invitation.",
            advice="Run 'holdfast node init' with the token from your account.",
        )
    read_invitation(token)
    return seal_signed(key, REGISTER_DOMAIN, Register(token=token, facts=facts))


def first_welcome(answer: SignedWelcome, *, settings: Settings, facts: NodeFacts) -> Welcome:
    """What the coordinator answered the registration that told these facts.

    Raises Refusal("signature.invalid") if it is not the one that made the invitation: an issuer with the
    fingerprint in the token must have signed the answer.
    """
    invitation = read_invitation(settings.token)
    if not invitation.made_by(answer.issuer):
        raise Refusal(
            "signature.invalid",
            f"What answers at {settings.endpoint} is not the coordinator that made this invitation.",
            advice="Check the endpoint's URL, and who is in between; then ask for a new invitation.",
        )
    return open_welcome(answer, believed=invitation.made_by, node_id=facts.node_id, sequence=facts.sequence)


async def register(home: Home, settings: Settings, coordinator: Coordinator, clock: Clock) -> None:
    """Registers a node that is not running, and remembers it. Blocks on the disk.

    Raises:
        Refusal: as `protocol.fleet.Coordinator.register` does, "config.missing" without a token, and
            "signature.invalid" if another coordinator answers than the one that made the invitation.
        Trouble: "endpoint.unreachable", or what the disk says.
    """
    key = home.key()
    sequence = next_sequence(home.memory(), clock.now())
    home.remember(msgspec.structs.replace(home.memory(), sequence=sequence))
    # What it stores is not known without opening the vault; the first heartbeat tells it.
    facts = NodeFacts(
        node_id=key.public,
        time=clock.now(),
        sequence=sequence,
        version=version("holdfast"),
        addresses=settings.advertised,
        allocated=settings.allocated,
        used=0,
        free=0,
        shard_count=0,
        zone=settings.zone,
        node_name=settings.node_name,
        deletions_done=home.memory().deletions_done,
    )
    answer = await coordinator.register(registration(key, settings.token, facts))
    welcome = first_welcome(answer, settings=settings, facts=facts)
    home.remember(msgspec.structs.replace(home.memory(), registered=True, issuers=welcome.issuer_keys))
