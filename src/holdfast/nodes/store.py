"""The tables of this room, and all of its SQL.

Every function takes a connection inside a transaction of `world.database`. A node's alias is its row's
number, never used again for another node. Times are microseconds since the epoch, sizes bytes. Of an
invitation's secret only the hash is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

metadata = MetaData()

# Names are compared byte by byte on both databases, whatever the server's locale.
NAME = Text().with_variant(Text(collation="C"), "postgresql")

nodes = Table(
    "nodes",
    metadata,
    Column("alias", Integer, primary_key=True, autoincrement=True),
    Column("node_id", LargeBinary, nullable=False, unique=True),
    Column("provider", NAME, nullable=False),
    Column("state", Text, nullable=False),
    Column("node_name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("zone", Text, nullable=False),
    Column("addresses", Text, nullable=False),
    Column("allocated", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("free", BigInteger, nullable=False),
    Column("shard_count", BigInteger, nullable=False),
    Column("stopping", Boolean, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("last_heartbeat", BigInteger, nullable=False),
    Column("registered", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

invitations = Table(
    "invitations",
    metadata,
    Column("secret_hash", LargeBinary, primary_key=True),
    Column("provider", NAME, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("node_id", LargeBinary, nullable=True),
)

# One row per node, written only when something is deleted: heartbeats do not contend with deletions for it.
deletion_heads = Table(
    "deletion_heads",
    metadata,
    Column("alias", Integer, primary_key=True, autoincrement=False),
    Column("issued", BigInteger, nullable=False),
    Column("done", BigInteger, nullable=False),
)

deletions = Table(
    "deletions",
    metadata,
    Column("alias", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("shard_ids", LargeBinary, nullable=False),
    PrimaryKeyConstraint("alias", "sequence"),
)

losses = Table(
    "losses",
    metadata,
    Column("alias", Integer, nullable=False),
    Column("shard_id", LargeBinary, nullable=False),
    Column("noted", BigInteger, nullable=False),
    PrimaryKeyConstraint("alias", "shard_id"),
)


class NodeRow(NamedTuple):
    """A node as it is stored. `alias` 0: not stored yet."""

    alias: int
    node_id: bytes
    provider: str
    state: str
    node_name: str
    version: str
    zone: str
    addresses: tuple[str, ...]
    allocated: int
    used: int
    free: int
    shard_count: int
    stopping: bool
    sequence: int
    last_heartbeat: int
    registered: int
    changed: int


class InvitationRow(NamedTuple):
    """An invitation; `node_id` is who used it, None while it is unused."""

    secret_hash: bytes
    provider: str
    created: int
    expires: int
    node_id: bytes | None


class DeletionHead(NamedTuple):
    """How far a node's journal of deletions has been written, and how far the node has carried it out."""

    alias: int
    issued: int
    done: int


class DeletionRow(NamedTuple):
    """One entry of a node's journal; shard ids joined."""

    alias: int
    sequence: int
    shard_ids: bytes


class LossRow(NamedTuple):
    """A shard that its node said it lost."""

    alias: int
    shard_id: bytes
    noted: int


_ADDRESSES: Final = NodeRow._fields.index("addresses")
_HEARTBEAT_COLUMNS: Final = (
    "state", "version", "allocated", "used", "free", "shard_count", "stopping", "sequence", "last_heartbeat",
    "changed",
)  # fmt: skip
_DESCRIPTION_COLUMNS: Final = ("provider", "node_name", "zone", "addresses")


def _setting(columns: Iterable[str]) -> Any:
    return (
        update(nodes)
        .where(nodes.c.alias == bindparam("of_alias"))
        .values({column: bindparam(f"new_{column}") for column in columns})
    )


_SET_HEARTBEAT: Final = _setting(_HEARTBEAT_COLUMNS)
_SET_DESCRIPTION: Final = _setting(_DESCRIPTION_COLUMNS)


def _add_absent(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Inserts the rows whose key is not taken; how many.

    A race with another writer is found here by PostgreSQL, which has the transaction run again.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    inserted = dialect.insert(table).values(rows).on_conflict_do_nothing().returning(literal(1))
    return len(connection.execute(inserted).all())


# --- nodes -----------------------------------------------------------------------------------------------


def add_node(connection: Connection, row: NodeRow) -> NodeRow:
    """Stores a new node, with the alias it gets and an empty journal."""
    values = {**row._asdict(), "addresses": _packed(row.addresses)}
    del values["alias"]
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    adding = dialect.insert(nodes).values(values).on_conflict_do_nothing().returning(nodes.c.alias)
    alias = connection.execute(adding).scalar()
    assert alias is not None, "only a node that was looked for in this transaction, and not found, is added"
    connection.execute(insert(deletion_heads).values(alias=alias, issued=0, done=0))
    return row._replace(alias=alias)


def find_nodes(connection: Connection, node_ids: Sequence[bytes]) -> list[NodeRow]:
    """Those of the nodes that are known."""
    query = select(nodes).where(nodes.c.node_id.in_(node_ids))
    return [_node(row) for row in connection.execute(query)]


def set_heartbeats(connection: Connection, rows: Sequence[NodeRow]) -> None:
    """Writes what changes with every heartbeat: not who, where and whose the node is."""
    _set_columns(connection, _SET_HEARTBEAT, _HEARTBEAT_COLUMNS, rows)


def set_descriptions(connection: Connection, rows: Sequence[NodeRow]) -> None:
    """Writes what seldom changes: whose the node is, its name, zone and addresses."""
    _set_columns(connection, _SET_DESCRIPTION, _DESCRIPTION_COLUMNS, rows)


def _set_columns(
    connection: Connection, statement: Any, columns: Sequence[str], rows: Sequence[NodeRow]
) -> None:
    if not rows:
        return
    parameters = [
        {
            "of_alias": row.alias,
            **{
                f"new_{column}": _packed(row.addresses) if column == "addresses" else getattr(row, column)
                for column in columns
            },
        }
        for row in rows
    ]
    connection.execute(statement, parameters)


def list_nodes(connection: Connection, after: bytes, limit: int, provider: str | None) -> list[NodeRow]:
    """Up to `limit` nodes with an id beyond `after`, by id; only the provider's, if one is given."""
    query = select(nodes).where(nodes.c.node_id > after).order_by(nodes.c.node_id).limit(limit)
    if provider is not None:
        query = query.where(nodes.c.provider == provider)
    return [_node(row) for row in connection.execute(query)]


def nodes_changed_since(connection: Connection, since: int, after: int, limit: int) -> list[NodeRow]:
    """Up to `limit` nodes with an alias beyond `after` that were written since, by alias."""
    query = (
        select(nodes)
        .where(nodes.c.alias > after, nodes.c.changed >= since)
        .order_by(nodes.c.alias)
        .limit(limit)
    )
    return [_node(row) for row in connection.execute(query)]


def _node(row: Row[Any]) -> NodeRow:
    fields = list(row)
    fields[_ADDRESSES] = tuple(msgspec.json.decode(fields[_ADDRESSES]))
    return NodeRow(*fields)


def _packed(addresses: Sequence[str]) -> str:
    return msgspec.json.encode(addresses).decode()


# --- invitations -----------------------------------------------------------------------------------------


def add_invitation(connection: Connection, row: InvitationRow) -> None:
    """Stores a new invitation."""
    connection.execute(insert(invitations).values(row._asdict()))


def find_invitation(connection: Connection, secret_hash: bytes) -> InvitationRow | None:
    """The invitation with this hash of its secret."""
    row = connection.execute(select(invitations).where(invitations.c.secret_hash == secret_hash)).first()
    return InvitationRow(*row) if row else None


def use_invitation(connection: Connection, secret_hash: bytes, node_id: bytes) -> bool:
    """Marks the invitation used by the node; False if it was used already."""
    unused = (invitations.c.secret_hash == secret_hash, invitations.c.node_id.is_(None))
    return connection.execute(update(invitations).where(*unused).values(node_id=node_id)).rowcount > 0


def drop_invitations(connection: Connection, before: int) -> int:
    """Forgets the invitations that expired before this time; how many."""
    return connection.execute(delete(invitations).where(invitations.c.expires < before)).rowcount


# --- deletions and losses --------------------------------------------------------------------------------


def find_deletion_heads(connection: Connection, aliases: Sequence[int]) -> dict[int, DeletionHead]:
    """The heads of these nodes' journals, by alias."""
    query = select(deletion_heads).where(deletion_heads.c.alias.in_(aliases))
    return {row.alias: DeletionHead(*row) for row in connection.execute(query)}


def set_deletion_heads(connection: Connection, heads: Sequence[DeletionHead]) -> None:
    """Writes heads that there are."""
    if heads:
        connection.execute(
            update(deletion_heads)
            .where(deletion_heads.c.alias == bindparam("of_alias"))
            .values(issued=bindparam("new_issued"), done=bindparam("new_done")),
            [{"of_alias": head.alias, "new_issued": head.issued, "new_done": head.done} for head in heads],
        )


def add_deletions(connection: Connection, rows: Sequence[DeletionRow]) -> None:
    """Stores new entries."""
    if rows:
        connection.execute(insert(deletions), [row._asdict() for row in rows])


def find_deletions(connection: Connection, alias: int, after: int, limit: int) -> list[DeletionRow]:
    """Up to `limit` entries of a node's journal beyond sequence `after`, in order."""
    query = (
        select(deletions)
        .where(deletions.c.alias == alias, deletions.c.sequence > after)
        .order_by(deletions.c.sequence)
        .limit(limit)
    )
    return [DeletionRow(*row) for row in connection.execute(query)]


_CONTAINS: Final = {
    "sqlite": func.instr(deletions.c.shard_ids, bindparam("one")) > 0,
    "postgresql": func.position(bindparam("one", type_=LargeBinary).op("IN")(deletions.c.shard_ids)) > 0,
}
_DELETION_OF: Final = {
    dialect: select(literal(1))
    .where(deletions.c.alias == bindparam("of_alias"), deletions.c.sequence > bindparam("after"), contains)
    .limit(1)
    for dialect, contains in _CONTAINS.items()
}


def is_in_deletions(connection: Connection, alias: int, after: int, shard_id: bytes) -> bool:
    """Whether the bytes of this shard id stand in an entry of the node's journal beyond sequence `after`."""
    query = _DELETION_OF[connection.dialect.name]
    bound = {"of_alias": alias, "after": after, "one": shard_id}
    return connection.execute(query, bound).first() is not None


def drop_deletions(connection: Connection, alias: int, through: int) -> None:
    """Forgets a node's entries up to this sequence: it has carried them out."""
    connection.execute(delete(deletions).where(deletions.c.alias == alias, deletions.c.sequence <= through))


def add_losses(connection: Connection, rows: Sequence[LossRow]) -> int:
    """Stores reported losses, each once; how many are new."""
    return _add_absent(connection, losses, [row._asdict() for row in rows]) if rows else 0


def list_losses(connection: Connection, after: tuple[int, bytes], limit: int) -> list[LossRow]:
    """Up to `limit` losses beyond (alias, shard id), in that order."""
    alias, shard_id = after
    beyond = (losses.c.alias > alias) | ((losses.c.alias == alias) & (losses.c.shard_id > shard_id))
    query = select(losses).where(beyond).order_by(losses.c.alias, losses.c.shard_id).limit(limit)
    return [LossRow(*row) for row in connection.execute(query)]


def drop_loss(connection: Connection, alias: int, shard_id: bytes) -> None:
    """Forgets a loss that has been dealt with."""
    connection.execute(delete(losses).where(losses.c.alias == alias, losses.c.shard_id == shard_id))
