"""The keys of tenants: access keys that sign requests, ids of client keys, and managed keys.

The secret of an access key is stored wrapped, not hashed, because checking an AWS Signature Version 4 needs
it back. Unwrapped secrets live only in a bounded memory, for `REMEMBER_SECONDS` at most: so long may a key
that was revoked by *another* process still sign here; one revoked by this process is forgotten at once.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection

from holdfast.chunks.keys import TenantKey
from holdfast.tenants import store
from holdfast.tenants.identity import Identity
from holdfast.tenants.master import Master
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.tenants.permits import Permit, checked, decode_permit, encode_permit
from holdfast.tenants.remembered import Remembered
from holdfast.tenants.store import AccessKeyRow, ClientKeyRow, KeyHolder, ManagedKeyRow
from holdfast.tenants.users import demand_user
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

MANAGED_KEY_BYTES = 32
KEY_ID_BYTES = 8
CLIENT_KEYS_MAX = 100
PAGE_MAX = 1000
REMEMBER_SECONDS = 30
REMEMBER_KEYS_MAX = 4096
REWRAP_PAGE = 200

_ACCESS_KEY_HEAD = "AKHF"
_ACCESS_KEY_RANDOM_BYTES = 10
_SECRET_RANDOM_BYTES = 30


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs with an access key, what it may do, and its secret (never in a repr)."""

    identity: Identity
    secret: str = field(repr=False)

    @property
    def access_key(self) -> str:
        """The access key."""
        return self.identity.access_key

    @property
    def tenant_id(self) -> str:
        """Whose it is."""
        return self.identity.tenant_id

    @property
    def permit(self) -> Permit:
        """What it may do."""
        return self.identity.permit


@dataclass(frozen=True, slots=True)
class NewAccessKey:
    """An access key as its maker sees it, this once: the secret is never told again."""

    access_key: str
    tenant_id: str
    secret: str = field(repr=False)


class AccessKey(NamedTuple):
    """An access key without its secret. Times in microseconds; `revoked` is None while it is good.

    `user_id` is empty for a key of the tenant's root.
    """

    access_key: str
    tenant_id: str
    label: str
    permit: Permit
    created: int
    revoked: int | None
    user_id: str = ""


class AccessKeyPage(NamedTuple):
    """One page of a tenant's access keys; ask again with `after` to go on, None when this was the last."""

    access_keys: list[AccessKey]
    after: str | None


class ClientKey(NamedTuple):
    """The id of a key that only the tenant holds."""

    key_id: bytes
    created: int


class ManagedKey(NamedTuple):
    """A tenant key held by us: the 32 bytes of a `TenantKey` in mode "gateway" (never in a repr), its id."""

    key_id: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"ManagedKey(key_id={self.key_id.hex()})"


class Keys:
    """All keys of all tenants. One per process: it remembers unwrapped secrets for a little while."""

    def __init__(self, database: Database, master: Master, clock: Clock, chance: Chance) -> None:
        self._database = database
        self._master = master
        self._clock = clock
        self._chance = chance
        self._signers: Remembered[str, Signer] = Remembered(REMEMBER_KEYS_MAX, REMEMBER_SECONDS, clock)
        self._managed: Remembered[tuple[str, bytes], ManagedKey] = Remembered(
            REMEMBER_KEYS_MAX, REMEMBER_SECONDS, clock
        )

    # --- access keys -------------------------------------------------------------------------------------

    async def create_access_key(
        self, tenant_id: str, *, label: str = "", permit: Permit | None = None, user_name: str = ""
    ) -> NewAccessKey:
        """A new access key of the tenant's root, or of one of its users; by default it narrows nothing.

        Raises:
            Refusal: "tenant.unknown", "user.unknown", or "request.invalid" for a permit that makes no sense.
        """
        random = base64.b32encode(self._chance.bytes(_ACCESS_KEY_RANDOM_BYTES)).decode()
        secret = base64.b64encode(self._chance.bytes(_SECRET_RANDOM_BYTES), altchars=b"Az").decode()
        return await self.adopt_access_key(
            tenant_id, _ACCESS_KEY_HEAD + random, secret, label=label, permit=permit, user_name=user_name
        )

    async def adopt_access_key(
        self,
        tenant_id: str,
        access_key: str,
        secret: str,
        *,
        label: str = "",
        permit: Permit | None = None,
        user_name: str = "",
    ) -> NewAccessKey:
        """As `create_access_key`, with a name and secret made elsewhere (an import, a settings file).

        The same again is fine; another secret, or another tenant's key, is Refusal("request.invalid").
        """
        stored = AccessKeyRow(
            access_key=access_key,
            tenant_id=tenant_id,
            label=label,
            permit=encode_permit(checked(permit or Permit())),
            master_id=self._master.current,
            secret=self._master.wrap(secret.encode(), _access_context(access_key), self._chance),
            created=self._clock.now(),
            revoked=None,
            user_id="",
        )
        before = await self._database.transact(_adopt, stored, user_name)
        if before is not None and not hmac.compare_digest(self._secret(before).encode(), secret.encode()):
            raise _taken(access_key)
        return NewAccessKey(access_key, tenant_id, secret)

    async def secret_of(self, access_key: str) -> Signer:
        """Who signs with this access key.

        Raises Refusal("access.unknown"), also for a revoked one; "access.denied" for an expired one.
        """
        signer = self._signers.recall(access_key)
        if signer is None:
            turn = self._signers.turn
            holder = await self._database.read(store.find_key_holder, access_key)
            if holder is None or holder.key.revoked is not None:
                raise Refusal(
                    "access.unknown",
                    f"There is no access key '{access_key[:40]}'.",
                    advice="Check the credentials, or make a new access key.",
                )
            signer = self._signer(holder)
            self._signers.keep(access_key, signer, turn)
        expires = signer.identity.permit.expires
        if expires is not None and self._clock.now() >= expires:
            raise Refusal(
                "access.denied",
                "Not permitted: the access key has expired.",
                advice="Use another access key.",
            )
        return signer

    async def access_keys(
        self, tenant_id: str, *, after: str | None = None, limit: int = PAGE_MAX
    ) -> AccessKeyPage:
        """The tenant's access keys by name, from beyond `after`, revoked ones among them; no secrets."""
        limit = max(1, min(limit, PAGE_MAX))
        rows = await self._database.read(store.list_access_keys, tenant_id, after or "", limit + 1)
        page = [
            AccessKey(
                row.access_key,
                row.tenant_id,
                row.label,
                decode_permit(row.permit),
                row.created,
                row.revoked,
                row.user_id,
            )
            for row in rows[:limit]
        ]
        return AccessKeyPage(page, page[-1].access_key if len(rows) > limit else None)

    async def revoke_access_key(self, tenant_id: str, access_key: str) -> None:
        """Ends the tenant's access key; again is fine. Raises Refusal("access.unknown")."""
        done = await self._database.transact(
            store.revoke_access_key, tenant_id, access_key, self._clock.now()
        )
        self._signers.forget(access_key)
        if not done:
            raise Refusal("access.unknown", f"The tenant has no access key '{access_key[:40]}'.")

    def forget(self, access_keys: Iterable[str]) -> None:
        """Drops what is remembered of these access keys: they were revoked, or their users removed."""
        for access_key in access_keys:
            self._signers.forget(access_key)

    def _secret(self, row: AccessKeyRow) -> str:
        return self._master.unwrap(row.master_id, row.secret, _access_context(row.access_key)).decode()

    def _signer(self, holder: KeyHolder) -> Signer:
        row = holder.key
        identity = Identity(
            tenant_id=row.tenant_id,
            canonical_id=canonical_id_of(row.tenant_id),
            account=account_of(row.tenant_id),
            display_name=holder.display_name,
            email=holder.email,
            user_id=row.user_id,
            user_name=holder.user_name,
            access_key=row.access_key,
            permit=decode_permit(row.permit),
        )
        return Signer(identity, self._secret(row))

    # --- client keys -------------------------------------------------------------------------------------

    async def register_client_key(self, tenant_id: str, key_id: bytes, *, add: bool = False) -> None:
        """Notes the id of a key that the tenant seals with. The first is taken, the same again is fine.

        Another one without `add` is most often a mistyped passphrase: Refusal("key.mismatch").
        """
        if len(key_id) != KEY_ID_BYTES:
            raise Refusal("request.invalid", f"A key id is {KEY_ID_BYTES} bytes.")
        row = ClientKeyRow(key_id, self._clock.now())
        await self._database.transact(_register_client_key, tenant_id, row, add=add)

    async def client_keys(self, tenant_id: str) -> list[ClientKey]:
        """The tenant's client keys, oldest first."""
        rows = await self._database.read(store.list_client_keys, tenant_id)
        return [ClientKey(*row) for row in rows]

    # --- managed keys ------------------------------------------------------------------------------------

    async def managed_key(self, tenant_id: str) -> ManagedKey:
        """The key to seal with for the tenant now; made when first asked for. Raises "tenant.unknown"."""
        row = await self._database.read(store.current_managed_key, tenant_id)
        if row is None:
            fresh = self._fresh_managed_key(tenant_id)
            row = await self._database.transact(_first_managed_key, fresh)
        return self._opened(row)

    async def managed_key_by_id(self, tenant_id: str, key_id: bytes) -> ManagedKey:
        """The tenant's managed key of this id, current or older; raises Refusal("key.unknown")."""
        found = self._managed.recall((tenant_id, key_id))
        if found is not None:
            return found
        row = await self._database.read(store.find_managed_key, tenant_id, key_id)
        if row is None:
            raise Refusal("key.unknown", f"There is no managed key {key_id.hex()} of this tenant.")
        return self._opened(row)

    async def rotate_managed_key(self, tenant_id: str) -> ManagedKey:
        """Makes a new current key. What was sealed with older ones keeps opening with them."""
        fresh = self._fresh_managed_key(tenant_id)
        return self._opened(await self._database.transact(_next_managed_key, fresh))

    def _fresh_managed_key(self, tenant_id: str) -> ManagedKeyRow:
        secret = self._chance.bytes(MANAGED_KEY_BYTES)
        key_id = TenantKey(secret, mode="gateway").key_id
        wrapped = self._master.wrap(secret, _managed_context(tenant_id, key_id), self._chance)
        return ManagedKeyRow(tenant_id, 1, key_id, self._master.current, wrapped, self._clock.now())

    def _opened(self, row: ManagedKeyRow) -> ManagedKey:
        found = self._managed.recall((row.tenant_id, row.key_id))
        if found is None:
            context = _managed_context(row.tenant_id, row.key_id)
            found = ManagedKey(row.key_id, self._master.unwrap(row.master_id, row.wrapped, context))
            self._managed.keep((row.tenant_id, row.key_id), found, self._managed.turn)
        return found

    # --- the master key ----------------------------------------------------------------------------------

    async def rewrap_all(self, master: Master) -> int:
        """Wraps every secret anew with `master.current`, page by page, and uses `master` from now on.

        `master` must hold the old master keys too. May be stopped and begun again at any time; secrets are
        readable throughout. Returns how many were rewrapped. Afterwards `used_master_ids` tells which old
        master keys nothing needs any more.
        """
        self._master = master
        count = 0
        while page := await self._database.transact(self._rewrap_page, master):
            count += page
        return count

    async def used_master_ids(self) -> list[str]:
        """The ids of the master keys that something is still wrapped with, sorted."""
        return await self._database.read(store.used_master_ids)

    def _rewrap_page(self, connection: Connection, master: Master) -> int:
        def again(master_id: str, wrapped: bytes, context: bytes) -> bytes:
            return master.wrap(master.unwrap(master_id, wrapped, context), context, self._chance)

        access = [
            row._replace(
                secret=again(row.master_id, row.secret, _access_context(row.access_key)),
                master_id=master.current,
            )
            for row in store.access_keys_not_under(connection, master.current, REWRAP_PAGE)
        ]
        managed = [
            row._replace(
                wrapped=again(row.master_id, row.wrapped, _managed_context(row.tenant_id, row.key_id)),
                master_id=master.current,
            )
            for row in store.managed_keys_not_under(connection, master.current, REWRAP_PAGE)
        ]
        store.rewrap_access_keys(connection, access)
        store.rewrap_managed_keys(connection, managed)
        return len(access) + len(managed)


def _adopt(connection: Connection, row: AccessKeyRow, user_name: str) -> AccessKeyRow | None:
    """The access key that was there before, if it is the same one's and good; else stores the new one."""
    _demand_tenant(connection, row.tenant_id)
    if user_name:
        row = row._replace(user_id=demand_user(connection, row.tenant_id, user_name).user_id)
    if store.add_access_key(connection, row):
        return None
    before = store.find_access_key(connection, row.access_key)
    if (
        before is None
        or (before.tenant_id, before.user_id) != (row.tenant_id, row.user_id)
        or before.revoked is not None
    ):
        raise _taken(row.access_key)
    return before


def _register_client_key(connection: Connection, tenant_id: str, row: ClientKeyRow, *, add: bool) -> None:
    _demand_tenant(connection, tenant_id)
    known = [key.key_id for key in store.list_client_keys(connection, tenant_id)]
    if row.key_id in known:
        return
    if known and not add:
        raise Refusal(
            "key.mismatch",
            f"This tenant seals with the key {known[-1].hex()}, not with {row.key_id.hex()}.",
            advice="Check the passphrase or key file; `holdfast key register --add` adds another.",
        )
    if len(known) >= CLIENT_KEYS_MAX:
        raise Refusal("request.invalid", f"A tenant has at most {CLIENT_KEYS_MAX} client keys.")
    store.add_client_key(connection, tenant_id, row)


def _first_managed_key(connection: Connection, fresh: ManagedKeyRow) -> ManagedKeyRow:
    """The current key, or `fresh` as the first one."""
    current = store.current_managed_key(connection, fresh.tenant_id)
    if current is not None:
        return current
    return _next_managed_key(connection, fresh)


def _next_managed_key(connection: Connection, fresh: ManagedKeyRow) -> ManagedKeyRow:
    _demand_tenant(connection, fresh.tenant_id)
    current = store.current_managed_key(connection, fresh.tenant_id)
    row = fresh._replace(generation=current.generation + 1 if current else 1)
    added = store.add_managed_key(connection, row)
    assert added, "the next generation was read in this transaction, and the key is random"
    return row


def _demand_tenant(connection: Connection, tenant_id: str) -> None:
    if store.find_tenant(connection, tenant_id) is None:
        raise Refusal("tenant.unknown", f"There is no tenant '{tenant_id}'.")


def _taken(access_key: str) -> Refusal:
    return Refusal("request.invalid", f"The access key name '{access_key[:40]}' is taken.")


def _access_context(access_key: str) -> bytes:
    return b"access key\0" + access_key.encode()


def _managed_context(tenant_id: str, key_id: bytes) -> bytes:
    return b"managed key\0" + tenant_id.encode() + b"\0" + key_id
