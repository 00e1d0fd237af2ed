"""The coordinator's own secrets, in its home: the master keys and the key that signs grants.

    master.keys   JSON: the id of the current master key, and every master key by id
    issuer.key    the Ed25519 seed that signs grants

Both are made once with mode 0600 and belong in the operator's backup: without the master keys no access key
works and no managed key opens; without the issuer key every node must learn a new one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from holdfast.app.private_file import write_private
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.tenants.master import MASTER_BYTES, Master
from holdfast.world.chance import Chance
from holdfast.world.errors import Refusal

MASTER_FILE = "master.keys"
ISSUER_FILE = "issuer.key"


class MasterFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `master.keys`; keys in hexadecimal."""

    version: int = 1
    current: str
    keys: dict[str, str]

    def __repr__(self) -> str:
        return f"MasterFile(current={self.current!r}, ids={sorted(self.keys)})"


def load_master(home: Path, chance: Chance) -> Master:
    """The master keys of this home, made if there are none; raises Refusal("format.invalid")."""
    path = home / MASTER_FILE
    if not path.exists():
        made = MasterFile(current="m1", keys={"m1": chance.bytes(MASTER_BYTES).hex()})
        write_private(path, msgspec.json.format(msgspec.json.encode(made), indent=2))
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=MasterFile)
        keys = {name: bytes.fromhex(text) for name, text in kept.keys.items()}
    except (msgspec.MsgspecError, ValueError) as error:
        raise _unreadable(path) from error
    return Master(keys, kept.current)


def rotate_master(home: Path, chance: Chance) -> str:
    """Adds a new current master key to the file; returns its id. Old ones stay until nothing needs them."""
    load_master(home, chance)
    kept = msgspec.json.decode((home / MASTER_FILE).read_bytes(), type=MasterFile)
    name = f"m{len(kept.keys) + 1}"
    grown = MasterFile(current=name, keys={**kept.keys, name: chance.bytes(MASTER_BYTES).hex()})
    write_private(home / MASTER_FILE, msgspec.json.format(msgspec.json.encode(grown), indent=2))
    return name


def load_issuer(home: Path, chance: Chance) -> SigningKey:
    """The key that signs grants, made if there is none; raises Refusal("format.invalid")."""
    path = home / ISSUER_FILE
    if not path.exists():
        write_private(path, (chance.bytes(SEED_BYTES).hex() + "\n").encode())
    try:
        return SigningKey(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (ValueError, AssertionError) as error:
        raise _unreadable(path) from error


def _unreadable(path: Path) -> Refusal:
    return Refusal(
        "format.invalid", f"{path} is not a key file of Holdfast.", advice="Restore it from your backup."
    )
