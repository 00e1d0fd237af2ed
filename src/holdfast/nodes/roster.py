"""The stored list of nodes: inviting, registering, beating, and moving between states.

Everything a node says is signed, and is refused when its clock is more than SKEW_SECONDS from ours, or when
its sequence does not grow: a recording of it is worth nothing. An invitation is for one node; only the hash
of its secret is kept, and the same node may use it again, since the answer to its first try may be lost.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from holdfast.nodes import states, store
from holdfast.nodes.addresses import check_addresses
from holdfast.nodes.beats import Answer, Beat, Beats, told_row
from holdfast.nodes.fleet import Fleet
from holdfast.nodes.grants import Issuer
from holdfast.nodes.states import Event, State
from holdfast.nodes.store import InvitationRow, NodeRow
from holdfast.protocol.control import Invitation, NodeInfo, Nodes
from holdfast.protocol.fleet import HEARTBEAT_SECONDS, NodeFacts, Register, Signed, SignedWelcome, Welcome
from holdfast.protocol.heartbeats import HEARTBEAT_DOMAIN, REGISTER_DOMAIN, open_signed
from holdfast.protocol.invitations import SECRET_BYTES, read_invitation, write_invitation
from holdfast.protocol.messages import SHARD_ID_BYTES
from holdfast.protocol.signing import PUBLIC_BYTES
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

SKEW_SECONDS: Final = 60
INVITATION_SECONDS: Final = 3600
INVITATION_SECONDS_MAX: Final = 30 * 86400
INVITATION_KEPT_SECONDS: Final = 30 * 86400
PAGE_MAX: Final = 1000
TEXT_MAX: Final = 200
LOST_MAX: Final = 1000

_NUMBER_MAX: Final = (1 << 63) - 1
_SIZE_MAX: Final = 1 << 53
"""9 PB: more than any node has, and little enough that a fleet of liars cannot make sums overflow."""
_NOTICES: Final[dict[State, str]] = {
    State.SUSPENDED: "This node is suspended: it keeps its shards but is given no new ones.",
    State.DRAINING: "This node is being drained: keep it running until its shards have been copied away.",
}


@dataclass(frozen=True, slots=True)
class _Joining:
    """What a registration needs inside its transaction."""

    facts: NodeFacts
    secret_hash: bytes
    now: int


class Roster:
    """Registers nodes and takes their heartbeats: `protocol.fleet.Coordinator`, and more.

    `issuer` signs what nodes are answered, and knows the public keys that they are to believe.
    """

    def __init__(
        self,
        *,
        database: Database,
        fleet: Fleet,
        clock: Clock,
        chance: Chance,
        issuer: Issuer,
        heartbeat_seconds: int = HEARTBEAT_SECONDS,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._clock = clock
        self._chance = chance
        self._issuer = issuer
        self._heartbeat_seconds = heartbeat_seconds
        self._beats = Beats(database)

    async def close(self) -> None:
        """Returns when everything taken has been answered."""
        await self._beats.close()

    # --- joining -----------------------------------------------------------------------------------------

    async def invite(self, provider: str, *, lifetime_seconds: int = INVITATION_SECONDS) -> Invitation:
        """An invitation for one node of this provider (a tenant id); raises Refusal("request.invalid")."""
        if not 0 < lifetime_seconds <= INVITATION_SECONDS_MAX:
            raise Refusal(
                "request.invalid",
                f"An invitation lasts from 1 second to {INVITATION_SECONDS_MAX} seconds (30 days).",
            )
        secret = self._chance.bytes(SECRET_BYTES)
        now = self._clock.now()
        row = InvitationRow(_hashed(secret), provider, now, now + lifetime_seconds * MICROSECONDS, None)
        await self._database.transact(_invite, row)
        return Invitation(token=write_invitation(secret, self._issuer.publics()[0]), expires=row.expires)

    async def register(self, signed: Signed) -> SignedWelcome:
        """Takes a node into the fleet.

        Raises:
            Refusal: "invitation.invalid", "signature.invalid", "clock.skewed" or "request.invalid".
        """
        said = open_signed(signed, REGISTER_DOMAIN, Register)
        now = self._clock.now()
        _check_facts(said.facts, signed.node_id, now)
        secret = read_invitation(said.token).secret
        row = await self._database.transact(_register, _Joining(said.facts, _hashed(secret), now))
        self._fleet.note([row])
        return self._welcome(Answer(row=row), said.facts)

    # --- beating -----------------------------------------------------------------------------------------

    async def heartbeat(self, signed: Signed) -> SignedWelcome:
        """Takes a heartbeat.

        Raises:
            Refusal: "node.unknown", "signature.invalid", "clock.skewed", or "request.invalid" for a replay or
                facts that cannot be.
        """
        facts = open_signed(signed, HEARTBEAT_DOMAIN, NodeFacts)
        now = self._clock.now()
        _check_facts(facts, signed.node_id, now)
        answer = await self._beats.take(Beat(facts, now))
        if answer.refusal is not None:
            raise answer.refusal
        assert answer.row is not None, "what is not refused is stored"
        self._fleet.note([answer.row])
        return self._welcome(answer, facts)

    def _welcome(self, answer: Answer, heard: NodeFacts) -> SignedWelcome:
        assert answer.row is not None, "only stored nodes are welcomed"
        notices = [_NOTICES[state] for state in _NOTICES if state == answer.row.state]
        if not answer.row.addresses:
            notices.append(
                "This node told no address: clients reach it through a relay only, if there is one."
            )
        return self._issuer.welcome(
            Welcome(
                time=self._clock.now(),
                issuer_keys=self._issuer.publics(),
                heartbeat_seconds=self._heartbeat_seconds,
                node_id=heard.node_id,
                sequence=heard.sequence,
                deletions=answer.deletions,
                notices=notices,
            )
        )

    # --- looking and steering ----------------------------------------------------------------------------

    async def page(
        self, *, after: bytes | None = None, limit: int = PAGE_MAX, provider: str | None = None
    ) -> Nodes:
        """Nodes by id from beyond `after`; all, or one provider's."""
        limit = max(1, min(limit, PAGE_MAX))
        rows = await self._database.read(store.list_nodes, after or b"", limit + 1, provider)
        shown = rows[:limit]
        return Nodes(
            nodes=[self._info(row) for row in shown], after=shown[-1].node_id if len(rows) > limit else None
        )

    async def find(self, node_id: bytes) -> NodeInfo:
        """One node; raises Refusal("node.unknown")."""
        rows = await self._database.read(store.find_nodes, [node_id])
        if not rows:
            raise _unknown(node_id)
        return self._info(rows[0])

    async def steer(self, node_id: bytes, event: Event) -> NodeInfo:
        """Suspends, resumes, drains, ends or gives up a node; raises "node.unknown" | "node.state"."""
        assert event not in {Event.REGISTER, Event.HEARTBEAT}, "only a node itself does these"
        row = await self._database.transact(_steer, node_id, event, self._clock.now())
        self._fleet.note([row])
        return self._info(row)

    def _info(self, row: NodeRow) -> NodeInfo:
        return NodeInfo(
            node_id=row.node_id,
            node_name=row.node_name,
            state=row.state,
            zone=row.zone,
            addresses=list(row.addresses),
            allocated=row.allocated,
            used=row.used,
            free=row.free,
            shard_count=row.shard_count,
            last_heartbeat=row.last_heartbeat,
            online=row.state != State.EXITED and self._fleet.heard_lately(row.last_heartbeat),
            version=row.version,
        )


def _check_facts(facts: NodeFacts, signer: bytes, now: int) -> None:
    """Raises Refusal("signature.invalid" | "clock.skewed" | "request.invalid")."""
    if facts.node_id != signer or len(signer) != PUBLIC_BYTES:
        raise Refusal("signature.invalid", "The message speaks for another node than the one that signed it.")
    ahead = facts.time - now
    if abs(ahead) > SKEW_SECONDS * MICROSECONDS:
        raise Refusal(
            "clock.skewed",
            f"The node's clock says {_written(facts.time)}, the coordinator's {_written(now)}: they are "
            f"{abs(ahead) // MICROSECONDS} s apart, and {SKEW_SECONDS} s is the most that works.",
            advice="Set the node's clock, best by NTP.",
            node_time=facts.time,
            coordinator_time=now,
        )
    numbers = (facts.sequence, facts.shard_count, facts.deletions_done)
    sizes = (facts.allocated, facts.used, facts.free)
    sound = all(0 <= number <= _NUMBER_MAX for number in numbers)
    if not sound or not all(0 <= size <= _SIZE_MAX for size in sizes):
        raise Refusal("request.invalid", "The node's figures are below zero or beyond any disk.")
    if any(len(text) > TEXT_MAX or "\0" in text for text in (facts.version, facts.zone, facts.node_name)):
        raise Refusal(
            "request.invalid", f"The node's name, zone and version have {TEXT_MAX} characters at most."
        )
    if len(facts.lost) > LOST_MAX or any(len(shard_id) != SHARD_ID_BYTES for shard_id in facts.lost):
        raise Refusal("request.invalid", f"A heartbeat reports {LOST_MAX} lost shards at most, by whole ids.")
    check_addresses(facts.addresses)


def _written(time: int) -> str:
    try:
        return datetime.fromtimestamp(time // MICROSECONDS, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return f"{time} microseconds after 1970"


def _invite(connection: Connection, row: InvitationRow) -> None:
    store.drop_invitations(connection, row.created - INVITATION_KEPT_SECONDS * MICROSECONDS)
    store.add_invitation(connection, row)


def _register(connection: Connection, joining: _Joining) -> NodeRow:
    """Uses the invitation and stores the node; the same node with the same invitation again is fine."""
    facts = joining.facts
    invitation = store.find_invitation(connection, joining.secret_hash)
    if invitation is None:
        raise _not_invited("is not known here", "Is it from this coordinator? Ask for a new one.")
    if invitation.node_id is None:
        if invitation.expires <= joining.now:
            raise _not_invited("has expired", "Ask for a new one.")
        used = store.use_invitation(connection, joining.secret_hash, facts.node_id)
        assert used, "it was unused in this very transaction"
    elif invitation.node_id != facts.node_id:
        raise _not_invited("was used by another node", "Each node needs an invitation of its own.")
    known = store.find_nodes(connection, [facts.node_id])
    if not known:
        row = NodeRow(
            alias=0, node_id=facts.node_id, provider=invitation.provider, state=State.ACTIVE, node_name="",
            version="", zone="", addresses=(), allocated=0, used=0, free=0, shard_count=0, stopping=False,
            sequence=0, last_heartbeat=0, registered=joining.now, changed=0,
        )  # fmt: skip
        return store.add_node(connection, told_row(row, facts, joining.now, Event.REGISTER))
    return _register_again(connection, known[0], invitation, joining)


def _register_again(
    connection: Connection, row: NodeRow, invitation: InvitationRow, joining: _Joining
) -> NodeRow:
    if row.provider != invitation.provider:
        raise _not_invited(
            "is another account's than the node", "Use an invitation of the account that the node belongs to."
        )
    if joining.facts.sequence <= row.sequence:
        # Late or recorded: it is welcome, but what it tells is old.
        return row
    fresh = told_row(row, joining.facts, joining.now, Event.REGISTER)
    store.set_heartbeats(connection, [fresh])
    store.set_descriptions(connection, [fresh])
    return fresh


def _steer(connection: Connection, node_id: bytes, event: Event, now: int) -> NodeRow:
    known = store.find_nodes(connection, [node_id])
    if not known:
        raise _unknown(node_id)
    row = known[0]
    moved = row._replace(state=str(states.after(State(row.state), event)), changed=max(now, row.changed))
    store.set_heartbeats(connection, [moved])
    return moved


def _hashed(secret: bytes) -> bytes:
    return hashlib.sha256(b"holdfast invitation 1\0" + secret).digest()


def _not_invited(why: str, advice: str) -> Refusal:
    return Refusal("invitation.invalid", f"The invitation {why}.", advice=advice)


def _unknown(node_id: bytes) -> Refusal:
    return Refusal("node.unknown", f"There is no node {node_id.hex()[:16]}.")
