"""`holdfast admin key`: what signs requests, and what each may do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from holdfast.app.cli.admin_rooms import date_text, json_option, print_facts, print_rows, with_rooms
from holdfast.app.cli.coordinator import coordinator_home
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.app.rooms import Rooms
    from holdfast.tenants.keys import AccessKey
    from holdfast.tenants.permits import Permit

DAY_SECONDS = 86_400


@click.group()
def key() -> None:
    """Access keys: what signs requests.

    \b
    Examples:
      holdfast admin key create acme --bucket reports --action s3:GetObject
      holdfast admin key list acme
      holdfast admin key revoke acme AKHF...
    """


class _Wish(NamedTuple):
    """What a new key is to be."""

    actions: tuple[str, ...]
    buckets: tuple[str, ...]
    prefixes: tuple[str, ...]
    days: int | None
    expires: datetime | None

    def permit(self, now: int) -> Permit:
        from holdfast.tenants.permits import Permit

        return Permit(
            actions=self.actions or ("*",),
            buckets=self.buckets or ("*",),
            prefixes=self.prefixes or ("",),
            expires=self._end(now),
        )

    def _end(self, now: int) -> int | None:
        if self.days is not None and self.expires is not None:
            raise Refusal("config.invalid", "--days and --expires say the same.", advice="Give one of them.")
        if self.days is not None:
            return now + self.days * DAY_SECONDS * MICROSECONDS
        if self.expires is None:
            return None
        end = int(self.expires.replace(tzinfo=UTC).timestamp()) * MICROSECONDS
        if end <= now:
            raise Refusal("config.invalid", "An access key that has expired is of no use.")
        return end


@key.command("create")
@click.argument("tenant_name")
@click.option("--user", "user_name", default="", help="For this user of the tenant, not for its root.")
@click.option("--label", default="", help="What it is for, in your words.")
@click.option("--action", "actions", multiple=True, help="Allow only this (s3:GetObject, s3:Get*, object.*).")
@click.option("--bucket", "buckets", multiple=True, help="Allow only this bucket.")
@click.option("--prefix", "prefixes", multiple=True, help="Allow only keys under this prefix.")
@click.option("--days", type=click.IntRange(1), help="Expire after so many days.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    help="Expire then, in UTC.",
)
@coordinator_home
@json_option
def key_create(
    tenant_name: str, user_name: str, label: str, home: Path, as_json: bool, **options: Any
) -> None:
    """Make an access key of a tenant, by default for everything the tenant has.

    Actions are those of S3, or of the house (object.read, object.write, object.list, object.remove,
    bucket.show, bucket.change, ...), which hold for every client. All that is given must agree.

    \b
    Examples:
      holdfast admin key create acme --label backup-server
      holdfast admin key create acme --action object.read --bucket reports --days 30
      holdfast admin key create acme --user reporting --action 's3:Get*' --prefix 2026/
    """
    wish = _Wish(**options)

    async def work(rooms: Rooms) -> dict[str, Any]:
        found = await rooms.people.find_named(tenant_name)
        permit = wish.permit(rooms.clock.now())
        made = await rooms.keys.create_access_key(
            found.tenant_id, label=label, permit=permit, user_name=user_name
        )
        return {
            "tenant_id": found.tenant_id,
            "user_name": user_name,
            "access_key": made.access_key,
            "secret_key": made.secret,
            "expires": "" if permit.expires is None else date_text(permit.expires),
        }

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
        names = await _user_names(rooms, found.tenant_id)
        rows: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = await rooms.keys.access_keys(found.tenant_id, after=after)
            rows += [_key_row(known, names) for known in page.access_keys]
            if (after := page.after) is None:
                return rows

    print_rows(with_rooms(home, work), as_json=as_json)


async def _user_names(rooms: Rooms, tenant_id: str) -> dict[str, str]:
    names: dict[str, str] = {}
    after: str | None = None
    while True:
        page = await rooms.users.page(tenant_id, after=after)
        names |= {known.user_id: known.user_name for known in page.users}
        if (after := page.after) is None:
            return names


def _key_row(known: AccessKey, names: dict[str, str]) -> dict[str, Any]:
    permit = known.permit
    return {
        "access_key": known.access_key,
        "user": names.get(known.user_id, known.user_id),
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
@json_option
def key_revoke(tenant_name: str, access_key: str, home: Path, as_json: bool) -> None:
    """Make an access key worthless, within half a minute everywhere.

    \b
    Examples:
      holdfast admin key revoke acme AKHF...
      holdfast admin key revoke acme AKHF... --json
    """

    async def work(rooms: Rooms) -> None:
        found = await rooms.people.find_named(tenant_name)
        await rooms.keys.revoke_access_key(found.tenant_id, access_key)

    with_rooms(home, work)
    if as_json:
        print_facts({"revoked": access_key}, as_json=True)
    else:
        click.echo(f"Revoked {access_key}.")
