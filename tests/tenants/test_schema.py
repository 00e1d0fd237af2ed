from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Table

from holdfast.tenants import store
from holdfast.world.database import Database


async def test_the_migrations_make_the_tables_that_the_store_expects(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        def ours(thing: object, _name: str, kind: str, _reflected: bool, _other: object) -> bool:
            table = thing if isinstance(thing, Table) else getattr(thing, "table", None)
            return kind == "column" or (table is not None and table.name in store.metadata.tables)

        context = MigrationContext.configure(
            connection, opts={"include_object": ours, "compare_type": True, "target_metadata": store.metadata}
        )
        return compare_metadata(context, store.metadata)

    assert await database.read(differences) == []
