"""A connection kept for life, whose transactions are begun and ended beneath SQLAlchemy.

SQLAlchemy's own transaction is begun once and never ended: real ones belong to whoever holds the connection,
and on SQLite one of them carries many callers' work.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, event


class HeldConnection:
    """The SQLAlchemy side of a held connection; a function that ends its transaction is found out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._letting_go = False
        self.connection: Connection = self._begun()

    def _begun(self) -> Connection:
        connection = self._engine.connect()
        self._transaction = connection.begin()
        for name in ("commit", "rollback"):
            event.listen(connection, name, self._forbid)
        return connection

    def _forbid(self, _connection: Connection) -> None:
        assert self._letting_go, "a transaction function must not commit or roll back: it raises instead"

    @property
    def sound(self) -> bool:
        """Whether SQLAlchemy would run another statement: not if somebody tried to end its transaction."""
        return self._transaction.is_active and not self.connection.invalidated

    def renew(self) -> None:
        """Puts a fresh one in the place of an unsound one, on the same driver's connection (SQLite only).

        The old one is not closed: that would roll back what the driver's connection is in the middle of.
        """
        self.connection = self._begun()

    def let_go(self) -> None:
        """Closes it, driver's connection included, unless the pool keeps that."""
        self._letting_go = True
        self.connection.close()

    def forget(self) -> None:
        """Lets go of a driver's connection that is broken: nothing is said to it any more."""
        self._letting_go = True
        self.connection.invalidate()
        self.connection.close()
