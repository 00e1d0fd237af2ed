"""`holdfast coordinator`: the control plane with its gateway, for whoever runs a network."""

from __future__ import annotations

from pathlib import Path

import click

coordinator_home = click.option(
    "--home",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    envvar="HOLDFAST_COORDINATOR_HOME",
    default=lambda: Path.home() / ".holdfast" / "coordinator",
    show_default="~/.holdfast/coordinator",
    help="Folder of the coordinator (or HOLDFAST_COORDINATOR_HOME).",
)


@click.group()
def coordinator() -> None:
    """Run a coordinator with its gateway.

    \b
    Examples:
      holdfast coordinator run
      HOLDFAST_DATABASE=postgresql://holdfast@db/holdfast holdfast coordinator run
    """


@coordinator.command()
@coordinator_home
def run(home: Path) -> None:
    """Serve until stopped (Ctrl-C or SIGTERM). Makes its secrets and its database at the first start.

    Settings are read from coordinator.toml in the home, and from variables HOLDFAST_*; all of them are
    listed in docs/reference/settings.md. Keep master.keys and issuer.key in your backup.

    \b
    Examples:
      holdfast coordinator run
      holdfast coordinator run --home /srv/holdfast
    """
    from holdfast.app.serving import serve

    serve(home)
