"""The folder of one node: its key, its owner's settings, and what it must remember across crashes.

    node.key       the Ed25519 seed; made once, never changed, copied nowhere
    settings.json  what the owner wants; written by commands, read by the running node
    memory.json    what must survive a crash; written by the running node
    status.json    how it fared lately; for onlookers only, never read by the node itself
    vault/         the shards, elsewhere if the settings say so

Every file is replaced atomically and durably. A file of a newer version is refused by name, never guessed at.
The lock that keeps a second process out belongs to `folder`, because only real folders need one.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.world.chance import Chance
from holdfast.world.disk import Disk
from holdfast.world.errors import Refusal
from holdfast.world.untrusted import UNREADABLE

LISTEN_DEFAULT: Final = "tls://0.0.0.0:7420"

T = TypeVar("T")

_KEY = "node.key"
_KEY_HEAD = "holdfast-node-key-1"
_SETTINGS = "settings.json"
_MEMORY = "memory.json"
_STATUS = "status.json"
_VERSION = 1


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner of a node wants of it."""

    version: int = _VERSION
    endpoint: str
    """URL of the coordinator, without a trailing slash."""
    token: str = ""
    """The invitation; emptied once it has been used."""
    node_name: str = ""
    zone: str = ""
    """Failure zone in the owner's words (a room, a site): shards of one chunk are spread over zones."""
    listen: str = LISTEN_DEFAULT
    advertised: list[str] = []
    """Addresses others reach it at; empty: found out from where it listens."""
    allocated: int = 0
    vault: str = "vault"
    """Folder of the shards; relative to the home unless absolute."""

    def __repr__(self) -> str:
        return f"Settings(endpoint={self.endpoint!r}, node_name={self.node_name!r})"


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What a node must know again after a crash."""

    version: int = _VERSION
    registered: bool = False
    sequence: int = 0
    """Of the last message signed for the coordinator; every later one is higher."""
    issuers: list[bytes] = []
    """Public keys whose grants it accepts."""
    deletions_done: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How a node fares, as it last wrote it down. Bytes and microseconds."""

    version: int = _VERSION
    state: str
    """running | stopped"""
    time: int
    started: int = 0
    listening: str = ""
    addresses: list[str] = []
    allocated: int = 0
    used: int = 0
    free: int = 0
    shard_count: int = 0
    lost_count: int = 0
    welcomed: int = 0
    """When the coordinator last answered; 0: not since the start."""
    heartbeat_failures: int = 0
    """Heartbeats without an answer since then."""
    failure: str = ""
    """What the last failed heartbeat said."""
    clock_offset: int = 0
    """Coordinator's clock minus this machine's, at the last answer."""
    notices: list[str] = []
    recovery: str = ""
    """What opening the vault found, in a line."""


class Home:
    """One node's folder on a `Disk`. Calls block on the disk; each raises Trouble as the disk does."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def made(self) -> bool:
        """Whether a node was set up here."""
        names = self._disk.names()
        return _KEY in names and _SETTINGS in names

    def make_key(self, chance: Chance) -> SigningKey:
        """This node's key; made if there is none yet, so calling it again answers the same."""
        if _KEY not in self._disk.names():
            seed = chance.bytes(SEED_BYTES)
            self._disk.replace(_KEY, f"{_KEY_HEAD}\n{seed.hex()}\n".encode())
        return self.key()

    def key(self) -> SigningKey:
        """This node's key; raises as `key_seed` does."""
        return SigningKey(self.key_seed())

    def key_seed(self) -> bytes:
        """The 32-byte Ed25519 seed; raises Refusal("config.missing" | "format.invalid" | "format.newer")."""
        head, _, rest = self._read(_KEY).decode("ascii", "replace").partition("\n")
        if head != _KEY_HEAD:
            newer = head.startswith(_KEY_HEAD.rstrip("0123456789"))
            raise Refusal(
                "format.newer" if newer else "format.invalid",
                f"{_KEY} begins with '{head[:40]}', not with '{_KEY_HEAD}'.",
                advice="Upgrade Holdfast." if newer else "Put the node's own key file back.",
            )
        try:
            seed = bytes.fromhex(rest.strip())
        except ValueError:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise Refusal(
                "format.invalid",
                f"{_KEY} holds no {SEED_BYTES}-byte key.",
                advice="Restore the file from a copy; without its key this is not the same node.",
            )
        return seed

    def settings(self) -> Settings:
        """What the owner wants now; raises Refusal("config.missing" | "format.invalid" | "format.newer")."""
        return self._load(_SETTINGS, Settings)

    def save_settings(self, settings: Settings) -> None:
        """Keeps the owner's wishes; a running node reads them at its next heartbeat or on SIGHUP."""
        self._save(_SETTINGS, settings)

    def memory(self) -> Memory:
        """What the node last remembered; a fresh memory if it never ran."""
        if _MEMORY not in self._disk.names():
            return Memory()
        return self._load(_MEMORY, Memory)

    def remember(self, memory: Memory) -> None:
        """Durable on return."""
        self._save(_MEMORY, memory)

    def status(self) -> Status | None:
        """The last status written, None if there is none that this version can read."""
        try:
            return self._load(_STATUS, Status)
        except Refusal:
            return None

    def report(self, status: Status) -> None:
        """Leaves a status for onlookers."""
        self._save(_STATUS, status)

    def _save(self, name: str, value: Settings | Memory | Status) -> None:
        self._disk.replace(name, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def _read(self, name: str) -> bytes:
        try:
            return self._disk.read(name)
        except FileNotFoundError:
            raise Refusal(
                "config.missing",
                f"There is no node here: {name} is missing.",
                advice="Run 'holdfast node init' first, or name the right folder with --home.",
            ) from None

    def _load(self, name: str, kind: type[T]) -> T:
        content = self._read(name)
        try:
            version = msgspec.json.decode(content, type=_Versioned).version
            if version > _VERSION:
                raise Refusal(
                    "format.newer",
                    f"{name} has version {version}; this program understands {_VERSION}.",
                    advice="Upgrade Holdfast.",
                )
            return msgspec.json.decode(content, type=kind)
        except UNREADABLE as error:
            raise Refusal(
                "format.invalid",
                f"{name} cannot be read: {error}.",
                advice="Correct it by hand, or run 'holdfast node init' again with the same token.",
            ) from error


class _Versioned(msgspec.Struct):
    version: int


def next_sequence(memory: Memory, now: int) -> int:
    """A sequence above all that were ever signed.

    It follows the clock (microseconds), so that it grows even if the memory is lost, and never falls behind
    the memory, so that it grows even if the clock is set back.
    """
    return max(now, memory.sequence + 1)
