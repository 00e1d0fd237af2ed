"""Key files: a tenant's root key as text that can be printed, typed in again and checked.

Lines of `name = value` under a first line with the version; `#` starts a comment line. Either the root key
stands there in hexadecimal, or it is locked with a passphrase. See docs/formats/key.md.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.chunks.keys import MODES, Mode, TenantKey
from holdfast.chunks.metadata import KEY_BYTES, KEY_ID_BYTES
from holdfast.chunks.passphrase import COST, COST_MAX, SALT_BYTES, Cost, stretch
from holdfast.world.errors import Refusal

KEY_FILE_VERSION = 1
_FIRST_WORD = "holdfast-key"
_COMMENT = (
    "# Whoever has this key can read the data; whoever loses it cannot. Keep a copy away from this machine."
)
_TAG_BYTES = 16
_LOCK_FIELDS = ("memory-kib", "passes", "lanes", "salt")
_ZERO_NONCE = bytes(12)


def write(key: TenantKey) -> str:
    """The text of a key file that opens without a passphrase."""
    return _text(key, [("lock", "none"), ("root", key.root.hex())])


def write_locked(key: TenantKey, passphrase: str, salt: bytes, cost: Cost = COST) -> str:
    """The text of a key file locked with a passphrase; `salt` is 16 random bytes, new for each file."""
    assert len(salt) == SALT_BYTES, "a salt is 16 random bytes"
    cipher = AESGCM(stretch(passphrase, salt, cost))
    # The salt is new, so the key is new: the nonce may be zero.
    sealed = cipher.encrypt(_ZERO_NONCE, key.root, _context(key.key_id, key.mode, salt, cost))
    fields = [
        ("lock", "argon2id"),
        ("memory-kib", str(cost.memory_kib)),
        ("passes", str(cost.passes)),
        ("lanes", str(cost.lanes)),
        ("salt", salt.hex()),
        ("root", sealed.hex()),
    ]
    return _text(key, fields)


def is_locked(text: str) -> bool:
    """Whether reading needs a passphrase; raises as `read` does for what is no key file."""
    return _parse(text)["lock"] != "none"


def read(text: str, passphrase: str | None = None) -> TenantKey:
    """The key in a key file.

    Raises Refusal("key.wrong") for a wrong or missing passphrase, Refusal("format.newer") for a newer
    version, Refusal("format.invalid") for a damaged or mistyped file.
    """
    fields = _parse(text)
    mode = _mode(fields)
    key_id = _hexadecimal(fields, "id", KEY_ID_BYTES)
    if fields["lock"] == "none":
        root = _hexadecimal(fields, "root", KEY_BYTES)
    elif passphrase is None:
        raise Refusal(
            "key.wrong",
            f"The file of key {key_id.hex()} is locked.",
            advice="Give its passphrase.",
            key_id=key_id.hex(),
        )
    else:
        root = _unlock(fields, key_id, mode, passphrase)
    key = TenantKey(root, mode)
    if key.key_id != key_id:
        raise _invalid("root and id do not belong together; was it mistyped?")
    return key


def _unlock(fields: dict[str, str], key_id: bytes, mode: Mode, passphrase: str) -> bytes:
    salt = _hexadecimal(fields, "salt", SALT_BYTES)
    cost = Cost(
        memory_kib=_number(fields, "memory-kib", COST_MAX.memory_kib),
        passes=_number(fields, "passes", COST_MAX.passes),
        lanes=_number(fields, "lanes", COST_MAX.lanes),
    )
    if cost.memory_kib < 8 * cost.lanes:
        raise _invalid("memory-kib must be at least 8 times lanes")
    sealed = _hexadecimal(fields, "root", KEY_BYTES + _TAG_BYTES)
    cipher = AESGCM(stretch(passphrase, salt, cost))
    try:
        return cipher.decrypt(_ZERO_NONCE, sealed, _context(key_id, mode, salt, cost))
    except InvalidTag:
        raise Refusal(
            "key.wrong",
            f"The passphrase does not open the file of key {key_id.hex()}.",
            advice="Check the passphrase; a mistyped key file looks the same.",
            key_id=key_id.hex(),
        ) from None


def _context(key_id: bytes, mode: str, salt: bytes, cost: Cost) -> bytes:
    words = ("holdfast key file v1", key_id.hex(), mode, cost.memory_kib, cost.passes, cost.lanes, salt.hex())
    return "\0".join(map(str, words)).encode()


def _text(key: TenantKey, fields: list[tuple[str, str]]) -> str:
    named = [("id", key.key_id.hex()), ("mode", key.mode), *fields]
    lines = [f"{name} = {value}" for name, value in named]
    return "\n".join([f"{_FIRST_WORD} {KEY_FILE_VERSION}", _COMMENT, *lines, ""])


def _parse(text: str) -> dict[str, str]:
    """The fields, each once, exactly those that belong there."""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    _check_version(lines[0] if lines else "")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or name in fields:
            raise _invalid(f"the line of {name[:20]!r} is not one `name = value`, once")
        fields[name] = value
    lock_fields = {"none": (), "argon2id": _LOCK_FIELDS}.get(fields.get("lock", ""))
    if lock_fields is None:
        raise _invalid("lock must be none or argon2id")
    if sorted(fields) != sorted(("id", "mode", "lock", "root", *lock_fields)):
        raise _invalid("a field is missing or does not belong there")
    return fields


def _check_version(line: str) -> None:
    word, _, version = line.partition(" ")
    if word != _FIRST_WORD or not version.isascii() or not version.isdigit() or int(version) < 1:
        raise _invalid(f"the first line must be `{_FIRST_WORD} {KEY_FILE_VERSION}`")
    if int(version) > KEY_FILE_VERSION:
        raise Refusal(
            "format.newer",
            f"The key file is of version {version}; this program knows up to {KEY_FILE_VERSION}.",
            advice="Update Holdfast.",
        )


def _mode(fields: dict[str, str]) -> Mode:
    for mode in MODES:
        if fields["mode"] == mode:
            return mode
    raise _invalid("mode must be client or gateway")


def _hexadecimal(fields: dict[str, str], name: str, count: int) -> bytes:
    try:
        value = bytes.fromhex(fields[name])
    except ValueError:
        value = b""
    if len(value) != count:
        raise _invalid(f"{name} must be {2 * count} hexadecimal digits")
    return value


def _number(fields: dict[str, str], name: str, most: int) -> int:
    written = fields[name]
    if (
        written.isascii()
        and written.isdigit()
        and len(written) <= len(str(most))
        and 1 <= int(written) <= most
    ):
        return int(written)
    raise _invalid(f"{name} must be a number from 1 to {most}")


def _invalid(reason: str) -> Refusal:
    return Refusal(
        "format.invalid", f"This is not a key file: {reason}.", advice="Take another copy of the file."
    )
