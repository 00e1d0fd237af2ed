"""Tenants: made once, found by id or by one of their names, listed in pages."""

from __future__ import annotations

import base64
import unicodedata
from typing import Final, NamedTuple

from sqlalchemy import Connection

from holdfast.tenants import store
from holdfast.tenants.names import ACCOUNT_DIGITS, account_of, canonical_id_of
from holdfast.tenants.remembered import Remembered
from holdfast.tenants.store import TenantRow
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

HOUSE: Final = "Holdfast packs"
"""The name of the tenant that is nobody: what is kept for all tenants together belongs to it."""
NAME_CHARACTERS_MAX: Final = 100
EMAIL_CHARACTERS_MAX: Final = 254
PAGE_MAX: Final = 1000
REMEMBER_TENANTS_MAX: Final = 4096
REMEMBER_SECONDS: Final = 30

_ID_RANDOM_BYTES: Final = 10
_NOWHERE: Final = "tenants.invalid"
_DRAWS_MAX: Final = 10


class Tenant(NamedTuple):
    """Who pays and owns buckets. `created` in microseconds since the epoch; `email` may be empty."""

    tenant_id: str
    display_name: str
    created: int
    email: str = ""

    @property
    def canonical_id(self) -> str:
        """What access control lists call it."""
        return canonical_id_of(self.tenant_id)

    @property
    def account(self) -> str:
        """What policies call it."""
        return account_of(self.tenant_id)


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
        self._known: Remembered[str, Tenant] = Remembered(REMEMBER_TENANTS_MAX, REMEMBER_SECONDS, clock)

    async def create(self, display_name: str, *, email: str = "") -> Tenant:
        """A new tenant under a name nobody has.

        Without an `email` it gets one that no mail reaches: S3's access control lists may name it by that.

        Raises:
            Refusal: "tenant.exists", or "request.invalid" for a name that is empty, too long or not text, or
                for an address that is none.
        """
        name = _clean_name(display_name)
        if name == HOUSE:
            raise _taken(name)
        return await self._add(name, _clean_email(email))

    async def house(self) -> Tenant:
        """The tenant that is nobody, made when it is first asked for. No listing shows it."""
        row = await self._database.read(store.find_tenant_named, HOUSE)
        if row is not None:
            return _tenant(row)
        try:
            return await self._add(HOUSE, "")
        except Refusal:
            # Another process was faster.
            return await self.find_named(HOUSE)

    async def _add(self, name: str, address: str) -> Tenant:
        for _ in range(_DRAWS_MAX):
            tenant_id = "t-" + base64.b32encode(self._chance.bytes(_ID_RANDOM_BYTES)).decode().lower()
            row = TenantRow(
                tenant_id,
                name,
                self._clock.now(),
                canonical_id_of(tenant_id),
                account_of(tenant_id),
                address or f"{tenant_id}@{_NOWHERE}",
            )
            if await self._database.transact(_create, row):
                return _tenant(row)
        raise AssertionError("nearly every account number is taken")

    async def find(self, tenant_id: str) -> Tenant:
        """The tenant of this id; raises Refusal("tenant.unknown")."""
        row = await self._database.read(store.find_tenant, tenant_id)
        if row is None:
            raise Refusal("tenant.unknown", f"There is no tenant '{tenant_id}'.")
        return _tenant(row)

    async def remembered(self, tenant_id: str) -> Tenant:
        """As `find`, mostly without asking the database: no older than `REMEMBER_SECONDS`."""
        found = self._known.recall(tenant_id)
        if found is None:
            turn = self._known.turn
            found = await self.find(tenant_id)
            self._known.keep(tenant_id, found, turn)
        return found

    async def find_named(self, display_name: str) -> Tenant:
        """The tenant of this name; raises Refusal("tenant.unknown")."""
        row = await self._database.read(store.find_tenant_named, _clean_name(display_name))
        if row is None:
            raise Refusal("tenant.unknown", f"There is no tenant named '{display_name}'.")
        return _tenant(row)

    async def with_canonical_id(self, canonical_id: str) -> Tenant | None:
        """The tenant whom access control lists call so."""
        row = await self._database.read(store.find_tenant_by_canonical_id, canonical_id)
        return None if row is None else _tenant(row)

    async def with_account(self, account: str) -> Tenant | None:
        """The tenant whom policies call so."""
        if len(account) != ACCOUNT_DIGITS:
            return None
        row = await self._database.read(store.find_tenant_by_account, account)
        return None if row is None else _tenant(row)

    async def with_email(self, email: str) -> list[Tenant]:
        """The tenants with this address; more than one cannot be told apart by it."""
        address = email.strip().lower()
        if not address:
            return []
        rows = await self._database.read(store.list_tenants_by_email, address, 2)
        return [_tenant(row) for row in rows]

    async def page(self, *, after: str | None = None, limit: int = PAGE_MAX) -> TenantPage:
        """Tenants by id, from beyond `after`; not the house's own."""
        limit = max(1, min(limit, PAGE_MAX))
        rows = await self._database.read(store.list_tenants, after or "", limit + 1, HOUSE)
        tenants = [_tenant(row) for row in rows[:limit]]
        return TenantPage(tenants, tenants[-1].tenant_id if len(rows) > limit else None)


def _tenant(row: TenantRow) -> Tenant:
    return Tenant(row.tenant_id, row.display_name, row.created, row.email)


def _create(connection: Connection, row: TenantRow) -> bool:
    """Whether it was stored; not, if the number of its account is taken."""
    if store.find_tenant_named(connection, row.display_name) is not None:
        raise _taken(row.display_name)
    return store.add_tenant(connection, row)


def _taken(name: str) -> Refusal:
    return Refusal("tenant.exists", f"The name '{name}' is taken.", advice="Choose another name.")


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


def _clean_email(email: str) -> str:
    """The address in lower case, or nothing."""
    address = email.strip().lower()
    if not address:
        return ""
    name, at, domain = address.rpartition("@")
    good = address.isascii() and address.isprintable() and not set(' ,;"<>') & set(address)
    if not (name and at and domain and good) or len(address) > EMAIL_CHARACTERS_MAX:
        raise Refusal("request.invalid", f"'{email[:80]}' is no e-mail address.")
    return address
