"""What is shown while transfers run: a bar on a terminal; elsewhere plain lines, one for each finished object
and now and then one for how far it is.

All of it goes to standard error, so that standard output can carry data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from holdfast.app.cli.output import shown, size_text
from holdfast.world.clock import SystemClock

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from holdfast.client.progress import Standing


LINE_SECONDS = 10.0
"""How often a long transfer says how far it is where there is no terminal."""
SPEED_BYTES_MIN = 1_000_000
"""The speed of less than this says nothing about anything."""
WIDE_COLUMNS, NARROW_COLUMNS = 80, 50


class Display:
    """Shows transfers: `with Display(...) as display`, and `begin` for each object."""

    def __init__(self, *, quiet: bool, total: int | None = None, verb: str) -> None:
        """`total`: bytes of all objects, if known; `verb`: "stored" or "read"."""
        self._quiet = quiet
        self._verb = verb
        self._total = total
        self._done = 0
        self._clock = SystemClock()
        self._said = self._clock.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(verb, total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, size: int) -> None:
        """One more object of this size has been found."""
        self._total = (self._total or 0) + size
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=self._total)

    def begin(self) -> Callable[[Standing], None]:
        """What to hand to one transfer as its progress callback."""
        before = 0

        def moved(standing: Standing) -> None:
            nonlocal before
            self._done += standing.done - before
            total = self._total if self._total is not None else standing.total
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, advance=standing.done - before, total=total)
            else:
                self._say_how_far(total)
            before = standing.done

        return moved

    def _say_how_far(self, total: int | None) -> None:
        if self._quiet or self._clock.monotonic() - self._said < LINE_SECONDS:
            return
        share = f" of {size_text(total)} ({100 * self._done // total} %)" if total else ""
        self.say(f"{self._verb} {size_text(self._done)}{share} so far")

    def finished(self, name: str, size: int, seconds: float, *, skipped: int = 0) -> None:
        """One object is done, in so many seconds; `skipped` bytes of it an earlier attempt had done."""
        if self._quiet:
            return
        moved = size - skipped
        speed = f", {size_text(moved / seconds)}/s" if seconds > 0 and moved >= SPEED_BYTES_MIN else ""
        resumed = f", {size_text(skipped)} of it before" if skipped else ""
        self.say(f"{self._verb} {shown(name)} ({size_text(size)}{resumed} in {seconds:.2f} s{speed})")

    def say(self, line: str) -> None:
        """A line for people."""
        if self._quiet:
            return
        self._said = self._clock.monotonic()
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)


def _bar() -> Progress:
    """A bar that fits the terminal: a narrow one shows less, and nothing is ever wrapped."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Column

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True))
    ]
    if console.width >= NARROW_COLUMNS:
        columns.append(BarColumn(bar_width=None))
    columns.append(DownloadColumn(table_column=Column(no_wrap=True)))
    if console.width >= WIDE_COLUMNS:
        columns.append(TransferSpeedColumn(table_column=Column(no_wrap=True)))
    columns.append(TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)))
    return Progress(*columns, console=console, transient=True)
