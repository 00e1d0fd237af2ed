"""Object keys as paths below a folder, and back.

The law: whatever a key is, nothing is written outside the folder that was chosen: not by `..`, not by an
absolute path, not through a symbolic link that lies in the way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from holdfast.world.errors import Refusal


class Found(NamedTuple):
    """A regular file below a folder, with its path in the form of a key."""

    path: Path
    key: str
    size: int


class Below(NamedTuple):
    """What is below a folder: files in the order of their keys, and what cannot be stored."""

    files: list[Found]
    passed: list[Path]
    """Links, devices, sockets."""
    unnameable: list[Path]
    """Files whose names are not UTF-8, as keys are."""


def files_below(folder: Path) -> Below:
    """Everything below `folder`; links are not followed. Raises OSError for a folder that cannot be read."""
    found: list[Found] = []
    passed: list[Path] = []
    unnameable: list[Path] = []
    for path, entry in _entries(folder):
        if entry.is_file(follow_symlinks=False):
            key = path.relative_to(folder).as_posix()
            try:
                key.encode()
            except UnicodeEncodeError:
                unnameable.append(path)
                continue
            found.append(Found(path, key, entry.stat(follow_symlinks=False).st_size))
        else:
            passed.append(path)
    return Below(sorted(found, key=lambda each: each.key), sorted(passed), sorted(unnameable))


def _entries(folder: Path) -> Iterator[tuple[Path, os.DirEntry[str]]]:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                path = here / entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield path, entry


def path_below(folder: Path, key: str) -> Path:
    """The path for `key` below the existing `folder`; raises Refusal("path.escapes")."""
    parts = key.split("/")
    if any(part in {"", ".", ".."} or "\0" in part or (os.sep != "/" and os.sep in part) for part in parts):
        raise _escapes(key, "as a path it would not stay where it is put")
    return folder.joinpath(*parts)


def make_parents(folder: Path, path: Path) -> None:
    """Makes the folders between `folder` and `path`; raises Refusal("path.escapes" | "config.invalid").

    No symbolic link is followed on the way, and `path` itself must not be one.
    """
    here = folder
    for part in path.relative_to(folder).parts[:-1]:
        here = here / part
        try:
            here.mkdir()
        except FileExistsError:
            mode = here.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise _escapes(str(path), f"{here} is a symbolic link") from None
            if not stat.S_ISDIR(mode):
                raise Refusal(
                    "config.invalid", f"{here} is a file, but {path} needs a folder of that name."
                ) from None
        except OSError as error:
            raise Refusal("config.invalid", f"{here} cannot be made: {error.strerror}.") from error
    if path.is_symlink():
        raise _escapes(str(path), "it is a symbolic link")
    if path.is_dir():
        raise Refusal("config.invalid", f"{path} is a folder, but an object has that name.")


def _escapes(what: str, why: str) -> Refusal:
    return Refusal(
        "path.escapes",
        f"'{what}' is not written: {why}.",
        advice="Fetch this object by itself, and name the file it shall go to.",
        name=what,
    )
