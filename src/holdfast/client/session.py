"""The SDK, for programs that run an event loop: one endpoint, one access key, one tenant key.

    async with await AsyncSession.open() as session:
        await session.put("cat.jpg", "photos", "cat.jpg")
        async for piece in session.stream("photos", "cat.jpg"): ...

A session seals and opens on this side; what leaves it is ciphertext for the nodes and metadata for the
coordinator. Its transfers share links, memory and threads, so one session for a whole program is right. The
tenant key is loaded, and checked against what the tenant seals with, before the first byte is sent or read.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from holdfast.chunks.erasure import best_erasure
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.seal import Opener, Sealer
from holdfast.client.download import Download
from holdfast.client.gear import Gear
from holdfast.client.journal import Journal
from holdfast.client.memory import Memory
from holdfast.client.patience import Hedge, PatientControl, Tail
from holdfast.client.peers import Peers
from holdfast.client.profile import Profile, RelayChoice, checked, find_profile, state_folder
from holdfast.client.progress import ProgressCallback
from holdfast.client.sinks import ByteSink, StreamSink, absolute
from holdfast.client.sources import Putable, source_of
from holdfast.client.tenant_key import KeySource, checked_key, key_source_of
from holdfast.client.transfer import Transfers
from holdfast.client.upload import Wish
from holdfast.client.version import Version, open_version
from holdfast.protocol.control import (
    LIST_KEYS_MAX,
    TOKEN_BYTES,
    BucketList,
    BucketMake,
    BucketRemove,
    Control,
    Invitation,
    KeyRegister,
    NodeInfo,
    NodeInvite,
    NodeList,
    ObjectHealth,
    ObjectList,
    ObjectRemove,
    Objects,
    ObjectStat,
    TenantInfo,
    TenantShow,
)
from holdfast.protocol.nouns import BucketInfo, VersionInfo
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.world.chance import Chance, SystemChance
from holdfast.world.clock import Clock, SystemClock
from holdfast.world.errors import Failure, Refusal
from holdfast.world.network import Network, SystemNetwork
from holdfast.world.offload import Offload, ThreadOffload

MEMORY_BYTES = 112 << 20
"""Buffers of all transfers together."""
READING_THREADS = 4


class AsyncSession:
    """Made by `open`, or from the seams themselves. Use it in one event loop, and `close` it there."""

    def __init__(
        self,
        control: Control,
        *,
        network: Network,
        clock: Clock,
        chance: Chance,
        offload: Offload,
        key: TenantKey | KeySource,
        reading: Offload | None = None,
        identity: str = "",
        route: RelayChoice = "auto",
        journal: Journal | None = None,
        memory_bytes: int = MEMORY_BYTES,
        compress: bool = True,
        tail: Tail | None = None,
        hedge: Hedge | None = None,
    ) -> None:
        """The seams, and what bounds transfers.

        `identity` tells endpoints apart in the journal; `reading` runs what may block (default: `offload`).
        """
        self._control = PatientControl(control, clock=clock, chance=chance)
        self._network = network
        self._clock = clock
        self._chance = chance
        self._offload = offload
        self._reading = reading or offload
        self._key_source: KeySource = key if callable(key) else lambda _tenant: key
        self._identity = identity
        self._route = route
        self._journal = journal
        self._memory = Memory(memory_bytes)
        self._compress = compress
        self._tail = tail or Tail()
        self._hedge = hedge or Hedge()
        self._owned: list[Offload] = []
        self._gear: Gear | None = None
        self._tenant: TenantInfo | None = None
        self._starting = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        profile: Profile | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        resume: bool = True,
        memory_bytes: int = MEMORY_BYTES,
    ) -> Self:
        """A session with this machine's clock, network and threads.

        Args:
            profile: whom to talk to; by default what `client.profile.find_profile` finds.
            environment: looked at instead of the process's own.
            resume: keep a journal, so that an interrupted transfer of a file goes on when it is repeated.
            memory_bytes: bound for the buffers of all transfers together.

        Raises:
            Refusal: "config.missing" or "config.invalid". Nothing is sent before the first call.
        """
        # Imported here: programs that bring their own Control need no HTTP client.
        from holdfast.client.http_control import HttpControl

        environment = os.environ if environment is None else environment
        profile = find_profile(environment) if profile is None else checked(profile)
        clock, chance = SystemClock(), SystemChance()
        offload = ThreadOffload(max(2, os.cpu_count() or 1), "seal")
        reading = ThreadOffload(READING_THREADS, "read")
        session = cls(
            HttpControl(
                profile.endpoint,
                access_key=profile.access_key,
                secret_key=profile.secret_key,
                region=profile.region,
                clock=clock,
            ),
            network=SystemNetwork(),
            clock=clock,
            chance=chance,
            offload=offload,
            reading=reading,
            key=key_source_of(profile),
            identity=f"{profile.endpoint} {profile.access_key}",
            route=profile.relay,
            journal=Journal(state_folder(environment)) if resume else None,
            memory_bytes=memory_bytes,
        )
        session._owned = [offload, reading]
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hangs up, stops the threads and gives memory back. Transfers must have ended."""
        if self._gear is not None:
            await self._gear.peers.close()
        await self._control.close()
        self._memory.close()
        for offload in self._owned:
            offload.close()

    # --- buckets -----------------------------------------------------------------------------------------

    async def make_bucket(self, bucket: str, *, storage_class: str | None = None) -> BucketInfo:
        """Raises Refusal("bucket.exists" | "bucket.invalid" | "class.unknown")."""
        info: BucketInfo = await self._control.call(
            BucketMake(bucket=bucket, storage_class=storage_class, token=self._token())
        )
        return info

    async def remove_bucket(self, bucket: str) -> None:
        """Raises Refusal("bucket.unknown" | "bucket.not_empty")."""
        await self._control.call(BucketRemove(bucket=bucket, token=self._token()))

    async def buckets(self) -> tuple[BucketInfo, ...]:
        """All of the tenant's buckets."""
        found: tuple[BucketInfo, ...] = ()
        after: str | None = None
        while True:
            page = await self._control.call(BucketList(after=after))
            found += tuple(page.buckets)
            after = page.after
            if after is None:
                return found

    # --- objects -----------------------------------------------------------------------------------------

    async def list(
        self,
        bucket: str,
        prefix: str = "",
        *,
        delimiter: str = "",
        after: str | None = None,
        limit: int = LIST_KEYS_MAX,
    ) -> Objects:
        """One page of objects and common prefixes; raises Refusal("bucket.unknown")."""
        page: Objects = await self._control.call(
            ObjectList(bucket=bucket, prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        )
        return page

    async def walk(self, bucket: str, prefix: str = "") -> AsyncGenerator[VersionInfo]:
        """Every object under a prefix, in the order of keys."""
        after: str | None = None
        while True:
            page = await self.list(bucket, prefix, after=after)
            for info in page.objects:
                yield info
            after = page.after
            if after is None:
                return

    async def stat(
        self, bucket: str, key: str, *, version_id: str | None = None, chunks_from: int = 0
    ) -> ObjectHealth:
        """Where an object's shards are and how many more losses it survives; up to 1,000 chunks a call."""
        health: ObjectHealth = await self._control.call(
            ObjectStat(bucket=bucket, key=key, version_id=version_id, chunks_from=chunks_from)
        )
        return health

    async def remove(self, bucket: str, key: str, *, if_version: str | None = None) -> VersionInfo:
        """Moves the object to the trash; raises Refusal("object.unknown" | "precondition.failed")."""
        info: VersionInfo = await self._control.call(
            ObjectRemove(bucket=bucket, key=key, if_version=if_version, token=self._token())
        )
        return info

    async def put(
        self,
        content: Putable,
        bucket: str,
        key: str,
        *,
        storage_class: str | None = None,
        if_absent: bool = False,
        if_version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        chunk_size: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> VersionInfo:
        """Stores an object: a path, bytes, a binary file object or an async iterator of bytes.

        Raises:
            Refusal: "bucket.unknown", "class.unknown", "name.invalid", "precondition.failed",
                "fleet.too_small", "key.mismatch", "key.wrong", "source.changed", "config.missing".
            Trouble: "node.unreachable" (too few nodes took a chunk), "endpoint.unreachable".
        """
        gear = await self._started()
        wish = Wish(
            bucket=bucket,
            key=key,
            storage_class=storage_class,
            if_absent=if_absent,
            if_version=if_version,
            metadata=metadata or {},
            chunk_size=chunk_size,
        )
        source = source_of(content, self._reading)
        try:
            return await Transfers(gear, self._journal, self._identity).put(source, wish, progress)
        finally:
            source.close()

    async def get(
        self,
        bucket: str,
        key: str,
        sink: Path | str | BinaryIO | ByteSink,
        *,
        version_id: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> VersionInfo:
        """Reads an object into a file (which appears when it is whole), a binary file object or a sink.

        Raises:
            Refusal: "object.unknown", "bucket.unknown", "key.unknown", "key.wrong", "config.invalid".
            Trouble: "chunk.lost", "metadata.forged", "disk.full", "endpoint.unreachable".
        """
        gear = await self._started()
        version = await open_version(gear, bucket, key, version_id)
        try:
            if isinstance(sink, str | Path):
                path = absolute(sink)
                await Transfers(gear, self._journal, self._identity).get_file(version, path, progress)
            else:
                target = sink if isinstance(sink, ByteSink) else StreamSink(sink, self._reading)
                await Download(version, progress).to_sink(target)
        finally:
            await version.close()
        return version.info

    async def stream(
        self,
        bucket: str,
        key: str,
        *,
        range: tuple[int, int] | None = None,  # noqa: A002  # the word users know
        version_id: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> AsyncGenerator[memoryview]:
        """The object's bytes in order, or those of the half-open `range`; raises what `get` raises.

        A piece is valid until the next one is asked for: copy what shall stay. Close the generator
        (`contextlib.aclosing`) if you leave it early.
        """
        version = await open_version(await self._started(), bucket, key, version_id)
        try:
            start, stop = span(range, version.size)
            async with aclosing(Download(version, progress).pieces(start, stop)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await version.close()

    async def read(
        self,
        bucket: str,
        key: str,
        *,
        range: tuple[int, int] | None = None,  # noqa: A002  # the word users know
        version_id: str | None = None,
    ) -> bytes:
        """The object's bytes, or those of the half-open `range`, in memory; raises what `get` raises."""
        reader = await self.reader(bucket, key, version_id=version_id)
        try:
            start, stop = span(range, reader.size)
            return await reader.read(start, stop)
        finally:
            await reader.close()

    async def reader(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectReader:
        """One version, to read ranges of it at will; close it. Raises what `get` raises."""
        return ObjectReader(await open_version(await self._started(), bucket, key, version_id))

    # --- the tenant --------------------------------------------------------------------------------------

    async def tenant(self) -> TenantInfo:
        """Who we are to the coordinator; asked once."""
        if self._tenant is None:
            self._tenant = await self._control.call(TenantShow())
        return self._tenant

    async def nodes(self) -> tuple[NodeInfo, ...]:
        """The nodes of the fleet that the tenant may see."""
        found: tuple[NodeInfo, ...] = ()
        after: bytes | None = None
        while True:
            page = await self._control.call(NodeList(after=after))
            found += tuple(page.nodes)
            after = page.after
            if after is None:
                return found

    async def invite_node(self, *, lifetime_seconds: int = 3600) -> Invitation:
        """A one-time token with which a node registers for this tenant; raises Refusal("access.denied")."""
        invitation: Invitation = await self._control.call(NodeInvite(lifetime_seconds=lifetime_seconds))
        return invitation

    async def register_key(self, *, add: bool = True) -> bytes:
        """Makes the key at hand known as one more that this tenant seals with; its id.

        What was sealed with another key still needs that one to be opened. Without `add`, a key that is not
        the first is refused: Refusal("key.mismatch").
        """
        tenant = await self.tenant()
        key = await self._offload.run(self._key_source, tenant.tenant_id)
        await self._control.call(KeyRegister(key_id=key.key_id, add=add))
        self._tenant = None
        return key.key_id

    def _token(self) -> bytes:
        """What tells the coordinator a request that is asked again from a new one."""
        return self._chance.bytes(TOKEN_BYTES)

    async def _started(self) -> Gear:
        """The gear; on the first use the key is loaded, checked and made known."""
        async with self._starting:
            if self._gear is None:
                tenant = await self.tenant()
                key = await self._offload.run(self._key_source, tenant.tenant_id)
                checked_key(key, tenant)
                if not tenant.keys:
                    await self._control.call(KeyRegister(key_id=key.key_id))
                self._gear = self._assemble(key, tenant)
            return self._gear

    def _assemble(self, key: TenantKey, tenant: TenantInfo) -> Gear:
        session_key = SigningKey(self._chance.bytes(SEED_BYTES))
        erasure = best_erasure()
        return Gear(
            control=self._control,
            peers=Peers(
                self._network,
                session_key=session_key,
                clock=self._clock,
                chance=self._chance,
                relay=tenant.relay,
                route=self._route,
            ),
            clock=self._clock,
            chance=self._chance,
            offload=self._offload,
            reading=self._reading,
            memory=self._memory,
            sealer=Sealer(erasure, compress=self._compress),
            opener=Opener(erasure),
            key=key,
            session_public=session_key.public,
            tail=self._tail,
            hedge=self._hedge,
        )


class ObjectReader:
    """One version, opened once, read in ranges. Made by `AsyncSession.reader`."""

    def __init__(self, version: Version) -> None:
        self._version = version
        self.info = version.info
        self.size = version.size

    async def read(self, start: int, stop: int) -> bytes:
        """Plain bytes [start, stop), which must lie inside the object."""
        assert 0 <= start <= stop <= self.size, "the range lies inside the object"
        into = bytearray(stop - start)
        done = 0
        async with aclosing(Download(self._version).pieces(start, stop)) as pieces:
            async for piece in pieces:
                into[done : done + len(piece)] = piece
                done += len(piece)
        return bytes(into)

    async def close(self) -> None:
        """Tells what is still to be told about bad shards."""
        with suppress(Failure):
            await self._version.close()


def span(wanted: tuple[int, int] | None, size: int) -> tuple[int, int]:
    """The half-open range inside an object of `size` bytes; raises Refusal("config.invalid")."""
    if wanted is None:
        return 0, size
    start, stop = wanted
    if not 0 <= start <= stop or start > size:
        raise Refusal(
            "config.invalid",
            f"Bytes {start} to {stop} are no range of an object of {size} bytes.",
            advice="A range is half-open: (0, 10) are the first ten bytes.",
            size=size,
        )
    return start, min(stop, size)
