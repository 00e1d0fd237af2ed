"""`holdfast admin events`: events that no target took, to be looked at, tried again or dropped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.app.cli.admin_rooms import date_text, json_option, print_rows, with_rooms
from holdfast.app.cli.coordinator import coordinator_home
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.app.rooms import Rooms
    from holdfast.files.tending.outbox import Outbox

PAGE = 1000


@click.group()
def events() -> None:
    """Events of buckets that were given up, after many attempts or for want of a target.

    They are kept until they are tried again or dropped.

    \b
    Examples:
      holdfast admin events list
      holdfast admin events retry --all
      holdfast admin events drop 17 18
    """


@events.command("list")
@coordinator_home
@json_option
def list_events(home: Path, as_json: bool) -> None:
    """List events that were given up, the oldest first, and why.

    \b
    Examples:
      holdfast admin events list
      holdfast admin events list --json
    """

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        while page := await rooms.outbox().dead_events(after, PAGE):
            found += [
                {
                    "id": row.id,
                    "time": date_text(row.time),
                    "event": row.event,
                    "bucket": row.bucket,
                    "key": row.key.decode(errors="replace"),
                    "arn": row.arn,
                    "attempts": row.attempts,
                    "failure": row.failure,
                }
                for row in page
            ]
            after = page[-1].id
        return found

    rows = with_rooms(home, work)
    print_rows(rows, as_json=as_json)
    if not rows and not as_json:
        click.echo("No event was given up.")


@events.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
@click.option("--all", "all_of_them", is_flag=True, help="Every event that was given up.")
@coordinator_home
def retry(ids: tuple[int, ...], home: Path, *, all_of_them: bool) -> None:
    """Let given up events be told again, from now on with all their attempts.

    \b
    Examples:
      holdfast admin events retry 17
      holdfast admin events retry --all
    """

    async def work(rooms: Rooms) -> int:
        outbox = rooms.outbox()
        return await outbox.revive_events(await _chosen(outbox, ids, all_of_them=all_of_them))

    click.echo(f"{with_rooms(home, work)} events are told again.")


@events.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
@click.option("--all", "all_of_them", is_flag=True, help="Every event that was given up.")
@coordinator_home
def drop(ids: tuple[int, ...], home: Path, *, all_of_them: bool) -> None:
    """Forget given up events for good.

    \b
    Examples:
      holdfast admin events drop 17
      holdfast admin events drop --all
    """

    async def work(rooms: Rooms) -> int:
        outbox = rooms.outbox()
        return await outbox.drop_events(await _chosen(outbox, ids, all_of_them=all_of_them))

    click.echo(f"{with_rooms(home, work)} events are forgotten.")


async def _chosen(outbox: Outbox, ids: tuple[int, ...], *, all_of_them: bool) -> list[int]:
    """The numbers given, or those of all; raises Refusal("config.invalid") for neither, or both."""
    if bool(ids) == all_of_them:
        raise Refusal(
            "config.invalid",
            "Which events?",
            advice="Name their numbers, as `holdfast admin events list` shows them, or say --all.",
        )
    found = list(ids)
    after = 0
    while all_of_them and (page := await outbox.dead_events(after, PAGE)):
        found += [row.id for row in page]
        after = page[-1].id
    return found
