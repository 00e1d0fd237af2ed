"""What a vault does at its start: read what the records say, cut torn tails, report damage. Blocks.

Only heads are read, and of finished volumes only their contents; the bodies of the last group of each
unfinished volume are checked too, because a power cut may have kept the head of a record and not its body.

No volume grows on after a start. A last group may be in the page cache and not on the disk, after a failed
sync that no later one repeats: behind it nothing could be called durable. So it stays the last, and its ids
stay unsettled: what is asked of them is written anew rather than taken as done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from holdfast.agent.catalogue import Catalogue
from holdfast.agent.record import KEY_BYTES, Header, Kind
from holdfast.agent.shelf import Shelf
from holdfast.agent.volume import (
    OPENING_BYTES,
    Found,
    Opening,
    Walk,
    content_is_good,
    decode_opening,
    encode_opening,
    name_of,
    number_of,
    read_opening,
)
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.disk import Disk, DiskFile

KEY_FILE: Final = "vault.key"
DAMAGED_BODY: Final = "the body does not match its checksum"


@dataclass(slots=True)
class Recovery:
    """What a start found. `listed_volumes` were known by their contents, the others were walked.

    `torn_bytes` were cut off ends: records whose writing was never acknowledged. `damaged_heads` were read
    from their tails instead. In `damaged_bytes` no record could be recognised: what was there is gone without
    a name. `seconds` is how long it took.
    """

    volumes: int = 0
    listed_volumes: int = 0
    records: int = 0
    shards: int = 0
    torn_bytes: int = 0
    damaged_heads: int = 0
    damaged_bytes: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """In a line, for people."""
        said = f"Read {self.records} records in {self.volumes} volumes in {self.seconds:.2f} s."
        if self.torn_bytes:
            said += f" Cut off {self.torn_bytes} bytes that were never acknowledged."
        if self.damaged_heads or self.damaged_bytes:
            said += f" Damage: {self.damaged_heads} heads mended, {self.damaged_bytes} bytes unreadable."
        return said


@dataclass(slots=True)
class Recovered:
    """A vault's state after its start."""

    catalogue: Catalogue
    report: Recovery
    key: bytes
    number_next: int
    doubtful: set[bytes] = field(default_factory=set)


def recover(disk: Disk, shelf: Shelf, clock: Clock, chance: Chance) -> Recovered:
    """Reads all volumes into a catalogue and fills the shelf; mends torn ends durably."""
    began = clock.monotonic()
    key = _vault_key(disk, clock, chance)
    numbers = sorted(number for number in map(number_of, disk.names()) if number is not None)
    recovered = Recovered(Catalogue(), Recovery(), key, max(numbers, default=0) + 1)
    damaged: list[Header] = []
    removed = False
    for number in numbers:
        file = disk.open(name_of(number))
        try:
            opening = read_opening(file)
            if opening is None and file.size() <= OPENING_BYTES:
                # The start of a volume was interrupted: nothing can be in it.
                disk.remove(name_of(number))
                removed = True
                continue
            damaged += _recover_volume(recovered, shelf, file, number, opening)
        finally:
            file.close()
    if removed:
        disk.sync_names()
    for header in damaged:
        recovered.catalogue.miss(header, DAMAGED_BODY)
    recovered.catalogue.settle_deletes()
    recovered.catalogue.unsettled |= recovered.doubtful
    recovered.report.shards = len(recovered.catalogue.index)
    recovered.report.seconds = clock.monotonic() - began
    return recovered


def _recover_volume(
    recovered: Recovered, shelf: Shelf, file: DiskFile, number: int, opening: Opening | None
) -> list[Header]:
    """Takes a volume's records into the catalogue; returns those of its last group with a damaged body."""
    catalogue, report = recovered.catalogue, recovered.report
    key = opening.key if opening else recovered.key
    shelf.add(number, key)
    walk = Walk(file, key)
    catalogue.add_volume(number, walk.size)
    last_group: deque[Found] = deque()
    for found in walk:
        report.records += 1
        last_group.append(found)
        while last_group and last_group[0].offset < walk.synced:
            header, offset = last_group.popleft()
            catalogue.apply(header, number, offset)
    report.volumes += 1
    if walk.contents_at is not None:
        report.listed_volumes += 1
        catalogue.volumes[number].overhead += walk.size - walk.contents_at
        catalogue.seal(number)
        return []
    damaged = _take_last_group(recovered, file, number, last_group)
    report.damaged_heads += walk.mended + (opening is None)
    report.damaged_bytes += sum(stop - start for start, stop in walk.gaps)
    readable = opening is not None or walk.end > OPENING_BYTES
    size = _mend_end(report, file, walk, readable=readable)
    catalogue.resize(number, size)
    if readable:
        # A volume in which nothing at all can be read is never compacted away: somebody may still mend it.
        catalogue.seal(number)
    return damaged


def _take_last_group(
    recovered: Recovered, file: DiskFile, number: int, last_group: Iterable[Found]
) -> list[Header]:
    """Takes in the records whose bodies a power cut may have kept only in part, and returns the damaged ones.

    Nobody can tell whether those were acknowledged.
    """
    damaged: list[Header] = []
    for header, offset in last_group:
        if header.kind != Kind.CONTENTS:
            recovered.doubtful.add(header.shard_id)
        if header.kind == Kind.PUT and not content_is_good(file, offset, header):
            damaged.append(header)
        else:
            recovered.catalogue.apply(header, number, offset)
    return damaged


def _mend_end(report: Recovery, file: DiskFile, walk: Walk, *, readable: bool) -> int:
    """Cuts off a torn end, and makes the rest durable: it may have been read from the page cache only.

    Bytes that were durable when a later record was written, and all of an unreadable volume, are left alone.
    """
    size = walk.size
    if walk.end < size:
        if readable and walk.end >= walk.synced:
            report.torn_bytes += size - walk.end
            file.truncate(walk.end)
            size = walk.end
        else:
            report.damaged_bytes += size - walk.end
    file.sync()
    return size


def _vault_key(disk: Disk, clock: Clock, chance: Chance) -> bytes:
    """The vault's secret key: from its file, else from any volume, else a new one; kept in its file."""
    try:
        opening = decode_opening(disk.read(KEY_FILE))
    except FileNotFoundError:
        opening = None
    if opening is not None:
        return opening.key
    key = None
    for name in disk.names():
        if number_of(name) is not None and key is None:
            file = disk.open(name)
            found = read_opening(file)
            file.close()
            key = found.key if found else None
    key = key or chance.bytes(KEY_BYTES)
    disk.replace(KEY_FILE, encode_opening(Opening(0, clock.now(), key)))
    return key
