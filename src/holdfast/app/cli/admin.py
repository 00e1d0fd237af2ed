"""`holdfast admin`: everything that an operator decides, straight in a coordinator's database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.app.cli.admin_events import events
from holdfast.app.cli.admin_fleet import node, upkeep
from holdfast.app.cli.admin_keys import key
from holdfast.app.cli.admin_people import tenant, user
from holdfast.app.cli.admin_rooms import date_text, json_option, print_facts, with_rooms
from holdfast.app.cli.coordinator import coordinator_home

if TYPE_CHECKING:
    from holdfast.app.rooms import Rooms


@click.group()
def admin() -> None:
    """Manage a coordinator: run it on the coordinator's machine, beside the running coordinator.

    \b
    Examples:
      holdfast admin tenant create acme --json
      holdfast admin user create acme reporting
      holdfast admin key create acme --user reporting --action s3:GetObject
      holdfast admin invite acme
      holdfast admin node list
      holdfast admin upkeep repair --dry-run
    """


admin.add_command(tenant)
admin.add_command(user)
admin.add_command(key)
admin.add_command(node)
admin.add_command(upkeep)
admin.add_command(events)


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
@json_option
def rotate_master_key(home: Path, as_json: bool) -> None:
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

    count = with_rooms(home, work)
    if as_json:
        print_facts({"rewrapped": count}, as_json=True)
    else:
        click.echo(f"{count} secrets are wrapped by the new master key.")
