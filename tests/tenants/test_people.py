from __future__ import annotations

import asyncio
import importlib
import re

import pytest

from holdfast.tenants import store
from holdfast.tenants.people import People, Tenant
from holdfast.tenants.store import TenantRow
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal


async def test_a_new_tenant_is_found_by_id_and_by_name(people: People, clock: Clock) -> None:
    made = await people.create("Kelp & Sons")
    assert made == Tenant(made.tenant_id, "Kelp & Sons", clock.now(), f"{made.tenant_id}@tenants.invalid")
    assert made.tenant_id.startswith("t-")
    assert len(made.tenant_id) == 18
    assert await people.find(made.tenant_id) == made
    assert await people.find_named("  Kelp & Sons ") == made


async def test_a_name_belongs_to_one_tenant_however_it_is_spelled_in_unicode(people: People) -> None:
    await people.create("Caf\u00e9")
    with pytest.raises(Refusal) as refused:
        await people.create("Cafe\u0301")
    assert refused.value.code == "tenant.exists"


async def test_of_many_who_ask_for_one_name_at_once_one_gets_it(people: People) -> None:
    outcomes = await asyncio.gather(*(people.create("Kelp") for _ in range(8)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
    assert [refusal.code for refusal in refused] == ["tenant.exists"] * 7
    (made,) = [outcome for outcome in outcomes if isinstance(outcome, Tenant)]
    assert (await people.page()).tenants == [made]


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "a\x00b", "x" * 101])
async def test_a_name_that_is_no_name_is_refused(people: People, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        await people.create(name)
    assert refused.value.code == "request.invalid"


async def test_an_unknown_tenant_is_refused(people: People) -> None:
    for find in (people.find("t-nobody"), people.find_named("nobody")):
        with pytest.raises(Refusal) as refused:
            await find
        assert refused.value.code == "tenant.unknown"


async def test_tenants_are_listed_by_id_page_by_page(people: People) -> None:
    made = [await people.create(f"tenant {number}") for number in range(5)]
    seen, after, pages = [], None, 0
    while True:
        page = await people.page(after=after, limit=2)
        seen += page.tenants
        pages += 1
        after = page.after
        if after is None:
            break
    assert (seen, pages) == (sorted(made), 3)


async def test_the_house_is_a_tenant_that_nobody_sees_or_makes(people: People) -> None:
    alice = await people.create("alice")
    house = await people.house()
    assert await people.house() == house
    assert await people.find(house.tenant_id) == house
    assert (await people.page()).tenants == [alice]
    with pytest.raises(Refusal, match="taken"):
        await people.create(house.display_name)


async def test_a_tenant_has_the_names_that_s3_knows_it_by(people: People) -> None:
    made = await people.create("Kelp", email=" Storage@Kelp.example ")
    other = await people.create("other")
    assert re.fullmatch("[0-9a-f]{64}", made.canonical_id)
    assert re.fullmatch("[1-9][0-9]{11}", made.account)
    assert (made.email, other.email) == ("storage@kelp.example", f"{other.tenant_id}@tenants.invalid")
    assert {made.canonical_id, made.account}.isdisjoint({other.canonical_id, other.account})
    assert await people.with_canonical_id(made.canonical_id) == made
    assert await people.with_account(made.account) == made
    assert await people.with_email("STORAGE@kelp.example") == [made]
    assert await people.remembered(made.tenant_id) == made
    assert await people.with_canonical_id("0" * 64) is None
    assert (await people.with_account("000000000000"), await people.with_account("1")) == (None, None)
    assert (await people.with_email(""), await people.with_email("a@b.example")) == ([], [])


async def test_an_address_may_be_that_of_several_tenants(people: People) -> None:
    made = [await people.create(name, email="a@b.example") for name in ("one", "two", "three")]
    found = await people.with_email("a@b.example")
    assert len(found) == 2
    assert set(found) < set(made)


@pytest.mark.parametrize(
    "email", ["a", "@b", "a@", "a b@c.example", "a@b\nc", "<a@b.example>", "x" * 250 + "@b.ex"]
)
async def test_an_address_that_is_none_is_refused(people: People, email: str) -> None:
    with pytest.raises(Refusal) as refused:
        await people.create("Kelp", email=email)
    assert refused.value.code == "request.invalid"


async def test_tenants_made_before_have_the_same_names_after_an_upgrade(
    people: People, database: Database
) -> None:
    migration = importlib.import_module("holdfast.world.migrations.versions.0006_users")
    made = await people.create("Kelp")
    assert migration.canonical_id(made.tenant_id) == made.canonical_id
    assert migration.account(made.tenant_id) == made.account
    # As the release before this one would have stored it, while the two run side by side.
    row = TenantRow("t-before", "before", 1, None, None, "")
    await database.transact(store.add_tenant, row)
    assert (await people.find_named("before")).account == migration.account("t-before")
