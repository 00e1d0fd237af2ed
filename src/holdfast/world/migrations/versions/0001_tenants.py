"""Tenants and their keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tenants",
        sa.Column("tenant_id", NAME, primary_key=True),
        sa.Column("display_name", NAME, nullable=False, unique=True),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "access_keys",
        sa.Column("access_key", NAME, primary_key=True),
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("permit", sa.Text, nullable=False),
        sa.Column("master_id", sa.Text, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.BigInteger, nullable=True),
    )
    op.create_index("access_keys_of_tenant", "access_keys", ["tenant_id", "access_key"])
    op.create_table(
        "client_keys",
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key_id"),
    )
    op.create_table(
        "managed_keys",
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("master_id", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "generation"),
        sa.UniqueConstraint("tenant_id", "key_id"),
    )


def downgrade() -> None:
    for table in ("managed_keys", "client_keys", "access_keys", "tenants"):
        op.drop_table(table)
