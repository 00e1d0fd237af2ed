"""Sends the n shards of one sealed chunk to n distinct nodes, and brings back their receipts.

The law: a shard that fails or lags is given to another node, as long as the coordinator has one; a laggard is
waited for no longer than the tail rule allows; fewer than `ack_at` receipts in the end are a Trouble, and
nothing of the chunk is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.client.attempts import Attempts, Ending
from holdfast.client.patience import SLACK_SECONDS, Tail
from holdfast.client.peers import Peers
from holdfast.protocol.messages import PutShard, Stored
from holdfast.protocol.nouns import StoredShard, Target
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Refusal, Trouble

TRIES_MAX = 5
"""Nodes that are tried for one shard before it is left to repair."""
ROUND_PAUSES = (1.0, 3.0)
"""Seconds before the shards that are still missing for an acknowledgement are tried all over again."""

Replace = Callable[[list[int], list[bytes]], Awaitable[list[Target]]]
"""Asks the coordinator for other places: (shard indexes, node ids not to give again) -> targets."""


class Cargo(NamedTuple):
    """What is to be stored: the chunk's number, its shards in order, the n shard roots."""

    number: int
    shards: list[memoryview]
    roots: bytes


class _Try(NamedTuple):
    """One shard at one node; the serial number keeps two tries at the same node apart."""

    shard: int
    node_id: bytes
    serial: int


@dataclass(slots=True)
class _Shard:
    """How one shard fares."""

    tries: int = 0
    stored: StoredShard | None = None
    wanting: bool = False


@dataclass(slots=True)
class Scatter:
    """One chunk under way. Use once: `await Scatter(...).run(targets)`."""

    cargo: Cargo
    peers: Peers
    clock: Clock
    tail: Tail
    ack_at: int
    replace: Replace
    _shards: list[_Shard] = field(init=False)
    _used: list[bytes] = field(default_factory=list, init=False)
    _seconds: list[float] = field(default_factory=list, init=False)
    _begun: dict[_Try, float] = field(default_factory=dict, init=False)
    _failures: list[Exception] = field(default_factory=list, init=False)
    _spare: dict[int, Target] = field(default_factory=dict, init=False)
    _serial: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._shards = [_Shard() for _ in self.cargo.shards]

    async def run(self, targets: list[Target]) -> list[StoredShard]:
        """The receipts, in shard order: all n where the fleet is well, at least `ack_at` in any case.

        Raises Trouble("node.unreachable") for fewer.
        """
        async with Attempts[_Try, StoredShard]() as attempts:
            self._send_all(attempts, targets)
            for seconds in (*ROUND_PAUSES, None):
                for shard in self._shards:
                    # A plan may be short where the fleet is; what it lacks is asked for once more.
                    shard.wanting |= shard.tries == 0 and shard.stored is None
                await self._settle(attempts)
                stored = [shard.stored for shard in self._shards if shard.stored is not None]
                if len(stored) >= self.ack_at:
                    return stored
                if seconds is not None:
                    await asyncio.sleep(seconds)
                    self._start_over()
        raise self._too_few(len(stored))

    async def _settle(self, attempts: Attempts[_Try, StoredShard]) -> None:
        """Until every shard is stored, or nobody is left to send one to."""
        while any(shard.stored is None for shard in self._shards):
            await self._replace_wanting(attempts)
            if not attempts.busy:
                return
            ending = await attempts.next(self._patience(attempts))
            if ending is not None:
                self._take(ending)
            else:
                self._cut_off_laggards(attempts)

    def _start_over(self) -> None:
        """Another round for the shards that found no place: nodes that failed may be asked again."""
        self._used = [shard.stored.node_id for shard in self._shards if shard.stored is not None]
        self._spare.clear()
        for shard in self._shards:
            shard.tries = 0

    def _send_all(self, attempts: Attempts[_Try, StoredShard], targets: list[Target]) -> None:
        for target in targets:
            shard = self._shards[target.index]
            if self.peers.resting(target.node.node_id) and shard.tries == 0:
                # It failed a moment ago for another chunk: ask for another place without waiting for it.
                self._used.append(target.node.node_id)
                self._spare[target.index] = target
                shard.wanting = True
                continue
            self._begin(attempts, target)

    def _begin(self, attempts: Attempts[_Try, StoredShard], target: Target) -> None:
        shard = self._shards[target.index]
        shard.tries += 1
        shard.wanting = False
        self._used.append(target.node.node_id)
        self._serial += 1
        tag = _Try(target.index, target.node.node_id, self._serial)
        self._begun[tag] = self.clock.monotonic()
        attempts.start(tag, self._send(target))

    async def _send(self, target: Target) -> StoredShard:
        content = self.cargo.shards[target.index]
        request = PutShard(grant=target.grant, length=len(content), roots=self.cargo.roots)
        reply, _ = await self.peers.call(target.node, request, body=(content,))
        if not isinstance(reply, Stored):
            raise Trouble("node.corrupt", f"The node answered a put with {type(reply).__name__}.")
        return StoredShard(index=target.index, node_id=target.node.node_id, receipt=reply.receipt)

    async def _replace_wanting(self, attempts: Attempts[_Try, StoredShard]) -> None:
        wanting = [index for index, shard in enumerate(self._shards) if shard.wanting]
        if not wanting:
            return
        for index in wanting:
            self._shards[index].wanting = False
        try:
            for target in await self.replace(wanting, list(dict.fromkeys(self._used))):
                self._begin(attempts, target)
        except Refusal as refusal:
            if refusal.code != "fleet.too_small":
                raise
            self._failures.append(refusal)
        for index in wanting:
            # Nobody else has room: the node that failed a moment ago is better than none.
            if self._shards[index].tries == 0 and index in self._spare:
                self._begin(attempts, self._spare.pop(index))

    def _take(self, ending: Ending[_Try, StoredShard]) -> None:
        shard = self._shards[ending.tag.shard]
        if ending.failure is None:
            if shard.stored is None:
                shard.stored = ending.result()
                self._seconds.append(self.clock.monotonic() - self._begun[ending.tag])
            return
        if isinstance(ending.failure, Failure):
            self._failures.append(ending.failure)
            if ending.failure.code == "grant.expired":
                self._used = [node_id for node_id in self._used if node_id != ending.tag.node_id]
        elif not isinstance(ending.failure, asyncio.CancelledError):
            raise ending.failure
        shard.wanting = shard.stored is None and shard.tries < TRIES_MAX

    def _patience(self, attempts: Attempts[_Try, StoredShard]) -> float:
        """Seconds until the oldest attempt counts as a laggard."""
        allowance = self.tail.allowance(self._seconds, self.ack_at)
        now = self.clock.monotonic()
        return max(0.0, min((self._begun[tag] + allowance - now for tag in attempts.running), default=0.0))

    def _cut_off_laggards(self, attempts: Attempts[_Try, StoredShard]) -> None:
        allowance = self.tail.allowance(self._seconds, self.ack_at)
        now = self.clock.monotonic()
        for tag in attempts.running:
            spent = now - self._begun[tag]
            if spent + SLACK_SECONDS >= allowance:
                self.peers.lagged(tag.node_id, spent, len(self.cargo.shards[tag.shard]))
                self._failures.append(
                    Trouble("node.unreachable", f"Node {tag.node_id.hex()[:16]} took too long.")
                )
                attempts.stop(tag)

    def _too_few(self, stored: int) -> Trouble:
        why = "; ".join(dict.fromkeys(str(failure) for failure in self._failures[-3:]))
        return Trouble(
            "node.unreachable",
            f"Only {stored} of the {self.ack_at} shards that acknowledge chunk {self.cargo.number} could be "
            f"stored. {why}",
            advice="Wait for nodes to come back, add nodes, or choose a storage class that needs fewer.",
            stored=stored,
            needed=self.ack_at,
            number=self.cargo.number,
        )
