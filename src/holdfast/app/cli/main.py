"""The root of the `holdfast` command: names its groups, loads each only when it is used, prints failures."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Final

import click

from holdfast.world.errors import Failure, Refusal, Trouble

# Name -> (module, attribute, one line for `--help`). The line stands here so that help loads nothing.
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "up": ("holdfast.app.cli.up", "up", "Start a local cloud: coordinator, gateway and nodes."),
    "demo": ("holdfast.app.cli.demo", "demo", "Store a folder, kill nodes, corrupt bytes, read it all back."),
    "mb": ("holdfast.app.cli.files", "mb", "Make a bucket."),
    "rb": ("holdfast.app.cli.files", "rb", "Remove an empty bucket."),
    "put": ("holdfast.app.cli.files", "put", "Store a file, a folder or standard input."),
    "get": ("holdfast.app.cli.files", "get", "Read an object or a prefix back."),
    "ls": ("holdfast.app.cli.files", "ls", "List buckets or objects."),
    "rm": ("holdfast.app.cli.files", "rm", "Remove objects."),
    "stat": ("holdfast.app.cli.files", "stat", "Show where an object's shards are and what it survives."),
    "key": ("holdfast.app.cli.key", "key", "Make, lock and inspect the key that only you hold."),
    "node": ("holdfast.app.cli.node", "node", "Run a node on this machine."),
    "coordinator": ("holdfast.app.cli.coordinator", "coordinator", "Run a coordinator with its gateway."),
    "admin": ("holdfast.app.cli.admin", "admin", "Tenants, access keys and invitations of a coordinator."),
    "completion": ("holdfast.app.cli.completion", "completion", "Print the shell completion script."),
}

EXIT_REFUSAL = 1
EXIT_TROUBLE = 75
"""EX_TEMPFAIL of sysexits.h: the same command may work later."""


class LazyGroup(click.Group):
    """Imports a command's module when it is run, so that `holdfast --help` costs a tenth of a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="holdfast")
def root() -> None:
    """Holdfast: one cloud out of disks and machines that many different people own.

    \b
    Examples:
      holdfast up                          start a local cloud
      holdfast mb photos                   make a bucket
      holdfast put cat.jpg photos/cat.jpg  store a file
      holdfast stat photos/cat.jpg         see where its shards are
    """


def print_failure(failure: Failure, *, as_json: bool) -> int:
    """Says a failure on standard error; returns the exit status."""
    if as_json:
        facts = {"code": failure.code, "message": failure.message, "advice": failure.advice}
        click.echo(json.dumps({"error": {**facts, "facts": failure.facts}}), err=True)
    else:
        click.secho(f"holdfast: {failure.message}", fg="red", err=True)
        if failure.advice:
            click.echo(f"  {failure.advice}", err=True)
        click.secho(f"  ({failure.code})", dim=True, err=True)
    return EXIT_TROUBLE if isinstance(failure, Trouble) and failure.retry else EXIT_REFUSAL


def main() -> None:
    """Entry point of the console script."""
    try:
        root(standalone_mode=False)
    except (Refusal, Trouble) as failure:
        sys.exit(print_failure(failure, as_json="--json" in sys.argv))
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
