"""`holdfast admin`: tenants, access keys and invitations, straight in a coordinator's database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.app.cli.admin_fleet import node, upkeep
from holdfast.app.cli.admin_rooms import date_text, json_option, print_facts, print_rows, with_rooms
from holdfast.app.cli.coordinator import coordinator_home
from holdfast.world.clock import MICROSECONDS

if TYPE_CHECKING:
    from holdfast.app.rooms import Rooms
    from holdfast.tenants.keys import AccessKey


@click.group()
def admin() -> None:
    """Manage a coordinator: run it on the coordinator's machine, beside the running coordinator.

    \b
    Examples:
      holdfast admin tenant create acme --json
      holdfast admin key create acme --label backup-server
      holdfast admin invite acme
      holdfast admin node list
      holdfast admin upkeep repair --dry-run
    """


admin.add_command(node)
admin.add_command(upkeep)


@admin.group()
def tenant() -> None:
    """Tenants: who pays, and owns buckets.

    \b
    Examples:
      holdfast admin tenant create acme
      holdfast admin tenant list
    """


@tenant.command("create")
@click.argument("name")
@coordinator_home
@json_option
def tenant_create(name: str, home: Path, as_json: bool) -> None:
    """Make a tenant and its first access key. The secret is shown this once.

    \b
    Examples:
      holdfast admin tenant create acme
      holdfast admin tenant create acme --json
    """

    async def work(rooms: Rooms) -> dict[str, Any]:
        made = await rooms.people.create(name)
        key = await rooms.keys.create_access_key(made.tenant_id, label="first")
        return {
            "tenant_id": made.tenant_id,
            "display_name": made.display_name,
            "access_key": key.access_key,
            "secret_key": key.secret,
        }

    print_facts(with_rooms(home, work), as_json=as_json)


@tenant.command("list")
@coordinator_home
@json_option
def tenant_list(home: Path, as_json: bool) -> None:
    """List the tenants.

    \b
    Example:
      holdfast admin tenant list
    """

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = await rooms.people.page(after=after)
            found += [
                {"tenant_id": t.tenant_id, "display_name": t.display_name, "created": date_text(t.created)}
                for t in page.tenants
            ]
            if (after := page.after) is None:
                return found

    print_rows(with_rooms(home, work), as_json=as_json)


@admin.group()
def key() -> None:
    """Access keys: what signs requests.

    \b
    Examples:
      holdfast admin key list acme
      holdfast admin key revoke acme AKHF...
    """


@key.command("create")
@click.argument("tenant_name")
@click.option("--label", default="", help="What it is for, in your words.")
@click.option("--action", "actions", multiple=True, help="Allow only this (object.read, object.*).")
@click.option("--bucket", "buckets", multiple=True, help="Allow only this bucket.")
@click.option("--prefix", "prefixes", multiple=True, help="Allow only keys under this prefix.")
@click.option("--days", type=click.IntRange(1), help="Expire after so many days.")
@coordinator_home
@json_option
def key_create(
    tenant_name: str,
    label: str,
    actions: tuple[str, ...],
    buckets: tuple[str, ...],
    prefixes: tuple[str, ...],
    days: int | None,
    home: Path,
    as_json: bool,
) -> None:
    """Make an access key of a tenant, by default for everything the tenant has.

    \b
    Examples:
      holdfast admin key create acme --label backup-server
      holdfast admin key create acme --action object.read --bucket reports --days 30
    """

    async def work(rooms: Rooms) -> dict[str, Any]:
        from holdfast.tenants.permits import Permit

        found = await rooms.people.find_named(tenant_name)
        permit = Permit(
            actions=actions or ("*",),
            buckets=buckets or ("*",),
            prefixes=prefixes or ("",),
            expires=rooms.clock.now() + days * 86_400 * MICROSECONDS if days else None,
        )
        made = await rooms.keys.create_access_key(found.tenant_id, label=label, permit=permit)
        return {"tenant_id": found.tenant_id, "access_key": made.access_key, "secret_key": made.secret}

    print_facts(with_rooms(home, work), as_json=as_json)


@key.command("list")
@click.argument("tenant_name")
@coordinator_home
@json_option
def key_list(tenant_name: str, home: Path, as_json: bool) -> None:
    """List a tenant's access keys and what each may do; never the secrets.

    \b
    Examples:
      holdfast admin key list acme
      holdfast admin key list acme --json
    """

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        found = await rooms.people.find_named(tenant_name)
        rows: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = await rooms.keys.access_keys(found.tenant_id, after=after)
            rows += [_key_row(known) for known in page.access_keys]
            if (after := page.after) is None:
                return rows

    print_rows(with_rooms(home, work), as_json=as_json)


def _key_row(known: AccessKey) -> dict[str, Any]:
    permit = known.permit
    return {
        "access_key": known.access_key,
        "label": known.label,
        "actions": " ".join(permit.actions),
        "buckets": " ".join(permit.buckets),
        "prefixes": " ".join(permit.prefixes),
        "state": "revoked" if known.revoked is not None else "good",
        "expires": date_text(permit.expires) if permit.expires is not None else "",
    }


@key.command("revoke")
@click.argument("tenant_name")
@click.argument("access_key")
@coordinator_home
def key_revoke(tenant_name: str, access_key: str, home: Path) -> None:
    """Make an access key worthless, within half a minute everywhere.

    \b
    Example:
      holdfast admin key revoke acme AKHF...
    """

    async def work(rooms: Rooms) -> None:
        found = await rooms.people.find_named(tenant_name)
        await rooms.keys.revoke_access_key(found.tenant_id, access_key)

    with_rooms(home, work)
    click.echo(f"Revoked {access_key}.")


@admin.command()
@click.argument("tenant_name")
@click.option(
    "--hours", type=click.IntRange(1, 24 * 30), default=24, show_default=True, help="Valid so long."
)
@coordinator_home
@json_option
def invite(tenant_name: str, hours: int, home: Path, as_json: bool) -> None:
    """Make a one-time token with which a tenant registers one node.

    \b
    Examples:
      holdfast admin invite acme
      holdfast admin invite acme --hours 2 --json
    """

    async def work(rooms: Rooms) -> dict[str, Any]:
        found = await rooms.people.find_named(tenant_name)
        made = await rooms.roster.invite(found.tenant_id, lifetime_seconds=hours * 3600)
        return {"token": made.token, "expires": date_text(made.expires)}

    print_facts(with_rooms(home, work), as_json=as_json)


@admin.group("managed-keys")
def managed_keys() -> None:
    """Keys that the coordinator holds for gateways, and the master key that wraps them.

    \b
    Examples:
      holdfast admin managed-keys rotate acme
      holdfast admin managed-keys rotate-master
    """


@managed_keys.command("rotate")
@click.argument("tenant_name")
@coordinator_home
@json_option
def rotate_managed_key(tenant_name: str, home: Path, as_json: bool) -> None:
    """Make a new managed key for a tenant: what is sealed from now on is sealed with it.

    Older ones are kept, and open what they sealed.

    \b
    Example:
      holdfast admin managed-keys rotate acme
    """

    async def work(rooms: Rooms) -> dict[str, Any]:
        found = await rooms.people.find_named(tenant_name)
        made = await rooms.keys.rotate_managed_key(found.tenant_id)
        return {"tenant_id": found.tenant_id, "key_id": made.key_id.hex()}

    print_facts(with_rooms(home, work), as_json=as_json)


@managed_keys.command("rotate-master")
@coordinator_home
def rotate_master_key(home: Path) -> None:
    """Make a new master key and wrap every stored secret with it.

    The coordinator reads its master keys when it starts: restart it afterwards. Old master keys stay in the
    file until you remove them; nothing needs them any more once this command has ended.

    \b
    Example:
      holdfast admin managed-keys rotate-master
    """

    async def work(rooms: Rooms) -> int:
        from holdfast.app.secrets import load_master, rotate_master

        rotate_master(home, rooms.chance)
        return await rooms.keys.rewrap_all(load_master(home, rooms.chance))

    click.echo(f"{with_rooms(home, work)} secrets are wrapped by the new master key.")
