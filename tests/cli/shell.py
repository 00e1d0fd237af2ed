"""Runs `holdfast` as its users do: in a process, in a folder, on a terminal or not."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

HOLDFAST = [sys.executable, "-m", "holdfast.app.cli.main"]


def through_bash(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """`line` in bash, where the word `holdfast` is the command; its status is the first failing part's."""
    script = f'set -o pipefail; holdfast() {{ {" ".join(HOLDFAST)} "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, check=False, timeout=60
    )


def on_a_terminal(
    arguments: list[str], folder: Path, environment: dict[str, str], *, columns: int = 80
) -> tuple[int, str]:
    """Exit status, and all that appeared on a terminal so wide."""
    # Parallel test runners set COLUMNS, which would win over the terminal's own width.
    environment = {name: value for name, value in environment.items() if name not in {"COLUMNS", "LINES"}}
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(
        [*HOLDFAST, *arguments], cwd=folder, env={**environment, "TERM": "xterm"},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that nobody has the other end any more
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(60), shown.decode(errors="replace")
