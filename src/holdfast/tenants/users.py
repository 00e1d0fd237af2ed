"""The users of a tenant: names for people and programs, so that policies can tell them apart.

A user acts for its tenant: it may do what the tenant may, as far as its access key's permit goes and no
statement of a bucket's policy denies it. What it stores is the tenant's.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

from sqlalchemy import Connection

from holdfast.tenants import store
from holdfast.tenants.store import UserRow
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

PAGE_MAX: Final = 1000

_ID_HEAD: Final = "AIDA"
_ID_RANDOM_BYTES: Final = 10
_NAME: Final = re.compile(r"[A-Za-z0-9+=,.@_-]{1,64}")


class User(NamedTuple):
    """A user of a tenant. `created` in microseconds since the epoch."""

    user_id: str
    tenant_id: str
    user_name: str
    created: int


class UserPage(NamedTuple):
    """One page of a tenant's users; ask again with `after` to go on, None when this was the last."""

    users: list[User]
    after: str | None


class Users:
    """The users of all tenants."""

    def __init__(self, database: Database, clock: Clock, chance: Chance) -> None:
        self._database = database
        self._clock = clock
        self._chance = chance

    async def create(self, tenant_id: str, user_name: str) -> User:
        """A new user under a name that the tenant has not given yet.

        Raises Refusal("tenant.unknown" | "user.exists" | "request.invalid").
        """
        if not _NAME.fullmatch(user_name):
            raise Refusal(
                "request.invalid",
                "A user's name is 1 to 64 of the characters A-Z a-z 0-9 + = , . @ _ -.",
                advice="Choose another name.",
            )
        user_id = _ID_HEAD + base64.b32encode(self._chance.bytes(_ID_RANDOM_BYTES)).decode()
        row = UserRow(user_id, tenant_id, user_name, self._clock.now())
        await self._database.transact(_create, row)
        return User(*row)

    async def page(self, tenant_id: str, *, after: str | None = None, limit: int = PAGE_MAX) -> UserPage:
        """The tenant's users by name, from beyond `after`."""
        limit = max(1, min(limit, PAGE_MAX))
        rows = await self._database.read(store.list_users, tenant_id, after or "", limit + 1)
        users = [User(*row) for row in rows[:limit]]
        return UserPage(users, users[-1].user_name if len(rows) > limit else None)

    async def remove(self, tenant_id: str, user_name: str) -> list[str]:
        """Removes the user and revokes its access keys; returns those that were good.

        Give them to `Keys.forget`. Raises Refusal("user.unknown").
        """
        return await self._database.transact(_remove, tenant_id, user_name, self._clock.now())


def demand_user(connection: Connection, tenant_id: str, user_name: str) -> UserRow:
    """The tenant's user of this name; raises Refusal("user.unknown")."""
    row = store.find_user(connection, tenant_id, user_name)
    if row is None:
        raise Refusal("user.unknown", f"The tenant has no user '{user_name[:64]}'.", advice="Make it first.")
    return row


def _create(connection: Connection, row: UserRow) -> None:
    if store.find_tenant(connection, row.tenant_id) is None:
        raise Refusal("tenant.unknown", f"There is no tenant '{row.tenant_id}'.")
    if not store.add_user(connection, row):
        raise Refusal(
            "user.exists", f"The tenant has a user '{row.user_name}' already.", advice="Choose another name."
        )


def _remove(connection: Connection, tenant_id: str, user_name: str, now: int) -> list[str]:
    row = demand_user(connection, tenant_id, user_name)
    revoked = store.revoke_keys_of_user(connection, row.user_id, now)
    store.remove_user(connection, row.user_id)
    return revoked
