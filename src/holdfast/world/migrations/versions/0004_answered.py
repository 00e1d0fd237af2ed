"""Requests that were answered, by the token that their client drew for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answered_requests",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("token", sa.LargeBinary, nullable=False),
        sa.Column("asked", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "token", name="answered_requests_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("answered_requests_in_time", "answered_requests", ["time"])


def downgrade() -> None:
    op.drop_table("answered_requests")
