"""The writing end of a vault: groups of records go to the newest volume, each group with one sync.

All calls block and come from one thread at a time. A record is reported as placed only after its sync; when
an append or a sync fails, the whole group fails, its bytes are cut away again, and after a failed sync the
volume is never written again: the kernel may have dropped what it could not write, and a second sync that
succeeds would prove nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from holdfast.agent import record
from holdfast.agent.record import Header, Kind
from holdfast.agent.shelf import Shelf
from holdfast.agent.volume import NO_ROOT, NOWHERE, OPENING_BYTES, Opening, encode_opening, name_of
from holdfast.world.clock import Clock
from holdfast.world.disk import Buffer, DiskFile
from holdfast.world.errors import Failure, Refusal, Trouble


@dataclass(slots=True, eq=False)
class Draft:
    """A record to be written, and afterwards where it is (`header`, `volume`, `offset`) or its `failure`.

    `content` is None until the checksum is known. After a failure `suspect` says that the record may be in
    `volume` nevertheless.
    """

    kind: Kind
    shard_id: bytes
    sequence: int
    written: int
    meta: Buffer = b""
    parts: Sequence[Buffer] = ()
    body_length: int = 0
    root: bytes = NO_ROOT
    content: int | None = None
    header: Header | None = None
    volume: int = 0
    offset: int = 0
    failure: Failure | None = None
    suspect: bool = False
    record_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        self.record_bytes = record.RECORD_EXTRA_BYTES + len(self.meta) + self.body_length


@dataclass(slots=True)
class Change:
    """What a call did to the files: sizes now, contents written, volumes that will not grow any more."""

    sizes: dict[int, int] = field(default_factory=dict)
    contents_bytes: dict[int, int] = field(default_factory=dict)
    sealed: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Growing:
    """A volume that takes records: all `size` bytes are durable; `heads` are the heads of its records."""

    number: int
    size: int
    heads: bytearray


class Appender:
    """Writes groups of drafts.

    `reserve`: bytes that puts leave free on the disk. `volume_bytes`: no volume gets larger, but for
    its contents, unless one group alone is; it may be set at any time, from any thread.
    """

    def __init__(
        self, shelf: Shelf, clock: Clock, *, key: bytes, reserve: int, volume_bytes: int, number_next: int
    ) -> None:
        self._shelf = shelf
        self._clock = clock
        self._key = key
        self._reserve = reserve
        self.volume_bytes = volume_bytes
        self._number_next = number_next
        self._growing: Growing | None = None
        self._file: DiskFile | None = None

    def commit(self, drafts: Sequence[Draft]) -> Change:
        """Writes the drafts and syncs once; how each ended is set on it. Never raises a Failure."""
        change = Change()
        try:
            admitted = self._admit(drafts)
            size = sum(draft.record_bytes for draft in admitted)
            if self._growing is not None and self._growing.size + size > self.volume_bytes:
                self._seal(self._growing, change)
            if admitted:
                growing = self._growing or self._create(change)
                self._write(growing, admitted, change)
        except Failure as failure:
            for draft in drafts:
                if draft.header is None and draft.failure is None:
                    draft.failure = failure
        return change

    def seal(self) -> Change:
        """Finishes the growing volume, so that it can be compacted and the next start reads its contents."""
        change = Change()
        if self._growing is not None:
            self._seal(self._growing, change)
        return change

    def _admit(self, drafts: Sequence[Draft]) -> list[Draft]:
        """The drafts for which the disk has room beside the reserve; a delete is always let in."""
        room = self._shelf.disk.free() - self._reserve
        admitted: list[Draft] = []
        for draft in drafts:
            if draft.kind == Kind.DELETE or draft.record_bytes <= room:
                room -= draft.record_bytes
                admitted.append(draft)
            else:
                draft.failure = Refusal(
                    "node.full",
                    "The node's disk has no room beside the bytes it keeps free.",
                    advice="Store the shard on another node.",
                    needed=draft.record_bytes,
                    room=max(0, room),
                )
        return admitted

    def _create(self, change: Change) -> Growing:
        number = self._number_next
        self._number_next += 1
        disk = self._shelf.disk
        opening = encode_opening(Opening(number, self._clock.now(), self._key))
        try:
            file = disk.open(name_of(number), create=True)
            try:
                file.append([opening])
                file.sync()
                disk.sync_names()
            finally:
                file.close()
        except Trouble:
            # Half a file without records is harmless: a start removes it.
            disk.remove(name_of(number))
            raise
        self._shelf.add(number, self._key)
        growing = self._growing = Growing(number, OPENING_BYTES, bytearray())
        self._file = self._shelf.hold(number)
        change.sizes[number] = growing.size
        return growing

    def _write(self, growing: Growing, drafts: list[Draft], change: Change) -> None:
        file = self._file
        assert file is not None, "a growing volume has an open file"
        buffers: list[Buffer] = []
        heads = bytearray()
        offset = growing.size
        headers: list[tuple[Header, int]] = []
        for draft in drafts:
            header = _header(draft, synced=growing.size)
            head, tail = record.encode(header, self._key)
            buffers += (head, draft.meta, *draft.parts, tail)
            heads += head
            headers.append((header, offset))
            offset += header.record_bytes
        failure = self._append(file, growing, buffers, change)
        for draft, (header, start) in zip(drafts, headers, strict=True):
            draft.volume, draft.offset = growing.number, start
            if failure is None:
                draft.header = header
            else:
                draft.failure, draft.suspect = failure
                draft.content = header.content
        if failure is None:
            growing.heads += heads

    def _append(
        self, file: DiskFile, growing: Growing, buffers: Sequence[Buffer], change: Change
    ) -> tuple[Trouble, bool] | None:
        """Appends and syncs; None, or why it failed and whether the bytes may be on disk nevertheless."""
        written = False
        try:
            start = file.append(buffers)
            written = True
            assert start == growing.size, "only this appender writes to the volume"
            file.sync()
        except Trouble as trouble:
            cut = _cut_back(file, growing.size)
            if written or not cut or trouble.code != "disk.full":
                self._leave(growing, change)
            change.sizes[growing.number] = growing.size if cut else max(growing.size, _size(file))
            return trouble, not cut
        growing.size += sum(map(len, buffers))
        change.sizes[growing.number] = growing.size
        return None

    def _seal(self, growing: Growing, change: Change) -> None:
        """Writes the contents, if there is room for them, and leaves the volume."""
        assert self._file is not None, "a growing volume has an open file"
        file = self._file
        contents = Draft(
            Kind.CONTENTS,
            NOWHERE,
            0,
            self._clock.now(),
            parts=(growing.heads,),
            body_length=len(growing.heads),
        )
        if self._shelf.disk.free() - self._reserve >= contents.record_bytes:
            head, tail = record.encode(_header(contents, synced=growing.size), self._key)
            # Without its contents a volume is only slower to start with: a failure here fails nobody.
            if self._append(file, growing, (head, growing.heads, tail), change) is None:
                change.contents_bytes[growing.number] = contents.record_bytes
        if self._growing is growing:
            self._leave(growing, change)

    def _leave(self, growing: Growing, change: Change) -> None:
        assert self._file is not None, "a growing volume has an open file"
        change.sealed.append(growing.number)
        self._shelf.release(growing.number, self._file)
        self._growing = self._file = None


def _header(draft: Draft, *, synced: int) -> Header:
    content = draft.content
    if content is None:
        content = record.content_check(draft.meta, draft.parts)
    return Header(
        draft.kind,
        draft.shard_id,
        len(draft.meta),
        draft.body_length,
        draft.sequence,
        draft.written,
        synced,
        content,
        draft.root,
    )


def _cut_back(file: DiskFile, size: int) -> bool:
    """Cuts a torn tail away, durably; False if the disk would not."""
    try:
        file.truncate(size)
        file.sync()
    except Trouble:
        return False
    return True


def _size(file: DiskFile) -> int:
    try:
        return file.size()
    except Trouble:
        return 0
