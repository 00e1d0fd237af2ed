"""`holdfast admin tenant` and `holdfast admin user`: who uses the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.app.cli.admin_rooms import date_text, json_option, print_facts, print_rows, with_rooms
from holdfast.app.cli.coordinator import coordinator_home

if TYPE_CHECKING:
    from holdfast.app.rooms import Rooms
    from holdfast.tenants.people import Tenant


@click.group()
def tenant() -> None:
    """Tenants: who pays, and owns buckets.

    \b
    Examples:
      holdfast admin tenant create acme --email storage@acme.example
      holdfast admin tenant list
      holdfast admin tenant show acme --json
    """


@tenant.command("create")
@click.argument("name")
@click.option("--email", default="", help="An address; S3 grants may name the tenant by it.")
@click.option("--key/--no-key", "with_key", default=True, help="Make a first access key (the default).")
@coordinator_home
@json_option
def tenant_create(name: str, email: str, with_key: bool, home: Path, as_json: bool) -> None:
    """Make a tenant and its first access key. The secret is shown this once.

    A name that is taken is refused, and nothing is changed.

    \b
    Examples:
      holdfast admin tenant create acme
      holdfast admin tenant create acme --email storage@acme.example --json
      holdfast admin tenant create acme --no-key
    """

    async def work(rooms: Rooms) -> dict[str, Any]:
        made = await rooms.people.create(name, email=email)
        facts = _facts(made)
        if with_key:
            key = await rooms.keys.create_access_key(made.tenant_id, label="first")
            facts |= {"access_key": key.access_key, "secret_key": key.secret}
        return facts

    print_facts(with_rooms(home, work), as_json=as_json)


def _facts(known: Tenant) -> dict[str, Any]:
    """The tenant's names: its own, S3's, and its root's as policies have it."""
    return {
        "tenant_id": known.tenant_id,
        "display_name": known.display_name,
        "email": known.email,
        "canonical_id": known.canonical_id,
        "account": known.account,
        "user_id": known.canonical_id,
        "arn": f"arn:aws:iam::{known.account}:root",
    }


@tenant.command("show")
@click.argument("name")
@coordinator_home
@json_option
def tenant_show(name: str, home: Path, as_json: bool) -> None:
    """Show the names of a tenant, those that S3 has for it among them.

    \b
    Examples:
      holdfast admin tenant show acme
      holdfast admin tenant show acme --json
    """

    async def work(rooms: Rooms) -> dict[str, Any]:
        return _facts(await rooms.people.find_named(name))

    print_facts(with_rooms(home, work), as_json=as_json)


@tenant.command("list")
@coordinator_home
@json_option
def tenant_list(home: Path, as_json: bool) -> None:
    """List the tenants.

    \b
    Examples:
      holdfast admin tenant list
      holdfast admin tenant list --json
    """

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = await rooms.people.page(after=after)
            found += [
                {
                    "tenant_id": known.tenant_id,
                    "display_name": known.display_name,
                    "account": known.account,
                    "email": known.email,
                    "created": date_text(known.created),
                }
                for known in page.tenants
            ]
            if (after := page.after) is None:
                return found

    print_rows(with_rooms(home, work), as_json=as_json)


@click.group()
def user() -> None:
    """Users of a tenant: names for people and programs, so that bucket policies can tell them apart.

    A user acts for its tenant, as far as its access keys and the bucket's policy let it.

    \b
    Examples:
      holdfast admin user create acme reporting
      holdfast admin key create acme --user reporting --action s3:GetObject
      holdfast admin user list acme
    """


@user.command("create")
@click.argument("tenant_name")
@click.argument("name")
@coordinator_home
@json_option
def user_create(tenant_name: str, name: str, home: Path, as_json: bool) -> None:
    """Make a user of a tenant; it gets access keys with `holdfast admin key create --user`.

    \b
    Examples:
      holdfast admin user create acme reporting
      holdfast admin user create acme reporting --json
    """

    async def work(rooms: Rooms) -> dict[str, Any]:
        found = await rooms.people.find_named(tenant_name)
        made = await rooms.users.create(found.tenant_id, name)
        return {
            "tenant_id": found.tenant_id,
            "user_id": made.user_id,
            "user_name": made.user_name,
            "arn": _user_arn(found, made.user_name),
        }

    print_facts(with_rooms(home, work), as_json=as_json)


def _user_arn(owner: Tenant, user_name: str) -> str:
    return f"arn:aws:iam::{owner.account}:user/{user_name}"


@user.command("list")
@click.argument("tenant_name")
@coordinator_home
@json_option
def user_list(tenant_name: str, home: Path, as_json: bool) -> None:
    """List a tenant's users.

    \b
    Examples:
      holdfast admin user list acme
      holdfast admin user list acme --json
    """

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        found = await rooms.people.find_named(tenant_name)
        rows: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = await rooms.users.page(found.tenant_id, after=after)
            rows += [
                {
                    "user_id": known.user_id,
                    "user_name": known.user_name,
                    "arn": _user_arn(found, known.user_name),
                    "created": date_text(known.created),
                }
                for known in page.users
            ]
            if (after := page.after) is None:
                return rows

    print_rows(with_rooms(home, work), as_json=as_json)


@user.command("remove")
@click.argument("tenant_name")
@click.argument("name")
@coordinator_home
@json_option
def user_remove(tenant_name: str, name: str, home: Path, as_json: bool) -> None:
    """Remove a user; its access keys are worthless within half a minute. What it stored stays.

    \b
    Examples:
      holdfast admin user remove acme reporting
      holdfast admin user remove acme reporting --json
    """

    async def work(rooms: Rooms) -> list[str]:
        found = await rooms.people.find_named(tenant_name)
        revoked = await rooms.users.remove(found.tenant_id, name)
        rooms.keys.forget(revoked)
        return revoked

    revoked = with_rooms(home, work)
    if as_json:
        print_facts({"user_name": name, "revoked": revoked}, as_json=True)
    else:
        click.echo(f"Removed {name}, and revoked {len(revoked)} access keys.")
