"""Fetches shards of one chunk until there are enough good ones to open it.

The law: the fastest sources are asked first, data shards before parity among equals; when answers lag, one
more source is asked beside the slow one, and whichever comes first counts. A source that failed, or whose
bytes turned out wrong, is replaced by another until none is left: Trouble("chunk.lost"). Shards that are
known to be zeros are never fetched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from holdfast.chunks import layout
from holdfast.chunks.redundancy import Redundancy
from holdfast.client.attempts import Attempts, Ending
from holdfast.client.patience import SLACK_SECONDS, Hedge
from holdfast.client.peers import Peers
from holdfast.protocol.messages import Fetched, GetShard
from holdfast.protocol.nouns import ChunkRecord, ChunkSources, Source
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Trouble

FAULTS = {"shard.unknown": "missing", "node.corrupt": "corrupt"}
"""What a node's failure says about its shard; others say nothing about it."""


class Got(NamedTuple):
    """A shard, or a slice of one, as it came: nothing in it is believed yet."""

    source: Source
    data: memoryview
    leaves: bytes
    roots: bytes


Report = Callable[[Source, str], None]
"""Takes note of a wrong or missing shard: (source, "corrupt" | "missing")."""


async def fetch(peers: Peers, source: Source, offset: int, into: memoryview) -> Got:
    """Asks one source for as many bytes of its shard as `into` has room for; raises what the node raised."""
    request = GetShard(grant=source.grant, offset=offset, length=len(into))
    reply, data = await peers.call(source.node, request, into=into)
    if not isinstance(reply, Fetched) or len(data) != len(into):
        raise Trouble("node.corrupt", "The node answered a get with something else than was asked for.")
    return Got(source, data, reply.leaves, reply.roots)


class Gather:
    """One chunk under way: `async with`, then `enough` and `reject` in turn until nothing is rejected.

    `offset` and `length` choose the same slice of every shard. `slot` has room for n of them.
    """

    def __init__(
        self,
        sources: ChunkSources,
        redundancy: Redundancy,
        slot: memoryview,
        *,
        peers: Peers,
        clock: Clock,
        hedge: Hedge,
        report: Report,
        offset: int = 0,
        length: int | None = None,
    ) -> None:
        self._offset = offset
        self._length = sources.chunk.shard_length if length is None else length
        self._record: ChunkRecord = sources.chunk
        self._slot = slot
        self._peers = peers
        self._clock = clock
        self._hedge = hedge
        self._report = report
        data_shards = layout.data_shard_count(self._record.sealed_length, self._record.shard_length)
        self.needed = data_shards
        held = [
            source
            for source in sources.sources
            if source.index < data_shards or redundancy.k <= source.index < redundancy.n
        ]
        self._candidates = peers.fastest_first(held)
        self._good: dict[int, Got] = {}
        self._attempts: Attempts[int, Got] = Attempts()
        self._asked: dict[int, Source] = {}
        self._begun: dict[int, float] = {}
        self._seconds: list[float] = []
        self._failures: list[str] = []
        self._serial = 0
        self._hedges = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._note_laggards()
        await self._attempts.close()

    async def enough(self) -> dict[int, Got]:
        """As many shards as are needed, by index; raises Trouble("chunk.lost") naming what was tried."""
        while len(self._good) < self.needed:
            self._ask_more()
            if not self._attempts.busy:
                raise self._lost()
            ending = await self._attempts.next(self._patience())
            if ending is not None:
                self._take(ending)
            elif self._candidates:
                self._hedges += 1
            else:
                self._give_up_laggards()
        return self._good

    def reject(self, index: int, why: str) -> None:
        """The shard that came under this index is wrong: its node is reported, and another one is asked."""
        got = self._good.pop(index)
        self._failures.append(f"shard {index} from node {got.source.node.node_id.hex()[:16]}: {why}")
        self._report(got.source, "corrupt")

    def _ask_more(self) -> None:
        """Keeps as many requests under way as shards are missing, and the hedges beside them."""
        while len(self._good) + len(self._attempts.running) < self.needed + self._hedges:
            under_way = {self._asked[serial].index for serial in self._attempts.running}
            position = next(
                (
                    position
                    for position, source in enumerate(self._candidates)
                    if source.index not in self._good and source.index not in under_way
                ),
                None,
            )
            if position is None:
                return
            source = self._candidates.pop(position)
            self._serial += 1
            self._asked[self._serial] = source
            self._begun[self._serial] = self._clock.monotonic()
            self._attempts.start(self._serial, self._fetch(source))

    async def _fetch(self, source: Source) -> Got:
        into = self._slot[source.index * self._length : (source.index + 1) * self._length]
        return await fetch(self._peers, source, self._offset, into)

    def _take(self, ending: Ending[int, Got]) -> None:
        source = self._asked[ending.tag]
        if ending.failure is None:
            self._good.setdefault(source.index, ending.result())
            self._seconds.append(self._clock.monotonic() - self._begun[ending.tag])
            return
        if isinstance(ending.failure, Failure):
            node = source.node.node_id.hex()[:16]
            self._failures.append(f"shard {source.index} from node {node}: {ending.failure.message}")
            if fault := FAULTS.get(ending.failure.code):
                self._report(source, fault)
        elif not isinstance(ending.failure, asyncio.CancelledError):
            raise ending.failure

    def _patience(self) -> float:
        """Seconds until the next hedge, or, when nobody is left to ask, until the slowest is given up."""
        now = self._clock.monotonic()
        running = self._attempts.running
        if not self._candidates:
            oldest = min((self._begun[serial] for serial in running), default=now)
            return max(0.0, oldest + self._hedge.give_up - now)
        newest = max((self._begun[serial] for serial in running), default=now)
        return max(0.0, newest + self._allowance() - now)

    def _allowance(self) -> float:
        expected = max(
            (
                self._peers.expected(self._asked[serial].node.node_id, self._length)
                for serial in self._attempts.running
            ),
            default=0.0,
        )
        return self._hedge.allowance(self._seconds, expected, self.needed)

    def _give_up_laggards(self) -> None:
        now = self._clock.monotonic()
        for serial in self._attempts.running:
            if now - self._begun[serial] + SLACK_SECONDS >= self._hedge.give_up:
                node_id = self._asked[serial].node.node_id
                self._peers.lagged(node_id, now - self._begun[serial], self._length)
                self._failures.append(f"node {node_id.hex()[:16]} took too long")
                self._attempts.stop(serial)

    def _note_laggards(self) -> None:
        """What still runs when there is enough was overtaken by a hedge: remembered as slow."""
        now = self._clock.monotonic()
        for serial in self._attempts.running:
            node_id = self._asked[serial].node.node_id
            self._peers.lagged(node_id, now - self._begun[serial], self._length)

    def _lost(self) -> Trouble:
        tried = "; ".join(self._failures[-6:]) or "no shard is known to be stored"
        return Trouble(
            "chunk.lost",
            f"Only {len(self._good)} of the {self.needed} shards needed for chunk {self._record.number} "
            f"can be read: {tried}.",
            advice="Bring nodes back and try again; `holdfast stat` shows where the shards are.",
            number=self._record.number,
            have=len(self._good),
            need=self.needed,
        )
