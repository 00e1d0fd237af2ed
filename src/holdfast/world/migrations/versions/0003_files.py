"""Buckets, versions, uploads, chunks and what is known of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def columns_of_class_and_key() -> list[sa.Column[Any]]:
    return [
        required("storage_class", sa.Text),
        required("k", sa.SmallInteger),
        required("n", sa.SmallInteger),
        required("repair_at", sa.SmallInteger),
        required("chunk_size", sa.Integer),
        required("envelope_mode", sa.Text),
        required("envelope_key_id", sa.LargeBinary),
        required("envelope_wrapped", sa.LargeBinary),
        required("user_metadata", sa.LargeBinary),
    ]


def upgrade() -> None:
    make_buckets()
    make_versions()
    make_uploads()
    make_chunks()
    make_usage()


def make_buckets() -> None:
    op.create_table(
        "buckets",
        sa.Column("id", IDENTITY, primary_key=True),
        required("tenant", sa.Text),
        sa.Column("name", NAME, nullable=False, unique=True),
        required("storage_class", sa.Text),
        required("versioning", sa.Text),
        required("created", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("buckets_of_tenant", "buckets", ["tenant", "name"])


def make_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", IDENTITY, primary_key=True),
        required("tenant", sa.Text),
        required("bucket_id", sa.BigInteger),
        required("key", sa.LargeBinary),
        sa.Column("version_id", sa.Text, nullable=False, unique=True),
        required("sequence", sa.BigInteger),
        sa.Column("stream", sa.BigInteger, nullable=False, unique=True),
        required("size", sa.BigInteger),
        required("checksum", sa.Text),
        *columns_of_class_and_key(),
        required("chunk_count", sa.Integer),
        required("closing", sa.LargeBinary),
        required("created", sa.BigInteger),
        required("state", sa.Text),
        sa.Column("trashed_at", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("bucket_id", "key", "sequence", name="versions_in_order"),
        sqlite_autoincrement=True,
    )
    for name, keys, state, unique in (
        ("versions_current", ["bucket_id", "key"], "current", True),
        ("versions_in_trash", ["trashed_at"], "trashed", False),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "versions", keys, unique=unique, sqlite_where=where, postgresql_where=where)


def make_uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("stream", IDENTITY, primary_key=True),
        sa.Column("upload_id", sa.Text, nullable=False, unique=True),
        required("tenant", sa.Text),
        required("bucket_id", sa.BigInteger),
        required("key", sa.LargeBinary),
        *columns_of_class_and_key(),
        required("ack_at", sa.SmallInteger),
        required("if_absent", sa.Boolean),
        sa.Column("if_version", sa.Text, nullable=True),
        required("state", sa.Text),
        sa.Column("version_id", sa.Text, nullable=True),
        required("chunks_changed", sa.BigInteger),
        required("created", sa.BigInteger),
        required("last_active", sa.BigInteger),
        sqlite_autoincrement=True,
        postgresql_with={"fillfactor": 70},
    )
    op.create_index("uploads_of_bucket", "uploads", ["bucket_id"])


def make_chunks() -> None:
    op.create_table(
        "chunks",
        required("stream", sa.BigInteger),
        required("number", sa.Integer),
        sa.Column("chunk_id", sa.LargeBinary, nullable=False, unique=True),
        required("k", sa.SmallInteger),
        required("repair_at", sa.SmallInteger),
        required("plain_length", sa.Integer),
        required("packed_length", sa.Integer),
        required("compressed", sa.Boolean),
        required("sealed_length", sa.Integer),
        required("shard_length", sa.Integer),
        required("root", sa.LargeBinary),
        required("checksum", sa.BigInteger),
        required("format", sa.SmallInteger),
        required("placement", sa.LargeBinary),
        required("revision", sa.Integer),
        required("recorded", sa.BigInteger),
        sa.PrimaryKeyConstraint("stream", "number", name="chunks_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "shard_faults",
        required("stream", sa.BigInteger),
        required("number", sa.Integer),
        required("shard_index", sa.SmallInteger),
        required("alias", sa.BigInteger),
        required("kind", sa.Text),
        required("state", sa.Text),
        required("evidence", sa.Text),
        required("reports", sa.Integer),
        required("first_reported", sa.BigInteger),
        required("last_reported", sa.BigInteger),
        sa.PrimaryKeyConstraint("stream", "number", "shard_index", "alias", name="shard_faults_key"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "doomed_streams",
        sa.Column("stream", sa.BigInteger, primary_key=True, autoincrement=False),
        required("since", sa.BigInteger),
    )


def make_usage() -> None:
    op.create_table(
        "storage_usage",
        sa.Column("id", IDENTITY, primary_key=True),
        required("tenant", sa.Text),
        required("bucket_id", sa.BigInteger),
        required("version_id", sa.Text),
        required("time", sa.BigInteger),
        required("delta_bytes", sa.BigInteger),
        required("delta_objects", sa.Integer),
        sqlite_autoincrement=True,
    )
    op.create_index("storage_usage_of_tenant", "storage_usage", ["tenant", "time"])


def downgrade() -> None:
    for table in (
        "storage_usage", "doomed_streams", "shard_faults", "chunks", "uploads", "versions", "buckets"
    ):  # fmt: skip
        op.drop_table(table)
