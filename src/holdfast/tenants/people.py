"""Tenants: made once, found by id or by name, listed in pages."""

from __future__ import annotations

import base64
import unicodedata
from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.tenants import store
from holdfast.tenants.store import TenantRow
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

NAME_CHARACTERS_MAX = 100
PAGE_MAX = 1000

_ID_RANDOM_BYTES = 10


class Tenant(NamedTuple):
    """Who pays and owns buckets. `created` in microseconds since the epoch."""

    tenant_id: str
    display_name: str
    created: int


class TenantPage(NamedTuple):
    """One page of tenants by id; ask again with `after` to go on, None when this was the last."""

    tenants: list[Tenant]
    after: str | None


class People:
    """The tenants of this coordinator."""

    def __init__(self, database: Database, clock: Clock, chance: Chance) -> None:
        self._database = database
        self._clock = clock
        self._chance = chance

    async def create(self, display_name: str) -> Tenant:
        """A new tenant under a name nobody has.

        Raises:
            Refusal: "tenant.exists", or "request.invalid" for a name that is empty, too long or not text.
        """
        name = _clean_name(display_name)
        tenant_id = "t-" + base64.b32encode(self._chance.bytes(_ID_RANDOM_BYTES)).decode().lower()
        row = TenantRow(tenant_id, name, self._clock.now())
        await self._database.transact(_create, row)
        return Tenant(*row)

    async def find(self, tenant_id: str) -> Tenant:
        """The tenant of this id; raises Refusal("tenant.unknown")."""
        row = await self._database.read(store.find_tenant, tenant_id)
        if row is None:
            raise Refusal("tenant.unknown", f"There is no tenant '{tenant_id}'.")
        return Tenant(*row)

    async def find_named(self, display_name: str) -> Tenant:
        """The tenant of this name; raises Refusal("tenant.unknown")."""
        row = await self._database.read(store.find_tenant_named, _clean_name(display_name))
        if row is None:
            raise Refusal("tenant.unknown", f"There is no tenant named '{display_name}'.")
        return Tenant(*row)

    async def page(self, *, after: str | None = None, limit: int = PAGE_MAX) -> TenantPage:
        """Tenants by id, from beyond `after`."""
        limit = max(1, min(limit, PAGE_MAX))
        rows = await self._database.read(store.list_tenants, after or "", limit + 1)
        tenants = [Tenant(*row) for row in rows[:limit]]
        return TenantPage(tenants, tenants[-1].tenant_id if len(rows) > limit else None)


def _create(connection: Connection, row: TenantRow) -> None:
    if not store.add_tenant(connection, row):
        raise Refusal(
            "tenant.exists", f"The name '{row.display_name}' is taken.", advice="Choose another name."
        )


def _clean_name(display_name: str) -> str:
    """The name in one spelling: NFC, no blanks around it, no control characters."""
    name = unicodedata.normalize("NFC", display_name).strip()
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        raise Refusal(
            "request.invalid",
            "A tenant's name is 1 to 100 printable characters.",
            advice="Choose another name.",
        )
    return name
