"""Where an upload's chunks go, and what was stored of them.

Both are said in batches: places are asked for before they are needed, finished chunks are told together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from holdfast.chunks import layout
from holdfast.chunks.metadata import CHUNK_ID_BYTES
from holdfast.chunks.redundancy import Redundancy
from holdfast.protocol.control import (
    PLAN_CHUNKS_MAX,
    RECORD_CHUNKS_MAX,
    Control,
    UploadCommit,
    UploadPlan,
    UploadRecord,
)
from holdfast.protocol.nouns import ChunkDone, ChunkPlan, ChunkWish, Target
from holdfast.world.chance import Chance
from holdfast.world.errors import Failure, Refusal

BATCH_MAX = 16
BATCH_MAX_UNSIZED = 4
assert BATCH_MAX <= PLAN_CHUNKS_MAX

_ABOUT_RECEIPTS: Final = frozenset({"signature.invalid", "format.invalid", "format.newer", "node.unknown"})


class Planner:
    """Plans of one upload. The chunk ids are drawn here, because a plan is made for an id."""

    def __init__(
        self,
        control: Control,
        *,
        upload_id: str,
        session_key: bytes,
        redundancy: Redundancy,
        chunk_size: int,
        size: int | None,
        recorded: frozenset[int],
        chance: Chance,
        chunk_ids: Sequence[bytes] = (),
        plans: Sequence[ChunkPlan] = (),
    ) -> None:
        """What is known at the beginning.

        `recorded`: chunks that an earlier attempt recorded, and that most likely need no plan. `chunk_ids`
        are taken for the chunks 0, 1, ...; `plans` are of some of those.
        """
        self._control = control
        self._upload_id = upload_id
        self._session_key = session_key
        self._redundancy = redundancy
        self._chunk_size = chunk_size
        self._size = size
        self._recorded = recorded
        self._chance = chance
        self._ids: dict[int, bytes] = dict(enumerate(chunk_ids))
        self._ready: dict[int, list[Target]] = {
            plan.number: plan.targets for plan in plans if self._ids.get(plan.number) == plan.chunk_id
        }
        self._planned: set[int] = set(self._ready)
        self._asking = asyncio.Lock()
        self._batch = 1 + len(self._ready)
        self._ahead: asyncio.Task[None] | None = None

    def chunk_id(self, number: int) -> bytes:
        """The id under which chunk `number` is sealed in this attempt, never used before."""
        known = self._ids.get(number)
        if known is None:
            known = self._ids[number] = self._chance.bytes(CHUNK_ID_BYTES)
        return known

    async def targets(self, number: int) -> list[Target]:
        """Where the shards of chunk `number` go; to be asked once for each chunk."""
        if number not in self._ready:
            await self._ask(number)
        targets = self._ready.pop(number)
        following = number + len(self._ready) + 1
        if len(self._ready) <= self._batch // 2 and self._exists(following) and self._idle():
            self._ahead = asyncio.ensure_future(self._ask_ahead(following))
        return targets

    async def close(self) -> None:
        """Stops asking ahead."""
        if self._ahead is not None:
            self._ahead.cancel()
            with suppress(asyncio.CancelledError):
                await self._ahead

    def _idle(self) -> bool:
        return self._ahead is None or self._ahead.done()

    async def _ask_ahead(self, number: int) -> None:
        # A failure here is met again, and told, by the chunk that needs the plan.
        with suppress(Failure):
            await self._ask(number)

    async def _ask(self, first: int) -> None:
        async with self._asking:
            if first in self._ready:
                return
            numbers = [first]
            number = first + 1
            while len(numbers) < self._batch and self._exists(number) and number < first + BATCH_MAX:
                if number not in self._planned and number not in self._recorded:
                    numbers.append(number)
                number += 1
            wishes = [
                ChunkWish(
                    number=each, chunk_id=self.chunk_id(each), shard_length=self._shard_length_max(each)
                )
                for each in numbers
            ]
            plans = await self._control.call(
                UploadPlan(upload_id=self._upload_id, session_key=self._session_key, chunks=wishes)
            )
            for plan in plans.plans:
                self._ready[plan.number] = plan.targets
            self._planned.update(numbers)
            if first not in self._ready:
                raise Refusal("format.invalid", "The coordinator's plan leaves out a chunk.", number=first)
            self._batch = min(2 * self._batch, BATCH_MAX if self._size is not None else BATCH_MAX_UNSIZED)

    def _exists(self, number: int) -> bool:
        return self._size is None or number * self._chunk_size < self._size

    def _shard_length_max(self, number: int) -> int:
        """A chunk is planned before it is sealed: as long as it is if compression does not pay."""
        plain = self._chunk_size
        if self._size is not None:
            plain = max(1, min(plain, self._size - number * self._chunk_size))
        return layout.shard_length(layout.sealed_length(plain), self._redundancy.k)


class Recorder:
    """Tells the coordinator of finished chunks, as soon as `together` of them wait to be told.

    Those that end while a request is under way go together.
    """

    def __init__(self, control: Control, *, upload_id: str, together: int = 1) -> None:
        self._control = control
        self._upload_id = upload_id
        self._together = together
        self._waiting: list[ChunkDone] = []
        self._telling: asyncio.Task[None] | None = None

    def add(self, done: ChunkDone) -> None:
        """Takes a chunk over; raises what telling of an earlier one raised."""
        self._waiting.append(done)
        if self._telling is not None and self._telling.done():
            self._telling.result()
            self._telling = None
        if self._telling is None and len(self._waiting) >= self._together:
            self._telling = asyncio.ensure_future(self._tell_waiting())

    async def finish(self) -> list[ChunkDone]:
        """Waits for what is being told; returns what is left to be told with the commit.

        Raises what the coordinator raised.
        """
        if self._telling is not None:
            await self._telling
        rest, self._waiting = self._waiting, []
        assert len(rest) < self._together, "only what is too little to be told by itself is left"
        return rest

    async def close(self) -> None:
        """Stops; what was not told is not recorded."""
        if self._telling is not None:
            self._telling.cancel()
            with suppress(asyncio.CancelledError, Failure):
                await self._telling

    async def tell(self, chunks: list[ChunkDone]) -> None:
        """Has the chunks recorded; raises what the coordinator raised."""
        if chunks:
            await self.tell_with(UploadRecord(upload_id=self._upload_id, chunks=[]), chunks)

    async def tell_with(self, request: UploadRecord | UploadCommit, chunks: list[ChunkDone]) -> Any:
        """The reply to the request with these chunks in it, but for receipts that the coordinator refuses."""
        while True:
            try:
                return await self._control.call(msgspec.structs.replace(request, chunks=chunks))
            except Refusal as refusal:
                chunks = _without_refused(chunks, refusal)

    async def _tell_waiting(self) -> None:
        while len(self._waiting) >= self._together:
            batch, self._waiting = self._waiting[:RECORD_CHUNKS_MAX], self._waiting[RECORD_CHUNKS_MAX:]
            await self.tell(batch)


def _without_refused(batch: list[ChunkDone], refusal: Refusal) -> list[ChunkDone]:
    """The batch without the receipt that was refused; raises the refusal if it names none of the batch's.

    The coordinator's word is taken for it: receipts are checked by its clock, which is not ours. So a node
    that lies, or whose clock ran away, costs a shard and not the upload.
    """
    if refusal.code not in _ABOUT_RECEIPTS:
        raise refusal
    named = (refusal.facts.get("number"), refusal.facts.get("index"))
    kept = [
        msgspec.structs.replace(
            done, stored=[shard for shard in done.stored if (done.chunk.number, shard.index) != named]
        )
        for done in batch
    ]
    if kept == batch:
        raise refusal
    return kept
