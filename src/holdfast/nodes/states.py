"""The states of a node, and the one table of how it moves between them. Pure.

A node takes new shards only while active. It is read from in every state but exited, as long as it answers:
a suspended or draining node still holds good data, and one that was given up as lost may come back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from holdfast.world.errors import Refusal


class State(StrEnum):
    """What a node is to the fleet."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    """Kept from new shards by an operator or by its record."""
    DRAINING = "draining"
    """On its way out: its shards are being copied away."""
    EXITED = "exited"
    """Left for good; holds nothing that counts."""
    LOST = "lost"
    """Silent for so long that its shards are counted as lost."""


class Event(StrEnum):
    """What can happen to a node."""

    REGISTER = "register"
    HEARTBEAT = "heartbeat"
    SUSPEND = "suspend"
    RESUME = "resume"
    DRAIN = "drain"
    EXIT = "exit"
    LOSE = "lose"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    # A node that was known registers again: that undoes its leaving, but washes no suspension off.
    (State.ACTIVE, Event.REGISTER): State.ACTIVE,
    (State.SUSPENDED, Event.REGISTER): State.SUSPENDED,
    (State.DRAINING, Event.REGISTER): State.DRAINING,
    (State.EXITED, Event.REGISTER): State.ACTIVE,
    (State.LOST, Event.REGISTER): State.ACTIVE,
    # Whoever beats is there again.
    (State.ACTIVE, Event.HEARTBEAT): State.ACTIVE,
    (State.SUSPENDED, Event.HEARTBEAT): State.SUSPENDED,
    (State.DRAINING, Event.HEARTBEAT): State.DRAINING,
    (State.LOST, Event.HEARTBEAT): State.ACTIVE,
    (State.ACTIVE, Event.SUSPEND): State.SUSPENDED,
    (State.LOST, Event.SUSPEND): State.SUSPENDED,
    (State.SUSPENDED, Event.RESUME): State.ACTIVE,
    (State.DRAINING, Event.RESUME): State.ACTIVE,
    (State.ACTIVE, Event.DRAIN): State.DRAINING,
    (State.SUSPENDED, Event.DRAIN): State.DRAINING,
    (State.DRAINING, Event.EXIT): State.EXITED,
    (State.LOST, Event.EXIT): State.EXITED,
    (State.ACTIVE, Event.LOSE): State.LOST,
    # Coming back as active would undo the suspension, so these are gone for good.
    (State.SUSPENDED, Event.LOSE): State.EXITED,
    (State.DRAINING, Event.LOSE): State.EXITED,
}

READABLE: Final = frozenset({State.ACTIVE, State.SUSPENDED, State.DRAINING, State.LOST})


def after(state: State, event: Event) -> State:
    """The state that the event leads to; raises Refusal("node.state") if it cannot happen in this state."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        possible = ", ".join(known_event for known_state, known_event in TRANSITIONS if known_state is state)
        raise Refusal(
            "node.state",
            f"A node that is {state} cannot {event}.",
            advice=f"What can happen to it now: {possible}.",
            state=str(state),
        )
    return found
