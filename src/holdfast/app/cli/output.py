"""What commands print: for people as text, with `--json` for programs, one document a line."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB")
STEP: Final = 1000
GAP: Final = "  "


def size_text(count: float) -> str:
    """Bytes for people, in decimal units: 1234567 is "1.23 MB"."""
    unit = 0
    while count >= STEP and unit < len(UNITS) - 1:
        count /= STEP
        unit += 1
    return f"{count:.0f} B" if unit == 0 else f"{count:.3g} {UNITS[unit]}"


def shown(text: str) -> str:
    """The text on one line, as a terminal may be given it: control characters are written as escapes.

    Keys and file names may hold anything; printed as they are, they could break lines or move the cursor.
    `--json` has them as they are.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        # How Python carries a byte of a file name that is not UTF-8.
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def time_text(microseconds: int) -> str:
    """A time since the epoch for people, in UTC."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago_text(microseconds: int) -> str:
    """How long ago something was, for people: in the largest unit that fits."""
    seconds = max(0, microseconds // 1_000_000)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def plain_data(value: Any) -> Any:
    """The value as JSON can say it: structs as objects, ids in hexadecimal."""
    import msgspec

    def hexadecimal(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: hexadecimal(each) for name, each in part.items()}
        if isinstance(part, list | tuple):
            return [hexadecimal(each) for each in part]
        return bytes(part).hex() if isinstance(part, bytes | bytearray | memoryview) else part

    return hexadecimal(msgspec.to_builtins(value, builtin_types=(bytes,)))


def print_json(value: Any) -> None:
    """One document on one line."""
    click.echo(json.dumps(plain_data(value), ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int]) -> None:
    """Columns under their headings; those numbered in `right` are aligned to the right.

    On a terminal that is too narrow the last columns are left out: a wrapped table cannot be read.
    """
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    if sys.stdout is not None and sys.stdout.isatty():
        room = shutil.get_terminal_size().columns
        while len(widths) > 1 and sum(widths) + len(GAP) * (len(widths) - 1) > room:
            widths.pop()
    for position, row in enumerate((headings, *rows)):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        ]
        click.secho(GAP.join(cells).rstrip(), bold=position == 0)
