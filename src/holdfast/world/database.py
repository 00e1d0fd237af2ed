"""Transactions on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
P = ParamSpec("P")


class Database(Protocol):
    """Runs plain functions of a connection.

    A function given to `transact` or `read` must not await, must have no effect outside the database, and
    may be run more than once (a lost race is tried again). Raising rolls back and passes the error on.
    """

    @property
    def one_at_a_time(self) -> bool:
        """Whether transactions run one after the other: then what one reads nobody changes before it ends.

        Where they run beside one another, a transaction that reads what others write nearby may lose a race
        with them and be run again.
        """
        ...

    async def transact(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `work(connection, ...)` in one serialisable transaction; durable when this returns."""
        ...

    async def transact_briefly(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`transact` for a few rows by their indexes, of which many may come at a time.

        A database in a file may then have the event loop itself do the work, which everybody else waits for.
        """
        ...

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs `work(connection, ...)` on one consistent snapshot; writing is an error."""
        ...

    async def peek(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`read` for a row or a few by their index: done where it is asked for, if waiting costs more.

        A database in a file is then read by the event loop itself, which everybody else waits for.
        """
        ...

    async def close(self) -> None:
        """Finishes what is under way and gives the connections back."""
        ...
