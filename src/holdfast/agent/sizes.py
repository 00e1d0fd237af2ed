"""Sizes as people write and read them: 100GB is decimal, 1.5TiB binary."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from holdfast.world.errors import Refusal

UNITS: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    **{letter + "b": 1000**power for power, letter in enumerate("kmgtp", 1)},
    **{letter + "ib": 1024**power for power, letter in enumerate("kmgtp", 1)},
}

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-z]{0,3})", re.ASCII | re.IGNORECASE)
_SIZE_MAX = 1 << 60
_STEP = 1000
_TENTHS_BELOW = 100


def parse_size(text: str) -> int:
    """Bytes in `100GB`, `1.5 TiB` or `4096`, rounded down; raises Refusal("config.invalid")."""
    found = _SIZE.fullmatch(text.strip())
    unit = UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise Refusal(
            "config.invalid", f"'{text}' is not a size.", advice="Write it as 100GB, 1.5TiB or in bytes."
        )
    size = int(Decimal(found[1]) * unit)
    if size > _SIZE_MAX:
        raise Refusal("config.invalid", f"'{text}' is more than one disk can hold.")
    return size


def size_text(size: int) -> str:
    """A size in decimal units with three digits at most: `512 B`, `1.5 GB`, `100 GB`."""
    amount, unit = Decimal(size), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if abs(amount) < _STEP:
            break
        amount, unit = amount / _STEP, larger
    digits = 0 if unit == "B" or abs(amount) >= _TENTHS_BELOW else 1
    return f"{amount:.{digits}f}".removesuffix(".0") + f" {unit}"
