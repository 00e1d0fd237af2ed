"""The control operations: what a client (SDK, CLI, gateway) asks of the coordinator.

Each operation is a request struct with its reply type in `Reply`; `OPERATIONS` maps the name on the wire to
the struct. `Control` is the one seam: HTTP in production, a plain call in simulation. Sizes are bytes,
times are microseconds since the epoch, ids of chunks are 16 raw bytes, node ids 32 raw bytes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import msgspec

from holdfast.protocol.nouns import (
    BucketInfo,
    ChunkDone,
    ChunkHealth,
    ChunkPlan,
    ChunkRecord,
    ChunkSources,
    ChunkWish,
    ClassInfo,
    Closing,
    Envelope,
    RedundancyInfo,
    Struct,
    Target,
    VersionInfo,
)

CONTROL_VERSION = 1

KEY_BYTES_MAX = 1024
PLAN_CHUNKS_MAX = 64
RECORD_CHUNKS_MAX = 64
LIST_KEYS_MAX = 1000
TOKEN_BYTES = 16
"""A token is drawn at random by the client, one for each request that must not be done twice. The same
request with the same token, within a day, is answered as the first time: a lost answer is asked for again.
"""


class Operation(Struct, frozen=True, kw_only=True):
    """A request; `name` is its name on the wire, `Reply` what answers it."""

    name: ClassVar[str]
    Reply: ClassVar[type[Struct]]


class Done(Struct, frozen=True, kw_only=True):
    """Nothing more to say than that it happened."""


# --- buckets and objects ---------------------------------------------------------------------------------


class BucketMake(Operation, frozen=True, kw_only=True):
    """Makes a bucket; raises Refusal("bucket.exists" | "bucket.invalid" | "class.unknown")."""

    name = "bucket-make"
    Reply = BucketInfo
    bucket: str
    storage_class: str | None = None
    token: bytes = b""


class BucketRemove(Operation, frozen=True, kw_only=True):
    """Removes an empty bucket; raises Refusal("bucket.unknown" | "bucket.not_empty")."""

    name = "bucket-remove"
    Reply = Done
    bucket: str
    token: bytes = b""


class Buckets(Struct, frozen=True, kw_only=True):
    """One page of buckets, in byte order of their names."""

    buckets: list[BucketInfo]
    after: str | None = None
    """Ask again with this to go on; None when this was the last page."""


class BucketList(Operation, frozen=True, kw_only=True):
    """The caller's buckets."""

    name = "bucket-list"
    Reply = Buckets
    after: str | None = None
    limit: int = LIST_KEYS_MAX


class Objects(Struct, frozen=True, kw_only=True):
    """One page of a listing; `after` as in `Buckets`."""

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
    """Where an object's shards are, a page of chunks at a time."""

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
    token: bytes = b""


# --- uploading -------------------------------------------------------------------------------------------


class UploadTicket(Struct, frozen=True, kw_only=True):
    """An opened upload and the rules it must keep."""

    upload_id: str
    redundancy: RedundancyInfo
    ack_at: int
    chunk_size: int
    storage_class: str
    warnings: list[str] = msgspec.field(default_factory=list)
    """Placement rules the fleet cannot keep now (zones, subnets, providers), in words."""
    plans: list[ChunkPlan] = msgspec.field(default_factory=list)
    """The plans of the chunks whose ids came with the request."""


class UploadBegin(Operation, frozen=True, kw_only=True):
    """Opens an upload; with a token, the same one if asked again.

    It plans the first chunks at once, as `UploadPlan` does, if it comes with ids for them.
    """

    name = "upload-begin"
    Reply = UploadTicket
    bucket: str
    key: str
    envelope: Envelope
    storage_class: str | None = None
    size: int | None = None
    """If known: the coordinator refuses early what cannot fit."""
    chunk_size: int | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    if_absent: bool = False
    if_version: str | None = None
    token: bytes = b""
    session_key: bytes = b""
    chunk_ids: list[bytes] = msgspec.field(default_factory=list)
    """Of the chunks 0, 1, ... that are to be planned at once, as far as an object of `size` has them."""


class UploadState(Struct, frozen=True, kw_only=True):
    """Enough to resume: which chunks are recorded, and the envelope to unwrap the data key again."""

    ticket: UploadTicket
    bucket: str
    key: str
    envelope: Envelope
    chunks: list[ChunkRecord]
    after: int | None = None


class UploadShow(Operation, frozen=True, kw_only=True):
    """What is recorded of an upload that is to be resumed."""

    name = "upload-show"
    Reply = UploadState
    upload_id: str
    chunks_from: int = 0
    limit: int = 1000


class Plans(Struct, frozen=True, kw_only=True):
    """Where the shards of the wished chunks go."""

    plans: list[ChunkPlan]
    warnings: list[str] = msgspec.field(default_factory=list)


class UploadPlan(Operation, frozen=True, kw_only=True):
    """Places up to PLAN_CHUNKS_MAX chunks: n targets each, on distinct nodes, with grants for this session.

    `session_key` (32 bytes, Ed25519) is what the grants are bound to.
    """

    name = "upload-plan"
    Reply = Plans
    upload_id: str
    session_key: bytes
    chunks: list[ChunkWish]


class Replacements(Struct, frozen=True, kw_only=True):
    """New places, at most one per shard index asked for."""

    targets: list[Target]


class UploadReplace(Operation, frozen=True, kw_only=True):
    """New places for the shards `indexes` of a chunk, on none of the nodes in `used` (holding or failed).

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

    Idempotent: the same upload id again answers the same version. `chunks` are recorded first, as by
    `UploadRecord` and refused as there, but together with the version or not at all.
    """

    name = "upload-commit"
    Reply = VersionInfo
    upload_id: str
    size: int
    chunk_count: int
    checksum: str
    closing: Closing
    chunks: list[ChunkDone] = msgspec.field(default_factory=list)


class UploadAbort(Operation, frozen=True, kw_only=True):
    """Ends an upload without a version, and frees what was recorded.

    Raises Refusal("upload.unknown") for one that was ended or committed: then there is nothing to do.
    """

    name = "upload-abort"
    Reply = Done
    upload_id: str


# --- reading ---------------------------------------------------------------------------------------------


class ReadTicket(Struct, frozen=True, kw_only=True):
    """What must be known of a version to read it."""

    version: VersionInfo
    redundancy: RedundancyInfo
    chunk_size: int
    """Plain bytes in every chunk but the last: chunk of byte b is b // chunk_size."""
    envelope: Envelope
    closing: Closing
    chunks: list[ChunkSources] = msgspec.field(default_factory=list)
    """All chunks of a version that has no more of them than the request allowed; else none."""


class ReadOpen(Operation, frozen=True, kw_only=True):
    """Finds the current version, or the named one; raises Refusal("object.unknown").

    With a `session_key`, a version of at most `chunks_max` chunks is planned at once as `ReadPlan` does.
    """

    name = "read-open"
    Reply = ReadTicket
    bucket: str
    key: str
    version_id: str | None = None
    session_key: bytes = b""
    chunks_max: int = 0


class ReadPlans(Struct, frozen=True, kw_only=True):
    """The chunks asked for, in order."""

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
    """All chunk ids of a version, in order."""

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
    """The id of a client key and since when it is known."""

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
    """What the caller is to this coordinator."""

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
    """A node as the fleet list shows it."""

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
    """One page of nodes, by node id."""

    nodes: list[NodeInfo]
    after: bytes | None = None


class NodeList(Operation, frozen=True, kw_only=True):
    """The nodes that the caller may see."""

    name = "node-list"
    Reply = Nodes
    after: bytes | None = None
    limit: int = 1000


class Invitation(Struct, frozen=True, kw_only=True):
    """A one-time token that registers one node for the caller's tenant (as provider)."""

    token: str
    expires: int

    def __repr__(self) -> str:
        return f"Invitation(expires={self.expires})"


class NodeInvite(Operation, frozen=True, kw_only=True):
    """Asks for an invitation of a node."""

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
        """The operation's `Reply`.

        Raises the coordinator's Refusal or Trouble, or Trouble("endpoint.unreachable").
        """
        ...

    async def close(self) -> None:
        """Gives connections back."""
        ...
