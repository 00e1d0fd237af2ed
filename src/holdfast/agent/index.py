"""Where each shard lies: a sorted map from shard id to place, in about fifty bytes a shard.

A dict of bytes to tuples takes some 350 bytes an entry, which is gigabytes on a 10 TB node. Here the entries
are packed into sorted leaves of at most 256; being sorted, they are also paged for free. In a leaf the first
8 bytes of the ids stand apart as numbers, where C finds them by bisection; what follows decides only between
ids that begin alike.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import Final, NamedTuple

from holdfast.agent.record import ID_BYTES, RECORD_EXTRA_BYTES

_LEAF_ENTRIES_MAX: Final = 256
_PLACE: Final = struct.Struct(">IQIIQ")
_PREFIX_BYTES: Final = 8
_REST_BYTES: Final = ID_BYTES - _PREFIX_BYTES
_WIDTH: Final = _REST_BYTES + _PLACE.size


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


class _Leaf:
    """Entries in order: `prefixes[i]` and, from `i * _WIDTH` on, the rest of the id and the packed place."""

    __slots__ = ("entries", "prefixes")

    def __init__(self, prefixes: array[int] | None = None, entries: bytearray | None = None) -> None:
        self.prefixes = array("Q") if prefixes is None else prefixes
        self.entries = bytearray() if entries is None else entries

    def find(self, shard_id: bytes) -> tuple[int, bool]:
        """The number of the first entry that is not below the id, and whether it is the id's."""
        prefix = int.from_bytes(shard_id[:_PREFIX_BYTES].ljust(_PREFIX_BYTES, b"\0"), "big")
        prefixes, entries = self.prefixes, self.entries
        number = bisect_left(prefixes, prefix)
        rest = shard_id[_PREFIX_BYTES:]
        while number < len(prefixes) and prefixes[number] == prefix:
            at = number * _WIDTH
            here = entries[at : at + _REST_BYTES]
            if here >= rest:
                return number, here == rest
            number += 1
        return number, False

    def place(self, number: int) -> Place:
        """The place in an entry."""
        return Place._make(_PLACE.unpack_from(self.entries, number * _WIDTH + _REST_BYTES))

    def shard_id(self, number: int) -> bytes:
        """The id of an entry."""
        at = number * _WIDTH
        return self.prefixes[number].to_bytes(_PREFIX_BYTES, "big") + self.entries[at : at + _REST_BYTES]

    def memory_bytes(self) -> int:
        """What the leaf takes in memory."""
        return sum(map(sys.getsizeof, (self, self.prefixes, self.entries)))


class Index:
    """A sorted map of shard ids (18 bytes each) to places."""

    def __init__(self) -> None:
        self._leaves: list[_Leaf] = [_Leaf()]
        # _firsts[i] <= every id of leaf i; the first leaf takes whatever sorts before all others.
        self._firsts: list[bytes] = [b""]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, shard_id: bytes) -> Place | None:
        """The place of the shard, None if there is none."""
        leaf = self._leaves[bisect_right(self._firsts, shard_id) - 1]
        number, found = leaf.find(shard_id)
        return leaf.place(number) if found else None

    def put(self, shard_id: bytes, place: Place) -> Place | None:
        """Adds the shard, or moves it; returns where it was before."""
        assert len(shard_id) == ID_BYTES, "a shard id is 18 bytes"
        leaf_number = bisect_right(self._firsts, shard_id) - 1
        leaf = self._leaves[leaf_number]
        number, found = leaf.find(shard_id)
        at = number * _WIDTH
        if found:
            before = leaf.place(number)
            _PLACE.pack_into(leaf.entries, at + _REST_BYTES, *place)
            return before
        leaf.entries[at:at] = shard_id[_PREFIX_BYTES:] + _PLACE.pack(*place)
        leaf.prefixes.insert(number, int.from_bytes(shard_id[:_PREFIX_BYTES], "big"))
        self._count += 1
        if len(leaf.prefixes) > _LEAF_ENTRIES_MAX:
            self._split(leaf_number)
        return None

    def remove(self, shard_id: bytes) -> None:
        """Forgets the shard, which must be there."""
        leaf_number = bisect_right(self._firsts, shard_id) - 1
        leaf = self._leaves[leaf_number]
        number, found = leaf.find(shard_id)
        assert found, "only a shard that is there can be removed"
        del leaf.entries[number * _WIDTH : (number + 1) * _WIDTH]
        del leaf.prefixes[number]
        self._count -= 1
        if not leaf.prefixes and leaf_number > 0:
            del self._leaves[leaf_number]
            del self._firsts[leaf_number]

    def after(self, shard_id: bytes, limit: int) -> list[bytes]:
        """Up to `limit` ids above `shard_id` (b"": from the first), in order."""
        leaf_number = bisect_right(self._firsts, shard_id) - 1
        found: list[bytes] = []
        while leaf_number < len(self._leaves) and len(found) < limit:
            leaf = self._leaves[leaf_number]
            start, same = leaf.find(shard_id)
            start += same
            stop = min(len(leaf.prefixes), start + limit - len(found))
            found.extend(map(leaf.shard_id, range(start, stop)))
            leaf_number += 1
        return found

    def memory_bytes(self) -> int:
        """What the map takes in memory, all its objects counted."""
        lists = sys.getsizeof(self._leaves) + sys.getsizeof(self._firsts)
        return (
            lists + sum(leaf.memory_bytes() for leaf in self._leaves) + sum(map(sys.getsizeof, self._firsts))
        )

    def _split(self, leaf_number: int) -> None:
        leaf = self._leaves[leaf_number]
        half = len(leaf.prefixes) // 2
        upper = _Leaf(leaf.prefixes[half:], leaf.entries[half * _WIDTH :])
        self._leaves[leaf_number] = _Leaf(leaf.prefixes[:half], leaf.entries[: half * _WIDTH])
        self._leaves.insert(leaf_number + 1, upper)
        self._firsts.insert(leaf_number + 1, upper.shard_id(0))
