"""A node's home as a real folder: private to its owner, and run by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from holdfast.world.errors import Refusal, Trouble

_LOCK = "lock"


def make_private(folder: Path) -> None:
    """Makes the folder if missing, and unreadable for others; raises Trouble("disk.failed")."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise Trouble(
            "disk.failed",
            f"The folder {folder} cannot be used: {error.strerror}.",
            retry=False,
            advice="Choose another with --home.",
        ) from error


def vault_folder(folder: Path, vault: str) -> Path:
    """Where the shards of the node in `folder` are, made if missing; raises Trouble("disk.failed")."""
    path = folder / vault
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Trouble(
            "disk.failed", f"The folder {path} cannot be used: {error.strerror}.", retry=False
        ) from error
    return path


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; raises Refusal("node.running") if another has it.

    The system gives the lock back when the process ends, however it ends.
    """
    with (folder / _LOCK).open("a+", encoding="ascii") as lock:
        if not _taken(lock):
            raise Refusal(
                "node.running",
                f"Another process (pid {_pid_in(folder) or 'unknown'}) runs the node in {folder}.",
                advice="Stop it first, or give this node a folder of its own with --home.",
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)


def _taken(lock: TextIO) -> bool:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # An onlooker holds it shared for an instant; only a node holds it exclusively.
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            fcntl.flock(lock, fcntl.LOCK_UN)
        else:
            return True


def running_pid(folder: Path) -> int | None:
    """The process that runs the node in `folder`, None if nobody does."""
    try:
        with (folder / _LOCK).open(encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _pid_in(folder)
    except FileNotFoundError:
        return None
    return None


def _pid_in(folder: Path) -> int | None:
    text = (folder / _LOCK).read_text(encoding="ascii").strip()
    return int(text) if text.isdecimal() else None


def mode_of(path: Path) -> int:
    """The permission bits of a file or folder."""
    return path.stat().st_mode & 0o777
