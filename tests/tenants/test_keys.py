from __future__ import annotations

import asyncio

import pytest
from tests.tenants.stand_in import MASTER, Time

from holdfast.chunks.keys import TenantKey
from holdfast.tenants.identity import Identity
from holdfast.tenants.keys import REMEMBER_SECONDS, Keys, ManagedKey, Signer
from holdfast.tenants.master import Master
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.tenants.people import People
from holdfast.tenants.permits import Permit
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble

FIRST, SECOND = b"firstkey", b"otherkey"


def code(refused: pytest.ExceptionInfo[Refusal]) -> str:
    return refused.value.code


async def test_an_access_key_signs_for_its_tenant_until_it_is_revoked(keys: Keys, tenant: str) -> None:
    made = await keys.create_access_key(tenant, label="laptop")
    assert (len(made.access_key), len(made.secret)) == (20, 40)
    identity = Identity(
        tenant_id=tenant,
        canonical_id=canonical_id_of(tenant),
        account=account_of(tenant),
        display_name="Kelp & Sons",
        email=f"{tenant}@tenants.invalid",
        access_key=made.access_key,
    )
    assert await keys.secret_of(made.access_key) == Signer(identity, made.secret)
    await keys.revoke_access_key(tenant, made.access_key)
    with pytest.raises(Refusal) as refused:
        await keys.secret_of(made.access_key)
    assert code(refused) == "access.unknown"


async def test_a_key_revoked_elsewhere_is_forgotten_here_within_its_time(
    keys: Keys, tenant: str, database: Database, clock: Clock, chance: Chance, time: Time
) -> None:
    made = await keys.create_access_key(tenant)
    await keys.secret_of(made.access_key)
    await Keys(database, MASTER, clock, chance).revoke_access_key(tenant, made.access_key)
    time.seconds = REMEMBER_SECONDS
    with pytest.raises(Refusal) as refused:
        await keys.secret_of(made.access_key)
    assert code(refused) == "access.unknown"


async def test_an_expired_key_signs_nothing_though_it_is_remembered(
    keys: Keys, tenant: str, clock: Clock, time: Time
) -> None:
    made = await keys.create_access_key(tenant, permit=Permit(expires=clock.now() + 5_000_000))
    await keys.secret_of(made.access_key)
    time.seconds = 5.0
    with pytest.raises(Refusal, match="expired") as refused:
        await keys.secret_of(made.access_key)
    assert code(refused) == "access.denied"


async def test_access_keys_are_listed_without_secrets_page_by_page(
    keys: Keys, tenant: str, clock: Clock
) -> None:
    permit = Permit(actions=("object.read",))
    names = sorted([(await keys.create_access_key(tenant, permit=permit)).access_key for _ in range(3)])
    await keys.revoke_access_key(tenant, names[1])
    first = await keys.access_keys(tenant, limit=2)
    rest = await keys.access_keys(tenant, limit=2, after=first.after)
    listed = first.access_keys + rest.access_keys
    assert [(key.access_key, key.revoked, key.permit) for key in listed] == [
        (names[0], None, permit),
        (names[1], clock.now(), permit),
        (names[2], None, permit),
    ]
    assert rest.after is None
    assert (await keys.access_keys("t-nobody")).access_keys == []


async def test_a_tenant_cannot_revoke_the_key_of_another(keys: Keys, people: People, tenant: str) -> None:
    other = (await people.create("other")).tenant_id
    made = await keys.create_access_key(tenant)
    with pytest.raises(Refusal) as refused:
        await keys.revoke_access_key(other, made.access_key)
    assert code(refused) == "access.unknown"
    assert (await keys.secret_of(made.access_key)).tenant_id == tenant


async def test_an_access_key_made_elsewhere_is_adopted_once(keys: Keys, people: People, tenant: str) -> None:
    other = (await people.create("other")).tenant_id
    for _ in range(2):
        await keys.adopt_access_key(tenant, "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG")
    for thief, secret in ((tenant, "another secret"), (other, "wJalrXUtnFEMI/K7MDENG")):
        with pytest.raises(Refusal) as refused:
            await keys.adopt_access_key(thief, "AKIDEXAMPLE", secret)
        assert code(refused) == "request.invalid"
    assert (await keys.secret_of("AKIDEXAMPLE")).secret == "wJalrXUtnFEMI/K7MDENG"


async def test_keys_are_made_for_known_tenants_only(keys: Keys) -> None:
    for attempt in (
        keys.create_access_key("t-nobody"),
        keys.register_client_key("t-nobody", FIRST),
        keys.managed_key("t-nobody"),
        keys.rotate_managed_key("t-nobody"),
    ):
        with pytest.raises(Refusal) as refused:
            await attempt
        assert code(refused) == "tenant.unknown"


async def test_secrets_show_in_no_repr_and_lie_in_no_table(
    keys: Keys, tenant: str, database: Database
) -> None:
    made = await keys.create_access_key(tenant)
    signer, managed = await keys.secret_of(made.access_key), await keys.managed_key(tenant)
    shown = repr([made, signer, managed, keys, MASTER, TenantKey(managed.secret, mode="gateway")])
    assert made.secret not in shown
    assert repr(managed.secret) not in shown

    def everything(connection: object) -> bytes:
        from sqlalchemy import select

        from holdfast.tenants import store

        rows = [connection.execute(select(table)).all() for table in store.metadata.sorted_tables]
        return b"".join(
            cell if isinstance(cell, bytes) else str(cell).encode()
            for table in rows
            for row in table
            for cell in row
        )

    stored = await database.read(everything)
    assert made.access_key.encode() in stored
    assert made.secret.encode() not in stored
    assert managed.secret not in stored


# --- client keys -----------------------------------------------------------------------------------------


async def test_the_first_client_key_is_taken_and_another_one_only_expressly(keys: Keys, tenant: str) -> None:
    await keys.register_client_key(tenant, FIRST)
    await keys.register_client_key(tenant, FIRST)
    with pytest.raises(Refusal) as refused:
        await keys.register_client_key(tenant, SECOND)
    assert code(refused) == "key.mismatch"
    assert FIRST.hex() in refused.value.message
    await keys.register_client_key(tenant, SECOND, add=True)
    await keys.register_client_key(tenant, SECOND)
    assert {key.key_id for key in await keys.client_keys(tenant)} == {FIRST, SECOND}


async def test_of_two_first_client_keys_at_once_one_is_taken(keys: Keys, tenant: str) -> None:
    outcomes = await asyncio.gather(
        *(keys.register_client_key(tenant, key_id) for key_id in (FIRST, SECOND)), return_exceptions=True
    )
    assert [outcome.code for outcome in outcomes if isinstance(outcome, Refusal)] == ["key.mismatch"]
    assert len(await keys.client_keys(tenant)) == 1


async def test_the_same_client_key_from_many_at_once_is_one_key(keys: Keys, tenant: str) -> None:
    await asyncio.gather(*(keys.register_client_key(tenant, FIRST) for _ in range(8)))
    assert [key.key_id for key in await keys.client_keys(tenant)] == [FIRST]


async def test_a_client_key_id_is_eight_bytes(keys: Keys, tenant: str) -> None:
    with pytest.raises(Refusal) as refused:
        await keys.register_client_key(tenant, b"short")
    assert code(refused) == "request.invalid"


# --- managed keys ----------------------------------------------------------------------------------------


async def test_a_managed_key_stays_the_same_and_names_itself_as_a_tenant_key_does(
    keys: Keys, tenant: str, database: Database, clock: Clock, chance: Chance
) -> None:
    key_id, secret = await keys.managed_key(tenant)
    assert TenantKey(secret, mode="gateway").key_id == key_id
    assert await keys.managed_key(tenant) == (key_id, secret)
    assert await Keys(database, MASTER, clock, chance).managed_key(tenant) == (key_id, secret)


async def test_everyone_who_asks_first_at_once_gets_the_same_managed_key(keys: Keys, tenant: str) -> None:
    got = await asyncio.gather(*(keys.managed_key(tenant) for _ in range(8)))
    assert len(set(got)) == 1


async def test_a_rotated_key_is_current_and_older_ones_are_found_by_id(keys: Keys, tenant: str) -> None:
    old = await keys.managed_key(tenant)
    new = await keys.rotate_managed_key(tenant)
    assert old != new
    assert await keys.managed_key(tenant) == new
    assert [await keys.managed_key_by_id(tenant, key.key_id) for key in (old, new)] == [old, new]
    assert isinstance(old, ManagedKey)


async def test_rotations_at_once_all_count(keys: Keys, tenant: str) -> None:
    made = await asyncio.gather(*(keys.rotate_managed_key(tenant) for _ in range(4)))
    assert len(set(made)) == 4
    assert await keys.managed_key(tenant) in made


async def test_a_managed_key_of_another_tenant_is_unknown(keys: Keys, people: People, tenant: str) -> None:
    other = (await people.create("other")).tenant_id
    key = await keys.managed_key(tenant)
    with pytest.raises(Refusal) as refused:
        await keys.managed_key_by_id(other, key.key_id)
    assert code(refused) == "key.unknown"


# --- the master key --------------------------------------------------------------------------------------


async def test_after_rewrapping_the_old_master_key_opens_nothing_and_is_not_needed(
    keys: Keys, tenant: str, database: Database, clock: Clock, chance: Chance
) -> None:
    access = [await keys.create_access_key(tenant) for _ in range(3)]
    managed = [await keys.managed_key(tenant), await keys.rotate_managed_key(tenant)]
    both = Master({"m1": b"1" * 32, "m2": b"2" * 32}, "m2")
    assert await keys.rewrap_all(both) == 5
    assert await keys.rewrap_all(both) == 0
    assert await keys.used_master_ids() == ["m2"]
    fresh = Keys(database, Master({"m2": b"2" * 32}, "m2"), clock, chance)
    assert [(await fresh.secret_of(key.access_key)).secret for key in access] == [
        key.secret for key in access
    ]
    assert [await fresh.managed_key_by_id(tenant, key.key_id) for key in managed] == managed
    old = Keys(database, MASTER, clock, chance)
    with pytest.raises(Trouble, match="'m2', which is not at hand"):
        await old.managed_key(tenant)


async def test_a_wrapped_secret_moved_to_another_row_does_not_open(
    keys: Keys, tenant: str, database: Database, clock: Clock, chance: Chance
) -> None:
    from sqlalchemy import Connection, update

    from holdfast.tenants import store

    mine, theirs = await keys.create_access_key(tenant), await keys.create_access_key(tenant)

    def move(connection: Connection) -> None:
        row = store.find_access_key(connection, theirs.access_key)
        rows = store.access_keys
        connection.execute(update(rows).where(rows.c.access_key == mine.access_key).values(secret=row.secret))

    await database.transact(move)
    with pytest.raises(Trouble, match="does not open"):
        await Keys(database, MASTER, clock, chance).secret_of(mine.access_key)
