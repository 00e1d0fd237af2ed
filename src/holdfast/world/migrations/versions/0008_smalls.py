"""Small objects, sealed by themselves, and the packs that many of them share."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    op.create_table(
        "smalls",
        sa.Column("id", IDENTITY, primary_key=True),
        required("storage_class", sa.Text),
        required("length", sa.Integer),
        required("sealed_length", sa.Integer),
        required("created", sa.BigInteger),
        sa.Column("pack", sa.BigInteger, nullable=True),
        sa.Column("pack_offset", sa.Integer, nullable=True),
        sa.Column("sealed", sa.LargeBinary, nullable=True),
        sqlite_autoincrement=True,
    )
    waiting, packed = sa.text("pack IS NULL"), sa.text("pack IS NOT NULL")
    op.create_index(
        "smalls_waiting",
        "smalls",
        ["storage_class", "id", "sealed_length"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index(
        "smalls_packed", "smalls", ["pack", "sealed_length"], sqlite_where=packed, postgresql_where=packed
    )
    op.create_table(
        "packs",
        sa.Column("stream", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        required("tenant", sa.Text),
        required("storage_class", sa.Text),
        required("k", sa.SmallInteger),
        required("n", sa.SmallInteger),
        required("repair_at", sa.SmallInteger),
        required("chunk_size", sa.Integer),
        required("chunk_count", sa.Integer),
        required("size", sa.BigInteger),
        required("checksum", sa.Text),
        required("envelope_mode", sa.Text),
        required("envelope_key_id", sa.LargeBinary),
        required("envelope_wrapped", sa.LargeBinary),
        required("closing", sa.LargeBinary),
        required("created", sa.BigInteger),
    )


def downgrade() -> None:
    op.drop_table("packs")
    op.drop_table("smalls")
