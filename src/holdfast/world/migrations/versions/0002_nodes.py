"""The fleet: nodes, invitations, the journal of deletions and reported losses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("alias", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("node_id", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("provider", NAME, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("node_name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("addresses", sa.Text, nullable=False),
        sa.Column("allocated", sa.BigInteger, nullable=False),
        sa.Column("used", sa.BigInteger, nullable=False),
        sa.Column("free", sa.BigInteger, nullable=False),
        sa.Column("shard_count", sa.BigInteger, nullable=False),
        sa.Column("stopping", sa.Boolean, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("last_heartbeat", sa.BigInteger, nullable=False),
        sa.Column("registered", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "invitations",
        sa.Column("secret_hash", sa.LargeBinary, primary_key=True),
        sa.Column("provider", NAME, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("node_id", sa.LargeBinary, nullable=True),
    )
    op.create_table(
        "deletion_heads",
        sa.Column("alias", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "deletions",
        sa.Column("alias", sa.Integer, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("shard_ids", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("alias", "sequence"),
    )
    op.create_table(
        "losses",
        sa.Column("alias", sa.Integer, nullable=False),
        sa.Column("shard_id", sa.LargeBinary, nullable=False),
        sa.Column("noted", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("alias", "shard_id"),
    )


def downgrade() -> None:
    for table in ("losses", "deletions", "deletion_heads", "invitations", "nodes"):
        op.drop_table(table)
