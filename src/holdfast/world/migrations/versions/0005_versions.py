"""Settings of buckets, versions of keys, multipart uploads.

What was written before shows in S3 as the null version of its key, with an ETag that no client takes for a
digest. The release before goes on writing beside this one: every new column has a default.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
KEPT = (
    "id", "tenant", "bucket_id", "key", "version_id", "sequence", "stream", "size", "checksum",
    "storage_class", "k", "n", "repair_at", "chunk_size", "envelope_mode", "envelope_key_id",
    "envelope_wrapped", "user_metadata", "chunk_count", "closing", "created", "state", "trashed_at",
)  # fmt: skip
"""The columns of `versions` before."""


def required(name: str, kind: Any, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=None if default is None else sa.text(default))


def empty_bytes() -> str:
    return "''" if op.get_bind().dialect.name == "postgresql" else "x''"


def truth(value: bool) -> str:
    return str(value).lower() if op.get_bind().dialect.name == "postgresql" else str(int(value))


def upgrade() -> None:
    op.add_column("buckets", required("settings", sa.LargeBinary, empty_bytes()))
    op.add_column("buckets", required("revision", sa.Integer, "0"))
    if op.get_bind().dialect.name == "sqlite":
        rebuild_versions()
    else:
        alter_versions()
    index_versions()
    make_parts()
    make_multiparts()


def new_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("small", sa.BigInteger, nullable=True),
        required("sealed_as", sa.Text, "''"),
        required("part_count", sa.Integer, "0"),
        required("etag", sa.Text, "''"),
        required("attributes", sa.LargeBinary, empty_bytes()),
        required("modified", sa.BigInteger, "0"),
        sa.Column("superseded", sa.BigInteger, nullable=True),
        required("is_null", sa.Boolean, truth(True)),
        required("marker", sa.Boolean, truth(False)),
    ]


def alter_versions() -> None:
    for column in new_columns():
        op.add_column("versions", column)
    op.alter_column("versions", "stream", nullable=True)
    op.drop_constraint("versions_stream_key", "versions")
    op.execute("UPDATE versions SET etag = version_id || '-1', modified = created")


def rebuild_versions() -> None:
    """A column of SQLite loses its constraints only with the table."""
    op.create_table(
        "versions_rebuilt",
        sa.Column("id", IDENTITY, primary_key=True),
        required("tenant", sa.Text),
        required("bucket_id", sa.BigInteger),
        required("key", sa.LargeBinary),
        sa.Column("version_id", sa.Text, nullable=False, unique=True),
        required("sequence", sa.BigInteger),
        sa.Column("stream", sa.BigInteger, nullable=True),
        *data_columns(),
        required("user_metadata", sa.LargeBinary),
        required("created", sa.BigInteger),
        required("state", sa.Text),
        sa.Column("trashed_at", sa.BigInteger, nullable=True),
        *new_columns(),
        sa.UniqueConstraint("bucket_id", "key", "sequence", name="versions_in_order"),
        sqlite_autoincrement=True,
    )
    kept = ", ".join(KEPT)
    op.execute(
        f"INSERT INTO versions_rebuilt ({kept}, etag, modified)"  # noqa: S608 - the names stand above
        f" SELECT {kept}, version_id || '-1', created FROM versions"
    )
    # Numbers of rows are never given twice, also not those of rows that are gone.
    op.execute("DELETE FROM sqlite_sequence WHERE name = 'versions_rebuilt'")
    op.execute(
        "INSERT INTO sqlite_sequence (name, seq)"
        " SELECT 'versions_rebuilt', seq FROM sqlite_sequence WHERE name = 'versions'"
    )
    op.drop_table("versions")
    op.rename_table("versions_rebuilt", "versions")
    for name, keys, state, unique in (
        ("versions_current", ["bucket_id", "key"], "current", True),
        ("versions_in_trash", ["trashed_at"], "trashed", False),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "versions", keys, unique=unique, sqlite_where=where, postgresql_where=where)


def partial_index(name: str, table: str, keys: list[Any], condition: str, *, unique: bool = False) -> None:
    where = sa.text(condition)
    op.create_index(name, table, keys, unique=unique, sqlite_where=where, postgresql_where=where)


def index_versions() -> None:
    hidden = "state IN ('noncurrent', 'marker')"
    partial_index("versions_hidden", "versions", ["bucket_id", "key", sa.text("sequence DESC")], hidden)
    partial_index("versions_null_hidden", "versions", ["bucket_id", "key"], f"is_null AND {hidden}")
    index_references("versions")


def index_references(table: str) -> None:
    """Who refers to a stream or a small object."""
    for column in ("stream", "small"):
        partial_index(f"{table}_of_{column}", table, [column], f"{column} IS NOT NULL")


def data_columns() -> list[sa.Column[Any]]:
    return [
        required("size", sa.BigInteger),
        required("checksum", sa.Text),
        required("storage_class", sa.Text),
        required("k", sa.SmallInteger),
        required("n", sa.SmallInteger),
        required("repair_at", sa.SmallInteger),
        required("chunk_size", sa.Integer),
        required("chunk_count", sa.Integer),
        required("envelope_mode", sa.Text),
        required("envelope_key_id", sa.LargeBinary),
        required("envelope_wrapped", sa.LargeBinary),
        required("closing", sa.LargeBinary),
    ]


def place_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("stream", sa.BigInteger, nullable=True),
        sa.Column("small", sa.BigInteger, nullable=True),
        required("sealed_as", sa.Text),
    ]


def make_parts() -> None:
    op.create_table(
        "version_parts",
        required("version", sa.BigInteger),
        required("number", sa.Integer),
        required("offset", sa.BigInteger),
        required("etag", sa.Text),
        required("checksum_value", sa.Text),
        *data_columns(),
        *place_columns(),
        sa.PrimaryKeyConstraint("version", "number", name="version_parts_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "multipart_parts",
        required("multipart", sa.BigInteger),
        required("number", sa.Integer),
        required("etag", sa.Text),
        required("checksum_value", sa.Text),
        required("modified", sa.BigInteger),
        *data_columns(),
        *place_columns(),
        sa.PrimaryKeyConstraint("multipart", "number", name="multipart_parts_key"),
        sqlite_with_rowid=False,
    )
    for table in ("version_parts", "multipart_parts"):
        index_references(table)


def make_multiparts() -> None:
    op.create_table(
        "multiparts",
        sa.Column("id", IDENTITY, primary_key=True),
        sa.Column("upload_id", NAME, nullable=False, unique=True),
        required("tenant", sa.Text),
        required("bucket_id", sa.BigInteger),
        required("key", sa.LargeBinary),
        required("storage_class", sa.Text),
        required("attributes", sa.LargeBinary),
        required("initiator", sa.Text),
        required("initiator_name", sa.Text),
        required("envelope_mode", sa.Text),
        required("envelope_key_id", sa.LargeBinary),
        required("envelope_wrapped", sa.LargeBinary),
        required("created", sa.BigInteger),
        required("state", sa.Text),
        sa.Column("version_id", sa.Text, nullable=True),
        sa.Column("finished", sa.BigInteger, nullable=True),
        sqlite_autoincrement=True,
    )
    partial_index("multiparts_open", "multiparts", ["bucket_id", "key", "upload_id"], "state = 'open'")
    partial_index("multiparts_finished", "multiparts", ["finished"], "state = 'completed'")


def downgrade() -> None:
    # Versions that share their bytes cannot be kept by a release that knows of none.
    raise AssertionError("there is no way back from here: restore a backup")
