"""A coordinator's side of storage, with nodes that sign receipts for whatever they are granted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from holdfast.chunks import checksum, layout, tree
from holdfast.chunks.redundancy import Redundancy
from holdfast.files.operations import file_operations
from holdfast.files.places import FleetPlaces
from holdfast.nodes.classes import Classes, StorageClass
from holdfast.nodes.fleet import Fleet
from holdfast.nodes.grants import Issuer
from holdfast.nodes.journal import journal_deletions
from holdfast.nodes.states import State
from holdfast.nodes.store import NodeRow, add_node, find_deletions
from holdfast.protocol import control, grants
from holdfast.protocol.messages import SHARD_ID_BYTES
from holdfast.protocol.nouns import (
    ChunkDone,
    ChunkPlan,
    ChunkRecord,
    ChunkWish,
    Closing,
    Envelope,
    StoredShard,
    Target,
    VersionInfo,
)
from holdfast.protocol.receipts import sign_receipt
from holdfast.protocol.signing import SigningKey
from holdfast.world.clock import MICROSECONDS
from holdfast.world.database import Database
from holdfast.world.offload import InlineOffload
from holdfast.world.simulated.chance import SimulatedChance

START = 1_750_000_000 * MICROSECONDS
SESSION = SigningKey(b"s" * 32)
ENVELOPE = Envelope(mode="client", key_id=b"key-id-8", wrapped=b"w" * 60)
CLOSING = Closing(sealed=b"closing")
CHUNK = 64 << 10
REDUNDANCY = Redundancy(2, 5, 4)
SMALL = StorageClass("test", REDUNDANCY, "for tests", ack_at=3, chunk_size=CHUNK)
ALICE, BOB = "alice", "bob"


class Watch:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return self.time / MICROSECONDS

    def forward(self, seconds: float) -> None:
        self.time += round(seconds * MICROSECONDS)


class Cloud:
    """The operations over a database, a fleet that is told to be well, and the nodes' keys."""

    def __init__(self, database: Database, clock: Any = None) -> None:
        self.database = database
        self.clock = clock or Watch()
        self.chance = SimulatedChance("cloud")
        self.offload = InlineOffload()
        self.fleet = Fleet(database, self.clock)
        self.issuer = issuer = Issuer(SigningKey(b"i" * 32), self.clock, self.chance)
        classes = Classes([SMALL], default="test")
        self.places = FleetPlaces(fleet=self.fleet, classes=classes, issuer=issuer, chance=self.chance)
        self.journal = journal_deletions
        self.keys: dict[bytes, SigningKey] = {}
        self.rows: dict[int, NodeRow] = {}
        self._handlers = file_operations(
            database=database,
            places=self.places,
            journal=self.journal,
            clock=self.clock,
            chance=self.chance,
            offload=self.offload,
        )

    async def add_nodes(self, count: int) -> None:
        """New nodes, each with a provider, a zone and a subnet of its own."""
        for number in range(len(self.rows) + 1, len(self.rows) + count + 1):
            key = SigningKey(number.to_bytes(32, "big"))
            row = NodeRow(
                alias=0, node_id=key.public, provider=f"provider-{number}", state=State.ACTIVE,
                node_name=f"node-{number}", version="1", zone=f"zone-{number}",
                addresses=(f"tls://node-{number}:7000",), allocated=1 << 40, used=0, free=1 << 40,
                shard_count=0, stopping=False, sequence=1, last_heartbeat=self.clock.now(),
                registered=START - 10**12, changed=self.clock.now(),
            )  # fmt: skip
            row = await self.database.transact(add_node, row)
            self.keys[row.node_id] = key
            self.rows[row.alias] = row
        self.fleet.note(self.rows.values())

    def beat(
        self, *, silent: Iterable[int] = (), state: State = State.ACTIVE, of: Iterable[int] = ()
    ) -> None:
        """Every node but the silent ones is heard of now; those named take the state."""
        now, quiet, changed = self.clock.now(), set(silent), set(of)
        for alias, row in self.rows.items():
            self.rows[alias] = row._replace(
                last_heartbeat=row.last_heartbeat if alias in quiet else now,
                state=state if alias in changed else row.state,
                changed=now,
            )
        self.fleet.note(self.rows.values())

    async def ask(self, request: control.Operation, *, tenant: str = ALICE) -> Any:
        """What the operation answers this tenant."""
        return await self._handlers[type(request)](tenant, request)

    async def make_bucket(self, bucket: str = "photos", *, tenant: str = ALICE) -> None:
        await self.ask(control.BucketMake(bucket=bucket), tenant=tenant)

    async def begin(self, key: str = "cat", **changes: Any) -> str:
        """The id of a new upload."""
        asked = {"bucket": "photos", "key": key, "envelope": ENVELOPE} | changes
        return (await self.ask(control.UploadBegin(**asked))).upload_id

    def chunk(self, number: int = 0, length: int = CHUNK, *, tag: str = "") -> ChunkRecord:
        """The record of a chunk that nobody sealed; the tag makes it another one."""
        plain = f"{tag}{number}".encode().ljust(length, b".")[:length]
        sealed = layout.sealed_length(length)
        per_shard = layout.shard_length(sealed, REDUNDANCY.k)
        chunk_id = self.chance.bytes(16)
        root = tree.chunk_root(
            shard_roots(chunk_id), REDUNDANCY, shard_length=per_shard, sealed_length=sealed
        )
        return ChunkRecord(
            number=number, chunk_id=chunk_id, plain_length=length, packed_length=length,
            compressed=False, sealed_length=sealed, shard_length=per_shard, root=root,
            checksum=checksum.crc64(plain),
        )  # fmt: skip

    async def plan(self, upload_id: str, *records: ChunkRecord) -> list[ChunkPlan]:
        wishes = [
            ChunkWish(number=r.number, chunk_id=r.chunk_id, shard_length=r.shard_length) for r in records
        ]
        asked = control.UploadPlan(upload_id=upload_id, session_key=SESSION.public, chunks=wishes)
        return (await self.ask(asked)).plans

    def store(self, target: Target, *, roots: bytes = b"") -> StoredShard:
        """What a node answers that stored the shard it was granted, beside its chunk's shard roots."""
        grant = grants.read(target.grant)
        receipt = sign_receipt(
            self.keys[target.node.node_id],
            serial=grant.serial,
            shard_id=grant.shard_id,
            roots=roots or shard_roots(grant.shard_id[:16]),
            size=grant.max_bytes,
            time=self.clock.now(),
        )
        return StoredShard(index=target.index, node_id=target.node.node_id, receipt=receipt)

    async def send(
        self, upload_id: str, records: Sequence[ChunkRecord], *, shards: Sequence[int] = range(5)
    ) -> list[ChunkDone]:
        """Plans chunks and stores some of their shards, but does not record them."""
        plans = await self.plan(upload_id, *records)
        return [
            finished(record, [self.store(plan.targets[index]) for index in shards])
            for record, plan in zip(records, plans, strict=True)
        ]

    async def commit(self, upload_id: str, records: Sequence[ChunkRecord], **changes: Any) -> VersionInfo:
        """Commits exactly these chunks."""
        crc = 0
        for record in records:
            crc = checksum.combine(crc, record.checksum, record.plain_length)
        asked = {
            "upload_id": upload_id,
            "size": sum(record.plain_length for record in records),
            "chunk_count": len(records),
            "checksum": checksum.text(crc),
            "closing": CLOSING,
        } | changes
        return await self.ask(control.UploadCommit(**asked))

    async def put(
        self,
        key: str = "cat",
        *,
        chunks: int = 1,
        tag: str = "",
        shards: Sequence[int] = range(5),
        **changes: Any,
    ) -> VersionInfo:
        """A whole upload."""
        upload_id = await self.begin(key, **changes)
        records = [self.chunk(number, tag=tag) for number in range(chunks)]
        for done in await self.send(upload_id, records, shards=shards):
            await self.ask(control.UploadRecord(upload_id=upload_id, chunks=[done]))
        return await self.commit(upload_id, records)

    async def deletions(self) -> dict[int, list[bytes]]:
        """Shard ids that each node, by alias, is to delete."""
        found = {}
        for alias in self.rows:
            rows = await self.database.read(find_deletions, alias, 0, 10_000)
            joined = b"".join(row.shard_ids for row in rows)
            found[alias] = [joined[at : at + SHARD_ID_BYTES] for at in range(0, len(joined), SHARD_ID_BYTES)]
        return {alias: ids for alias, ids in found.items() if ids}


def shard_roots(chunk_id: bytes) -> bytes:
    """The shard roots of a chunk that nobody sealed."""
    return b"".join([sha256(chunk_id + bytes([index])).digest() for index in range(REDUNDANCY.n)])


def finished(record: ChunkRecord, stored: Sequence[StoredShard]) -> ChunkDone:
    """What a client tells of a chunk that nobody sealed."""
    return ChunkDone(chunk=record, stored=list(stored), roots=shard_roots(record.chunk_id))


def real_root(shards: Sequence[bytes], record: ChunkRecord) -> bytes:
    """The chunk root over real shards."""
    return tree.chunk_root(
        tree.roots_of(shards),
        REDUNDANCY,
        shard_length=record.shard_length,
        sealed_length=record.sealed_length,
    )
