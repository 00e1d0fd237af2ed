"""A chunk's placement, packed: n aliases of four bytes, little-endian, in shard order; 0 is "not stored".

An alias is the small number under which the fleet keeps a node; it is never used again for another node.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

ALIAS_BYTES = 4
NOT_STORED = 0


def pack(aliases: Sequence[int]) -> bytes:
    """The packed placement."""
    return struct.pack(f"<{len(aliases)}I", *aliases)


def unpack(placement: bytes) -> tuple[int, ...]:
    """The aliases in shard order."""
    return struct.unpack(f"<{len(placement) // ALIAS_BYTES}I", placement)


def merge(
    placement: bytes, stored: Sequence[tuple[int, int]]
) -> tuple[bytes, list[tuple[int, int]], list[tuple[int, int]]]:
    """Adds (index, alias) pairs where there is room for them.

    Returns:
        The new placement, the pairs that were added, and the pairs that are surplus: another node already
        holds that shard, or this node already holds another shard of the chunk.
    """
    aliases = list(unpack(placement))
    added, surplus = [], []
    for index, alias in stored:
        if aliases[index] == alias:
            continue
        if aliases[index] == NOT_STORED and alias not in aliases:
            aliases[index] = alias
            added.append((index, alias))
        else:
            surplus.append((index, alias))
    return pack(aliases), added, surplus


def change(placement: bytes, moves: Sequence[tuple[int, int]]) -> bytes:
    """The placement with each (index, alias) set, whatever stood there; alias 0 clears."""
    aliases = list(unpack(placement))
    for index, alias in moves:
        aliases[index] = alias
    return pack(aliases)
