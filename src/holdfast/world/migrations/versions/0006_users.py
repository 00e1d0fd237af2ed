"""Users of tenants, and the names that S3 has for tenants.

The release before this one makes tenants without those names: they are nothing but functions of the tenant's
id, so its columns may be empty, and are filled for every tenant there is.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

LEAST_ACCOUNT = 10**11


def canonical_id(tenant_id: str) -> str:
    """As `holdfast.tenants.names` had it when this was written."""
    return hashlib.sha256(b"holdfast canonical id\0" + tenant_id.encode()).hexdigest()


def account(tenant_id: str) -> str:
    """As `holdfast.tenants.names` had it when this was written."""
    drawn = hashlib.sha256(b"holdfast account\0" + tenant_id.encode()).digest()
    return str(LEAST_ACCOUNT + int.from_bytes(drawn[:16], "big") % (9 * LEAST_ACCOUNT))


def upgrade() -> None:
    op.add_column("tenants", sa.Column("canonical_id", NAME, nullable=True))
    op.add_column("tenants", sa.Column("account", NAME, nullable=True))
    op.add_column("tenants", sa.Column("email", NAME, nullable=False, server_default=""))
    tenants = sa.table(
        "tenants", sa.column("tenant_id", NAME), sa.column("canonical_id", NAME), sa.column("account", NAME)
    )
    connection = op.get_bind()
    for tenant_id in connection.scalars(sa.select(tenants.c.tenant_id)).all():
        connection.execute(
            tenants.update()
            .where(tenants.c.tenant_id == tenant_id)
            .values(canonical_id=canonical_id(tenant_id), account=account(tenant_id))
        )
    op.create_index("tenants_by_canonical_id", "tenants", ["canonical_id"], unique=True)
    op.create_index("tenants_by_account", "tenants", ["account"], unique=True)
    op.create_index("tenants_by_email", "tenants", ["email"])
    op.create_table(
        "users",
        sa.Column("user_id", NAME, primary_key=True),
        sa.Column("tenant_id", NAME, nullable=False),
        sa.Column("user_name", NAME, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("tenant_id", "user_name"),
    )
    op.add_column("access_keys", sa.Column("user_id", NAME, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("access_keys", "user_id")
    op.drop_table("users")
    for index in ("tenants_by_email", "tenants_by_account", "tenants_by_canonical_id"):
        op.drop_index(index, "tenants")
    for column in ("email", "account", "canonical_id"):
        op.drop_column("tenants", column)
