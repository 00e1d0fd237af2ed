"""Transfers that can be taken up again: what the journal says, and what becomes of a transfer that fails.

The law: a Refusal ends an upload for good, because the same again would be refused again; trouble and
interruptions leave it to be resumed where there is a journal entry, and end it where there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast.client import upload
from holdfast.client.download import Download
from holdfast.client.gear import Gear
from holdfast.client.journal import Entry, Journal, JournalEntry
from holdfast.client.progress import ProgressCallback
from holdfast.client.sinks import FileSink
from holdfast.client.sources import ByteSource, FileSource
from holdfast.client.upload import Upload, Wish
from holdfast.client.version import Version
from holdfast.protocol.nouns import VersionInfo
from holdfast.world.errors import Refusal

RESUMED_BYTES_MIN = 8 << 20
"""Smaller objects are not worth a journal entry: they are sent again as a whole."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """`identity` tells endpoints apart in the journal; without a journal nothing is resumed."""

    gear: Gear
    journal: Journal | None
    identity: str
    resumed_bytes_min: int = RESUMED_BYTES_MIN

    async def put(self, source: ByteSource, wish: Wish, progress: ProgressCallback | None) -> VersionInfo:
        """Stores what the source gives; an upload of the same unchanged file goes on where it stopped."""
        entry = self._upload_entry(source, wish)
        upload_id = ""
        try:
            begun = await self._begin(source, wish, entry)
            upload_id = begun.ticket.upload_id
            moving = Upload(self.gear, source, begun, resumable=entry is not None, progress=progress)
            version = await moving.run()
        except BaseException as error:
            final = entry is None or isinstance(error, Refusal)
            if final and upload_id:
                await upload.abort(self.gear, upload_id)
            _end(entry, forget=final)
            raise
        _end(entry, forget=True)
        return version

    async def get_file(self, version: Version, path: Path, progress: ProgressCallback | None) -> None:
        """Writes a version to a file; an earlier attempt at the same version and file is gone on with."""
        info = version.info
        entry = None
        if self.journal is not None and version.size >= self.resumed_bytes_min:
            entry = self.journal.hold("get", self.identity, info.bucket, info.key, path)
        earlier = entry.read() if entry is not None else None
        # Without an entry of our own another process may be writing the same part: take another name.
        mark = "" if entry is not None else "-" + self.gear.chance.bytes(4).hex()
        resume = earlier is not None and earlier.version_id == info.version_id
        sink = None
        try:
            sink = FileSink(path, self.gear.reading, mark=mark, resume=resume)
            if entry is not None:
                entry.write(
                    Entry(version_id=info.version_id, bucket=info.bucket, key=info.key, path=str(path))
                )
            await Download(version, progress).to_sink(sink)
            sink.finish(version.size)
        except BaseException:
            if sink is not None:
                sink.close() if entry is not None else sink.abandon()
            _end(entry, forget=sink is None)
            raise
        _end(entry, forget=True)

    def _upload_entry(self, source: ByteSource, wish: Wish) -> JournalEntry | None:
        if self.journal is None or not isinstance(source, FileSource):
            return None
        if source.size is None or source.size < self.resumed_bytes_min:
            return None
        conditions = (wish.storage_class, wish.if_absent, wish.if_version, wish.chunk_size)
        file = (source.path.resolve(), source.size, source.modified_ns)
        metadata = sorted(wish.metadata.items())
        return self.journal.hold("put", self.identity, wish.bucket, wish.key, *conditions, metadata, *file)

    async def _begin(self, source: ByteSource, wish: Wish, entry: JournalEntry | None) -> upload.Begun:
        earlier = entry.read() if entry is not None else None
        if earlier is not None and earlier.upload_id:
            begun = await upload.resume(self.gear, wish, earlier.upload_id)
            if begun is not None:
                return begun
        begun = await upload.begin(self.gear, wish, source.size)
        if entry is not None:
            path = str(source.path) if isinstance(source, FileSource) else ""
            entry.write(Entry(upload_id=begun.ticket.upload_id, bucket=wish.bucket, key=wish.key, path=path))
        return begun


def _end(entry: JournalEntry | None, *, forget: bool) -> None:
    if entry is None:
        return
    if forget:
        entry.forget()
    else:
        entry.keep()
