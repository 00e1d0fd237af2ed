"""Where the bytes of a version lie, and under which names they are sealed."""

from __future__ import annotations

from holdfast.files.bucket_records import known_bucket
from holdfast.files.histories import Histories
from holdfast.files.records import Version
from holdfast.gateway.reading import Span
from holdfast.gateway.small import name_of
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble

BUCKET_NAMES_MAX = 10_000


class Whereabouts:
    """Reads what is needed of the files room; remembers the names of buckets."""

    def __init__(self, database: Database, histories: Histories) -> None:
        self._database = database
        self._histories = histories
        self._bucket_names: dict[int, str] = {}

    async def spans(self, version: Version, start: int, stop: int) -> list[Span]:
        """Where bytes [start, stop) of a version lie, in order."""
        if start >= stop:
            return []
        own = name_of(await self.bucket_name(version.bucket_id), version.name)
        if not version.part_count:
            return [Span(version.content, version.tenant, version.sealed_as or own, start, stop)]
        pieces = await self._histories.pieces(version)
        if sum(piece.size for piece in pieces) != version.size:
            raise Trouble(
                "database.busy", "The object's bytes were moved while it was looked up.", advice="Try again."
            )
        return [
            Span(
                piece.content,
                version.tenant,
                piece.sealed_as or version.sealed_as or own,
                max(start - piece.offset, 0),
                min(stop - piece.offset, piece.size),
            )
            for piece in pieces
            if piece.offset < stop and start < piece.offset + piece.size
        ]

    async def again(self, version: Version) -> Version:
        """The same version as it is now; raises Refusal("object.unknown" | "bucket.unknown")."""
        bucket = await self._database.read(known_bucket, version.bucket_id)
        found = await self._histories.find(bucket, version.name, version.s3_version_id)
        if found.version_id != version.version_id:
            raise Refusal("object.unknown", "The version was removed.", advice="Name another one.")
        return found

    async def bucket_name(self, bucket_id: int) -> str:
        """The name that belongs to this number for ever; raises Refusal("bucket.unknown")."""
        name = self._bucket_names.get(bucket_id)
        if name is None:
            name = (await self._database.read(known_bucket, bucket_id)).name
            if len(self._bucket_names) >= BUCKET_NAMES_MAX:
                self._bucket_names.clear()
            self._bucket_names[bucket_id] = name
        return name
