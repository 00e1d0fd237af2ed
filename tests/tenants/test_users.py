from __future__ import annotations

import asyncio

import pytest

from holdfast.tenants.keys import Keys
from holdfast.tenants.people import People
from holdfast.tenants.users import User, Users
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal


@pytest.fixture
def users(database: Database, clock: Clock, chance: Chance) -> Users:
    return Users(database, clock, chance)


def code(refused: pytest.ExceptionInfo[Refusal]) -> str:
    return refused.value.code


async def test_a_user_signs_with_keys_of_its_own_for_its_tenant(
    users: Users, keys: Keys, tenant: str, clock: Clock
) -> None:
    joe = await users.create(tenant, "joe")
    assert joe == User(joe.user_id, tenant, "joe", clock.now())
    assert (joe.user_id[:4], len(joe.user_id)) == ("AIDA", 20)
    made = await keys.create_access_key(tenant, user_name="joe")
    root = await keys.create_access_key(tenant)
    identity = (await keys.secret_of(made.access_key)).identity
    assert (identity.tenant_id, identity.user_name, identity.user_id) == (tenant, "joe", joe.user_id)
    assert identity.arn == f"arn:aws:iam::{identity.account}:user/joe"
    of_root = (await keys.secret_of(root.access_key)).identity
    assert (of_root.user_name, of_root.arn) == ("", f"arn:aws:iam::{identity.account}:root")
    listed = {key.access_key: key.user_id for key in (await keys.access_keys(tenant)).access_keys}
    assert listed == {made.access_key: joe.user_id, root.access_key: ""}


async def test_a_removed_user_signs_no_more_and_its_name_is_free(
    users: Users, keys: Keys, tenant: str
) -> None:
    first = await users.create(tenant, "joe")
    made = [(await keys.create_access_key(tenant, user_name="joe")).access_key for _ in range(2)]
    await keys.revoke_access_key(tenant, made[0])
    await keys.secret_of(made[1])
    revoked = await users.remove(tenant, "joe")
    keys.forget(revoked)
    assert revoked == [made[1]]
    with pytest.raises(Refusal) as refused:
        await keys.secret_of(made[1])
    assert code(refused) == "access.unknown"
    second = await users.create(tenant, "joe")
    assert second.user_id != first.user_id
    assert (await users.page(tenant)).users == [second]


async def test_users_of_two_tenants_may_have_one_name(users: Users, people: People, tenant: str) -> None:
    other = (await people.create("other")).tenant_id
    made = [await users.create(owner, "joe") for owner in (tenant, other)]
    with pytest.raises(Refusal) as refused:
        await users.create(tenant, "joe")
    assert code(refused) == "user.exists"
    await users.remove(other, "joe")
    assert (await users.page(tenant)).users == [made[0]]


async def test_of_many_who_make_one_user_at_once_one_does(users: Users, tenant: str) -> None:
    outcomes = await asyncio.gather(*(users.create(tenant, "joe") for _ in range(6)), return_exceptions=True)
    refused = [outcome.code for outcome in outcomes if isinstance(outcome, Refusal)]
    assert (refused, len((await users.page(tenant)).users)) == (["user.exists"] * 5, 1)


async def test_users_are_listed_by_name_page_by_page(users: Users, tenant: str) -> None:
    for name in ("joe", "ann", "Zoe"):
        await users.create(tenant, name)
    first = await users.page(tenant, limit=2)
    rest = await users.page(tenant, limit=2, after=first.after)
    assert [user.user_name for user in first.users + rest.users] == ["Zoe", "ann", "joe"]
    assert rest.after is None


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ü", "a\n", "*", "x" * 65])
async def test_a_user_s_name_is_one_that_policies_can_say(users: Users, tenant: str, name: str) -> None:
    with pytest.raises(Refusal) as refused:
        await users.create(tenant, name)
    assert code(refused) == "request.invalid"


async def test_what_is_not_there_is_refused(users: Users, keys: Keys, tenant: str) -> None:
    for attempt, expected in (
        (users.create("t-nobody", "joe"), "tenant.unknown"),
        (users.remove(tenant, "joe"), "user.unknown"),
        (keys.create_access_key(tenant, user_name="joe"), "user.unknown"),
    ):
        with pytest.raises(Refusal) as refused:
            await attempt
        assert code(refused) == expected


async def test_an_adopted_key_stays_whose_it_was(users: Users, keys: Keys, tenant: str) -> None:
    await users.create(tenant, "joe")
    for _ in range(2):
        await keys.adopt_access_key(tenant, "AKIDEXAMPLE", "secret-secret", user_name="joe")
    with pytest.raises(Refusal) as refused:
        await keys.adopt_access_key(tenant, "AKIDEXAMPLE", "secret-secret")
    assert code(refused) == "request.invalid"
