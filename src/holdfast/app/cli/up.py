"""`holdfast up`: a local cloud that runs until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from holdfast.app.cli.node import Size
from holdfast.app.cli.teller import Teller

if TYPE_CHECKING:
    from holdfast.app.local import LocalCloud

HOME_DEFAULT = Path("~/.holdfast/local")


@click.command()
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=HOME_DEFAULT,
    envvar="HOLDFAST_LOCAL_HOME",
    show_default=True,
    help="Folder with everything the cloud keeps.",
)
@click.option("--nodes", type=click.IntRange(1, 200), help="How many nodes (16 for a new cloud).")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the endpoint (8333, or as it was).")
@click.option("--space", type=Size(), default="100GB", show_default=True, help="Allocation of each new node.")
def up(home: Path, nodes: int | None, port: int | None, space: int) -> None:
    """Start a local cloud: a coordinator, its gateway and a process for every node.

    It runs until Ctrl-C. Everything is kept: run it again and it goes on where it stopped.

    \b
    Examples:
      holdfast up                       16 nodes in ~/.holdfast/local
      holdfast up --nodes 30            grow it, so that the class `wide` fits (it never shrinks)
      holdfast up --home /tmp/cloud --nodes 6 --port 9000
    """
    from holdfast.app.local import LocalCloud, sole_user

    home = home.expanduser().resolve()
    with sole_user(home):
        cloud = LocalCloud(home, node_count=nodes, port=port, allocated=space)
        asyncio.run(_run(cloud))


async def _run(cloud: LocalCloud) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    assert running is not None
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, running.cancel)
    teller = Teller()
    click.echo(f"Starting a local cloud in {cloud.home}")
    try:
        await cloud.start(teller.step, teller.progress)
        _introduce(cloud)
        await cloud.supervise(teller.step)
    except asyncio.CancelledError:
        teller.clear()
        click.echo("\nStopping ...")
        await _stop(cloud)
        click.echo(f"Stopped. Everything stored is kept; `{_again(cloud)}` goes on from here.")
    except BaseException:
        teller.clear()
        await _stop(cloud)
        raise


async def _stop(cloud: LocalCloud) -> None:
    """Stops every process; a second Ctrl-C must not leave some behind."""
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, lambda: None)
    await asyncio.shield(cloud.stop())


def _again(cloud: LocalCloud) -> str:
    """The command that starts this cloud again."""
    usual = cloud.home == HOME_DEFAULT.expanduser().resolve() or "HOLDFAST_LOCAL_HOME" in os.environ
    return f"{_command()} up" + ("" if usual else f" --home {shlex.quote(str(cloud.home))}")


def _introduce(cloud: LocalCloud) -> None:
    """Prints how to use it, with commands that work as they stand."""
    command, setting = _command(), _profile_setting(cloud)
    click.secho("\nThe cloud is up.\n", bold=True)
    for name, value in (
        ("Endpoint", cloud.profile.endpoint),
        ("Access key", cloud.profile.access_key),
        ("Secret key", cloud.profile.secret_key),
        ("Your key", f"{cloud.key_path}   only you hold it: keep a copy elsewhere"),
    ):
        click.echo(f"  {name:<11} {value}")
    click.echo(f"\n  {'S3':<11} {'   '.join(cloud.s3_endpoints)}   region {cloud.profile.region}")
    click.echo(f"  {'S3 trust':<11} {cloud.s3_authority_path}   the certificate to trust, for https")
    click.echo("\nTry, in another terminal:\n")
    if setting:
        click.echo(f"  {setting}")
    for line in ("mb photos", f"put {_sample()} photos/sample", "stat photos/sample"):
        click.secho(f"  {command} {line}", fg="green")
    if cloud.s3_endpoints:
        click.echo("\nOr with any S3 program, such as the AWS CLI:\n")
        access, secret, region = cloud.profile.access_key, cloud.profile.secret_key, cloud.profile.region
        click.secho(f"  AWS_ACCESS_KEY_ID={access} AWS_SECRET_ACCESS_KEY={secret} \\", fg="green")
        click.secho(
            f"  aws --endpoint-url {cloud.s3_endpoints[0]} --region {region} s3 mb s3://photos", fg="green"
        )
    click.echo(
        "\nAll nodes share this one machine and its disk, so this protects from a node's loss, not from the\n"
        "machine's. Ctrl-C stops the cloud and keeps what is stored."
    )


def _command() -> str:
    """How the user can call this program: by name if it is found that way, else as it was called now."""
    found = shutil.which("holdfast")
    here = Path(sys.argv[0])
    if here.suffix == ".py":
        return f"{_path(Path(sys.executable))} -m holdfast.app.cli.main"
    if found and here.exists() and Path(found).samefile(here):
        return "holdfast"
    return _path(here)


def _path(program: Path) -> str:
    """The shorter way to a program: from here if it is below, else from the root."""
    relative = os.path.relpath(program)
    return shlex.quote(str(program.absolute()) if relative.startswith("..") else relative)


def _profile_setting(cloud: LocalCloud) -> str:
    """The line that makes other commands find this cloud; empty where they do without.

    The user's own profile is written only where there is none, or where it is this very cloud's.
    """
    from holdfast.client.profile import profile_path, read_profile, write_profile

    if os.environ.get("HOLDFAST_PROFILE") == str(cloud.profile_path):
        return ""
    usual = profile_path({name: v for name, v in os.environ.items() if name != "HOLDFAST_PROFILE"})
    if not usual.exists() or read_profile(usual).key_file == cloud.profile.key_file:
        write_profile(cloud.profile, usual)
        if "HOLDFAST_PROFILE" not in os.environ:
            return ""
    return f"export HOLDFAST_PROFILE={shlex.quote(str(cloud.profile_path))}"


def _sample() -> str:
    """A file to try with that is surely there."""
    return "README.md" if Path("README.md").exists() else "/etc/services"
