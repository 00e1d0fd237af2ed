from __future__ import annotations

import asyncio

import pytest

from holdfast.tenants.people import People, Tenant
from holdfast.world.clock import Clock
from holdfast.world.errors import Refusal


async def test_a_new_tenant_is_found_by_id_and_by_name(people: People, clock: Clock) -> None:
    made = await people.create("Kelp & Sons")
    assert made == Tenant(made.tenant_id, "Kelp & Sons", clock.now())
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
