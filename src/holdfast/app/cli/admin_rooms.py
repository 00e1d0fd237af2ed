"""What the commands of `holdfast admin` share: the coordinator's rooms, and how answers are printed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.app.cli.output import print_table
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.app.rooms import Rooms

json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")


def with_rooms(home: Path, work: Callable[[Rooms], Awaitable[Any]]) -> Any:
    """What `work` answers, with the rooms of the coordinator in `home`, beside one that may be running.

    Raises Refusal("config.missing") where there is no coordinator: a slip in --home must not make one.
    """
    from holdfast.app.rooms import open_rooms
    from holdfast.app.secrets import MASTER_FILE

    if not (home / MASTER_FILE).exists():
        raise Refusal(
            "config.missing",
            f"There is no coordinator in {home}.",
            advice="Name its folder with --home (that of `holdfast up` is ~/.holdfast/local/coordinator), or "
            "make one with `holdfast coordinator run`.",
        )

    async def run() -> Any:
        async with open_rooms(home) as rooms:
            return await work(rooms)

    return asyncio.run(run())


def print_facts(facts: dict[str, Any], *, as_json: bool) -> None:
    """One thing: a line for each fact, or one JSON document."""
    if as_json:
        click.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):<14} {value}")


def print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Many of a kind: a table, or one JSON document a line."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    elif rows:
        headings = [name.replace("_", " ") for name in rows[0]]
        cells = [["-" if value in ("", None) else str(value) for value in row.values()] for row in rows]
        print_table(headings, cells, right=frozenset())


def date_text(microseconds: int) -> str:
    """A time since the epoch as ISO 8601, in UTC."""
    return datetime.fromtimestamp(microseconds / MICROSECONDS, UTC).isoformat(timespec="seconds")
