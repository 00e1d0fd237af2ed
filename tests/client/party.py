"""A whole small cloud for the client: a coordinator out of dicts, and real nodes in a simulated world.

The coordinator is the slow and obvious twin of the real one: it keeps everything, checks every receipt, and
places at random. Faults are the world's (`world.network`, the vault's disk) or `orders`, which nodes obey.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.agent.answer import Answer
from holdfast.agent.vault import Vault
from holdfast.chunks import checksum, tree
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.redundancy import Redundancy
from holdfast.client.session import AsyncSession
from holdfast.links.serving import Incoming, NodeListener, Outgoing, serve
from holdfast.protocol import control as c
from holdfast.protocol import grants
from holdfast.protocol.grants import Action
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import (
    BucketInfo,
    ChunkPlan,
    ChunkRecord,
    ChunkSources,
    ChunkWish,
    NodeAddress,
    RedundancyInfo,
    Source,
    Target,
    VersionInfo,
)
from holdfast.protocol.receipts import check_receipt
from holdfast.protocol.signing import SigningKey
from holdfast.world.errors import Refusal
from holdfast.world.network import parse_address

HOUR = 3600 * 1_000_000
KEY = TenantKey(b"k" * 32)


@dataclass
class Node:
    """One node; `order` may answer in its place, or hold an answer back."""

    name: str
    key: SigningKey
    vault: Vault
    listener: NodeListener
    order: Callable[[Incoming], Any] | None = None
    """An async function; None from it lets the node answer for itself."""

    @property
    def address(self) -> NodeAddress:
        # A simulated machine is named by its name, a real one by where it listens.
        there = self.listener.address
        host = there.host if there.loopback else self.name
        return NodeAddress(node_id=self.key.public, addresses=[str(there._replace(host=host))])


@dataclass
class Stored:
    """An upload, and later the version it became. `chunks`: number -> (record, index -> node id)."""

    begin: c.UploadBegin
    chunk_size: int
    chunks: dict[int, tuple[ChunkRecord, dict[int, bytes]]] = field(default_factory=dict)
    info: VersionInfo | None = None
    commit: c.UploadCommit | None = None


class Party:
    """The coordinator, as the Control seam, and its nodes."""

    door = "tls://{name}:0"

    def __init__(self, world: Any, rule: Redundancy, ack_at: int, chunk_size: int) -> None:
        self.world = world
        self.rule, self.ack_at, self.chunk_size = rule, ack_at, chunk_size
        self.clock = world.clock
        self.chance = world.chance.fork("coordinator")
        self.issuer = SigningKey(b"i" * 32)
        self.nodes: dict[bytes, Node] = {}
        self.buckets: dict[str, dict[str, Stored]] = {}
        self.uploads: dict[str, Stored] = {}
        self.keys: list[c.ClientKey] = []
        self.reports: list[c.ShardReport] = []
        self.calls: list[str] = []
        self.plans_at_once = True
        """Whether beginning and opening bring the first plans with them, as an older coordinator's do not."""
        self.before: Callable[[c.Operation], Any] | None = None

    async def open(self, count: int) -> Party:
        for number in range(count):
            await self.add_node(f"node-{number}")
        return self

    async def add_node(self, name: str) -> Node:
        machine = self.world.machine(name)
        vault = await Vault.open(
            machine.disk, allocated=1 << 30, reserve=0, offload=machine.offload(), clock=machine.clock,
            chance=machine.chance,
        )  # fmt: skip
        key = SigningKey(machine.chance.bytes(32))
        answer = Answer(vault, key, machine.clock, machine.offload())
        answer.learn([self.issuer.public])

        async def handle(incoming: Incoming) -> Outgoing:
            node = self.nodes[key.public]
            ordered = await node.order(incoming) if node.order is not None else None
            return ordered if ordered is not None else await answer(incoming)

        listener = await serve(
            machine.network, parse_address(self.door.format(name=name)), node_key=key, handler=handle,
            clock=machine.clock, chance=machine.chance,
        )  # fmt: skip
        self.nodes[key.public] = Node(name, key, vault, listener)
        return self.nodes[key.public]

    def session(self, **changes: Any) -> AsyncSession:
        """A client on a machine of its own."""
        machine = self.world.machine(changes.pop("name", "client"))
        seams = {"network": machine.network, "clock": machine.clock, "chance": machine.chance}
        return AsyncSession(self, **({**seams, "offload": machine.offload(), "key": KEY} | changes))

    def of(self, number: int) -> Node:
        return list(self.nodes.values())[number]

    def holders(self, bucket: str, key: str, number: int = 0) -> dict[int, Node]:
        """Who holds which shard of a chunk."""
        _, places = self.buckets[bucket][key].chunks[number]
        return {index: self.nodes[node_id] for index, node_id in sorted(places.items())}

    # --- the Control seam --------------------------------------------------------------------------------

    async def call(self, request: c.Operation) -> Any:
        self.calls.append(request.name)
        if self.before is not None:
            self.before(request)
        return getattr(self, "_" + request.name.replace("-", "_"))(request)

    async def close(self) -> None:
        pass

    def _tenant_show(self, _: c.TenantShow) -> c.TenantInfo:
        return c.TenantInfo(
            tenant_id="t", display_name="T", keys=self.keys, classes=[], default_class="test",
            server_time=self.clock.now(),
        )  # fmt: skip

    def _key_register(self, request: c.KeyRegister) -> c.Done:
        self.keys.append(c.ClientKey(key_id=request.key_id, created=self.clock.now()))
        return c.Done()

    def _bucket_make(self, request: c.BucketMake) -> BucketInfo:
        self.buckets[request.bucket] = {}
        return BucketInfo(bucket=request.bucket, created=self.clock.now(), storage_class="test")

    def _upload_begin(self, request: c.UploadBegin) -> c.UploadTicket:
        if request.bucket not in self.buckets:
            raise Refusal("bucket.unknown", "no such bucket")
        if request.if_absent and request.key in self.buckets[request.bucket]:
            raise Refusal("precondition.failed", "it exists")
        upload_id = self.chance.bytes(8).hex()
        self.uploads[upload_id] = Stored(request, request.chunk_size or self.chunk_size)
        plans = []
        for number, chunk_id in enumerate(request.chunk_ids if self.plans_at_once else []):
            wish = ChunkWish(number=number, chunk_id=chunk_id, shard_length=1 << 20)
            plans.append(ChunkPlan(number=number, chunk_id=chunk_id, targets=self._targets(request, wish)))
        return msgspec.structs.replace(self._ticket(upload_id), plans=plans)

    def _upload_show(self, request: c.UploadShow) -> c.UploadState:
        upload = self._open(request.upload_id)
        records = [record for _, (record, _) in sorted(upload.chunks.items())]
        page = [record for record in records if record.number >= request.chunks_from][:2]
        more = [record.number for record in records if page and record.number > page[-1].number]
        return c.UploadState(
            ticket=self._ticket(request.upload_id), bucket=upload.begin.bucket, key=upload.begin.key,
            envelope=upload.begin.envelope, chunks=page, after=more[0] if more else None,
        )  # fmt: skip

    def _upload_plan(self, request: c.UploadPlan) -> c.Plans:
        self._open(request.upload_id)
        return c.Plans(
            plans=[
                ChunkPlan(number=wish.number, chunk_id=wish.chunk_id, targets=self._targets(request, wish))
                for wish in request.chunks
            ]
        )

    def _upload_replace(self, request: c.UploadReplace) -> c.Replacements:
        free = [node_id for node_id in self.nodes if node_id not in request.used]
        return c.Replacements(targets=self._targets(request, request, request.indexes, free))

    def _upload_record(self, request: c.UploadRecord | c.UploadCommit) -> c.Done:
        upload = self._open(request.upload_id)
        for done in request.chunks:
            places: dict[int, bytes] = {}
            assert tree.roots_match(done.roots, done.chunk, self.rule)
            for shard in done.stored:
                try:
                    check_receipt(
                        shard.receipt, node_id=shard.node_id,
                        shard_id=shard_id(done.chunk.chunk_id, shard.index),
                        roots=done.roots, size=done.chunk.shard_length, now=self.clock.now(),
                    )  # fmt: skip
                except Refusal as refusal:
                    refusal.facts.update(number=done.chunk.number, index=shard.index)
                    raise
                places[shard.index] = shard.node_id
            assert len(set(places.values())) == len(places) >= self.ack_at
            upload.chunks[done.chunk.number] = (done.chunk, places)
        return c.Done()

    def _upload_commit(self, request: c.UploadCommit) -> VersionInfo:
        upload = self._open(request.upload_id)
        self._upload_record(request)
        records = [record for _, (record, _) in sorted(upload.chunks.items())]
        crc = 0
        for number, record in enumerate(records):
            assert record.number == number
            crc = checksum.combine(crc, record.checksum, record.plain_length)
        assert (len(records), checksum.text(crc)) == (request.chunk_count, request.checksum)
        begin = upload.begin
        upload.commit = request
        upload.info = VersionInfo(
            bucket=begin.bucket, key=begin.key, version_id=request.upload_id, size=request.size,
            created=self.clock.now(), storage_class="test", checksum=request.checksum,
            chunk_count=request.chunk_count, metadata=begin.metadata,
        )  # fmt: skip
        self.buckets[begin.bucket][begin.key] = upload
        return upload.info

    def _upload_abort(self, request: c.UploadAbort) -> c.Done:
        self._open(request.upload_id)
        del self.uploads[request.upload_id]
        return c.Done()

    def _read_open(self, request: c.ReadOpen) -> c.ReadTicket:
        stored = self.buckets[request.bucket].get(request.key)
        if stored is None or stored.info is None or stored.commit is None:
            raise Refusal("object.unknown", "no such object")
        few = self.plans_at_once and len(stored.chunks) <= request.chunks_max
        numbers = range(len(stored.chunks)) if few else range(0)
        return c.ReadTicket(
            version=stored.info, redundancy=self._rule(), chunk_size=stored.chunk_size,
            envelope=stored.begin.envelope, closing=stored.commit.closing,
            chunks=self._sources(stored, numbers, request.session_key),
        )  # fmt: skip

    def _read_plan(self, request: c.ReadPlan) -> c.ReadPlans:
        stored = self.uploads[request.version_id]
        numbers = range(request.first, request.first + request.count)
        return c.ReadPlans(chunks=self._sources(stored, numbers, request.session_key))

    def _read_chunk_ids(self, request: c.ReadChunkIds) -> c.ChunkIds:
        records = [record for _, (record, _) in sorted(self.uploads[request.version_id].chunks.items())]
        last = request.first + 3
        ids = b"".join(record.chunk_id for record in records[request.first : last])
        return c.ChunkIds(ids=ids, after=last if last < len(records) else None)

    def _shard_report(self, request: c.ShardReport) -> c.Done:
        self.reports.append(request)
        return c.Done()

    def _sources(self, stored: Stored, numbers: range, session_key: bytes) -> list[ChunkSources]:
        return [
            ChunkSources(
                chunk=record,
                sources=[
                    Source(
                        index=index, node=self.nodes[node_id].address,
                        grant=self._grant(Action.GET, node_id, session_key, record, index),
                    )
                    for index, node_id in sorted(places.items())
                ],
            )
            for record, places in map(stored.chunks.__getitem__, numbers)
        ]  # fmt: skip

    # --- what they share ---------------------------------------------------------------------------------

    def _open(self, upload_id: str) -> Stored:
        if upload_id not in self.uploads:
            raise Refusal("upload.unknown", "no such upload")
        return self.uploads[upload_id]

    def _rule(self) -> RedundancyInfo:
        return RedundancyInfo(k=self.rule.k, n=self.rule.n, repair_at=self.rule.repair_at)

    def _ticket(self, upload_id: str) -> c.UploadTicket:
        return c.UploadTicket(
            upload_id=upload_id, redundancy=self._rule(), ack_at=self.ack_at,
            chunk_size=self.uploads[upload_id].chunk_size, storage_class="test",
        )  # fmt: skip

    def _targets(
        self, request: Any, chunk: Any, indexes: list[int] | None = None, among: list[bytes] | None = None
    ) -> list[Target]:
        left = list(self.nodes) if among is None else among
        targets = []
        for index in indexes if indexes is not None else range(self.rule.n):
            if left:
                node_id = left.pop(self.chance.below(len(left)))
                grant = self._grant(Action.PUT, node_id, request.session_key, chunk, index)
                targets.append(Target(index=index, node=self.nodes[node_id].address, grant=grant))
        return targets

    def _grant(self, action: Action, node_id: bytes, session_key: bytes, chunk: Any, index: int) -> bytes:
        now = self.clock.now()
        return grants.issue(
            self.issuer, action=action, serial=self.chance.bytes(16), node_id=node_id,
            session_key=session_key, shard_id=shard_id(chunk.chunk_id, index), max_bytes=chunk.shard_length,
            created=now, expires=now + HOUR, account=bytes(32),
        )  # fmt: skip
