"""Recording a finished chunk: what its receipts prove, and what becomes of its row.

The law: a chunk is recorded on at least `ack_at` receipts for distinct shards on distinct nodes. Recording
the same chunk again adds the shards that were still missing, before and after the commit; recording another
chunk under the same number, before the commit, replaces it. Whatever shard the placement has no room for is
deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.chunks import tree
from holdfast.chunks.layout import check_record
from holdfast.chunks.redundancy import Redundancy
from holdfast.files import placed
from holdfast.files.stores import store_chunks, store_uploads
from holdfast.files.stores.store_chunks import Chunk
from holdfast.files.stores.store_uploads import Upload
from holdfast.nodes.journal import awaits_deletion
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import ChunkDone, ChunkRecord, StoredShard
from holdfast.protocol.receipts import check_receipt
from holdfast.world.errors import Fact, Refusal

CHUNKS_OF_VERSION_MAX = 10_000_000

Journal = Callable[[Connection, Sequence[tuple[int, bytes]], int], None]
"""Notes in the caller's transaction that these (node alias, shard id) are to be deleted; the time is now."""


class ProvenChunk(NamedTuple):
    """A chunk with the (index, alias) pairs that valid receipts prove, in shard order."""

    record: ChunkRecord
    stored: list[tuple[int, int]]


def check_chunk(done: ChunkDone, redundancy: Redundancy, chunk_size: int) -> None:
    """Refuses what cannot be a chunk of this upload: Refusal("request.invalid" | "format.invalid" | ...)."""
    record = done.chunk
    check_record(record, redundancy)
    if record.plain_length > chunk_size:
        raise Refusal(
            "request.invalid",
            f"Chunk {record.number} has {record.plain_length} bytes; the upload's chunks have {chunk_size}.",
            advice="Cut the object as the upload's ticket says.",
            number=record.number,
        )
    if record.number >= CHUNKS_OF_VERSION_MAX or not 0 <= record.checksum < 1 << 64:
        raise Refusal("request.invalid", f"Chunk {record.number} has an impossible number or checksum.")
    indexes = [shard.index for shard in done.stored]
    if any(not 0 <= index < redundancy.n for index in indexes) or len(set(indexes)) < len(indexes):
        raise Refusal(
            "request.invalid", f"Chunk {record.number} names a shard twice, or one that it does not have."
        )
    if not tree.roots_match(done.roots, record, redundancy):
        raise Refusal(
            "request.invalid",
            f"The root of chunk {record.number} does not stand over the shard roots that came with it.",
            advice="Seal the chunk again under a fresh id, and send its shard roots with it.",
            number=record.number,
        )


def prove(done: ChunkDone, aliases: Mapping[bytes, int | None], now: int) -> ProvenChunk:
    """What the receipts prove.

    One that proves nothing refuses the whole request, and is named in the refusal's facts: `number`, `index`.

    Raises:
        Refusal: "signature.invalid", "format.invalid", "format.newer" or "node.unknown".
    """
    places = [(shard.index, _proven_alias(done, shard, aliases[shard.node_id], now)) for shard in done.stored]
    return ProvenChunk(done.chunk, sorted(places))


def _proven_alias(done: ChunkDone, shard: StoredShard, alias: int | None, now: int) -> int:
    """The node that holds the shard, as its receipt proves."""
    record = done.chunk
    named: dict[str, Fact] = {"number": record.number, "index": shard.index}
    named["node"] = shard.node_id.hex()[:16]
    try:
        check_receipt(
            shard.receipt,
            node_id=shard.node_id,
            shard_id=shard_id(record.chunk_id, shard.index),
            roots=done.roots,
            size=record.shard_length,
            now=now,
        )
    except Refusal as refusal:
        refusal.facts.update(named)
        raise
    if alias is None:
        stranger = Refusal(
            "node.unknown", "A receipt was signed by a node that does not belong to the fleet."
        )
        stranger.facts.update(named)
        raise stranger
    return alias


def stored_count(placement: bytes) -> int:
    """How many shards the placement has."""
    return sum(alias != placed.NOT_STORED for alias in placed.unpack(placement))


def check_acknowledged(record: ChunkRecord, placement: bytes, ack_at: int) -> None:
    """Raises Refusal("upload.incomplete") for fewer than `ack_at` shards (on distinct nodes, as all are)."""
    count = stored_count(placement)
    if count < ack_at:
        raise Refusal(
            "upload.incomplete",
            f"Chunk {record.number} has {count} shards on distinct nodes; {ack_at} are needed.",
            advice="Send more of its shards, to other nodes if need be, and record it again.",
            number=record.number,
            shards=count,
            needed=ack_at,
        )


def record(
    connection: Connection, upload: Upload, proven: list[ProvenChunk], journal: Journal, now: int
) -> bool:
    """The transaction of `upload-record`, for an upload as it was read before; whether any chunk is new.

    Raises Refusal("upload.unknown" | "upload.incomplete" | "request.invalid").
    """
    changed = False
    surplus: list[tuple[int, bytes]] = []
    for chunk in proven:
        added, left = _put_chunk(connection, upload, chunk, now)
        changed = changed or added
        surplus += left
    journal(connection, surplus, now)
    # Last, and the lock that orders it all: an upload that ended meanwhile undoes what was done above.
    state = store_uploads.touch(connection, upload, now, changed=changed)
    if state is None or (changed and state != "open"):
        raise unknown_upload(upload.upload_id)
    return changed


def shards_of(chunk: Chunk) -> list[tuple[int, bytes]]:
    """(node alias, shard id) of every stored shard."""
    aliases = placed.unpack(chunk.placement)
    return [(alias, shard_id(chunk.chunk_id, index)) for index, alias in enumerate(aliases) if alias]


def known_upload(connection: Connection, tenant: str, upload_id: str) -> Upload:
    """The tenant's upload, open or committed; raises Refusal("upload.unknown")."""
    upload = store_uploads.upload_by_id(connection, tenant, upload_id)
    if upload is None:
        raise unknown_upload(upload_id)
    return upload


def unknown_upload(upload_id: str) -> Refusal:
    """The same words for an upload that never was, is over, or is somebody else's."""
    return Refusal(
        "upload.unknown",
        "There is no such upload under way.",
        advice="It was ended, or left idle for too long: begin a new one.",
        upload=upload_id[:80],
    )


def _put_chunk(
    connection: Connection, upload: Upload, chunk: ProvenChunk, now: int
) -> tuple[bool, list[tuple[int, bytes]]]:
    """Whether the chunk is a new one, and what is to be deleted.

    Nothing is read before it is known to be there: most chunks are new, and their insertion says so.
    """
    fresh = chunk.record
    placement, _, surplus = placed.merge(placed.pack([placed.NOT_STORED] * upload.n), chunk.stored)
    row = _row(upload, fresh, placement, now)
    enough = stored_count(placement) >= upload.ack_at
    if enough and store_chunks.add_chunk(connection, row):
        return True, _named(fresh.chunk_id, surplus)
    held = store_chunks.chunk_numbered(connection, upload.stream, fresh.number)
    if held is not None and held.chunk_id == fresh.chunk_id:
        return False, _add_shards(connection, held, chunk)
    check_acknowledged(fresh, placement, upload.ack_at)
    left = _named(fresh.chunk_id, surplus)
    if held is not None:
        left += shards_of(held)
        store_chunks.remove_chunk(connection, held)
        if store_chunks.add_chunk(connection, row):
            return True, left
    raise Refusal(
        "request.invalid",
        f"The id of chunk {fresh.number} was used before.",
        advice="Seal it again under a fresh random id.",
        number=fresh.number,
    )


def _row(upload: Upload, fresh: ChunkRecord, placement: bytes, now: int) -> Chunk:
    return Chunk(
        stream=upload.stream,
        number=fresh.number,
        chunk_id=fresh.chunk_id,
        k=upload.k,
        repair_at=upload.repair_at,
        plain_length=fresh.plain_length,
        packed_length=fresh.packed_length,
        compressed=fresh.compressed,
        sealed_length=fresh.sealed_length,
        shard_length=fresh.shard_length,
        root=fresh.root,
        checksum=store_chunks.signed(fresh.checksum),
        format=fresh.format,
        placement=placement,
        revision=1,
        recorded=now,
    )


def _add_shards(connection: Connection, held: Chunk, chunk: ProvenChunk) -> list[tuple[int, bytes]]:
    if held.record != chunk.record:
        raise Refusal(
            "request.invalid",
            f"Chunk {held.number} was recorded before with other contents under the same id.",
            advice="A chunk that is sealed again needs a fresh id.",
            number=held.number,
        )
    doomed = [place for place in chunk.stored if _is_doomed(connection, held, place)]
    believed = [place for place in chunk.stored if place not in doomed]
    placement, added, surplus = placed.merge(held.placement, believed)
    if added:
        swapped = store_chunks.swap_placement(connection, held, placement)
        assert swapped, "the row was read in this transaction"
    return _named(held.chunk_id, surplus + doomed)


def _is_doomed(connection: Connection, held: Chunk, place: tuple[int, int]) -> bool:
    """Whether a shard is about to go, or gone, whatever its receipt says.

    A receipt may be older than the proof that the shard was lost, or than what made the coordinator have it
    deleted. It is deleted once more then, for it may also have come after the first deletion.
    """
    index, alias = place
    if placed.unpack(held.placement)[index] == alias:
        return False
    fault = store_chunks.fault_at(connection, held.stream, held.number, index, alias)
    lost = fault is not None and fault.state == "confirmed"
    return lost or awaits_deletion(connection, alias, shard_id(held.chunk_id, index))


def _named(chunk_id: bytes, places: list[tuple[int, int]]) -> list[tuple[int, bytes]]:
    return [(alias, shard_id(chunk_id, index)) for index, alias in places]
