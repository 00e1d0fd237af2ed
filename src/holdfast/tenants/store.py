"""The tables of this room, and all of its SQL.

Every function takes a connection inside a transaction of `world.database`. Secrets arrive here wrapped; the
id of the master key that wrapped them stands beside them, so that rewrapping knows what is left to do.
Times are microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

metadata = MetaData()

# Ids and names are compared byte by byte on both databases, whatever the server's locale.
NAME = Text().with_variant(Text(collation="C"), "postgresql")

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", NAME, primary_key=True),
    Column("display_name", NAME, nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
    Column("canonical_id", NAME, nullable=True),
    Column("account", NAME, nullable=True),
    Column("email", NAME, nullable=False, server_default=""),
    Index("tenants_by_canonical_id", "canonical_id", unique=True),
    Index("tenants_by_account", "account", unique=True),
    Index("tenants_by_email", "email"),
)

users = Table(
    "users",
    metadata,
    Column("user_id", NAME, primary_key=True),
    Column("tenant_id", NAME, nullable=False),
    Column("user_name", NAME, nullable=False),
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("tenant_id", "user_name"),
)

# `user_id` is empty for keys of a tenant's root.
access_keys = Table(
    "access_keys",
    metadata,
    Column("access_key", NAME, primary_key=True),
    Column("tenant_id", NAME, nullable=False),
    Column("label", Text, nullable=False),
    Column("permit", Text, nullable=False),
    Column("master_id", Text, nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger, nullable=True),
    Column("user_id", NAME, nullable=False, server_default=""),
    Index("access_keys_of_tenant", "tenant_id", "access_key"),
)

client_keys = Table(
    "client_keys",
    metadata,
    Column("tenant_id", NAME, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "key_id"),
)

# Generation 1 is a tenant's first managed key; the highest is the current one, the others still open data.
managed_keys = Table(
    "managed_keys",
    metadata,
    Column("tenant_id", NAME, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("master_id", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "generation"),
    UniqueConstraint("tenant_id", "key_id"),
)


class TenantRow(NamedTuple):
    """A tenant. Its S3 names are functions of its id: None where the release before this one made it."""

    tenant_id: str
    display_name: str
    created: int
    canonical_id: str | None
    account: str | None
    email: str


class UserRow(NamedTuple):
    """A user of a tenant."""

    user_id: str
    tenant_id: str
    user_name: str
    created: int


class AccessKeyRow(NamedTuple):
    """An access key with its wrapped secret; `revoked` is None while it is good."""

    access_key: str
    tenant_id: str
    label: str
    permit: str
    master_id: str
    secret: bytes
    created: int
    revoked: int | None
    user_id: str


class KeyHolder(NamedTuple):
    """An access key, and whose it is; `user_name` is empty for a tenant's root."""

    key: AccessKeyRow
    display_name: str
    email: str
    user_name: str


class ClientKeyRow(NamedTuple):
    """The id of a key that only the tenant holds."""

    key_id: bytes
    created: int


class ManagedKeyRow(NamedTuple):
    """A wrapped tenant key."""

    tenant_id: str
    generation: int
    key_id: bytes
    master_id: str
    wrapped: bytes
    created: int


def _add_absent(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Inserts unless a key of the row is taken.

    Not by catching the broken constraint: that would spoil the transaction on PostgreSQL, which instead
    finds a race with another writer here and has it run again.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    inserted = dialect.insert(table).values(values).on_conflict_do_nothing().returning(literal(1))
    return connection.execute(inserted).first() is not None


# --- tenants ---------------------------------------------------------------------------------------------


def add_tenant(connection: Connection, row: TenantRow) -> bool:
    """Stores a new tenant; False if its name, its id or its account is taken."""
    return _add_absent(connection, tenants, row._asdict())


def find_tenant(connection: Connection, tenant_id: str) -> TenantRow | None:
    """The tenant of this id."""
    row = connection.execute(select(tenants).where(tenants.c.tenant_id == tenant_id)).first()
    return TenantRow(*row) if row else None


def find_tenant_named(connection: Connection, display_name: str) -> TenantRow | None:
    """The tenant of this name."""
    row = connection.execute(select(tenants).where(tenants.c.display_name == display_name)).first()
    return TenantRow(*row) if row else None


def list_tenants(connection: Connection, after: str, limit: int, hidden: str) -> list[TenantRow]:
    """Up to `limit` tenants with an id beyond `after`, by id, without the one of the name `hidden`."""
    query = select(tenants).where(tenants.c.tenant_id > after, tenants.c.display_name != hidden)
    query = query.order_by(tenants.c.tenant_id).limit(limit)
    return [TenantRow(*row) for row in connection.execute(query)]


def find_tenant_by_canonical_id(connection: Connection, canonical_id: str) -> TenantRow | None:
    """The tenant of this canonical id."""
    row = connection.execute(select(tenants).where(tenants.c.canonical_id == canonical_id)).first()
    return TenantRow(*row) if row else None


def find_tenant_by_account(connection: Connection, account: str) -> TenantRow | None:
    """The tenant of this account."""
    row = connection.execute(select(tenants).where(tenants.c.account == account)).first()
    return TenantRow(*row) if row else None


def list_tenants_by_email(connection: Connection, email: str, limit: int) -> list[TenantRow]:
    """Up to `limit` tenants with this address, by id."""
    query = select(tenants).where(tenants.c.email == email).order_by(tenants.c.tenant_id).limit(limit)
    return [TenantRow(*row) for row in connection.execute(query)]


# --- users -----------------------------------------------------------------------------------------------


def add_user(connection: Connection, row: UserRow) -> bool:
    """Stores a new user; False if the tenant has one of this name."""
    return _add_absent(connection, users, row._asdict())


def find_user(connection: Connection, tenant_id: str, user_name: str) -> UserRow | None:
    """The tenant's user of this name."""
    query = select(users).where(users.c.tenant_id == tenant_id, users.c.user_name == user_name)
    row = connection.execute(query).first()
    return UserRow(*row) if row else None


def list_users(connection: Connection, tenant_id: str, after: str, limit: int) -> list[UserRow]:
    """Up to `limit` of a tenant's users with a name beyond `after`, by name."""
    query = (
        select(users)
        .where(users.c.tenant_id == tenant_id, users.c.user_name > after)
        .order_by(users.c.user_name)
        .limit(limit)
    )
    return [UserRow(*row) for row in connection.execute(query)]


def remove_user(connection: Connection, user_id: str) -> None:
    """Removes a user."""
    connection.execute(delete(users).where(users.c.user_id == user_id))


# --- access keys -----------------------------------------------------------------------------------------


def add_access_key(connection: Connection, row: AccessKeyRow) -> bool:
    """Stores a new access key; False if its name is taken."""
    return _add_absent(connection, access_keys, row._asdict())


def find_access_key(connection: Connection, access_key: str) -> AccessKeyRow | None:
    """The access key, revoked or not."""
    row = connection.execute(select(access_keys).where(access_keys.c.access_key == access_key)).first()
    return AccessKeyRow(*row) if row else None


def find_key_holder(connection: Connection, access_key: str) -> KeyHolder | None:
    """The access key, revoked or not, with whose it is; None also if its user is no more."""
    query = (
        select(access_keys, tenants.c.display_name, tenants.c.email, users.c.user_name)
        .join(tenants, tenants.c.tenant_id == access_keys.c.tenant_id)
        .outerjoin(users, users.c.user_id == access_keys.c.user_id)
        .where(access_keys.c.access_key == access_key)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    key = AccessKeyRow(*row[:-3])
    display_name, email, user_name = row[-3:]
    if key.user_id and user_name is None:
        return None
    return KeyHolder(key, display_name, email, user_name or "")


def revoke_keys_of_user(connection: Connection, user_id: str, now: int) -> list[str]:
    """Marks every access key of the user revoked; returns those that were good."""
    mine = (access_keys.c.user_id == user_id, access_keys.c.revoked.is_(None))
    names = list(connection.scalars(select(access_keys.c.access_key).where(*mine)))
    connection.execute(update(access_keys).where(*mine).values(revoked=now))
    return names


def list_access_keys(connection: Connection, tenant_id: str, after: str, limit: int) -> list[AccessKeyRow]:
    """Up to `limit` of a tenant's access keys beyond `after`, by name, revoked ones among them."""
    query = (
        select(access_keys)
        .where(access_keys.c.tenant_id == tenant_id, access_keys.c.access_key > after)
        .order_by(access_keys.c.access_key)
        .limit(limit)
    )
    return [AccessKeyRow(*row) for row in connection.execute(query)]


def revoke_access_key(connection: Connection, tenant_id: str, access_key: str, now: int) -> bool:
    """Marks the tenant's access key revoked, the first time for good; False if the tenant has no such key."""
    mine = (access_keys.c.access_key == access_key, access_keys.c.tenant_id == tenant_id)
    changed = connection.execute(
        update(access_keys).where(*mine).values(revoked=func.coalesce(access_keys.c.revoked, now))
    )
    return changed.rowcount > 0


# --- client keys -----------------------------------------------------------------------------------------


def list_client_keys(connection: Connection, tenant_id: str) -> list[ClientKeyRow]:
    """The tenant's client keys, oldest first."""
    query = (
        select(client_keys.c.key_id, client_keys.c.created)
        .where(client_keys.c.tenant_id == tenant_id)
        .order_by(client_keys.c.created, client_keys.c.key_id)
    )
    return [ClientKeyRow(*row) for row in connection.execute(query)]


def add_client_key(connection: Connection, tenant_id: str, row: ClientKeyRow) -> bool:
    """Stores the id of a client key; False if the tenant had it."""
    return _add_absent(connection, client_keys, {"tenant_id": tenant_id, **row._asdict()})


# --- managed keys ----------------------------------------------------------------------------------------


def current_managed_key(connection: Connection, tenant_id: str) -> ManagedKeyRow | None:
    """The tenant's managed key of the highest generation."""
    query = (
        select(managed_keys)
        .where(managed_keys.c.tenant_id == tenant_id)
        .order_by(managed_keys.c.generation.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return ManagedKeyRow(*row) if row else None


def find_managed_key(connection: Connection, tenant_id: str, key_id: bytes) -> ManagedKeyRow | None:
    """The tenant's managed key of this id, current or older."""
    query = select(managed_keys).where(managed_keys.c.tenant_id == tenant_id, managed_keys.c.key_id == key_id)
    row = connection.execute(query).first()
    return ManagedKeyRow(*row) if row else None


def add_managed_key(connection: Connection, row: ManagedKeyRow) -> bool:
    """Stores a new generation; False if the tenant had it."""
    return _add_absent(connection, managed_keys, row._asdict())


# --- rewrapping ------------------------------------------------------------------------------------------


def access_keys_not_under(connection: Connection, master_id: str, limit: int) -> list[AccessKeyRow]:
    """Up to `limit` access keys that another master key wraps."""
    query = select(access_keys).where(access_keys.c.master_id != master_id).limit(limit)
    return [AccessKeyRow(*row) for row in connection.execute(query)]


def managed_keys_not_under(connection: Connection, master_id: str, limit: int) -> list[ManagedKeyRow]:
    """Up to `limit` managed keys that another master key wraps."""
    query = select(managed_keys).where(managed_keys.c.master_id != master_id).limit(limit)
    return [ManagedKeyRow(*row) for row in connection.execute(query)]


def rewrap_access_keys(connection: Connection, rows: Sequence[AccessKeyRow]) -> None:
    """Replaces wrapped secrets and the ids of their master keys."""
    for row in rows:
        connection.execute(
            update(access_keys)
            .where(access_keys.c.access_key == row.access_key)
            .values(secret=row.secret, master_id=row.master_id)
        )


def rewrap_managed_keys(connection: Connection, rows: Sequence[ManagedKeyRow]) -> None:
    """Replaces wrapped tenant keys and the ids of their master keys."""
    for row in rows:
        connection.execute(
            update(managed_keys)
            .where(managed_keys.c.tenant_id == row.tenant_id, managed_keys.c.generation == row.generation)
            .values(wrapped=row.wrapped, master_id=row.master_id)
        )


def used_master_ids(connection: Connection) -> list[str]:
    """The master keys that something is wrapped with, sorted: all others may be destroyed."""
    columns = (access_keys.c.master_id, managed_keys.c.master_id)
    found = {name for column in columns for name in connection.scalars(select(column).distinct())}
    return sorted(found)
