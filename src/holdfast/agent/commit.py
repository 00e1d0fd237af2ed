"""Group commit: records that wait together share one append and one sync."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.agent.append import Change, Draft
from holdfast.world.errors import Trouble
from holdfast.world.offload import Offload


@dataclass(slots=True, eq=False)
class _Entry:
    """A draft, who waits for it, and how it went: `error` is set only if our own code failed."""

    draft: Draft
    waiter: asyncio.Future[None]
    over: bool = False
    error: BaseException | None = None


class GroupCommit:
    """Takes drafts from many callers, writes them in groups, wakes each caller when its own is durable.

    `write` runs off the event loop, one group at a time; `settle` runs in the loop right after it, before any
    caller is woken, so that whoever looks sees either nothing or everything of a group.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Draft]], Change],
        settle: Callable[[Sequence[Draft], Change], None],
        offload: Offload,
        *,
        records_max: int,
        bytes_max: int,
    ) -> None:
        self._write = write
        self._settle = settle
        self._offload = offload
        self._records_max = records_max
        self.bytes_max = bytes_max
        """Bytes that share one sync, unless one record alone has more; may be set at any time."""
        self._waiting: deque[_Entry] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._closed = False
        self.pending_bytes = 0
        """Length of all records submitted and not yet written, or refused."""

    async def submit(self, draft: Draft) -> None:
        """Returns when the draft is durable; raises its failure.

        A caller that is cancelled before its group began leaves nothing behind. Once its buffers are being
        written it stays until that is over, because it may want to use them again.
        """
        if self._closed:
            raise Trouble("disk.failed", "The vault was closed by this program.", retry=False)
        loop = asyncio.get_running_loop()
        entry = _Entry(draft, loop.create_future())
        self._waiting.append(entry)
        self.pending_bytes += draft.record_bytes
        if self._drain is None:
            self._drain = loop.create_task(self._run())
        try:
            await entry.waiter
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            else:
                await _over(entry)
            raise
        finally:
            self.pending_bytes -= draft.record_bytes
        if entry.error is not None:
            raise entry.error
        if draft.failure is not None:
            raise draft.failure

    async def close(self) -> None:
        """Writes what was submitted, then takes no more."""
        self._closed = True
        if self._drain is not None:
            await self._drain

    async def _run(self) -> None:
        try:
            while self._waiting:
                # Those woken by the last group may have more to add: let them run before the next is taken.
                await asyncio.sleep(0)
                group = self._take()
                if group:
                    await self._carry_out(group)
        finally:
            self._drain = None

    async def _carry_out(self, group: list[_Entry]) -> None:
        drafts = [entry.draft for entry in group]
        error: BaseException | None = None
        try:
            self._settle(drafts, await self._offload.run(self._write, drafts))
        except BaseException as broken:
            error = broken
            if not isinstance(broken, Exception):
                raise
        finally:
            for entry in group:
                entry.error = error
                entry.over = True
                if not entry.waiter.done():
                    entry.waiter.set_result(None)

    def _take(self) -> list[_Entry]:
        group: list[_Entry] = []
        room = self.bytes_max
        while self._waiting and len(group) < self._records_max:
            room -= self._waiting[0].draft.record_bytes
            if group and room < 0:
                break
            group.append(self._waiting.popleft())
        return group


async def _over(entry: _Entry) -> None:
    """Waits until the entry's group is over, through further cancellations."""
    while not entry.over:
        entry.waiter = asyncio.get_running_loop().create_future()
        try:
            await entry.waiter
        except asyncio.CancelledError:
            continue
