"""How a command ends: what is printed when it fails, and its exit status. The only place that knows them."""

from __future__ import annotations

import errno
import json
import os
import traceback
from typing import Final

import click

from holdfast.app.cli.output import shown
from holdfast.world.errors import Failure, Refusal, Trouble

EXIT_REFUSED: Final = 1
EXIT_USAGE: Final = 2
EXIT_FAULT: Final = 70
EXIT_TROUBLE: Final = 75
EXIT_STOPPED: Final = 130
EXIT_PIPE: Final = 141

EXITS: Final[dict[int, str]] = {
    0: "done",
    EXIT_REFUSED: "refused, or some of many objects failed: the message says what to do",
    EXIT_USAGE: "the command line is wrong",
    EXIT_FAULT: "a fault in Holdfast itself: please report it",
    EXIT_TROUBLE: "the world failed (network, disk, nodes): the same command may work later",
    EXIT_STOPPED: "stopped by Ctrl-C; a transfer goes on where it stopped when it is repeated",
    EXIT_PIPE: "the reader of a pipe had seen enough",
}
"""Every status a command ends with. 70 and 75 are those of sysexits.h, 130 and 141 those of a shell."""


def colour() -> bool | None:
    """Whether colours are wanted: False where NO_COLOR is set or the terminal is dumb; None: click sees."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def print_failure(failure: Failure, *, as_json: bool) -> int:
    """Says a failure on standard error; returns the exit status."""
    if as_json:
        facts = {"code": failure.code, "message": failure.message, "advice": failure.advice}
        click.echo(json.dumps({"error": {**facts, "facts": failure.facts}}), err=True)
    else:
        click.secho(f"holdfast: {shown(failure.message)}", fg="red", err=True, color=colour())
        for line in failure.advice.splitlines():
            click.echo(f"  {shown(line)}", err=True)
        click.secho(f"  ({failure.code})", dim=True, err=True, color=colour())
    return EXIT_TROUBLE if isinstance(failure, Trouble) and failure.retry else EXIT_REFUSED


def print_usage(error: click.ClickException, *, as_json: bool) -> int:
    """Says what is wrong with the command line."""
    if as_json:
        print_failure(
            Refusal("config.invalid", error.format_message(), advice="See --help."), as_json=as_json
        )
    else:
        error.show()
    return error.exit_code


def print_fault(error: Exception, *, as_json: bool) -> int:
    """Says that we are wrong, with all that helps to find out where."""
    if not as_json:
        traceback.print_exception(error)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    where = "".join(traceback.format_exception(error)) if as_json else None
    fault = Trouble(
        "internal",
        f"A fault in Holdfast itself: {words}",
        retry=False,
        advice="Please report it, with the lines above.",
        **({"traceback": where} if where else {}),
    )
    print_failure(fault, as_json=as_json)
    return EXIT_FAULT


def failure_of(error: OSError) -> Failure:
    """What the system would not do for us, in our words: files, pipes and terminals of the user."""
    what = f"{error.filename}: " if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Trouble("disk.full", f"{what}No space is left to write to.", advice="Free some space.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Refusal("config.invalid", f"{what}{error.strerror}.", advice="Choose a place you may use.")
    return Refusal("config.invalid", f"{what}{error.strerror or error}.")
