"""The transfers behind `put`, `get` and `rm`: one object with its progress, or many of a folder at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from holdfast.app.cli.output import plain_data, shown
from holdfast.app.cli.progress import Display
from holdfast.client.attempts import Attempts, Ending
from holdfast.client.paths import files_below, make_parents, path_below
from holdfast.client.progress import Standing
from holdfast.client.session import AsyncSession
from holdfast.protocol.nouns import VersionInfo
from holdfast.world.errors import Failure, Refusal


@dataclass(frozen=True, slots=True)
class PutOptions:
    """What holds for every object of one command."""

    storage_class: str | None = None
    if_absent: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one object of a folder fared."""

    name: str
    size: int = 0
    info: VersionInfo | None = None
    failure: Failure | None = None


class Job(NamedTuple):
    """One object of a folder, and what is to be done with it."""

    name: str
    run: Callable[[], Coroutine[Any, Any, Outcome]]


class _Watch:
    """Times one transfer and remembers its last standing."""

    def __init__(self, moved: Callable[[Standing], None]) -> None:
        self._moved = moved
        self._begun = asyncio.get_running_loop().time()
        self.skipped = 0

    def __call__(self, standing: Standing) -> None:
        self.skipped = standing.skipped
        self._moved(standing)

    @property
    def seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._begun


async def put_one(
    session: AsyncSession,
    content: Path | BinaryIO,
    bucket: str,
    key: str,
    *,
    quiet: bool,
    options: PutOptions,
) -> VersionInfo:
    """Stores one file or stream."""
    with Display(quiet=quiet, verb="stored") as display:
        watch = _Watch(display.begin())
        info = await session.put(
            content,
            bucket,
            key,
            storage_class=options.storage_class,
            if_absent=options.if_absent,
            progress=watch,
        )
        display.finished(f"{bucket}/{key}", info.size, watch.seconds, skipped=watch.skipped)
    return info


async def get_one(session: AsyncSession, bucket: str, key: str, path: Path, *, quiet: bool) -> VersionInfo:
    """Reads one object into a file."""
    with Display(quiet=quiet, verb="read") as display:
        watch = _Watch(display.begin())
        info = await session.get(bucket, key, path, progress=watch)
        display.finished(str(path), info.size, watch.seconds, skipped=watch.skipped)
    return info


async def get_stream(session: AsyncSession, bucket: str, key: str, stream: BinaryIO, *, quiet: bool) -> None:
    """Reads one object into a pipe; raises BrokenPipeError when its reader has seen enough."""
    with Display(quiet=quiet, verb="read") as display:
        watch = _Watch(display.begin())
        info = await session.get(bucket, key, stream, progress=watch)
        display.finished(f"{bucket}/{key}", info.size, watch.seconds)


async def put_folder(
    session: AsyncSession,
    folder: Path,
    bucket: str,
    prefix: str,
    *,
    parallel: int,
    quiet: bool,
    options: PutOptions,
) -> list[Outcome]:
    """Stores every regular file below a folder; links and devices are passed over, and said.

    A file whose name cannot be a key fails by itself; the others are stored.
    """
    found, passed, unnameable = files_below(folder)
    with Display(quiet=quiet, total=sum(each.size for each in found), verb="stored") as display:
        for path in passed:
            display.say(f"passed over {shown(str(path))}: not a regular file")

        async def store(path: Path, key: str) -> Outcome:
            watch = _Watch(display.begin())
            info = await session.put(
                path,
                bucket,
                key,
                storage_class=options.storage_class,
                if_absent=options.if_absent,
                progress=watch,
            )
            display.finished(f"{bucket}/{key}", info.size, watch.seconds, skipped=watch.skipped)
            return Outcome(key, info.size, info)

        async def work() -> AsyncIterator[Job]:
            for each in found:
                yield Job(prefix + each.key, partial(store, each.path, prefix + each.key))

        return [*map(_unnameable, unnameable), *await _all(work(), parallel)]


async def get_folder(
    session: AsyncSession, bucket: str, prefix: str, folder: Path, *, parallel: int, quiet: bool
) -> list[Outcome]:
    """Reads every object below a prefix into a folder; a key that would leave it fails, the others go on."""
    _make_folder(folder)
    with Display(quiet=quiet, verb="read") as display:

        async def fetch(info: VersionInfo) -> Outcome:
            relative = info.key.removeprefix(prefix)
            if relative.endswith("/") and not info.size:
                # The mark of an empty folder, as some S3 programs make it.
                make_parents(folder, path_below(folder, relative.rstrip("/")) / "mark")
                return Outcome(info.key, 0, info)
            path = path_below(folder, relative)
            make_parents(folder, path)
            watch = _Watch(display.begin())
            got = await session.get(bucket, info.key, path, progress=watch)
            display.finished(str(path), got.size, watch.seconds, skipped=watch.skipped)
            return Outcome(info.key, got.size, got)

        async def work() -> AsyncIterator[Job]:
            async for info in session.walk(bucket, prefix):
                display.expect(info.size)
                yield Job(info.key, partial(fetch, info))

        outcomes = await _all(work(), parallel)
    _refuse_nothing(outcomes, bucket, prefix)
    return outcomes


async def remove_folder(session: AsyncSession, bucket: str, prefix: str, *, parallel: int) -> list[Outcome]:
    """Removes every object below a prefix."""

    async def remove(key: str) -> Outcome:
        info = await session.remove(bucket, key)
        return Outcome(key, info.size, info)

    async def work() -> AsyncIterator[Job]:
        async for info in session.walk(bucket, prefix):
            yield Job(info.key, partial(remove, info.key))

    outcomes = await _all(work(), parallel)
    _refuse_nothing(outcomes, bucket, prefix)
    return outcomes


def path_for(folder: Path, name: str) -> Path:
    """Where an object called `name` goes in a folder; raises Refusal("path.escapes")."""
    path = path_below(folder, name)
    make_parents(folder, path)
    return path


def described(info: VersionInfo) -> dict[str, Any]:
    """The version as plain data."""
    data: dict[str, Any] = plain_data(info)
    return data


async def _all(work: AsyncIterator[Job], parallel: int) -> list[Outcome]:
    """Does all of it, so many at a time. A failure of one is its outcome; what is not designed is raised."""
    outcomes: list[Outcome] = []
    async with Attempts[str, Outcome]() as under_way:
        async for job in work:
            while under_way.busy >= parallel:
                outcomes.append(_outcome(await under_way.settled()))
            under_way.start(job.name, job.run())
        while under_way.busy:
            outcomes.append(_outcome(await under_way.settled()))
    return sorted(outcomes, key=lambda outcome: outcome.name)


def _outcome(ending: Ending[str, Outcome]) -> Outcome:
    if isinstance(ending.failure, Failure):
        return Outcome(ending.tag, failure=ending.failure)
    return ending.result()


def _unnameable(path: Path) -> Outcome:
    failure = Refusal("name.invalid", f"The name of '{path}' is not UTF-8.", advice="Rename it first.")
    return Outcome(shown(str(path)), failure=failure)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal("config.invalid", f"{folder} cannot be made: {error.strerror}.") from error


def _refuse_nothing(outcomes: list[Outcome], bucket: str, prefix: str) -> None:
    if not outcomes:
        raise Refusal(
            "object.unknown",
            f"There is no object below {bucket}/{prefix}.",
            advice=f"See `holdfast ls {bucket}`.",
        )
