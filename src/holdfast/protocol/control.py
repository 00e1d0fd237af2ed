"""The control operations: what a client (SDK, CLI, gateway) asks of the coordinator.

Each operation is a request struct with its reply type in `Reply`; `OPERATIONS` maps the name on the wire to
the struct. `Control` is the one seam: HTTP in production, a plain call in simulation. Sizes are bytes,
times are microseconds since the epoch, ids of chunks are 16 raw bytes, node ids 32 raw bytes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

CONTROL_VERSION = 1

KEY_BYTES_MAX = 1024
PLAN_CHUNKS_MAX = 64
RECORD_CHUNKS_MAX = 64
LIST_KEYS_MAX = 1000


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Base of everything said: immutable, by keyword; unknown fields are ignored, so fields may be added."""


R = TypeVar("R", covariant=True)


class Operation(Struct, frozen=True, kw_only=True):
    """A request; `name` is its name on the wire, `Reply` what answers it."""

    name: ClassVar[str]
    Reply: ClassVar[type[Struct]]


class Done(Struct, frozen=True, kw_only=True):
    """Nothing more to say than that it happened."""


# --- nouns -----------------------------------------------------------------------------------------------


class RedundancyInfo(Struct, frozen=True, kw_only=True):
    """`k of n, repair at r`."""

    k: int
    n: int
    repair_at: int


class ClassInfo(Struct, frozen=True, kw_only=True):
    """A storage class: its redundancy, how many fsynced shards acknowledge a chunk, its chunk size."""

    class_name: str
    redundancy: RedundancyInfo
    ack_at: int
    chunk_size: int
    usable: bool = True
    """Whether the fleet has nodes enough for it now."""
    missing_nodes: int = 0


class BucketInfo(Struct, frozen=True, kw_only=True):
    """A bucket as its owner sees it."""

    bucket: str
    created: int
    storage_class: str


class Envelope(Struct, frozen=True, kw_only=True):
    """How a version's random data key travels: wrapped, with the id of the key that unwraps it.

    `mode` is "client" (only the tenant holds the key) or "gateway" (managed key).
    """

    mode: str
    key_id: bytes
    wrapped: bytes


class Closing(Struct, frozen=True, kw_only=True):
    """Sealed under the data key: size, chunk count and the order of chunk ids, so that a coordinator that
    drops, swaps or adds chunks is found out. Made and checked by `chunks.keys`.
    """

    sealed: bytes


class VersionInfo(Struct, frozen=True, kw_only=True):
    """A committed version."""

    bucket: str
    key: str
    version_id: str
    size: int
    created: int
    storage_class: str
    checksum: str
    """`crc64nvme:` and 16 hexadecimal digits, over the plain bytes of the whole object."""
    chunk_count: int
    metadata: dict[str, str] = {}


class ChunkRecord(Struct, frozen=True, kw_only=True):
    """One row per chunk: all that is needed to fetch and open it, but for the key."""

    number: int
    chunk_id: bytes
    plain_length: int
    packed_length: int
    """Length after compression; equal to `plain_length` where compression did not pay."""
    compressed: bool
    sealed_length: int
    shard_length: int
    root: bytes
    """32 bytes: the tree over the shard roots."""
    checksum: int
    """CRC-64/NVME of the chunk's plain bytes."""
    format: int = 1


class NodeAddress(Struct, frozen=True, kw_only=True):
    """Where a node answers."""

    node_id: bytes
    addresses: list[str]


class Target(Struct, frozen=True, kw_only=True):
    """One shard's place in an upload: send shard `index` to this node with this grant."""

    index: int
    node: NodeAddress
    grant: bytes


class ChunkWish(Struct, frozen=True, kw_only=True):
    """A chunk the client wants to place."""

    number: int
    chunk_id: bytes
    shard_length: int


class ChunkPlan(Struct, frozen=True, kw_only=True):
    """Where the n shards of one chunk go."""

    number: int
    chunk_id: bytes
    targets: list[Target]


class StoredShard(Struct, frozen=True, kw_only=True):
    """One shard that a node has acknowledged, with its receipt."""

    index: int
    node_id: bytes
    receipt: bytes


class ChunkDone(Struct, frozen=True, kw_only=True):
    """A chunk that reached its acknowledgement rule. May be sent again with more shards: they are added."""

    chunk: ChunkRecord
    stored: list[StoredShard]


class Source(Struct, frozen=True, kw_only=True):
    """Where one shard can be read."""

    index: int
    node: NodeAddress
    grant: bytes


class ChunkSources(Struct, frozen=True, kw_only=True):
    """A chunk and the shards that are believed live, best nodes first."""

    chunk: ChunkRecord
    sources: list[Source]


class ShardPlace(Struct, frozen=True, kw_only=True):
    """For `stat`: where one shard lies and what is known of it."""

    index: int
    node_id: bytes
    node_name: str
    state: str
    """live | missing (never stored) | unreachable (heartbeats missed) | lost (proven lost or corrupt)"""


class ChunkHealth(Struct, frozen=True, kw_only=True):
    """For `stat`: one chunk's shards."""

    number: int
    live: int
    shards: list[ShardPlace]


# --- buckets and objects ---------------------------------------------------------------------------------


class BucketMake(Operation, frozen=True, kw_only=True):
    name = "bucket-make"
    Reply = BucketInfo
    bucket: str
    storage_class: str | None = None


class BucketRemove(Operation, frozen=True, kw_only=True):
    name = "bucket-remove"
    Reply = Done
    bucket: str


class Buckets(Struct, frozen=True, kw_only=True):
    buckets: list[BucketInfo]
    after: str | None = None
    """Ask again with this to go on; None when this was the last page."""


class BucketList(Operation, frozen=True, kw_only=True):
    name = "bucket-list"
    Reply = Buckets
    after: str | None = None
    limit: int = LIST_KEYS_MAX


class Objects(Struct, frozen=True, kw_only=True):
    objects: list[VersionInfo]
    prefixes: list[str]
    after: str | None = None


class ObjectList(Operation, frozen=True, kw_only=True):
    """Keys in UTF-8 byte order; with a delimiter, common prefixes are rolled up and count as one entry."""

    name = "object-list"
    Reply = Objects
    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str | None = None
    limit: int = LIST_KEYS_MAX


class ObjectHealth(Struct, frozen=True, kw_only=True):
    """`survives`: how many more shards any one chunk can lose before the object cannot be read."""

    version: VersionInfo
    redundancy: RedundancyInfo
    survives: int
    chunks: list[ChunkHealth]
    chunks_after: int | None = None
    stored_bytes: int = 0


class ObjectStat(Operation, frozen=True, kw_only=True):
    name = "object-stat"
    Reply = ObjectHealth
    bucket: str
    key: str
    version_id: str | None = None
    chunks_from: int = 0
    chunks_limit: int = 1000


class ObjectRemove(Operation, frozen=True, kw_only=True):
    """Moves the current version to the trash. `if_version` makes it conditional."""

    name = "object-remove"
    Reply = VersionInfo
    bucket: str
    key: str
    if_version: str | None = None


# --- uploading -------------------------------------------------------------------------------------------


class UploadTicket(Struct, frozen=True, kw_only=True):
    upload_id: str
    redundancy: RedundancyInfo
    ack_at: int
    chunk_size: int
    storage_class: str
    warnings: list[str] = []
    """Placement rules the fleet cannot keep now (zones, subnets, providers), in words."""


class UploadBegin(Operation, frozen=True, kw_only=True):
    """Opens an upload."""

    name = "upload-begin"
    Reply = UploadTicket
    bucket: str
    key: str
    envelope: Envelope
    storage_class: str | None = None
    size: int | None = None
    """If known: the coordinator refuses early what cannot fit."""
    chunk_size: int | None = None
    metadata: dict[str, str] = {}
    if_absent: bool = False
    if_version: str | None = None


class UploadState(Struct, frozen=True, kw_only=True):
    """Enough to resume: which chunks are recorded, and the envelope to unwrap the data key again."""

    ticket: UploadTicket
    bucket: str
    key: str
    envelope: Envelope
    chunks: list[ChunkRecord]
    after: int | None = None


class UploadShow(Operation, frozen=True, kw_only=True):
    name = "upload-show"
    Reply = UploadState
    upload_id: str
    chunks_from: int = 0
    limit: int = 1000


class Plans(Struct, frozen=True, kw_only=True):
    plans: list[ChunkPlan]
    warnings: list[str] = []


class UploadPlan(Operation, frozen=True, kw_only=True):
    """`session_key` (32 bytes, Ed25519) is what the grants are bound to. Places up to PLAN_CHUNKS_MAX chunks: n targets each, on distinct nodes, with grants for this session."""

    name = "upload-plan"
    Reply = Plans
    upload_id: str
    session_key: bytes
    chunks: list[ChunkWish]


class Replacements(Struct, frozen=True, kw_only=True):
    targets: list[Target]


class UploadReplace(Operation, frozen=True, kw_only=True):
    """New places for the shards `indexes` of a chunk; none of the nodes in `used` (holding or failed) is given.

    May answer fewer targets than asked, down to none: the fleet has no more fitting nodes.
    """

    name = "upload-replace"
    Reply = Replacements
    upload_id: str
    session_key: bytes
    chunk_id: bytes
    shard_length: int
    indexes: list[int]
    used: list[bytes]


class UploadRecord(Operation, frozen=True, kw_only=True):
    """Records finished chunks. Idempotent; each needs at least `ack_at` valid receipts on distinct nodes."""

    name = "upload-record"
    Reply = Done
    upload_id: str
    chunks: list[ChunkDone]


class UploadCommit(Operation, frozen=True, kw_only=True):
    """Makes the version visible: all chunks 0..chunk_count-1 recorded, or Refusal("upload.incomplete").

    Idempotent: the same upload id again answers the same version.
    """

    name = "upload-commit"
    Reply = VersionInfo
    upload_id: str
    size: int
    chunk_count: int
    checksum: str
    closing: Closing


class UploadAbort(Operation, frozen=True, kw_only=True):
    name = "upload-abort"
    Reply = Done
    upload_id: str


# --- reading ---------------------------------------------------------------------------------------------


class ReadTicket(Struct, frozen=True, kw_only=True):
    version: VersionInfo
    redundancy: RedundancyInfo
    chunk_size: int
    """Plain bytes in every chunk but the last: chunk of byte b is b // chunk_size."""
    envelope: Envelope
    closing: Closing


class ReadOpen(Operation, frozen=True, kw_only=True):
    name = "read-open"
    Reply = ReadTicket
    bucket: str
    key: str
    version_id: str | None = None


class ReadPlans(Struct, frozen=True, kw_only=True):
    chunks: list[ChunkSources]


class ReadPlan(Operation, frozen=True, kw_only=True):
    """Grants to read chunks first..first+count-1 (count at most PLAN_CHUNKS_MAX) of a version."""

    name = "read-plan"
    Reply = ReadPlans
    bucket: str
    version_id: str
    session_key: bytes
    first: int
    count: int


class ChunkIds(Struct, frozen=True, kw_only=True):
    """16 bytes each, in order: what `Closing` is checked against."""

    ids: bytes
    after: int | None = None


class ReadChunkIds(Operation, frozen=True, kw_only=True):
    name = "read-chunk-ids"
    Reply = ChunkIds
    bucket: str
    version_id: str
    first: int = 0
    limit: int = 10_000


class ShardReport(Operation, frozen=True, kw_only=True):
    """A reader's report of a wrong or missing shard; the coordinator has it checked and counted."""

    name = "shard-report"
    Reply = Done
    bucket: str
    version_id: str
    number: int
    index: int
    node_id: bytes
    fault: str
    """corrupt | missing"""


# --- the tenant ------------------------------------------------------------------------------------------


class ClientKey(Struct, frozen=True, kw_only=True):
    key_id: bytes
    created: int


class TenantInfo(Struct, frozen=True, kw_only=True):
    """`keys`: ids of the client keys this tenant seals with; the keys themselves never leave the client."""

    tenant_id: str
    display_name: str
    keys: list[ClientKey]
    classes: list[ClassInfo]
    default_class: str
    server_time: int
    relay: str = ""
    """Address of the gateway's relay for clients that cannot reach nodes; empty if there is none."""


class TenantShow(Operation, frozen=True, kw_only=True):
    name = "tenant-show"
    Reply = TenantInfo


class KeyRegister(Operation, frozen=True, kw_only=True):
    """Tells the coordinator the id of a client key. The first is taken; another one needs `add`."""

    name = "key-register"
    Reply = Done
    key_id: bytes
    add: bool = False


# --- the fleet, as a tenant or operator sees it ----------------------------------------------------------


class NodeInfo(Struct, frozen=True, kw_only=True):
    node_id: bytes
    node_name: str
    state: str
    zone: str
    addresses: list[str]
    allocated: int
    used: int
    free: int
    shard_count: int
    last_heartbeat: int
    online: bool
    version: str


class Nodes(Struct, frozen=True, kw_only=True):
    nodes: list[NodeInfo]
    after: bytes | None = None


class NodeList(Operation, frozen=True, kw_only=True):
    name = "node-list"
    Reply = Nodes
    after: bytes | None = None
    limit: int = 1000


class Invitation(Struct, frozen=True, kw_only=True):
    """A one-time token that registers one node for the caller's tenant (as provider)."""

    token: str
    expires: int


class NodeInvite(Operation, frozen=True, kw_only=True):
    name = "node-invite"
    Reply = Invitation
    lifetime_seconds: int = 3600


OPERATIONS: dict[str, type[Operation]] = {
    operation.name: operation
    for operation in (
        BucketMake, BucketRemove, BucketList, ObjectList, ObjectStat, ObjectRemove,
        UploadBegin, UploadShow, UploadPlan, UploadReplace, UploadRecord, UploadCommit, UploadAbort,
        ReadOpen, ReadPlan, ReadChunkIds, ShardReport,
        TenantShow, KeyRegister, NodeList, NodeInvite,
    )
}  # fmt: skip


class Control(Protocol):
    """The seam to the coordinator, already bound to one access key."""

    async def call(self, request: Operation) -> Any:
        """The operation's `Reply`. Raises the coordinator's Refusal or Trouble, or Trouble("endpoint.unreachable")."""
        ...

    async def close(self) -> None:
        """Gives connections back."""
        ...


class FailureReply(Struct, frozen=True, kw_only=True):
    """How a failure travels: the code decides, the words are for people."""

    code: str
    message: str
    advice: str = ""
    retry: bool = False
    facts: dict[str, str | int | float | bool | None] = {}
    request_id: str = ""
