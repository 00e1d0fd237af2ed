"""Storage classes: named redundancies, as a table that settings may add to.

A chunk of a class is acknowledged when `ack_at` of its n shards are durable on distinct nodes; the others
follow or are repaired later. Sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Refusal

CHUNK_SIZE: Final = 16 << 20
"""Every shard costs client, node and coordinator about the same beside its bytes, so large ones are cheaper.

docs/performance.md has the figures. Still larger chunks would leave a client too few at a time within its
memory to seal one while another is sent.
"""
COPY_SIZE: Final = 4 << 20
"""Where a shard is a whole chunk: a node holds several at a time in memory."""
DEFAULT_CLASS: Final = "standard"


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A named redundancy. `ack_at` 0 stands for the redundancy's `repair_at`."""

    class_name: str
    redundancy: Redundancy
    description: str
    ack_at: int = 0
    chunk_size: int = CHUNK_SIZE

    def __post_init__(self) -> None:
        redundancy = self.redundancy
        if not self.ack_at:
            object.__setattr__(self, "ack_at", redundancy.repair_at)
        if not redundancy.k <= self.ack_at <= redundancy.n or self.chunk_size <= 0:
            raise Refusal(
                "config.invalid",
                f"The storage class '{self.class_name}' cannot work as {redundancy}, ack at {self.ack_at}.",
                advice="Choose k <= ack at <= n, and a chunk size above zero.",
            )


BUILT_IN: Final = (
    StorageClass("standard", Redundancy(10, 14, 12), "4 of 14 nodes may be lost; 1.4 bytes stored per byte"),
    StorageClass("wide", Redundancy(20, 30, 26), "10 of 30 nodes may be lost; for the longest keeping"),
    StorageClass("small", Redundancy(8, 12, 10), "4 of 12 nodes may be lost; for fleets of a dozen nodes"),
    StorageClass("tiny", Redundancy(4, 6, 5), "2 of 6 nodes may be lost; for a handful of nodes"),
    StorageClass(
        "replicated",
        Redundancy(1, 3, 2),
        "3 whole copies; quickest to read, 3 bytes per byte",
        chunk_size=COPY_SIZE,
    ),
    StorageClass(
        "single",
        Redundancy(1, 1, 1),
        "1 copy, lost with its node; for trying things out",
        chunk_size=COPY_SIZE,
    ),
)


class Classes:
    """The classes in force: the built-in ones, and those of the settings, which win over the same name."""

    def __init__(self, extra: Iterable[StorageClass] = (), *, default: str = DEFAULT_CLASS) -> None:
        self._known = {known.class_name: known for known in (*BUILT_IN, *extra)}
        self.default = self.get(default).class_name

    def __iter__(self) -> Iterator[StorageClass]:
        return iter(self._known.values())

    def get(self, class_name: str | None) -> StorageClass:
        """The class of this name, None for the default; raises Refusal("class.unknown")."""
        if class_name is None:
            class_name = self.default
        found = self._known.get(class_name)
        if found is None:
            raise Refusal(
                "class.unknown",
                f"There is no storage class '{class_name}'.",
                advice=f"Choose one of {', '.join(self._known)}.",
            )
        return found

    def working_with(self, nodes: int) -> list[StorageClass]:
        """The classes that so many nodes are enough for, those that spread widest first."""
        fitting = [known for known in self if known.redundancy.n <= nodes]
        return sorted(fitting, key=lambda known: (-known.redundancy.n, known.class_name))
