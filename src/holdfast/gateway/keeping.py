"""How what was written becomes a version or a part: in one transaction of the files room."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection

from holdfast.files import history
from holdfast.files.attributes import Attributes
from holdfast.files.histories import Histories
from holdfast.files.multiparts import Multiparts
from holdfast.files.records import Bucket, Content, Multipart, NewPart, NewVersion, Part, Version
from holdfast.files.tending import rewriting
from holdfast.files.tending.endings import StreamUploads
from holdfast.gateway.digests import base64_of
from holdfast.gateway.wish import PutWish
from holdfast.gateway.writing import Written
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble

ETAG_BYTES = 16


class Keeper:
    """Endings of writes."""

    def __init__(
        self,
        *,
        database: Database,
        histories: Histories,
        multiparts: Multiparts,
        uploads: StreamUploads,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._database = database
        self._clock = clock
        self.histories = histories
        self.multiparts = multiparts
        self._uploads = uploads
        self._chance = chance

    async def check_conditions(self, bucket: Bucket, key: str, wish: PutWish) -> None:
        """Refuses what would be refused at the end, as far as it can be told now."""
        try:
            found = await self.histories.find(bucket, key)
        except Refusal as refusal:
            if refusal.code != "object.unknown":
                raise
            history.check(wish.conditions, None)
        else:
            history.check(wish.conditions, found)

    async def add(self, bucket: Bucket, key: str, wish: PutWish, written: Written) -> Version:
        """A version on top of its key; raises what `Histories.add` raises."""
        new = NewVersion(
            content=written.content,
            attributes=with_checksum(wish, written.digests),
            etag=written.digests["MD5"].hex() if wish.etag == "md5" else "",
            event=wish.event,
            who=wish.who,
            keep=written.keep,
        )
        if written.commit is None:
            return await self.histories.add(bucket, key, new, wish.conditions)
        return await self._uploads.commit_version(bucket.tenant, written.commit, new, wish.conditions)

    async def add_part(self, multipart: Multipart, number: int, wish: PutWish, written: Written) -> Part:
        """A part of a multipart upload; raises what `Multiparts.put_part` raises."""
        opaque = self._chance.bytes(ETAG_BYTES)
        new = NewPart(
            number=number,
            etag=(written.digests["MD5"] if wish.etag == "md5" else opaque).hex(),
            content=written.content,
            checksum_value=base64_of(written.digests[wish.checksum or "CRC64NVME"]),
            keep=written.keep,
        )
        if written.commit is None:
            return await self.multiparts.put_part(multipart, number, new)
        return await self._uploads.commit_part(multipart.tenant, written.commit, multipart, new)

    async def exchange(self, version: Version, written: Written) -> Version:
        """The version with these bytes in the place of its own; raises what `rewriting.exchange` raises."""
        if version.checksum and written.content.checksum != version.checksum:
            raise Trouble("metadata.forged", "The bytes read are not those of the version.", retry=False)
        if written.commit is None:
            now = self._clock.now()
            return await self._database.transact(
                rewriting.exchange, version, written.content, written.keep, now
            )

        def become(connection: Connection, content: Content, now: int) -> Version:
            return rewriting.exchange(connection, version, content, None, now)

        return await self._uploads.commit_as(version.tenant, written.commit, become)


def with_checksum(wish: PutWish, found: Mapping[str, bytes]) -> Attributes:
    """The attributes with the checksum that is kept; a copy may bring one along."""
    if not wish.checksum and wish.attributes.checksum_value:
        return wish.attributes
    algorithm = wish.checksum or "CRC64NVME"
    return msgspec.structs.replace(
        wish.attributes,
        checksum_algorithm=algorithm,
        checksum_value=base64_of(found[algorithm]),
        checksum_type="FULL_OBJECT",
    )
