"""Statements compiled once and run on the driver's own connection.

SQLAlchemy's execution of a compiled statement costs several times the statement itself, which shows where a
request is one small transaction. A `Prepared` keeps Core as the language in which SQL is written, and gives
plain rows: tuples, in which SQLite's booleans are 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.sql.expression import ClauseElement

_DIALECTS: dict[str, Any] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": psycopg.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}


class Rows(Protocol):
    """A driver's cursor with what a statement found."""

    rowcount: int

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...


class Prepared:
    """A statement, or one for each dialect where they differ; called with the values of its parameters.

    Only for plain types (numbers, texts, bytes, booleans): nothing is converted on the way in or out.
    `columns`: those that an insert is given, where the database fills the others.
    """

    def __init__(
        self,
        statement: ClauseElement | Mapping[str, ClauseElement],
        *,
        columns: Sequence[str] | None = None,
    ) -> None:
        self._statement = statement
        self._columns = columns
        self._ready: dict[str, tuple[str, list[str], dict[str, Any]]] = {}

    def __call__(self, connection: Connection, /, **values: Any) -> Rows:
        """Runs it; the rows are the driver's."""
        ready = self._ready.get(connection.dialect.name)
        if ready is None:
            ready = self._compile(connection.dialect.name)
        sql, names, constants = ready
        if constants:
            values = constants | values
        raw: Any = connection.connection.driver_connection
        rows: Rows = raw.execute(sql, [values[name] for name in names])
        return rows

    def sql(self, dialect: str) -> str:
        """The text that is run on this kind of database."""
        return (self._ready.get(dialect) or self._compile(dialect))[0]

    def _compile(self, dialect: str) -> tuple[str, list[str], dict[str, Any]]:
        statement = (
            self._statement if isinstance(self._statement, ClauseElement) else self._statement[dialect]
        )
        compiled: Any = statement.compile(dialect=_DIALECTS[dialect], column_keys=self._columns)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._ready[dialect] = compiled.string, list(compiled.positiontup or ()), constants
        return self._ready[dialect]
