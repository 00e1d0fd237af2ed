"""A database in memory with the moods of a server: slow, gone, busy, or silent about a commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from holdfast.world.errors import Trouble
from holdfast.world.migrations.upgrade import empty_image
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.sqlite import MemoryDatabase

T = TypeVar("T")
P = ParamSpec("P")


class _RehearsedError(Exception):
    """Undoes a rehearsal."""


class SimulatedDatabase:
    """Runs transactions one by one, each at some moment within `seconds_max` of being asked for.

    Some are run twice, the first time undone: a function that has effects outside the database, or that may
    not be run again, is found out. Its content outlives every simulated crash, as a durable server's does.
    Callers must take it for a server on which transactions run beside one another.
    """

    one_at_a_time = False

    def __init__(self, chance: SimulatedChance, *, seconds_max: float = 0.003) -> None:
        self._chance = chance
        self._seconds_max = seconds_max
        self._inner = MemoryDatabase(empty_image())
        self.rehearsals = 0.1
        """The share of transactions that are run twice."""
        self.gone = False
        """Whether the server cannot be reached."""
        self.busy = 0.0
        """The share of calls that are turned away."""
        self.silences = 0.0
        """The share of transactions whose commit succeeds while the caller is told that it may not have."""

    async def transact(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._travel()
        if self._chance.happens(self.rehearsals):
            await self._rehearse(work, *args, **kwargs)
        result = await self._inner.transact(work, *args, **kwargs)
        await self._answer(outcome="unknown")
        if self._chance.happens(self.silences):
            raise Trouble("database.unreachable", "The database hung up: simulated.", outcome="unknown")
        return result

    transact_briefly = transact

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        await self._travel()
        result = await self._inner.read(work, *args, **kwargs)
        await self._answer(outcome="none")
        return result

    peek = read

    async def close(self) -> None:
        await self._inner.close()

    async def _travel(self) -> None:
        await asyncio.sleep(self._chance.unit() * self._seconds_max)
        if self.gone:
            raise Trouble("database.unreachable", "The database cannot be reached: simulated.")
        if self._chance.happens(self.busy):
            raise Trouble("database.busy", "The database is overloaded: simulated.")

    async def _answer(self, *, outcome: str) -> None:
        await asyncio.sleep(self._chance.unit() * self._seconds_max)
        if self.gone:
            raise Trouble("database.unreachable", "The database hung up: simulated.", outcome=outcome)

    async def _rehearse(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        def rehearsal(connection: Connection) -> None:
            work(connection, *args, **kwargs)
            raise _RehearsedError

        # What it raises now, it may raise again when it counts.
        with suppress(Exception):
            await self._inner.transact(rehearsal)
