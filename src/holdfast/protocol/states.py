"""What may arrive on a node connection, and when; and what a session makes of it.

These tables are the whole law: `session` looks a frame up here before it looks at anything else in it.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple, Protocol

import msgspec

from holdfast.protocol.frames import Kind
from holdfast.protocol.messages import SHARD_BYTES_MAX

Buffer = bytes | bytearray | memoryview


class State(enum.Enum):
    """Where the connection stands."""

    # Enum's own hash is a Python function, and the tables are looked into for every frame.
    __hash__ = object.__hash__

    CLIENT_NEW = "client: nothing said yet"
    CLIENT_GREETING = "client: hello sent"
    CLIENT_OPEN = "client: proven"
    CLIENT_LEAVING = "client: the node wants no new requests"
    NODE_NEW = "node: waiting for hello"
    NODE_GREETING = "node: waiting for the client's proof"
    NODE_OPEN = "node: proven"
    CLOSED = "over"


class Phase(enum.Enum):
    """Where one stream stands."""

    __hash__ = object.__hash__

    WAITING = "client: no reply yet"
    FETCHING = "client: receiving the reply's body"
    TAKING = "node: receiving the request's body"
    HANDLING = "node: has the whole request"
    REPLYING = "node: sending the reply's body"


_CLIENT_ALWAYS = {Kind.REPLY, Kind.BODY, Kind.WINDOW, Kind.PING, Kind.PONG}

RECEIVES: Final[dict[State, dict[Kind, State]]] = {
    State.CLIENT_NEW: {},
    State.CLIENT_GREETING: {Kind.HELLO: State.CLIENT_OPEN, Kind.GOAWAY: State.CLOSED},
    State.CLIENT_OPEN: dict.fromkeys(_CLIENT_ALWAYS, State.CLIENT_OPEN) | {Kind.GOAWAY: State.CLIENT_LEAVING},
    State.CLIENT_LEAVING: dict.fromkeys({*_CLIENT_ALWAYS, Kind.GOAWAY}, State.CLIENT_LEAVING),
    State.NODE_NEW: {Kind.HELLO: State.NODE_GREETING},
    State.NODE_GREETING: {Kind.PROOF: State.NODE_OPEN, Kind.GOAWAY: State.CLOSED},
    State.NODE_OPEN: dict.fromkeys(
        (Kind.REQUEST, Kind.BODY, Kind.CANCEL, Kind.PING, Kind.PONG), State.NODE_OPEN
    )
    | {Kind.GOAWAY: State.CLOSED},
    State.CLOSED: {},
}
"""Which frame may arrive in which state, and the state after it."""

STREAM_RECEIVES: Final[dict[Phase, frozenset[Kind]]] = {
    Phase.WAITING: frozenset({Kind.REPLY, Kind.WINDOW}),
    Phase.FETCHING: frozenset({Kind.BODY}),
    Phase.TAKING: frozenset({Kind.BODY, Kind.CANCEL}),
    Phase.HANDLING: frozenset({Kind.CANCEL}),
    # A reply may be sent before the whole request has come; the rest of it is thrown away.
    Phase.REPLYING: frozenset({Kind.BODY, Kind.CANCEL}),
}
"""Which frames of a stream may arrive in which phase. For a stream that is over, all are thrown away."""

STREAM_KINDS: Final = frozenset({Kind.REPLY, Kind.BODY, Kind.WINDOW, Kind.CANCEL})


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a node takes on one connection."""

    streams_max: int = 64
    body_max: int = SHARD_BYTES_MAX
    eager: int = 1 << 20


class Bodies(Protocol):
    """Where memory for arriving bodies comes from."""

    def take(self, length: int) -> memoryview:
        """A writable view of exactly `length` bytes."""
        ...

    def give(self, body: memoryview) -> None:
        """The view is no longer used."""
        ...


class Opened(NamedTuple):
    """The other side is proven: the node's id at the client, the session key at the node."""

    key: bytes


class Asked(NamedTuple):
    """Node: a request has begun to arrive. `admit` it when there is memory for its body."""

    stream: int
    length: int


class Requested(NamedTuple):
    """Node: a request is complete and admitted; `body` is now the caller's to give back."""

    stream: int
    message: Buffer
    body: memoryview
    room: int


class Cancelled(NamedTuple):
    """Node: the requester no longer wants an answer."""

    stream: int


class Replied(NamedTuple):
    """Client: the reply and its body, in the memory that was handed in for it (or a fresh one)."""

    stream: int
    message: Buffer
    body: memoryview


class Left(NamedTuple):
    """Client: the node takes no new requests; with a code, it hung up because of that."""

    code: str
    message: str


class Ponged(NamedTuple):
    """The other side answered a ping."""


Event = Opened | Asked | Requested | Cancelled | Replied | Left | Ponged
