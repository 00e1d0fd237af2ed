"""What is shown while transfers run: a bar on a terminal, a line for each finished object elsewhere.

All of it goes to standard error, so that standard output can carry data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from holdfast.app.cli.output import size_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from holdfast.client.progress import Standing


class Display:
    """Shows transfers: `with Display(...) as display`, and `begin` for each object."""

    def __init__(self, *, quiet: bool, total: int | None = None, count: int = 1, verb: str) -> None:
        """`total`: bytes of all objects, if known; `verb`: "stored" or "read"."""
        self._quiet = quiet
        self._verb = verb
        self._count = count
        self._total = total
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if not quiet and sys.stderr.isatty():
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
            if self._bar is not None and self._task is not None:
                self._bar.update(self._task, advance=standing.done - before)
                if self._total is None and standing.total is not None:
                    self._bar.update(self._task, total=standing.total)
            before = standing.done

        return moved

    def finished(self, name: str, size: int, seconds: float, *, skipped: int = 0) -> None:
        """One object is done, in so many seconds; `skipped` bytes of it an earlier attempt had done."""
        if self._quiet:
            return
        speed = f", {size_text((size - skipped) / seconds)}/s" if seconds > 0 and size else ""
        resumed = f", {size_text(skipped)} of it before" if skipped else ""
        self.say(f"{self._verb} {name} ({size_text(size)}{resumed} in {seconds:.2f} s{speed})")

    def say(self, line: str) -> None:
        """A line for people."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.percentage:>3.0f}%"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
