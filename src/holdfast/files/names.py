"""The rules for the names of buckets and objects: S3's, each refusal saying which rule was broken."""

from __future__ import annotations

import ipaddress
import re

from holdfast.protocol.control import KEY_BYTES_MAX
from holdfast.world.errors import Refusal

BUCKET_CHARACTERS_MIN = 3
BUCKET_CHARACTERS_MAX = 63
METADATA_BYTES_MAX = 8 << 10
"""All names and values of one version's user metadata together, in UTF-8."""

_ALPHABET = re.compile(r"[a-z0-9.-]*")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_bucket_name(name: str) -> None:
    """Raises Refusal("bucket.invalid") unless S3 would take the name for a general purpose bucket."""
    broken = _broken_rule(name)
    if broken:
        raise Refusal(
            "bucket.invalid",
            f"'{name[:80]}' cannot be a bucket's name: {broken}.",
            advice="Use 3 to 63 lower-case letters, digits and hyphens.",
            bucket=name[:80],
        )


def _broken_rule(name: str) -> str:
    rules = (
        (
            BUCKET_CHARACTERS_MIN <= len(name) <= BUCKET_CHARACTERS_MAX,
            f"it needs {BUCKET_CHARACTERS_MIN} to {BUCKET_CHARACTERS_MAX} characters",
        ),
        (
            _ALPHABET.fullmatch(name) is not None,
            "only lower-case letters a-z, digits, dots and hyphens are allowed",
        ),
        (name[:1] not in {"-", "."}, "it must begin with a letter or a digit"),
        (name[-1:] not in {"-", "."}, "it must end with a letter or a digit"),
        (".." not in name, "two dots may not stand side by side"),
        (".-" not in name and "-." not in name, "a dot and a hyphen may not stand side by side"),
        (not _is_address(name), "it must not look like an IP address"),
        (not name.startswith(_RESERVED_PREFIXES), "its beginning is reserved"),
        (not name.endswith(_RESERVED_SUFFIXES), "its ending is reserved"),
    )
    return next((why for kept, why in rules if not kept), "")


def _is_address(name: str) -> bool:
    if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def encode_key(key: str) -> bytes:
    """The key as it is stored and ordered; raises Refusal("name.invalid").

    1 to 1024 bytes of UTF-8. The NUL character is refused, though S3 knows no such rule: no listing can carry
    it (XML has no form for it) and no file can be called by it.
    """
    encoded = encode_text(key)
    if not encoded:
        raise Refusal("name.invalid", "An object's key must not be empty.", advice="Give the object a key.")
    if len(encoded) > KEY_BYTES_MAX:
        raise Refusal(
            "name.invalid",
            f"The key has {len(encoded)} bytes of UTF-8; at most {KEY_BYTES_MAX} are allowed.",
            advice="Shorten the key.",
            bytes=len(encoded),
            bytes_max=KEY_BYTES_MAX,
        )
    return encoded


def encode_text(words: str) -> bytes:
    """Part of a key (a prefix, a delimiter, a marker) as bytes; raises Refusal("name.invalid")."""
    try:
        encoded = words.encode()
    except UnicodeEncodeError as error:
        raise Refusal("name.invalid", "The key is not valid Unicode: it holds half a character.") from error
    if b"\0" in encoded:
        raise Refusal(
            "name.invalid", "A key must not contain the NUL character.", advice="Take it out of the key."
        )
    return encoded


def decode_key(key: bytes) -> str:
    """The key as it was given."""
    return key.decode()


def check_metadata(words: dict[str, str]) -> None:
    """Raises Refusal("request.too_large") for more user metadata than a version may carry."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in words.items())
    if size > METADATA_BYTES_MAX:
        raise Refusal(
            "request.too_large",
            f"The metadata has {size} bytes; at most {METADATA_BYTES_MAX} are allowed.",
            advice="Keep long texts in an object of their own.",
            bytes=size,
            bytes_max=METADATA_BYTES_MAX,
        )
