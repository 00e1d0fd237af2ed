"""What the records of all volumes add up to. Pure bookkeeping: no I/O, no clock.

The law, the same at a start and while running: of all records about an id the one with the highest sequence
holds; the order in which they are applied does not matter, so records may be copied between volumes.

A put that no longer holds is a *shadow* while its bytes are still on disk. A delete must stay on disk as long
as its id has shadows, or a restart would bring the shard back; after that it is dead space itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.agent.index import Index, Place
from holdfast.agent.record import RECORD_EXTRA_BYTES, Header, Kind
from holdfast.agent.volume import OPENING_BYTES

DELETE_BYTES: Final = RECORD_EXTRA_BYTES
SMALL_VOLUMES_MAX: Final = 16
"""How many small volumes are left alone; each costs a start one more file to open."""


@dataclass(slots=True)
class Tally:
    """How the bytes of one volume are used: `overhead` is what no compaction regains."""

    size: int
    live: int = 0
    overhead: int = OPENING_BYTES
    sealed: bool = False

    @property
    def dead(self) -> int:
        """Bytes that removing the volume would regain, after its live records were copied."""
        return self.size - self.live - self.overhead


class Catalogue:
    """Which shards live where, which deletes still matter, and what each volume holds."""

    def __init__(self) -> None:
        self.index = Index()
        self.volumes: dict[int, Tally] = {}
        self.used = 0
        """Bytes of all volume files together."""
        self.body_bytes = 0
        """Bytes of the bodies of all live shards."""
        self.sequence_next = 1
        self.lost: dict[bytes, str] = {}
        """Shards found damaged, and how. Their records are shadows; a put or a delete settles them."""
        self.unsettled: set[bytes] = set()
        """Ids with a failed record that may be on disk nevertheless: a newer record makes them certain."""
        self._shadows: dict[bytes, int] = {}
        self._deletes: dict[bytes, Place] = {}
        self._suspects: dict[int, list[bytes]] = {}
        self._suspect_from: dict[int, int] = {}

    def add_volume(self, number: int, size: int) -> None:
        """A volume of this many bytes is on disk."""
        assert number not in self.volumes, "a volume is added once"
        self.volumes[number] = Tally(size)
        self.used += size

    def resize(self, number: int, size: int) -> None:
        """The volume's file has this many bytes now."""
        self.used += size - self.volumes[number].size
        self.volumes[number].size = size

    def apply(self, header: Header, volume: int, offset: int) -> None:
        """A record is on disk there. An equal sequence is a copy: the one applied later holds."""
        self.sequence_next = max(self.sequence_next, header.sequence + 1)
        place = Place(volume, offset, header.meta_length, header.body_length, header.sequence)
        if header.kind == Kind.PUT:
            self._apply_put(header.shard_id, place)
        elif header.kind == Kind.DELETE:
            self._apply_delete(header.shard_id, place)
        else:
            self.volumes[volume].overhead += header.record_bytes

    def _apply_put(self, shard_id: bytes, place: Place) -> None:
        deleted = self._deletes.get(shard_id)
        if deleted is not None and place.sequence < deleted.sequence:
            self._shade(shard_id)
            return
        held = self.index.put(shard_id, place)
        if held is not None and place.sequence < held.sequence:
            self.index.put(shard_id, held)
            self._shade(shard_id)
            return
        self.lost.pop(shard_id, None)
        self.unsettled.discard(shard_id)
        if held is not None:
            self._retire(shard_id, held)
        if deleted is not None:
            self._drop_delete(shard_id)
        self.volumes[place.volume].live += place.record_bytes
        self.body_bytes += place.body_length

    def _apply_delete(self, shard_id: bytes, place: Place) -> None:
        held = self.index.get(shard_id)
        newest = held or self._deletes.get(shard_id)
        if newest is not None and place.sequence < newest.sequence:
            return
        self.lost.pop(shard_id, None)
        self.unsettled.discard(shard_id)
        if held is not None:
            self.index.remove(shard_id)
            self._retire(shard_id, held)
        if shard_id in self._deletes:
            self._drop_delete(shard_id)
        self._deletes[shard_id] = place
        self.volumes[place.volume].live += DELETE_BYTES

    def settle_deletes(self) -> None:
        """After the last record of a start: deletes of ids without shadows have done their work."""
        for shard_id in [one for one in self._deletes if one not in self._shadows]:
            self._drop_delete(shard_id)

    def lose(self, shard_id: bytes, place: Place, reason: str) -> bool:
        """The live record there turned out damaged; False if the shard has moved or gone since."""
        if self.index.get(shard_id) != place:
            return False
        self.index.remove(shard_id)
        self._retire(shard_id, place)
        self.lost[shard_id] = reason
        return True

    def miss(self, header: Header, reason: str) -> None:
        """A put is on disk with a damaged body, and all good records were applied: the shard is lost, unless
        a copy or a newer record makes up for it.
        """
        self.sequence_next = max(self.sequence_next, header.sequence + 1)
        deleted = self._deletes.get(header.shard_id)
        self._shade(header.shard_id)
        held = self.index.get(header.shard_id) is not None
        if not held and (deleted is None or deleted.sequence < header.sequence):
            self.lost[header.shard_id] = reason

    def suspect(self, volume: int, offset: int, shard_id: bytes, kind: Kind) -> None:
        """A record failed to be written there, and its bytes could not be cut away again."""
        self.unsettled.add(shard_id)
        self._suspect_from[volume] = min(offset, self._suspect_from.get(volume, offset))
        if kind == Kind.PUT:
            self._shade(shard_id)
            self._suspects.setdefault(volume, []).append(shard_id)

    def certain_end(self, number: int) -> int:
        """Where records of the volume end that are surely in it; suspects may follow."""
        return self._suspect_from.get(number, self.volumes[number].size)

    def delete_at(self, shard_id: bytes) -> Place | None:
        """Where the delete that must stay on disk for this id lies."""
        return self._deletes.get(shard_id)

    def delete_outlives(self, shard_id: bytes, put_count: int) -> bool:
        """Whether the delete still matters once `put_count` of the id's puts are gone from disk."""
        return self._shadows.get(shard_id, 0) > put_count

    def remove_volume(self, number: int, puts: Iterable[bytes]) -> None:
        """The volume is gone for good; `puts` are the ids of all put records in it, one for each record."""
        tally = self.volumes.pop(number)
        self._suspect_from.pop(number, None)
        self.used -= tally.size
        for shard_id in [*puts, *self._suspects.pop(number, ())]:
            left = self._shadows.get(shard_id, 0) - 1
            if left > 0:
                self._shadows[shard_id] = left
                continue
            self._shadows.pop(shard_id, None)
            if shard_id in self._deletes:
                self._drop_delete(shard_id)

    def seal(self, number: int) -> None:
        """Nothing is appended to the volume any more."""
        self.volumes[number].sealed = True

    def _shade(self, shard_id: bytes) -> None:
        self._shadows[shard_id] = self._shadows.get(shard_id, 0) + 1

    def _retire(self, shard_id: bytes, place: Place) -> None:
        """A live put becomes a shadow."""
        self._shade(shard_id)
        self.volumes[place.volume].live -= place.record_bytes
        self.body_bytes -= place.body_length

    def _drop_delete(self, shard_id: bytes) -> None:
        place = self._deletes.pop(shard_id)
        if place.volume in self.volumes:
            self.volumes[place.volume].live -= DELETE_BYTES


def victim(volumes: dict[int, Tally], *, room: int, share: float, small_bytes: int) -> int | None:
    """The volume whose compaction regains most, of those that are worth it; None if none is.

    Worth it: sealed, at least `share` of it dead or nothing in it alive, and its live records fit into `room`
    bytes, where they lie twice until the old volume is removed. If none is, but restarts have left more than
    a handful of volumes below `small_bytes`, the smallest: its records join the growing volume.
    """
    fitting = {number: tally for number, tally in volumes.items() if tally.sealed and tally.live <= room}
    worth = {
        number: tally.dead
        for number, tally in fitting.items()
        if tally.live == 0 or tally.dead >= max(1, share * tally.size)
    }
    if worth:
        return min(worth, key=lambda number: (-worth[number], number))
    small = {number: tally.size for number, tally in fitting.items() if tally.size < small_bytes}
    if len(small) > SMALL_VOLUMES_MAX:
        return min(small, key=lambda number: (small[number], number))
    return None
