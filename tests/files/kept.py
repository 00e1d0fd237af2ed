"""Versions without anything behind them, for tests that are about rows."""

from __future__ import annotations

from holdfast.files.attributes import Attributes
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.records import Bucket, Content, NewPart, NewVersion
from holdfast.world.database import Database
from holdfast.world.simulated.chance import SimulatedChance


class Ticking:
    """A clock that goes on by a millisecond whenever it is read."""

    def __init__(self) -> None:
        self.time = 1_750_000_000_000_000

    def now(self) -> int:
        self.time += 1000
        return self.time

    def monotonic(self) -> float:
        return self.time / 1e6


class Keeping:
    """Buckets, histories and multipart uploads over a database."""

    def __init__(self, database: Database, seed: str = "kept") -> None:
        self.database = database
        self.clock = Ticking()
        chance = SimulatedChance(seed)
        self.buckets = BucketRecords(database, self.clock)
        self.histories = Histories(database, self.clock, chance)
        self.multiparts = Multiparts(database, self.clock, chance)

    async def bucket(self, name: str = "photos", versioning: str = "off") -> Bucket:
        return await self.buckets.create("alice", name, "standard", versioning=versioning)


def content(size: int = 10, *, stream: int | None = None, small: int | None = None) -> Content:
    return Content(
        size=size, checksum="crc64nvme:0000000000000000", storage_class="standard", k=2, n=5, repair_at=4,
        chunk_size=65536, chunk_count=int(stream is not None), envelope_mode="gateway",
        envelope_key_id=b"key", envelope_wrapped=b"wrapped", closing=b"closing", stream=stream, small=small,
    )  # fmt: skip


def new(
    etag: str = "e", *, stream: int | None = None, small: int | None = None, **more: object
) -> NewVersion:
    attributes = more.pop("attributes", Attributes(metadata={"colour": etag}))
    return NewVersion(content(stream=stream, small=small), attributes, etag, **more)


def part(
    number: int, etag: str = "p", *, size: int = 10, stream: int | None = None, small: int | None = None
) -> NewPart:
    return NewPart(number, f"{etag}{number}", content(size, stream=stream, small=small), f"sum{number}")
