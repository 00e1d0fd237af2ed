"""The node's life with the coordinator: it registers once, then sends a signed heartbeat for ever.

Each heartbeat tells how the node fares and carries out what the answer asks: new issuer keys, deletions.
A sequence number is remembered durably before anything is signed with it, and a deletion is durable in the
vault before it is confirmed, so a crash at any point repeats work but never claims too much. While the
coordinator is away the node goes on serving grants that are still valid.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Protocol, TypeVar

import msgspec
import structlog

from holdfast.agent.home import Home, Memory, Settings, Status, next_sequence
from holdfast.agent.registration import first_welcome, registration
from holdfast.protocol.fleet import (
    HEARTBEAT_SECONDS,
    Coordinator,
    Deletion,
    NodeFacts,
    Welcome,
)
from holdfast.protocol.heartbeats import HEARTBEAT_DOMAIN, open_welcome, seal_signed
from holdfast.protocol.messages import SHARD_ID_BYTES
from holdfast.protocol.signing import SigningKey, key_id
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.offload import Offload

LOST_MAX = 1000
HEARTBEAT_SECONDS_MAX = 3600
RETRY_SECONDS = 1.0
"""The first wait after a failure; it doubles up to the time between heartbeats."""
SOON_SECONDS = 0.5
"""The wait when the last answer left something to confirm."""
GOODBYE_SECONDS = 3.0
DELETIONS_AT_ONCE = 256
CLOCK_SECONDS_NOTICED = 30

log = structlog.get_logger()

W = TypeVar("W", Memory, Status)


class Stock(Protocol):
    """What the heart tells of the shards here, and does to them: the vault."""

    @property
    def used(self) -> int:
        """Bytes that the shards take."""
        ...

    @property
    def free(self) -> int:
        """Bytes it can still take."""
        ...

    @property
    def shard_count(self) -> int:
        """Shards it holds."""
        ...

    @property
    def lost(self) -> list[bytes]:
        """Shard ids that it found missing or damaged itself."""
        ...

    async def delete(self, shard_id: bytes) -> None:
        """Durable on return; a missing shard is fine."""
        ...


class Heart:
    """Beats until cancelled.

    Args:
        home: where settings are read and memory is kept.
        key: the node's.
        stock: the vault.
        coordinator: who is told.
        clock: the node's.
        chance: for the jitter of waits.
        offload: for writing to the home.
        addresses: the node's addresses under given settings; asked again for every heartbeat.
        learn: is given the issuers' public keys whenever they may have changed.
        obey: is given the settings whenever they may have changed.
        status: what it reports to begin with.
    """

    def __init__(
        self,
        *,
        home: Home,
        key: SigningKey,
        stock: Stock,
        coordinator: Coordinator,
        clock: Clock,
        chance: Chance,
        offload: Offload,
        addresses: Callable[[Settings], Awaitable[list[str]]],
        learn: Callable[[list[bytes]], None],
        obey: Callable[[Settings], None],
        status: Status,
    ) -> None:
        self._home = home
        self._key = key
        self._stock = stock
        self._coordinator = coordinator
        self._clock = clock
        self._chance = chance
        self._offload = offload
        self._addresses = addresses
        self._learn = learn
        self._obey = obey
        self._settings = home.settings()
        self._memory = home.memory()
        self._reported: set[bytes] = set()
        self._wake = asyncio.Event()
        self._hurried = False
        self._every = float(HEARTBEAT_SECONDS)
        self._failures = 0
        self._last = status
        learn(self._memory.issuers)

    def beat_soon(self) -> None:
        """Wakes the heart: settings changed, or there is news to tell."""
        self._wake.set()

    async def run(self) -> None:
        """Registers if need be, then beats for ever.

        Raises Refusal only if registration is refused: without it this node is nobody. Everything else is
        logged, left in the status and tried again.
        """
        await self.report()
        while True:
            try:
                await self.beat()
            except Trouble as trouble:
                await self._note_failure(trouble)
            except Refusal as refusal:
                if not self._memory.registered:
                    raise
                await self._note_failure(refusal)
            await self.report()
            await self._wait()

    async def beat(self, *, stopping: bool = False) -> None:
        """One registration or heartbeat, and what its answer asks for; raises Refusal or Trouble."""
        await self._read_settings()
        self._last = msgspec.structs.replace(self._last, addresses=await self._addresses(self._settings))
        await self._remember(sequence=next_sequence(self._memory, self._clock.now()))
        facts = self._facts(stopping=stopping)
        before = self._clock.now()
        if self._memory.registered:
            answer = await self._coordinator.heartbeat(seal_signed(self._key, HEARTBEAT_DOMAIN, facts))
            welcome = open_welcome(
                answer, believed=self._memory.issuers.__contains__, node_id=facts.node_id,
                sequence=facts.sequence,
            )  # fmt: skip
        else:
            settings = self._settings
            answer = await self._coordinator.register(registration(self._key, settings.token, facts))
            welcome = first_welcome(answer, settings=settings, facts=facts)
        offset = welcome.time - (before + self._clock.now()) // 2
        # What was put again since may be lost again, and is news then.
        self._reported = (self._reported | set(facts.lost)) & set(self._stock.lost)
        await self._heed(welcome, offset)

    async def goodbye(self) -> None:
        """Tells the coordinator to place nothing here for now; a coordinator that is away is fine."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self.beat(stopping=True)
        except (Failure, TimeoutError) as failure:
            log.info("goodbye not heard", failure=failure)

    async def report(self, state: str = "running") -> None:
        """Writes the status down for onlookers; a disk that refuses is logged, nothing more."""
        try:
            await self._write(self._home.report, self.status(state))
        except Trouble as trouble:
            log.warning("status not written", failure=trouble)

    def status(self, state: str = "running") -> Status:
        """How the node fares now."""
        return msgspec.structs.replace(
            self._last,
            state=state,
            time=self._clock.now(),
            allocated=self._settings.allocated,
            used=self._stock.used,
            free=self._stock.free,
            shard_count=self._stock.shard_count,
            lost_count=len(self._stock.lost),
        )

    async def _read_settings(self) -> None:
        try:
            self._settings = await self._offload.run(self._home.settings)
        except Refusal as refusal:
            # An owner's slip of the pen must not take a running node away from the fleet.
            log.warning("settings not read", failure=refusal)
        self._obey(self._settings)

    async def _heed(self, welcome: Welcome, offset: int) -> None:
        keys_changed = welcome.issuer_keys != self._memory.issuers
        if keys_changed or not self._memory.registered:
            log.info("issuers learned", issuers=[key_id(public).hex() for public in welcome.issuer_keys])
            await self._remember(registered=True, issuers=welcome.issuer_keys)
            self._learn(welcome.issuer_keys)
        self._failures = 0
        self._every = float(min(max(welcome.heartbeat_seconds, 1), HEARTBEAT_SECONDS_MAX))
        notices = list(welcome.notices)
        if abs(offset) > CLOCK_SECONDS_NOTICED * MICROSECONDS:
            notices.append(f"This machine's clock is {offset / MICROSECONDS:+.0f} s off the coordinator's.")
        if notices != self._last.notices:
            for notice in notices:
                log.warning("notice", notice=notice)
        self._last = msgspec.structs.replace(
            self._last, welcomed=self._clock.now(), clock_offset=offset, notices=notices, failure="",
            heartbeat_failures=0,
        )  # fmt: skip
        deleted = await self._carry_out(welcome.deletions)
        self._hurried = deleted or len(self._unreported()) > 0

    async def _carry_out(self, deletions: list[Deletion]) -> bool:
        """Deletes in the journal's order; whether anything was there to do."""
        ahead = sorted(
            (deletion for deletion in deletions if deletion.sequence > self._memory.deletions_done),
            key=lambda deletion: deletion.sequence,
        )
        for deletion in ahead:
            doomed = [shard_id for shard_id in deletion.shard_ids if len(shard_id) == SHARD_ID_BYTES]
            for at in range(0, len(doomed), DELETIONS_AT_ONCE):
                await asyncio.gather(
                    *(self._stock.delete(shard_id) for shard_id in doomed[at : at + DELETIONS_AT_ONCE])
                )
        if ahead:
            await self._remember(deletions_done=ahead[-1].sequence)
            log.info(
                "deletions done",
                sequence=ahead[-1].sequence,
                shards=sum(len(deletion.shard_ids) for deletion in ahead),
            )
        return bool(ahead)

    async def _note_failure(self, failure: Failure) -> None:
        self._failures += 1
        log.warning("heartbeat failed", failure=failure, failures=self._failures)
        self._last = msgspec.structs.replace(
            self._last, heartbeat_failures=self._failures, failure=str(failure)
        )

    async def _wait(self) -> None:
        if self._failures:
            # Full doubling with jitter, so that a fleet does not come back to a fallen coordinator at once.
            longest = min(RETRY_SECONDS * 2 ** min(self._failures - 1, 16), self._every)
            seconds = longest * (0.5 + self._chance.unit() / 2)
        elif self._hurried:
            seconds = min(SOON_SECONDS, self._every)
        else:
            seconds = self._every * (0.9 + self._chance.unit() / 10)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _remember(self, **changes: object) -> None:
        memory: Memory = msgspec.structs.replace(self._memory, **changes)
        await self._write(self._home.remember, memory)
        self._memory = memory

    async def _write(self, work: Callable[[W], None], what: W) -> None:
        """Writes to the home; waits for the end even when cancelled, because the next write follows soon."""
        writing = asyncio.ensure_future(self._offload.run(work, what))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    def _unreported(self) -> list[bytes]:
        return sorted(set(self._stock.lost) - self._reported)[:LOST_MAX]

    def _facts(self, *, stopping: bool) -> NodeFacts:
        return NodeFacts(
            node_id=self._key.public,
            time=self._clock.now(),
            sequence=self._memory.sequence,
            version=version("holdfast"),
            addresses=self._last.addresses,
            allocated=self._settings.allocated,
            used=self._stock.used,
            free=0 if stopping else self._stock.free,
            shard_count=self._stock.shard_count,
            zone=self._settings.zone,
            node_name=self._settings.node_name,
            deletions_done=self._memory.deletions_done,
            lost=self._unreported(),
            stopping=stopping,
        )
