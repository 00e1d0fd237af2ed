"""The gateway as the doors and passes see it: objects and parts written, read, copied, moved between classes.

The law: what is written is whole and as it was announced, or nothing of it is there; conditions are judged in
the transaction that makes it visible. Nobody's rights are judged here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial

from holdfast.chunks.erasure import best_erasure
from holdfast.chunks.seal import Opener, Sealer
from holdfast.client.peers import Peers
from holdfast.files.attributes import ANYHOW
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.operations import Handler
from holdfast.files.places import Places
from holdfast.files.records import Bucket, Multipart, Part, Version
from holdfast.files.smalls import Smalls
from holdfast.files.streams import Streams
from holdfast.files.tending.endings import StreamUploads
from holdfast.gateway import keyring
from holdfast.gateway.body import Body
from holdfast.gateway.copying import Copier
from holdfast.gateway.keeping import Keeper
from holdfast.gateway.keyring import Keyring
from holdfast.gateway.kit import Kit
from holdfast.gateway.memory import BUDGET_BYTES, Budget
from holdfast.gateway.packs import Packs
from holdfast.gateway.reading import Reader
from holdfast.gateway.small import SMALL_BYTES_MAX
from holdfast.gateway.whereabouts import Whereabouts
from holdfast.gateway.wish import PutWish
from holdfast.gateway.writing import Target, Writer
from holdfast.protocol.control import Operation
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.tenants.keys import Keys
from holdfast.tenants.people import People
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.network import Network
from holdfast.world.offload import Offload


class Gateway:
    """One per process, for all tenants."""

    def __init__(
        self,
        *,
        database: Database,
        handlers: Mapping[type[Operation], Handler],
        places: Places,
        histories: Histories,
        multiparts: Multiparts,
        uploads: StreamUploads,
        keys: Keys,
        people: People,
        network: Network,
        clock: Clock,
        chance: Chance,
        offload: Offload,
        memory_bytes: int = BUDGET_BYTES,
    ) -> None:
        """What it is made of.

        `handlers` are those of `files.operations`; `offload` seals, opens and digests: it has a thread for
        each processor.
        """
        session_key = SigningKey(chance.bytes(SEED_BYTES))
        erasure = best_erasure()
        self.kit = Kit(
            handlers=handlers,
            streams=Streams(database=database, places=places, clock=clock),
            smalls=Smalls(database, clock),
            places=places,
            keyring=Keyring(keys, clock),
            peers=Peers(network, session_key=session_key, clock=clock, chance=chance),
            session_public=session_key.public,
            budget=Budget(memory_bytes),
            sealer=Sealer(erasure),
            plain_sealer=Sealer(erasure, compress=False),
            opener=Opener(erasure),
            clock=clock,
            chance=chance,
            offload=offload,
        )
        self.reader = Reader(self.kit)
        self.writer = Writer(self.kit)
        self.places = Whereabouts(database, histories)
        self._keeper = Keeper(
            database=database,
            histories=histories,
            multiparts=multiparts,
            uploads=uploads,
            clock=clock,
            chance=chance,
        )
        self.packs = Packs(
            database=database,
            kit=self.kit,
            reader=self.reader,
            writer=self.writer,
            uploads=uploads,
            people=people,
        )
        self._copier = Copier(self.kit, self.reader, self.writer, self.places, self._keeper)

    async def close(self) -> None:
        """Finishes what is being cleaned away, hangs up and gives memory back. Requests must have ended."""
        await self.writer.close()
        await self.kit.peers.close()
        self.kit.budget.close()

    # --- writing -----------------------------------------------------------------------------------------

    async def put(self, bucket: Bucket, key: str, body: Body, wish: PutWish) -> Version:
        """Stores an object.

        Raises:
            Refusal: "digest.wrong" (fact `algorithm`), "request.incomplete", "precondition.failed",
                "precondition.conflict", "object.unknown" (an ETag required of nothing), "bucket.unknown",
                "class.unknown", "fleet.too_small", "node.full", "name.invalid", "key.wrong", and what the
                body raises.
            Trouble: "node.unreachable" (too few nodes took a chunk), "database.busy", ...
        """
        if wish.conditions != ANYHOW and (body.size is None or body.size > SMALL_BYTES_MAX):
            # Judged again at commit; here it saves sending what cannot be stored.
            await self._keeper.check_conditions(bucket, key, wish)
        target = Target(bucket.tenant, bucket.name, key, wish.storage_class or bucket.storage_class)
        return await self.writer.write(target, body, wish, partial(self._keeper.add, bucket, key, wish))

    async def put_part(self, multipart: Multipart, number: int, body: Body, wish: PutWish) -> Part:
        """Stores a part of a multipart upload; raises what `put` raises, and "multipart.unknown"."""
        target = Target(
            multipart.tenant,
            await self.places.bucket_name(multipart.bucket_id),
            multipart.name,
            wish.storage_class or multipart.storage_class,
        )
        finish = partial(self._keeper.add_part, multipart, number, wish)
        return await self.writer.write(target, body, wish, finish)

    async def copy(
        self,
        source: Version,
        source_bucket: Bucket,
        bucket: Bucket,
        key: str,
        wish: PutWish,
        source_customer_key: bytes | None = None,
    ) -> Version:
        """Stores an object with the bytes of another; none of them move where class and keys allow it.

        Raises what `put` and `read` raise.
        """
        del source_bucket
        return await self._copier.copy(source, bucket, key, wish, source_customer_key)

    async def copy_part(
        self,
        multipart: Multipart,
        number: int,
        source: Version,
        start: int,
        stop: int,
        wish: PutWish,
        source_customer_key: bytes | None = None,
    ) -> Part:
        """Stores a part with bytes [start, stop) of an object; raises what `put_part` and `read` raise."""
        return await self._copier.copy_part(
            multipart, number, source, (start, stop), wish, source_customer_key
        )

    async def rewrite(self, version: Version, storage_class: str) -> Version:
        """Keeps the version's bytes in another class of redundancy; what it shows stays.

        A version that no gateway can open stays where it is. Raises what `read` and `put` raise, and
        Refusal("precondition.conflict") if it was removed or changed meanwhile.
        """
        return await self._copier.rewrite(version, storage_class)

    # --- reading -----------------------------------------------------------------------------------------

    async def read(
        self, version: Version, start: int, stop: int, customer_key: bytes | None = None
    ) -> AsyncGenerator[memoryview]:
        """Plain bytes [start, stop) in order; a piece is valid until the next. Close it if left early.

        Raises:
            Refusal: "key.unknown" (sealed by its owner's own key, or a customer's key is missing),
                "key.wrong", "object.unknown" (the version was forgotten while it was read).
            Trouble: "chunk.lost", "metadata.forged", ...
        """
        assert 0 <= start <= stop <= version.size, "the range lies inside the object"
        self.check_customer_key(version, customer_key)
        async with aclosing(
            self.reader.pieces(await self.places.spans(version, start, stop), customer_key)
        ) as pieces:
            async for piece in pieces:
                yield piece

    async def read_small(
        self, version: Version, start: int, stop: int, customer_key: bytes | None = None
    ) -> bytes:
        """`read` for a version whose `small` is set: all of it at once, without a stream's machinery."""
        assert version.small is not None, "only what is small is read like this"
        assert 0 <= start < stop <= version.size, "the range lies inside the object"
        self.check_customer_key(version, customer_key)
        [span] = await self.places.spans(version, start, stop)
        plain = await self.reader.small(span, customer_key)
        return plain[start:stop]

    def check_customer_key(self, version: Version, key: bytes | None) -> None:
        """Refuses what `read` would refuse of this key; raises Refusal("key.unknown" | "key.wrong")."""
        if version.part_count:
            mode, key_id = "", b""
        else:
            mode, key_id = version.envelope_mode, version.envelope_key_id
        keyring.check_customer_key(mode, key_id, key, version.parsed.customer_key_md5 if not mode else "")
