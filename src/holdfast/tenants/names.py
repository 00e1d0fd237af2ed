"""The two public names that S3 has for whoever owns things, both made from the tenant's id.

A tenant's id is drawn by chance and never changes, so these are as good as drawn themselves, and who knows
the id (a bucket's row has it) knows them without asking anybody.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

ACCOUNT_DIGITS: Final = 12
CANONICAL_DIGITS: Final = 64

_REMEMBERED: Final = 4096


@lru_cache(_REMEMBERED)
def canonical_id_of(tenant_id: str) -> str:
    """The canonical id: 64 hexadecimal digits. Access control lists name owners and grantees by it."""
    return hashlib.sha256(b"holdfast canonical id\0" + tenant_id.encode()).hexdigest()


@lru_cache(_REMEMBERED)
def account_of(tenant_id: str) -> str:
    """The account: 12 digits, the first not 0. Policies and expected owners are named by it."""
    drawn = hashlib.sha256(b"holdfast account\0" + tenant_id.encode()).digest()
    least = 10 ** (ACCOUNT_DIGITS - 1)
    return str(least + int.from_bytes(drawn[:16], "big") % (9 * least))
