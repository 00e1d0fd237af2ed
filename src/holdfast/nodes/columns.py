"""Facts of nodes in columns indexed by alias: thirty bytes for a node where objects would take a thousand."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from holdfast.nodes.snapshot import NONE, Flags, Floats, Ints, Longs

_SIZE: Final = 1024

_KINDS: Final[dict[str, tuple[Any, Any]]] = {
    "provider": (np.int32, NONE),
    "subnet": (np.int32, NONE),
    "zone": (np.int32, NONE),
    "region": (np.int32, NONE),
    "state": (np.int32, NONE),
    "free": (np.int64, 0),
    "heartbeat": (np.int64, 0),
    "changed": (np.int64, 0),
    "registered": (np.int64, 0),
    "quality": (np.float64, 1.0),
    "stopping": (np.bool_, False),
}


class Columns:
    """The columns; entries of aliases that nobody has hold NONE, zero or what is usual."""

    provider: Ints
    subnet: Ints
    zone: Ints
    region: Ints
    state: Ints
    free: Longs
    heartbeat: Longs
    changed: Longs
    registered: Longs
    quality: Floats
    stopping: Flags

    def __init__(self) -> None:
        self.size = _SIZE
        for name, (kind, fill) in _KINDS.items():
            setattr(self, name, np.full(_SIZE, fill, kind))

    def grow(self, alias: int) -> None:
        """Makes room for this alias, and for as many again."""
        if alias < self.size:
            return
        more = max(self.size, alias + 1 - self.size)
        for name, (_, fill) in _KINDS.items():
            setattr(self, name, np.pad(getattr(self, name), (0, more), constant_values=fill))
        self.size += more


class Names:
    """Words and the small numbers that stand for them in a column; NONE stands for no word."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._numbers: dict[str, int] = {"": NONE}

    def number(self, word: str) -> int:
        """The word's number, a new one if need be."""
        found = self._numbers.get(word)
        if found is None:
            found = self._numbers[word] = len(self.words)
            self.words.append(word)
        return found
