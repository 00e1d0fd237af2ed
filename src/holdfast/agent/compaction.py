"""Regaining the space of dead records: what is needed of a volume is copied, then the volume is removed.

Safe at each step: copies keep their sequence, so having a record twice means nothing; the old volume is
removed only when the copies are durable; and its removal is durable before anything relies on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.agent.append import Draft
from holdfast.agent.catalogue import Catalogue
from holdfast.agent.record import HEAD_BYTES, Kind, content_check
from holdfast.agent.shelf import Shelf
from holdfast.agent.volume import Found, Walk, name_of, read_exactly


@dataclass(frozen=True, slots=True)
class Compaction:
    """What one step did. `stopped_by`: the error's code if it had to stop before the volume could go."""

    volume: int
    copied_bytes: int
    regained_bytes: int
    stopped_by: str | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """All records of a volume, and how many puts each id has among them."""

    volume: int
    records: list[Found]
    puts: Counter[bytes]


def survey(shelf: Shelf, number: int, end: int) -> Survey:
    """Reads which records a volume has before `end`. Blocks."""
    with shelf.lend(number) as file:
        records = [found for found in Walk(file, shelf.key(number)) if found.offset < end]
    puts = Counter(found.header.shard_id for found in records if found.header.kind == Kind.PUT)
    return Survey(number, records, puts)


def needed(catalogue: Catalogue, surveyed: Survey, found: Found) -> bool:
    """Whether the record must outlive its volume."""
    header, offset = found
    if header.kind == Kind.PUT:
        place = catalogue.index.get(header.shard_id)
    elif header.kind == Kind.DELETE:
        place = catalogue.delete_at(header.shard_id)
        if not catalogue.delete_outlives(header.shard_id, surveyed.puts[header.shard_id]):
            return False
    else:
        return False
    return place is not None and (place.volume, place.offset) == (surveyed.volume, offset)


def batches(catalogue: Catalogue, surveyed: Survey, bytes_max: int) -> Iterator[list[Found]]:
    """The needed records in groups of about `bytes_max`; each group is decided when it is asked for."""
    batch: list[Found] = []
    size = 0
    for found in surveyed.records:
        if needed(catalogue, surveyed, found):
            batch.append(found)
            size += found.header.record_bytes
            if size >= bytes_max:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def load(shelf: Shelf, number: int, batch: Sequence[Found]) -> tuple[list[Draft], list[Found]]:
    """The records as drafts to be written again, and those whose content turned out damaged. Blocks."""
    drafts: list[Draft] = []
    damaged: list[Found] = []
    with shelf.lend(number) as file:
        for found in batch:
            header, offset = found
            content = read_exactly(file, offset + HEAD_BYTES, header.meta_length + header.body_length)
            if content is None or content_check(content, ()) != header.content:
                damaged.append(found)
                continue
            view = memoryview(content)
            drafts.append(
                Draft(
                    header.kind,
                    header.shard_id,
                    header.sequence,
                    header.written,
                    meta=view[: header.meta_length],
                    parts=(view[header.meta_length :],),
                    body_length=header.body_length,
                    root=header.root,
                    content=header.content,
                )
            )
    return drafts, damaged


def remove(shelf: Shelf, number: int) -> None:
    """Removes the volume durably. Blocks."""
    # Forgotten first: whoever asks for it now looks the shard up again and finds its copy.
    shelf.forget(number)
    shelf.disk.remove(name_of(number))
    shelf.disk.sync_names()
