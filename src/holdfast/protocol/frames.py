"""Frames: what a node connection is cut into (docs/formats/frames.md).

Sixteen bytes of header, big-endian, then `length` bytes of payload:

    length u32 | magic "HF" | kind u8 | flags u8 (0) | stream u32 | extra u32

`extra` is the body's length in REQUEST and REPLY, the piece's offset in BODY, credit in WINDOW, else 0.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from typing import Final, NamedTuple, TypeVar

import msgspec

from holdfast.protocol.signing import PUBLIC_BYTES, SIGNATURE_BYTES, SigningKey, verify
from holdfast.world.errors import Refusal
from holdfast.world.untrusted import UNREADABLE

SESSION_VERSION: Final = 1
HEADER_BYTES: Final = 16
MESSAGE_BYTES_MAX: Final = 256 << 10
"""The longest message of a REPLY."""
PIECE_BYTES_MAX: Final = 1 << 20
"""The longest BODY: how long a small message can wait behind a piece of a big body. Each costs two reads."""
REQUEST_BYTES_MAX: Final = 64 << 10
"""The longest REQUEST: what a node must remember for each stream before it has admitted anything."""
NONCE_BYTES: Final = 32
HELLO_BYTES_MAX: Final = 4096
GOAWAY_BYTES_MAX: Final = 1024

NODE_HELLO_DOMAIN = b"holdfast session node 1"
CLIENT_PROOF_DOMAIN = b"holdfast session client 1"

_HEADER = struct.Struct(">I2sBBII")
_MAGIC = b"HF"


class Kind(enum.IntEnum):
    """What a frame is; the tables in `states` say which may come when."""

    # Enum's own hash is a Python function, and the tables are looked into for every frame.
    __hash__ = int.__hash__

    HELLO = 1
    PROOF = 2
    REQUEST = 3
    REPLY = 4
    BODY = 5
    WINDOW = 6
    CANCEL = 7
    PING = 8
    PONG = 9
    GOAWAY = 10
    TUNNEL = 11


KINDS: Final[dict[int, Kind]] = {kind.value: kind for kind in Kind}

PAYLOAD_BYTES: Final[dict[Kind, tuple[int, int]]] = {
    Kind.HELLO: (1, HELLO_BYTES_MAX),
    Kind.PROOF: (SIGNATURE_BYTES, SIGNATURE_BYTES),
    Kind.REQUEST: (5, REQUEST_BYTES_MAX),
    Kind.REPLY: (1, MESSAGE_BYTES_MAX),
    Kind.BODY: (1, PIECE_BYTES_MAX),
    Kind.WINDOW: (0, 0),
    Kind.CANCEL: (0, 0),
    Kind.PING: (0, 0),
    Kind.PONG: (0, 0),
    Kind.GOAWAY: (0, GOAWAY_BYTES_MAX),
    Kind.TUNNEL: (1, HELLO_BYTES_MAX),
}
"""Least and greatest length of each kind's payload."""


class Header(NamedTuple):
    """A frame's header, already held against `PAYLOAD_BYTES`."""

    length: int
    kind: Kind
    stream: int
    extra: int


def pack_header(kind: Kind, length: int, stream: int = 0, extra: int = 0) -> bytes:
    """The 16 bytes before a payload of `length` bytes."""
    return _HEADER.pack(length, _MAGIC, kind, 0, stream, extra)


def frame(kind: Kind, payload: bytes = b"", stream: int = 0, extra: int = 0) -> bytes:
    """A whole small frame."""
    return _HEADER.pack(len(payload), _MAGIC, kind, 0, stream, extra) + payload


def unpack_header(buffer: bytes | bytearray | memoryview, offset: int = 0) -> Header:
    """The header at `offset`; raises Refusal("request.invalid") on what no frame begins with."""
    length, magic, number, flags, stream, extra = _HEADER.unpack_from(buffer, offset)
    kind = KINDS.get(number)
    if magic != _MAGIC or kind is None or flags:
        raise broken("These bytes are not a frame.")
    least, most = PAYLOAD_BYTES[kind]
    if not least <= length <= most:
        raise broken(f"A {kind.name} of {length} bytes is not allowed.")
    return Header(length, kind, stream, extra)


def broken(why: str) -> Refusal:
    """What is raised at a peer that does not follow the protocol: the connection ends."""
    return Refusal("request.invalid", why, advice="Check that both sides run a released version.")


class ClientHello(msgspec.Struct, frozen=True, kw_only=True):
    """The client's opening: the versions it speaks and the session key that it will prove."""

    versions: list[int]
    session_key: bytes
    nonce: bytes


class NodeHello(msgspec.Struct, frozen=True, kw_only=True):
    """The node's answer: the version chosen, who it is, and what it takes at a time."""

    version: int
    node_id: bytes
    nonce: bytes
    streams_max: int
    body_max: int
    eager: int
    """Body bytes that may be on their way before the node admits them, over all streams together."""


class Farewell(msgspec.Struct, frozen=True, kw_only=True):
    """The payload of GOAWAY: no new requests; a code where something was wrong, else ""."""

    code: str = ""
    message: str = ""


class TunnelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame to a relay: which node, and a valid grant for it as the reason."""

    version: int
    node_id: bytes
    grant: bytes


class TunnelReply(msgspec.Struct, frozen=True, kw_only=True):
    """The relay's answer: from here on the stream is the node's. `scheme`: "tls" or "tcp", how it answers."""

    version: int
    scheme: str


T = TypeVar("T")


def decode(payload: bytes | bytearray | memoryview, kind: type[T]) -> T:
    """The MessagePack struct in `payload`; raises Refusal("request.invalid")."""
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except UNREADABLE as error:
        raise broken(f"A frame's content is wrong: {error}.") from error


def transcript(client_hello: bytes, node_hello: bytes) -> bytes:
    """What both sides sign: a hash over both openings, so that neither was changed on the way."""
    lengths = struct.pack(">II", len(client_hello), len(node_hello))
    return hashlib.sha256(lengths + client_hello + node_hello).digest()


def answer_hello(key: SigningKey, client_hello: bytes, hello: NodeHello) -> tuple[bytes, bytes]:
    """The node's HELLO payload (struct, then signature) and the transcript that the client must sign."""
    encoded = msgspec.msgpack.encode(hello)
    signed = transcript(client_hello, encoded)
    return encoded + key.sign(NODE_HELLO_DOMAIN, signed), signed


def believe_node(client_hello: bytes, payload: bytes, node_id: bytes) -> tuple[NodeHello, bytes]:
    """The node's opening and the transcript, if it is `node_id`; raises Refusal("signature.invalid")."""
    encoded, signature = payload[:-SIGNATURE_BYTES], payload[-SIGNATURE_BYTES:]
    hello = decode(encoded, NodeHello)
    if hello.version != SESSION_VERSION:
        raise Refusal("version.unsupported", f"The node answered with version {hello.version}.")
    if hello.node_id != node_id:
        raise Refusal("signature.invalid", "Another node answers at this address.", node=hello.node_id.hex())
    signed = transcript(client_hello, encoded)
    verify(node_id, NODE_HELLO_DOMAIN, signed, signature)
    return hello, signed


def believe_client(payload: bytes) -> ClientHello:
    """The client's opening; raises Refusal("version.unsupported" | "request.invalid")."""
    hello = decode(payload, ClientHello)
    if SESSION_VERSION not in hello.versions:
        raise Refusal(
            "version.unsupported",
            f"The client speaks session versions {hello.versions[:8]}, this node {SESSION_VERSION}.",
            advice="Upgrade the older side.",
        )
    if len(hello.session_key) != PUBLIC_BYTES or len(hello.nonce) != NONCE_BYTES:
        raise broken("The client's hello is damaged.")
    return hello
