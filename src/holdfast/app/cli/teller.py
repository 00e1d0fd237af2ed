"""What long commands say while they work: steps with their time, and how far the present one is."""

from __future__ import annotations

import sys

import click

from holdfast.world.clock import SystemClock

REDRAW_SECONDS = 0.1


class Teller:
    """Prints a line for each step; `progress` is shown in place on a terminal, and nowhere else."""

    def __init__(self, *, to_error: bool = False) -> None:
        self._clock = SystemClock()
        self._began = self._clock.monotonic()
        self._to_error = to_error
        stream = sys.stderr if to_error else sys.stdout
        self._live = stream is not None and stream.isatty()
        self._drawn = 0.0
        self._width = 0

    def step(self, line: str) -> None:
        """Something is done."""
        self.clear()
        click.echo(f"{self._seconds():6.1f} s  {line}", err=self._to_error)

    def progress(self, line: str) -> None:
        """How far it is; at most ten times a second, so that telling costs nothing."""
        now = self._clock.monotonic()
        if self._live and now - self._drawn >= REDRAW_SECONDS:
            self._drawn = now
            self.clear()
            text = f"{self._seconds():6.1f} s  {line}"
            self._width = len(text)
            click.echo(text, nl=False, err=self._to_error)

    def _seconds(self) -> float:
        return self._clock.monotonic() - self._began

    def clear(self) -> None:
        """Takes away what is shown in place; call it before anything else is printed."""
        if self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=self._to_error)
            self._width = 0
