"""Where `scripts/judges` put other people's programs, and how one of them is run to its end."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
JUDGES: Final = ROOT / ".make" / "judges"
SUITES: Final = JUDGES / "suites"
PROGRAMS: Final = Path(__file__).parent / "programs"
"""Scripts of ours that run in the judges' environments."""

WITHOUT: Final = "HOLDFAST_TEST_WITHOUT_JUDGES"
SECONDS: Final = 120


def require_judges() -> None:
    """Fails the test, or skips it where that was asked for, if they are not installed."""
    if (JUDGES / "ready").exists():
        return
    if os.environ.get(WITHOUT) == "1":
        pytest.skip(f"{WITHOUT}=1: not judged by other people's programs")
    pytest.fail(
        "The programs that judge the S3 door are not installed: `make judges` does that. "
        f"Or set {WITHOUT}=1 to leave these tests out.",
        pytrace=False,
    )


def python_of(environment: str) -> Path:
    """The interpreter of one of the judges' environments: clients, s3fs or swift."""
    return JUDGES / environment / "bin" / "python"


def program(name: str) -> str:
    """A command's path: of the judges' own first, else of the system."""
    own = JUDGES / "clients" / "bin" / name
    found = str(own) if own.exists() else shutil.which(name)
    assert found, f"{name} is not installed: see scripts/judges"
    return found


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """What it printed, for a failure's message."""
        return f"status {self.status}\n{self.out[-4000:]}\n{self.err[-6000:]}"


def run(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    folder: Path,
    stdin: str | None = None,
    seconds: float = SECONDS,
) -> Ended:
    """Runs it with this environment and our PATH; `folder` is its home and where it starts."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder), **environment},
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as late:
        out, err = (
            text.decode(errors="replace") if isinstance(text, bytes) else (text or "")
            for text in (late.stdout, late.stderr)
        )
        return Ended(-1, out, f"{err}\nit took longer than {seconds:.0f} s")
    return Ended(done.returncode, done.stdout, done.stderr)


def succeed(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    folder: Path,
    stdin: str | None = None,
    seconds: float = SECONDS,
) -> str:
    """What it printed; fails the test if it did not end well."""
    ended = run(command, environment, folder=folder, stdin=stdin, seconds=seconds)
    assert ended.status == 0, f"{Path(str(command[0])).name} {command[1:4]}: {ended.said}"
    return ended.out
