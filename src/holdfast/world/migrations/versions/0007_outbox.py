"""What is to be told and copied after a version came or went, and archived versions that can be read."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def required(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def upgrade() -> None:
    make_events()
    op.create_table(
        "replication_outbox",
        sa.Column("id", IDENTITY, primary_key=True),
        required("bucket_id", sa.BigInteger),
        required("key", sa.LargeBinary),
        sa.Column("version_id", sa.Text, nullable=True),
        required("time", sa.BigInteger),
        required("attempts", sa.Integer),
        required("due", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("replication_outbox_due", "replication_outbox", ["due", "id"])
    op.create_index("replication_outbox_of_key", "replication_outbox", ["bucket_id", "key"])
    op.create_table(
        "restores",
        required("bucket_id", sa.BigInteger),
        required("key", sa.LargeBinary),
        sa.Column("version_id", sa.Text, primary_key=True),
        required("until", sa.BigInteger),
    )
    op.create_index("restores_in_time", "restores", ["until"])


def make_events() -> None:
    op.create_table(
        "event_outbox",
        sa.Column("id", IDENTITY, primary_key=True),
        required("tenant", sa.Text),
        required("bucket_id", sa.BigInteger),
        required("bucket", NAME),
        required("key", sa.LargeBinary),
        required("event", sa.Text),
        required("target_id", sa.Text),
        required("arn", NAME),
        required("size", sa.BigInteger),
        required("etag", sa.Text),
        sa.Column("version_id", sa.Text, nullable=True),
        required("sequencer", sa.BigInteger),
        required("who", sa.LargeBinary),
        required("time", sa.BigInteger),
        required("state", sa.Text),
        required("attempts", sa.Integer),
        required("due", sa.BigInteger),
        required("failure", sa.Text),
        sqlite_autoincrement=True,
    )
    where = sa.text("state = 'waiting'")
    for name, columns in (
        ("event_outbox_due", ["due", "id"]),
        ("event_outbox_of_key", ["bucket_id", "key", "arn"]),
    ):
        op.create_index(name, "event_outbox", columns, sqlite_where=where, postgresql_where=where)
    op.create_index("event_outbox_by_state", "event_outbox", ["state", "id"])


def downgrade() -> None:
    for table in ("restores", "replication_outbox", "event_outbox"):
        op.drop_table(table)
