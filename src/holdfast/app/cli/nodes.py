"""`holdfast nodes`: the fleet as its tenants see it, and invitations for nodes of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from holdfast.app.cli.files import json_option, with_session
from holdfast.app.cli.output import ago_text, print_json, print_table, shown, size_text, time_text
from holdfast.world.clock import SystemClock

if TYPE_CHECKING:
    from holdfast.protocol.control import NodeInfo

HEADINGS: Final = ("node", "state", "heard", "shards", "used", "allocated", "zone", "id")
RIGHT: Final = frozenset({3, 4, 5})
HOUR_SECONDS: Final = 3600


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def nodes(context: click.Context, *, as_json: bool) -> None:
    """List the nodes of the fleet: how they fare, and what they hold.

    \b
    Examples:
      holdfast nodes
      holdfast nodes --json | jq -r 'select(.online | not) | .node_name'
      holdfast nodes invite
    """
    if context.invoked_subcommand is not None:
        return
    found = with_session(lambda session: session.nodes())
    if as_json:
        for info in found:
            print_json(info)
        return
    print_nodes(found, SystemClock().now())


@nodes.command()
@click.option(
    "--hours", type=click.IntRange(1, 24 * 30), default=24, show_default=True, help="Valid for so long."
)
@json_option
def invite(hours: int, *, as_json: bool) -> None:
    """Make a one-time token with which one node registers for your account.

    \b
    Examples:
      holdfast nodes invite
      holdfast nodes invite --hours 2 --json
    """
    made = with_session(lambda session: session.invite_node(lifetime_seconds=hours * HOUR_SECONDS))
    if as_json:
        print_json(made)
        return
    click.echo(made.token)
    click.echo(
        f"One node may use it until {time_text(made.expires)} UTC: holdfast node init --token ...", err=True
    )


def print_nodes(found: Sequence[NodeInfo], now: int) -> None:
    """A line for each node, and one for all of them."""
    rows = [
        [
            shown(info.node_name) or "-",
            info.state if info.online or info.state == "exited" else f"{info.state}, silent",
            ago_text(now - info.last_heartbeat) if info.last_heartbeat else "never",
            str(info.shard_count),
            size_text(info.used),
            size_text(info.allocated),
            shown(info.zone) or "-",
            info.node_id.hex()[:16],
        ]
        for info in sorted(found, key=lambda info: (info.node_name, info.node_id))
    ]
    if rows:
        print_table(HEADINGS, rows, right=RIGHT)
    online = sum(info.online for info in found)
    used, allocated = sum(info.used for info in found), sum(info.allocated for info in found)
    click.echo(f"{online} of {len(found)} nodes online, {size_text(used)} of {size_text(allocated)} used")
