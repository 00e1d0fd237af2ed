"""`holdfast node`: set up, run and look after the node on this machine."""

from __future__ import annotations

import asyncio
import os
import platform
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from holdfast.agent.sizes import parse_size, size_text
from holdfast.world.clock import MICROSECONDS, SystemClock
from holdfast.world.errors import Refusal

if TYPE_CHECKING:
    from holdfast.agent.doctor import Facts, Finding
    from holdfast.agent.home import Home, Settings, Status
    from holdfast.world.disk import Disk

home_option = click.option(
    "--home",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="HOLDFAST_NODE_HOME",
    default=lambda: Path.home() / ".holdfast" / "node",
    show_default="~/.holdfast/node",
    help="Folder of the node (or HOLDFAST_NODE_HOME).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")


class Size(click.ParamType[int]):
    """An option such as 100GB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except Refusal as refusal:
            self.fail(str(refusal), param, ctx)


@click.group()
def node() -> None:
    """Run a node on this machine: it stores shards for others within the space you allocate.

    \b
    Examples:
      holdfast node init --endpoint https://coordinator.example --token hf1-...
      holdfast node allocate --space 100GB
      holdfast node run
      holdfast node status
      holdfast node doctor
    """


@node.command()
@click.option("--endpoint", required=True, help="URL of the coordinator.")
@click.option(
    "--token",
    envvar="HOLDFAST_NODE_TOKEN",
    default="",
    help="The invitation from your account (or HOLDFAST_NODE_TOKEN; not needed again later).",
)
@click.option("--name", "node_name", default="", help="What you call it. Default: the host's name.")
@click.option("--zone", default=None, help="Failure zone, for instance a room or a site.")
@click.option("--listen", default=None, help="Where to listen. Default: tls://0.0.0.0:7420.")
@click.option("--advertise", multiple=True, help="Address that others reach it at. May be given again.")
@home_option
def init(
    endpoint: str,
    token: str,
    node_name: str,
    zone: str | None,
    listen: str | None,
    advertise: tuple[str, ...],
    folder: Path,
) -> None:
    """Make this node's key and register it. Safe to run again: it goes on where it stopped.

    \b
    Examples:
      holdfast node init --endpoint https://coordinator.example --token hf1-...
      holdfast node init --endpoint https://coordinator.example --token hf1-... \\
          --zone attic --listen tls://0.0.0.0:7420 --advertise tls://home.example:7420
    """
    import msgspec

    from holdfast.agent.coordinator import checked_endpoint, readable_on_the_wire
    from holdfast.agent.folder import locked, make_private
    from holdfast.agent.home import Home, Settings
    from holdfast.world.chance import SystemChance
    from holdfast.world.network import parse_address
    from holdfast.world.system_disk import SystemDisk

    endpoint = checked_endpoint(endpoint)
    for address in (*advertise, *([listen] if listen else [])):
        parse_address(address)
    make_private(folder)
    with locked(folder):
        home = Home(SystemDisk(folder))
        key = home.make_key(SystemChance())
        before = home.settings() if home.made() else None
        start = before or Settings(endpoint=endpoint, node_name=platform.node())
        changes = {
            "endpoint": endpoint,
            "token": token,
            "node_name": node_name,
            "zone": zone,
            "listen": listen,
            "advertised": list(advertise),
        }
        settings = msgspec.structs.replace(start, **{name: new for name, new in changes.items() if new})
        registered = asyncio.run(_registered(home, before, settings))
    if readable_on_the_wire(endpoint):
        click.secho(
            f"Warning: {endpoint} is not protected; use it inside your own network only.",
            fg="yellow",
            err=True,
        )
    click.echo(f"Node {settings.node_name} ({key.public.hex()[:16]}...)")
    click.echo(f"  folder      {folder}")
    click.echo(f"  coordinator {endpoint}: {'registered' if registered else 'was registered already'}")
    usual = folder == Path.home() / ".holdfast" / "node" or "HOLDFAST_NODE_HOME" in os.environ
    where = "" if usual else f" --home {shlex.quote(str(folder))}"
    click.echo(f"Next: holdfast node allocate --space 100GB{where}, then holdfast node run{where}")


async def _registered(home: Home, before: Settings | None, settings: Settings) -> bool:
    """Registers unless that was done with the same token before; says whether it did.

    A first registration that fails leaves its settings behind, so that `init` or `run` go on from there;
    a failed change of a registered node leaves it as it was.
    """
    from holdfast.agent.coordinator import HttpCoordinator
    from holdfast.agent.registration import register

    memory = home.memory()
    known = before is not None and (before.endpoint, before.token) == (settings.endpoint, settings.token)
    if memory.registered and known:
        home.save_settings(settings)
        return False
    if before is None or not memory.registered:
        home.save_settings(settings)
    coordinator = HttpCoordinator(settings.endpoint)
    try:
        await register(home, settings, coordinator, SystemClock())
    finally:
        await coordinator.close()
    home.save_settings(settings)
    return True


@node.command()
@click.option("--space", type=Size(), required=True, help="How much to offer, for instance 100GB or 1.5TiB.")
@home_option
def allocate(space: int, folder: Path) -> None:
    """Set how much space the node may use, all told. A running node takes it up at once.

    1 GB of the disk stays free whatever you allocate. Less than what is used now is refused.

    \b
    Examples:
      holdfast node allocate --space 100GB
      holdfast node allocate --space 1.5TiB
    """
    import msgspec

    from holdfast.agent.folder import running_pid
    from holdfast.agent.vault import RESERVE_BYTES

    home = _home(folder)
    settings = home.settings()
    pid = running_pid(folder)
    used = _used(home, folder, settings, pid)
    if space < used:
        raise Refusal(
            "config.invalid",
            f"{size_text(used)} are in use; {size_text(space)} would not hold them.",
            advice="Allocate at least what is used. To give space back, retire the node first.",
            used=used,
        )
    home.save_settings(msgspec.structs.replace(settings, allocated=space))
    if pid is not None:
        os.kill(pid, signal.SIGHUP)
    click.echo(f"Allocated {size_text(space)}; {size_text(used)} of it in use.")
    missing = space - used - max(_vault_disk(folder, settings).free() - RESERVE_BYTES, 0)
    if missing > 0:
        click.secho(
            f"Warning: the disk holds {size_text(missing)} less than that, with {size_text(RESERVE_BYTES)} "
            "kept free. The node will fill only what fits.",
            fg="yellow",
            err=True,
        )


@node.command()
@home_option
def run(folder: Path) -> None:
    """Serve shards until stopped (Ctrl-C or SIGTERM). SIGHUP reads the settings again.

    \b
    Examples:
      holdfast node run
      holdfast node run --home /srv/holdfast
    """
    from holdfast.agent.program import run_process

    run_process(folder)


@node.command()
@json_option
@home_option
def status(folder: Path, as_json: bool) -> None:
    """Show how the node fares, running or not.

    \b
    Examples:
      holdfast node status
      holdfast node status --json
    """
    from holdfast.agent.folder import running_pid

    home = _home(folder)
    settings, memory, last = home.settings(), home.memory(), home.status()
    facts = {
        "node_id": home.key().public.hex(),
        "node_name": settings.node_name,
        "endpoint": settings.endpoint,
        "registered": memory.registered,
        "running": running_pid(folder) is not None,
        "allocated": settings.allocated,
        "zone": settings.zone,
        "home": str(folder),
        "last": _plain(last),
    }
    if as_json:
        _print_json(facts)
        return
    for name, value in _status_lines(facts, last):
        click.echo(f"{name:<12} {value}")


def _status_lines(facts: dict[str, Any], last: Status | None) -> list[tuple[str, str]]:
    lines = [
        ("node", f"{facts['node_name']} ({facts['node_id']})"),
        ("coordinator", f"{facts['endpoint']}" + ("" if facts["registered"] else " (not registered yet)")),
        ("state", "running" if facts["running"] else "not running"),
    ]
    if last is None:
        return [*lines, ("allocated", size_text(facts["allocated"]))]
    now = SystemClock().now()
    if facts["running"]:
        answered = (
            f"{(now - last.welcomed) // MICROSECONDS} s ago" if last.welcomed else "not since the start"
        )
        lines += [("answered", answered), ("addresses", ", ".join(last.addresses))]
    lines += [
        ("used", f"{size_text(last.used)} of {size_text(facts['allocated'])}"),
        ("free", f"{size_text(last.free)} can still be taken"),
        ("shards", f"{last.shard_count}" + (f", {last.lost_count} lost" if last.lost_count else "")),
    ]
    if last.failure:
        lines.append(("failure", last.failure))
    return lines + [("notice", notice) for notice in last.notices]


@node.command()
@json_option
@home_option
def doctor(folder: Path, as_json: bool) -> None:
    """Look for what is wrong with the node, and say what to do. Exits 1 if something is bad.

    \b
    Examples:
      holdfast node doctor
      holdfast node doctor --json
    """
    from holdfast.agent.doctor import BAD, diagnose, worst

    findings = diagnose(asyncio.run(_facts(folder)))
    if as_json:
        _print_json({"level": worst(findings), "findings": [_plain(finding) for finding in findings]})
    else:
        for finding in findings:
            _print_finding(finding)
    sys.exit(1 if worst(findings) == BAD else 0)


async def _facts(folder: Path) -> Facts:
    from holdfast.agent.doctor import Facts
    from holdfast.agent.examine import gather
    from holdfast.world.chance import SystemChance
    from holdfast.world.network import SystemNetwork

    try:
        home = _home(folder)
    except Refusal:
        return Facts(now=SystemClock().now(), made=False)
    return await gather(
        folder,
        home,
        vault_disk=lambda: _vault_disk(folder, home.settings()),
        network=SystemNetwork(),
        clock=SystemClock(),
        chance=SystemChance(),
    )


def _print_finding(finding: Finding) -> None:
    colours = {"good": "green", "warning": "yellow", "bad": "red"}
    click.secho(f"{finding.level:<8}", fg=colours[finding.level], nl=False)
    click.echo(f"{finding.check}: {finding.message}")
    if finding.advice:
        click.echo(f"        {finding.advice}")


def _home(folder: Path) -> Home:
    from holdfast.agent.home import Home
    from holdfast.world.system_disk import SystemDisk

    if not folder.is_dir():
        raise Refusal(
            "config.missing",
            f"There is no node in {folder}.",
            advice="Run 'holdfast node init' first, or name the right folder with --home.",
        )
    return Home(SystemDisk(folder))


def _vault_disk(folder: Path, settings: Settings) -> Disk:
    from holdfast.agent.folder import vault_folder
    from holdfast.world.system_disk import SystemDisk

    return SystemDisk(vault_folder(folder, settings.vault))


def _used(home: Home, folder: Path, settings: Settings, pid: int | None) -> int:
    """Bytes that the shards take: as the node wrote down, or counted if it ended without writing that."""
    last = home.status()
    if last is not None and (pid is not None or last.state == "stopped"):
        return last.used
    from holdfast.agent.folder import locked
    from holdfast.agent.program import count_used

    with locked(folder):
        return asyncio.run(count_used(_vault_disk(folder, settings)))


def _plain(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def _print_json(value: Any) -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
