"""Uploads: begun, planned, recorded, committed or given up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy import Connection

from holdfast.chunks import layout
from holdfast.chunks.metadata import CHUNK_ID_BYTES
from holdfast.chunks.redundancy import Redundancy
from holdfast.files import committing, names, recording, writing
from holdfast.files.answered import check_token
from holdfast.files.attributes import ANYHOW, Conditions
from holdfast.files.bucket_records import known_bucket
from holdfast.files.buckets import check_limit, owned_bucket
from holdfast.files.committing import Ending, PartEnding, Seen, Total, VersionEnding
from holdfast.files.histories import draw_id
from holdfast.files.multiparts import check_number
from holdfast.files.places import Places, ShardWish
from holdfast.files.recording import Journal, ProvenChunk, known_upload, unknown_upload
from holdfast.files.records import Multipart, NewPart, NewVersion, Part, Version, pack_metadata
from holdfast.files.stores import store_chunks, store_uploads
from holdfast.files.stores.store_chunks import PlainSum
from holdfast.files.stores.store_uploads import Upload
from holdfast.files.versions import version_info
from holdfast.files.writing import LostRaceError
from holdfast.protocol.control import (
    PLAN_CHUNKS_MAX,
    RECORD_CHUNKS_MAX,
    Done,
    Plans,
    Replacements,
    UploadAbort,
    UploadBegin,
    UploadCommit,
    UploadPlan,
    UploadRecord,
    UploadReplace,
    UploadShow,
    UploadState,
    UploadTicket,
)
from holdfast.protocol.nouns import (
    ChunkDone,
    ChunkPlan,
    ChunkWish,
    ClassInfo,
    Envelope,
    RedundancyInfo,
    VersionInfo,
)
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.offload import Offload

CHUNK_SIZE_MIN = 64 << 10
CHUNK_SIZE_MAX = 64 << 20
SHOW_CHUNKS_MAX = 1000
SESSION_KEY_BYTES = 32
ENVELOPE_BYTES_MAX = 4096
CLOSING_BYTES_MAX = 4096
ID_BYTES = 16
TOUCH_AFTER = 60 * MICROSECONDS
"""Planning counts as a sign of life, but is not written down more often than this."""
SUMS_INLINE_MAX = 500
"""More chunks than this are added up off the event loop."""
USED_MAX = 4096
"""Nodes that may be named in one request as tried in vain."""
COMMIT_TRIES_MAX = 50
COMMIT_PAUSE_SECONDS = 0.005

_MODES = frozenset({"client", "gateway", "customer"})


@dataclass(frozen=True)
class Beginning:
    """An `upload-begin` whose request has been checked."""

    upload_id: str
    request: UploadBegin
    key: bytes
    storage_class: ClassInfo
    chunk_size: int


def begin(connection: Connection, tenant: str, bucket_id: int, beginning: Beginning, now: int) -> None:
    """The transaction of `upload-begin`; raises Refusal("bucket.unknown" | "precondition.failed")."""
    request, chosen = beginning.request, beginning.storage_class
    bucket = owned_bucket(connection, tenant, request.bucket)
    if bucket.id != bucket_id:
        raise Trouble("database.busy", "The bucket was made anew meanwhile.", advice="Try again.")
    # Judged again at commit; here it saves sending an object that cannot be committed.
    if request.if_absent or request.if_version is not None:
        looked = writing.look(connection, bucket.id, beginning.key)
        committing.check_preconditions(looked, if_absent=request.if_absent, if_version=request.if_version)
    added = store_uploads.add_upload(
        connection,
        Upload(
            stream=0,
            upload_id=beginning.upload_id,
            tenant=tenant,
            bucket_id=bucket.id,
            key=beginning.key,
            storage_class=chosen.class_name,
            k=chosen.redundancy.k,
            n=chosen.redundancy.n,
            repair_at=chosen.redundancy.repair_at,
            ack_at=chosen.ack_at,
            chunk_size=beginning.chunk_size,
            envelope_mode=request.envelope.mode,
            envelope_key_id=request.envelope.key_id,
            envelope_wrapped=request.envelope.wrapped,
            user_metadata=pack_metadata(request.metadata),
            if_absent=request.if_absent,
            if_version=request.if_version,
            state="open",
            version_id=None,
            chunks_changed=0,
            created=now,
            last_active=now,
        ),
    )
    if not added:
        _check_same(connection, tenant, bucket.id, beginning)


def _check_same(connection: Connection, tenant: str, bucket_id: int, beginning: Beginning) -> None:
    """The upload was begun before under this token: it is the answer, if it was asked for in these words."""
    known = known_upload(connection, tenant, beginning.upload_id)
    envelope = beginning.request.envelope
    if (known.bucket_id, known.key, known.envelope) != (bucket_id, beginning.key, envelope):
        raise Refusal(
            "request.invalid",
            "The request's token was used for another upload.",
            advice="Draw a new random token for each upload.",
        )


def show(
    connection: Connection, tenant: str, upload_id: str, first: int, limit: int
) -> tuple[Upload, str, list[store_chunks.Chunk]]:
    """The upload, its bucket's name and up to `limit` recorded chunks from number `first`."""
    upload = known_upload(connection, tenant, upload_id)
    bucket = known_bucket(connection, upload.bucket_id)
    return upload, bucket.name, store_chunks.chunk_range(connection, upload.stream, first, limit)


def abort(connection: Connection, tenant: str, upload_id: str, now: int) -> None:
    """The transaction of `upload-abort`; raises Refusal("upload.unknown"), also for a committed one."""
    upload = known_upload(connection, tenant, upload_id)
    if upload.state != "open":
        raise unknown_upload(upload_id)
    store_uploads.abandon(connection, upload, now)


def touch(connection: Connection, tenant: str, upload_id: str, now: int) -> None:
    """Notes that the client was heard of."""
    store_uploads.touch(connection, known_upload(connection, tenant, upload_id), now, changed=False)


def commit(
    connection: Connection,
    request: UploadCommit,
    seen: Seen,
    ending: Ending,
    proven: list[ProvenChunk],
    journal: Journal,
    version_id: str,
    now: int,
) -> Version | Part:
    """The transaction of `upload-commit`: records what came with it; both or neither.

    Raises LostRaceError, and what recording and committing raise.
    """
    if proven and recording.record(connection, seen.upload, proven, journal, now):
        seen = seen._replace(upload=seen.upload._replace(chunks_changed=seen.upload.chunks_changed + 1))
    return committing.commit(connection, request, seen, ending, version_id, now)


def with_proven(sums: list[PlainSum], proven: list[ProvenChunk]) -> list[PlainSum]:
    """The recorded chunks as they are going to be."""
    if not proven:
        return sums
    by_number = {chunk.number: chunk for chunk in sums}
    for chunk in proven:
        record = chunk.record
        by_number[record.number] = PlainSum(record.number, record.plain_length, record.checksum)
    return [by_number[number] for number in sorted(by_number)]


def ticket(upload: Upload, warnings: list[str]) -> UploadTicket:
    """What the client needs to cut, seal and send."""
    return UploadTicket(
        upload_id=upload.upload_id,
        redundancy=upload.redundancy,
        ack_at=upload.ack_at,
        chunk_size=upload.chunk_size,
        storage_class=upload.storage_class,
        warnings=warnings,
    )


class Uploads:
    """The upload operations, each for one tenant. Receipts are checked in the offload."""

    def __init__(
        self,
        *,
        database: Database,
        places: Places,
        journal: Journal,
        clock: Clock,
        chance: Chance,
        offload: Offload,
    ) -> None:
        self._database = database
        self._places = places
        self._journal = journal
        self._clock = clock
        self._chance = chance
        self._offload = offload

    async def begin(self, tenant: str, request: UploadBegin) -> UploadTicket:
        """Opens an upload.

        Raises:
            Refusal: "name.invalid", "bucket.unknown", "class.unknown", "precondition.failed",
                "fleet.too_small", "node.full", "request.invalid", "request.too_large".
        """
        key = names.encode_key(request.key)
        names.check_metadata(request.metadata)
        check_envelope(request.envelope)
        check_token(request.token)
        bucket = await self._database.read(owned_bucket, tenant, request.bucket)
        chosen = self._places.storage_class(request.storage_class or bucket.storage_class)
        chunk_size = chosen.chunk_size if request.chunk_size is None else request.chunk_size
        check_sizes(request.size, chunk_size)
        warnings = self._places.outlook(chosen, request.size)
        wishes = first_wishes(request, chosen.redundancy.k, chunk_size)
        upload_id = upload_id_of(tenant, request.token) or self._chance.bytes(ID_BYTES).hex()
        beginning = Beginning(upload_id, request, key, chosen, chunk_size)
        await self._database.transact(begin, tenant, bucket.id, beginning, self._clock.now())
        plans, said = await self._plans(
            tenant, chosen.class_name, chosen.redundancy, request.session_key, wishes
        )
        return UploadTicket(
            upload_id=upload_id,
            redundancy=chosen.redundancy,
            ack_at=chosen.ack_at,
            chunk_size=chunk_size,
            storage_class=chosen.class_name,
            warnings=list(dict.fromkeys(warnings + said)),
            plans=plans,
        )

    async def show(self, tenant: str, request: UploadShow) -> UploadState:
        """What is recorded so far; `after` is the `chunks_from` of the next page."""
        limit = check_limit(request.limit, SHOW_CHUNKS_MAX)
        first = check_limit(request.chunks_from, recording.CHUNKS_OF_VERSION_MAX)
        upload, bucket, found = await self._database.read(show, tenant, request.upload_id, first, limit + 1)
        shown = found[:limit]
        return UploadState(
            ticket=ticket(upload, []),
            bucket=bucket,
            key=names.decode_key(upload.key),
            envelope=upload.envelope,
            chunks=[chunk.record for chunk in shown],
            after=found[limit].number if len(found) > limit > 0 else None,
        )

    async def plan(self, tenant: str, request: UploadPlan) -> Plans:
        """Places for up to PLAN_CHUNKS_MAX chunks; raises Refusal("upload.unknown" | "fleet.too_small")."""
        check_count(len(request.chunks), PLAN_CHUNKS_MAX)
        check_session_key(request.session_key)
        upload = await self._live(tenant, request.upload_id)
        for wish in request.chunks:
            check_wish(upload, wish.chunk_id, wish.shard_length)
        plans, warnings = await self._plans(
            tenant, upload.storage_class, upload.redundancy, request.session_key, request.chunks
        )
        return Plans(plans=plans, warnings=warnings)

    async def replace(self, tenant: str, request: UploadReplace) -> Replacements:
        """Other places for some shards of a chunk; raises Refusal("upload.unknown" | "request.invalid")."""
        check_session_key(request.session_key)
        upload = await self._live(tenant, request.upload_id)
        check_wish(upload, request.chunk_id, request.shard_length)
        if len(request.indexes) > upload.n or len(request.used) > USED_MAX:
            raise Refusal(
                "request.too_large", f"At most {upload.n} shards and {USED_MAX} nodes are named at once."
            )
        indexes = sorted(set(request.indexes))
        if indexes and not 0 <= indexes[0] <= indexes[-1] < upload.n:
            raise Refusal("request.invalid", f"The chunk's shards are numbered 0 to {upload.n - 1}.")
        targets = self._places.replacements(
            upload.storage_class,
            upload.redundancy,
            ShardWish(tenant, request.session_key, request.chunk_id, request.shard_length),
            indexes=indexes,
            holding=request.used,
        )
        return Replacements(targets=targets)

    async def record(self, tenant: str, request: UploadRecord) -> Done:
        """Records chunks on their receipts; idempotent, all of the request or nothing.

        Raises:
            Refusal: "upload.unknown", "upload.incomplete" (too few receipts), "signature.invalid",
                "format.invalid", "node.unknown", "request.invalid", "request.too_large".
        """
        check_count(len(request.chunks), RECORD_CHUNKS_MAX)
        upload = await self._database.read(known_upload, tenant, request.upload_id)
        proven = await self._prove(upload, request.chunks)
        await self._database.transact(recording.record, upload, proven, self._journal, self._clock.now())
        return Done()

    async def commit(self, tenant: str, request: UploadCommit) -> VersionInfo:
        """Makes the version visible; the same upload id again answers the same version.

        Raises:
            Refusal: "upload.unknown", "upload.incomplete", "precondition.failed", "request.invalid", and what
                `record` refuses of the chunks that came with it.
        """
        name, done = await self._commit(tenant, request, committing.NATIVE)
        assert isinstance(done, Version), "a client's upload becomes a version"
        return version_info(name, done)

    async def commit_version(
        self, tenant: str, request: UploadCommit, new: NewVersion, conditions: Conditions = ANYHOW
    ) -> Version:
        """Like `commit`, as this version: its content is the upload's.

        Raises what `commit` raises, and Refusal("object.unknown") for an ETag required of nothing.
        """
        _, done = await self._commit(tenant, request, VersionEnding(new, conditions))
        assert isinstance(done, Version), "the upload was begun to become a version"
        return done

    async def commit_part(
        self, tenant: str, request: UploadCommit, multipart: Multipart, part: NewPart
    ) -> Part:
        """Like `commit`, as this part of a multipart upload: its content is the upload's.

        Raises what `commit` raises, and Refusal("multipart.unknown").
        """
        check_number(part.number)
        _, done = await self._commit(tenant, request, PartEnding(multipart, part))
        assert isinstance(done, Part), "the upload was begun to become a part"
        return done

    async def _commit(self, tenant: str, request: UploadCommit, ending: Ending) -> tuple[str, Version | Part]:
        """The bucket's name, and what the upload has become."""
        check_count(len(request.chunks), RECORD_CHUNKS_MAX)
        if not 0 < len(request.closing.sealed) <= CLOSING_BYTES_MAX:
            raise Refusal("request.invalid", f"A closing has 1 to {CLOSING_BYTES_MAX} bytes.")
        version_id = draw_id(self._clock, self._chance)
        proven: list[ProvenChunk] | None = None
        for attempt in range(COMMIT_TRIES_MAX):
            seen = await self._database.read(committing.see, tenant, request.upload_id)
            if seen.done is not None:
                return seen.bucket.name, seen.done
            if proven is None:
                proven = await self._prove(seen.upload, request.chunks)
            sums = with_proven(seen.sums, proven)
            committing.check_total(await self._add_up(seen.upload.chunk_size, sums), request)
            committing.check_ending(seen, ending)
            now = self._clock.now()
            try:
                done = await self._database.transact(
                    commit, request, seen, ending, proven, self._journal, version_id, now
                )
            except LostRaceError:
                await asyncio.sleep(self._chance.unit() * COMMIT_PAUSE_SECONDS * min(attempt, 10))
                continue
            return seen.bucket.name, done
        raise Trouble(
            "database.busy",
            "Others kept writing the same key, or chunks of the same upload, at the same time.",
            advice="Commit again.",
        )

    async def abort(self, tenant: str, request: UploadAbort) -> Done:
        """Gives an open upload up; its shards are deleted. Raises Refusal("upload.unknown")."""
        await self._database.transact(abort, tenant, request.upload_id, self._clock.now())
        return Done()

    async def _plans(
        self,
        tenant: str,
        storage_class: str,
        redundancy: RedundancyInfo,
        session_key: bytes,
        wishes: list[ChunkWish],
    ) -> tuple[list[ChunkPlan], list[str]]:
        """Places and grants for each chunk, and warnings."""
        plans: list[ChunkPlan] = []
        warnings: dict[str, None] = {}
        for wish in wishes:
            asked = ShardWish(tenant, session_key, wish.chunk_id, wish.shard_length)
            targets, said = self._places.targets(storage_class, redundancy, asked)
            plans.append(ChunkPlan(number=wish.number, chunk_id=wish.chunk_id, targets=targets))
            warnings |= dict.fromkeys(said)
            # Signing a chunk's grants takes part of a millisecond: others are let in between.
            await asyncio.sleep(0)
        return plans, list(warnings)

    async def _prove(self, upload: Upload, chunks: list[ChunkDone]) -> list[ProvenChunk]:
        """What the receipts of finished chunks prove; raises what `record` says of them."""
        if not chunks:
            return []
        redundancy = Redundancy(k=upload.k, n=upload.n, repair_at=upload.repair_at)
        now = self._clock.now()
        for done in chunks:
            recording.check_chunk(done, redundancy, upload.chunk_size)
        signers = {shard.node_id for done in chunks for shard in done.stored}
        aliases = {node_id: self._places.alias_of(node_id) for node_id in signers}

        def prove() -> list[ProvenChunk]:
            return [recording.prove(done, aliases, now) for done in chunks]

        return await self._offload.run(prove)

    async def _add_up(self, chunk_size: int, sums: list[PlainSum]) -> Total:
        if len(sums) <= SUMS_INLINE_MAX:
            return committing.add_up(chunk_size, sums)
        return await self._offload.run(committing.add_up, chunk_size, sums)

    async def _live(self, tenant: str, upload_id: str) -> Upload:
        """The open upload, noting now and then that its client lives."""
        upload = await self._database.read(known_upload, tenant, upload_id)
        if upload.state != "open":
            raise unknown_upload(upload_id)
        now = self._clock.now()
        if now - upload.last_active > TOUCH_AFTER:
            await self._database.transact(touch, tenant, upload_id, now)
        return upload


def upload_id_of(tenant: str, token: bytes) -> str:
    """The id of the upload that this token stands for: the same each time it is asked for. "" without one."""
    if not token:
        return ""
    seed = b"holdfast upload\0" + tenant.encode() + b"\0" + token
    return blake2b(seed, digest_size=ID_BYTES).hexdigest()


def check_envelope(envelope: Envelope) -> None:
    """Raises Refusal("request.invalid") for what cannot be a wrapped data key."""
    sound = (
        envelope.mode in _MODES
        and 0 < len(envelope.key_id) <= ENVELOPE_BYTES_MAX
        and 0 < len(envelope.wrapped) <= ENVELOPE_BYTES_MAX
    )
    if not sound:
        raise Refusal(
            "request.invalid",
            "The envelope is not a wrapped data key.",
            advice="Its mode is one of three words, its key id and its wrapped key are not empty.",
        )


def check_sizes(size: int | None, chunk_size: int) -> None:
    """Raises Refusal("request.invalid" | "request.too_large")."""
    if not CHUNK_SIZE_MIN <= chunk_size <= CHUNK_SIZE_MAX:
        raise Refusal(
            "request.invalid",
            f"A chunk size of {chunk_size} bytes cannot be used.",
            advice=f"Choose one from {CHUNK_SIZE_MIN} to {CHUNK_SIZE_MAX}.",
            chunk_size=chunk_size,
        )
    if size is None:
        return
    if size < 0:
        raise Refusal("request.invalid", f"An object cannot have {size} bytes.")
    if size > chunk_size * recording.CHUNKS_OF_VERSION_MAX:
        raise Refusal(
            "request.too_large",
            f"An object of {size} bytes has more than {recording.CHUNKS_OF_VERSION_MAX} chunks.",
            advice="Choose a larger chunk size.",
            size=size,
        )


def check_count(count: int, most: int) -> None:
    """Raises Refusal("request.too_large") for more chunks than one request may name."""
    if count > most:
        raise Refusal(
            "request.too_large",
            f"The request names {count} chunks; at most {most} are taken at once.",
            advice="Send them in several requests.",
            chunks=count,
            chunks_max=most,
        )


def check_session_key(session_key: bytes) -> None:
    """Raises Refusal("request.invalid") unless it can be an Ed25519 public key."""
    if len(session_key) != SESSION_KEY_BYTES:
        raise Refusal("request.invalid", f"A session key has {SESSION_KEY_BYTES} bytes.")


def first_wishes(request: UploadBegin, k: int, chunk_size: int) -> list[ChunkWish]:
    """The chunks that an `upload-begin` wants planned, as long as they are if compression does not pay.

    Raises Refusal("request.invalid" | "request.too_large").
    """
    if not request.chunk_ids:
        return []
    check_count(len(request.chunk_ids), PLAN_CHUNKS_MAX)
    check_session_key(request.session_key)
    wishes = []
    for number, chunk_id in enumerate(request.chunk_ids):
        if len(chunk_id) != CHUNK_ID_BYTES:
            raise Refusal("request.invalid", f"The id of a chunk has {CHUNK_ID_BYTES} bytes.")
        left = chunk_size if request.size is None else min(chunk_size, request.size - number * chunk_size)
        if left > 0:
            length = layout.shard_length(layout.sealed_length(left), k)
            wishes.append(ChunkWish(number=number, chunk_id=chunk_id, shard_length=length))
    return wishes


def check_wish(upload: Upload, chunk_id: bytes, shard_length: int) -> None:
    """Raises Refusal("request.invalid") for what cannot be a chunk of this upload."""
    longest = layout.shard_length(layout.sealed_length(upload.chunk_size), upload.k)
    if len(chunk_id) != CHUNK_ID_BYTES or not 0 < shard_length <= longest:
        raise Refusal(
            "request.invalid",
            f"A chunk of this upload has an id of {CHUNK_ID_BYTES} bytes and shards of 1 to {longest} bytes.",
        )
