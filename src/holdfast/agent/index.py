"""Where each shard lies: a sorted map from shard id to place, in about fifty bytes a shard.

A dict of bytes to tuples takes some 350 bytes an entry, which is gigabytes on a 10 TB node. Here the entries
are packed into sorted leaves of at most 256, found by bisection; being sorted, they are also paged for free.
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_right
from typing import Final, NamedTuple

from holdfast.agent.record import ID_BYTES, RECORD_EXTRA_BYTES

_LEAF_ENTRIES_MAX: Final = 256
_PLACE: Final = struct.Struct(">IQIIQ")
_WIDTH: Final = ID_BYTES + _PLACE.size


class Place(NamedTuple):
    """Where the record of a shard begins, the lengths in it, and its sequence."""

    volume: int
    offset: int
    meta_length: int
    body_length: int
    sequence: int

    @property
    def record_bytes(self) -> int:
        """Length of the whole record."""
        return RECORD_EXTRA_BYTES + self.meta_length + self.body_length


class Index:
    """A sorted map of shard ids (18 bytes each) to places."""

    def __init__(self) -> None:
        self._leaves: list[bytearray] = [bytearray()]
        # _firsts[i] <= every id of leaf i; the first leaf takes whatever sorts before all others.
        self._firsts: list[bytes] = [b""]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, shard_id: bytes) -> Place | None:
        """The place of the shard, None if there is none."""
        leaf = self._leaves[bisect_right(self._firsts, shard_id) - 1]
        at = _find(leaf, shard_id)
        if leaf[at : at + ID_BYTES] != shard_id:
            return None
        return Place._make(_PLACE.unpack_from(leaf, at + ID_BYTES))

    def put(self, shard_id: bytes, place: Place) -> Place | None:
        """Adds the shard, or moves it; returns where it was before."""
        assert len(shard_id) == ID_BYTES, "a shard id is 18 bytes"
        number = bisect_right(self._firsts, shard_id) - 1
        leaf = self._leaves[number]
        at = _find(leaf, shard_id)
        if leaf[at : at + ID_BYTES] == shard_id:
            before = Place._make(_PLACE.unpack_from(leaf, at + ID_BYTES))
            _PLACE.pack_into(leaf, at + ID_BYTES, *place)
            return before
        leaf[at:at] = shard_id + _PLACE.pack(*place)
        self._count += 1
        if len(leaf) > _LEAF_ENTRIES_MAX * _WIDTH:
            half = _LEAF_ENTRIES_MAX // 2 * _WIDTH
            upper = leaf[half:]
            self._leaves[number] = leaf[:half]
            self._leaves.insert(number + 1, upper)
            self._firsts.insert(number + 1, bytes(upper[:ID_BYTES]))
        return None

    def remove(self, shard_id: bytes) -> None:
        """Forgets the shard, which must be there."""
        number = bisect_right(self._firsts, shard_id) - 1
        leaf = self._leaves[number]
        at = _find(leaf, shard_id)
        assert leaf[at : at + ID_BYTES] == shard_id, "only a shard that is there can be removed"
        del leaf[at : at + _WIDTH]
        self._count -= 1
        if not leaf and number > 0:
            del self._leaves[number]
            del self._firsts[number]

    def after(self, shard_id: bytes, limit: int) -> list[bytes]:
        """Up to `limit` ids above `shard_id` (b"": from the first), in order."""
        number = bisect_right(self._firsts, shard_id) - 1
        found: list[bytes] = []
        while number < len(self._leaves) and len(found) < limit:
            leaf = self._leaves[number]
            start = _find(leaf, shard_id)
            if leaf[start : start + ID_BYTES] == shard_id:
                start += _WIDTH
            stop = min(len(leaf), start + (limit - len(found)) * _WIDTH)
            found.extend(bytes(leaf[at : at + ID_BYTES]) for at in range(start, stop, _WIDTH))
            number += 1
        return found

    def memory_bytes(self) -> int:
        """What the map takes in memory, all its objects counted."""
        lists = sys.getsizeof(self._leaves) + sys.getsizeof(self._firsts)
        return lists + sum(map(sys.getsizeof, self._leaves)) + sum(map(sys.getsizeof, self._firsts))


def _find(leaf: bytearray, shard_id: bytes) -> int:
    """Byte offset in the leaf of the first entry that is not below the id."""
    low, high = 0, len(leaf) // _WIDTH
    while low < high:
        middle = (low + high) >> 1
        at = middle * _WIDTH
        if leaf[at : at + ID_BYTES] < shard_id:
            low = middle + 1
        else:
            high = middle
    return low * _WIDTH
