"""The root of the `holdfast` command: names its groups, loads each only when it is used, ends it in order."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Final

import click

from holdfast.app.cli.ending import (
    EXIT_PIPE,
    EXIT_STOPPED,
    EXITS,
    colour,
    failure_of,
    print_failure,
    print_fault,
    print_usage,
)
from holdfast.world.errors import Failure

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
    "key": ("holdfast.app.cli.key", "key", "Make, lock, inspect and register the key that only you hold."),
    "nodes": ("holdfast.app.cli.nodes", "nodes", "List the nodes of the fleet."),
    "node": ("holdfast.app.cli.node", "node", "Run a node on this machine."),
    "coordinator": ("holdfast.app.cli.coordinator", "coordinator", "Run a coordinator with its gateway."),
    "admin": ("holdfast.app.cli.admin", "admin", "Tenants, keys, nodes and upkeep of a coordinator."),
    "completion": ("holdfast.app.cli.completion", "completion", "Print the shell completion script."),
}


class _PipeClosedError(Exception):
    """The reader of our output has gone; kept apart from the OSErrors that click handles itself."""


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit status"):
            formatter.write_dl([(str(status), meaning) for status, meaning in EXITS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosedError from error


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


def main() -> None:
    """Entry point of the console script."""
    _open_what_is_closed()
    status = _run(as_json="--json" in sys.argv)
    if status == EXIT_PIPE:
        # What is still buffered has nobody to go to, and Python would complain about it at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def _run(*, as_json: bool) -> int:
    try:
        result = root(standalone_mode=False, color=colour())
        sys.stdout.flush() if sys.stdout else None
    except Failure as failure:
        return print_failure(failure, as_json=as_json)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        return print_usage(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return EXIT_STOPPED
    except (_PipeClosedError, BrokenPipeError):
        return EXIT_PIPE
    except OSError as error:
        return print_failure(failure_of(error), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours must end in words too
        return print_fault(error, as_json=as_json)
    return result if isinstance(result, int) else 0


def _open_what_is_closed() -> None:
    """Puts /dev/null in place of standard streams that are closed (`>&-`).

    Else the next file or socket would get their number, and messages would end up in it. Python's own
    `sys.stdout` stays None, by which commands tell that nobody listens.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
