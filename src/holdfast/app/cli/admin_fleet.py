"""`holdfast admin node` and `holdfast admin upkeep`: the fleet, and what is done for what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from holdfast.app.cli.admin_rooms import json_option, with_rooms
from holdfast.app.cli.coordinator import coordinator_home
from holdfast.app.cli.nodes import print_nodes
from holdfast.app.cli.output import print_json
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.app.rooms import Rooms
    from holdfast.protocol.control import NodeInfo

PASSES: Final = ("expire", "losses", "repair")
BUCKET_PASSES: Final = ("lifecycle", "restores", "replication", "delivery")


@click.group()
def node() -> None:
    """The nodes of all providers: list them, and steer what they may do.

    A running coordinator learns of it within ten seconds. NODE is a name, or the beginning of an id.

    \b
    Examples:
      holdfast admin node list
      holdfast admin node drain attic
      holdfast admin node resume attic
    """


@node.command("list")
@coordinator_home
@json_option
def list_nodes(home: Path, as_json: bool) -> None:
    """List the nodes of all providers.

    \b
    Examples:
      holdfast admin node list
      holdfast admin node list --json
    """

    async def work(rooms: Rooms) -> tuple[list[NodeInfo], int]:
        return await _all_nodes(rooms), rooms.clock.now()

    found, now = with_rooms(home, work)
    if as_json:
        for info in found:
            print_json(info)
    else:
        print_nodes(found, now)


def _steering(event: str, says: str) -> Callable[..., None]:
    @click.argument("node_name", metavar="NODE")
    @coordinator_home
    @json_option
    def steer(node_name: str, home: Path, as_json: bool) -> None:
        async def work(rooms: Rooms) -> NodeInfo:
            from holdfast.nodes.states import Event

            found = _chosen(await _all_nodes(rooms), node_name)
            return await rooms.roster.steer(found.node_id, Event(event))

        info = with_rooms(home, work)
        if as_json:
            print_json(info)
        else:
            click.echo(f"{info.node_name or info.node_id.hex()[:16]} is {info.state} now: {says}.")

    return steer


for _event, _help, _says in (
    (
        "drain",
        "Copy a node's shards away, so that it can leave.",
        "keep it running until repair has emptied it",
    ),
    ("suspend", "Keep new shards from a node; what it holds is still read.", "it takes no new shards"),
    ("resume", "Let a suspended or draining node take new shards again.", "it takes new shards again"),
    ("exit", "Let a drained node leave for good: its shards count no more.", "nothing of it counts any more"),
):
    _example = f"\b\nExample:\n  holdfast admin node {_event} attic"
    node.command(_event, help=f"{_help}\n\n{_example}")(_steering(_event, _says))


@click.command()
@click.argument("passes", metavar="[PASS]...", nargs=-1, type=click.Choice(PASSES + BUCKET_PASSES))
@click.option("--dry-run", is_flag=True, help="Print what a round would do and why; do nothing.")
@coordinator_home
@json_option
def upkeep(passes: tuple[str, ...], home: Path, *, dry_run: bool, as_json: bool) -> None:
    """Show what upkeep would do now, step by step with the reasons.

    The running coordinator does it by itself; nothing is ever done from here. PASS is expire (end what is
    over), losses (believe nodes that report a loss), repair, lifecycle (rules of buckets), restores (of
    archived objects), replication or delivery (of events); all of them if none is named.

    \b
    Examples:
      holdfast admin upkeep --dry-run
      holdfast admin upkeep --dry-run repair --json
    """
    if not dry_run:
        raise Refusal(
            "config.invalid",
            "Upkeep is done by the running coordinator, every `pass_seconds`.",
            advice="Add --dry-run to see what it would do now.",
        )

    async def work(rooms: Rooms) -> int:
        from holdfast.upkeep import passes as loop
        from holdfast.world.offload import InlineOffload

        steps = 0
        s3 = rooms.open_s3(InlineOffload())
        try:
            for name in passes or PASSES + BUCKET_PASSES:
                work = getattr(rooms if name in PASSES else s3.passes, name)()
                async for line in loop.dry_run(work):
                    steps += 1
                    click.echo(json.dumps({"pass": name, "step": line}) if as_json else f"{name}: {line}")
        finally:
            await s3.close()
        return steps

    if not with_rooms(home, work) and not as_json:
        click.echo("Nothing to do.")


async def _all_nodes(rooms: Rooms) -> list[NodeInfo]:
    found: list[NodeInfo] = []
    after: bytes | None = None
    while True:
        page = await rooms.roster.page(after=after)
        found += page.nodes
        if (after := page.after) is None:
            return found


def _chosen(found: list[NodeInfo], name: str) -> NodeInfo:
    """The one node with this name or beginning of its id; raises Refusal("node.unknown")."""
    named = [info for info in found if info.node_name == name]
    fitting = named or [info for info in found if name and info.node_id.hex().startswith(name.lower())]
    if len(fitting) != 1:
        raise Refusal(
            "node.unknown",
            f"{len(fitting) or 'No'} nodes are called '{name}' or have an id that begins so.",
            advice="See `holdfast admin node list`; say more of the id.",
        )
    return fitting[0]
