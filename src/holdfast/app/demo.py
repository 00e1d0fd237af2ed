"""The demonstration: real files, real processes, real losses. Every step returns what it measured.

The law of the order: never more losses at a time than the class tolerates. With n - k nodes dead there is
nothing to spare, so one of them comes back before the disk of another one, that was never away, is damaged.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from holdfast.app.local import LocalCloud, LocalNode
from holdfast.app.settings import write_settings
from holdfast.client.session import AsyncSession
from holdfast.protocol.control import ObjectHealth
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Refusal

BUCKET = "demo"
INPUT_BYTES = 200 * 10**6
FILES_MAX = 400
"""Each object is 14 shards with an fsync each: thousands of tiny ones would show the disk's patience only."""
FILE_BYTES_MIN = 16 << 10
SMALL_FILES_MAX = 50
SHARE_MAX = 8
"""No file is more than this part of the input, so that there are some."""
WALKED_MAX = 100_000
REPAIR_PERIOD_SECONDS = 2
FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/share", "/usr/bin")
AT_ONCE = 12
FLIPS = 400
"""Bytes overwritten in the damaged vault, spread over all of it."""
VOLUME_HEAD = 4096


@dataclass(frozen=True)
class Input:
    """One file of the demonstration, as it was when it was stored."""

    path: Path
    key: str
    size: int


@dataclass
class Reading:
    """What reading everything back came to."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Standing:
    """How the stored files fare."""

    k: int
    n: int
    survives: int
    """The fewest further losses that any file survives."""
    stored_bytes: int
    bad_shards: int
    """Shards that were reported, and are not rebuilt yet."""


class Demo:
    """The steps, in the order of their definition; `stored` holds the SHA-256 of every file."""

    def __init__(self, cloud: LocalCloud, clock: Clock, chance: Chance) -> None:
        self._cloud = cloud
        self._clock = clock
        self._chance = chance
        self._session: AsyncSession | None = None
        self.stored: dict[str, tuple[int, bytes]] = {}
        self.passed_over: list[Input] = []
        self.dead: list[LocalNode] = []
        self._revived: list[LocalNode] = []

    @property
    def session(self) -> AsyncSession:
        """Open from `store` on."""
        assert self._session is not None, "store first"
        return self._session

    async def close(self) -> None:
        """Hangs up."""
        if self._session is not None:
            await self._session.close()

    async def store(self, files: Sequence[Input], tell: Callable[[int, int], None]) -> float:
        """Stores the files, many at a time; seconds taken. `tell(files done, bytes done)`."""
        self._session = await AsyncSession.open(self._cloud.profile, resume=False)
        await self.session.make_bucket(BUCKET)
        began = self._clock.monotonic()
        done = 0

        async def store_one(file: Input) -> None:
            nonlocal done
            try:
                digest = await asyncio.to_thread(_sha256, file.path)
                await self.session.put(file.path, BUCKET, file.key)
            except (OSError, Refusal):
                # Somebody else's file: it may change or go while it is read.
                self.passed_over.append(file)
                return
            self.stored[file.key] = (file.size, digest)
            done += file.size
            tell(len(self.stored), done)

        await _side_by_side([partial(store_one, file) for file in files])
        return self._clock.monotonic() - began

    async def standing(self) -> Standing:
        """How the files fare now, as the coordinator knows it."""
        found: list[ObjectHealth] = []

        async def look(key: str) -> None:
            found.append(await self.session.stat(BUCKET, key))

        await _side_by_side([partial(look, key) for key in sorted(self.stored)])
        return Standing(
            k=found[0].redundancy.k,
            n=found[0].redundancy.n,
            survives=min(health.survives for health in found),
            stored_bytes=sum(health.stored_bytes for health in found),
            bad_shards=sum(
                shard.state == "lost" for health in found for chunk in health.chunks for shard in chunk.shards
            ),
        )

    async def kill(self, count: int) -> list[LocalNode]:
        """`kill -9` for `count` nodes chosen by chance."""
        alive = [node for node in self._cloud.nodes if node not in self.dead]
        for _ in range(count):
            node = alive.pop(self._chance.below(len(alive)))
            await node.child.kill()
            self.dead.append(node)
        return self.dead[-count:]

    async def revive(self, count: int) -> list[LocalNode]:
        """Starts dead nodes again, the longest dead first."""
        back, self.dead = self.dead[:count], self.dead[count:]
        self._revived += back
        for node in back:
            await self._cloud.start_node(node)
        await self._cloud.until_heard(back)
        return back

    async def read_all(self, tell: Callable[[int, int], None]) -> Reading:
        """Reads every file through a new session, and compares its SHA-256 with the one before storing."""
        reading = Reading()
        began = self._clock.monotonic()
        async with await AsyncSession.open(self._cloud.profile, resume=False) as session:

            async def read_one(key: str, size: int, expected: bytes) -> None:
                digest = hashlib.sha256()
                seen = 0
                try:
                    async for piece in session.stream(BUCKET, key):
                        digest.update(piece)
                        seen += len(piece)
                except Failure as failure:
                    reading.wrong.append(f"{key}: {failure}")
                    return
                if digest.digest() != expected or seen != size:
                    reading.wrong.append(f"{key}: other bytes than were stored")
                reading.files += 1
                reading.bytes += seen
                tell(reading.files, reading.bytes)

            await _side_by_side([partial(read_one, key, *facts) for key, facts in self.stored.items()])
        reading.seconds = self._clock.monotonic() - began
        return reading

    def corrupt(self) -> tuple[LocalNode, int]:
        """Overwrites FLIPS bytes all over the vault of a node that was never away, behind its back."""
        steady = [node for node in self._cloud.nodes if node not in self.dead + self._revived]
        node = max(steady, key=lambda one: sum(path.stat().st_size for path in _volumes(one)))
        flipped = 0
        for path in _volumes(node):
            size = path.stat().st_size
            with path.open("r+b", buffering=0) as volume:
                for _ in range(FLIPS if size > VOLUME_HEAD else 0):
                    at = VOLUME_HEAD + self._chance.below(size - VOLUME_HEAD)
                    byte = os.pread(volume.fileno(), 1, at)
                    os.pwrite(volume.fileno(), bytes([byte[0] ^ 0xFF]), at)
                    flipped += 1
        return node, flipped

    async def restart_coordinator(self) -> None:
        """`kill -9` for the coordinator; it comes back with repair in a hurry, so that one can watch it."""
        await self._cloud.coordinator.kill()
        hurry = {"pass_seconds": str(REPAIR_PERIOD_SECONDS), "repair_grace_seconds": "0"}
        write_settings(self._cloud.coordinator_settings, hurry)
        await self._cloud.start_coordinator()

    async def repaired(self, seconds_max: float, tell: Callable[[int], None]) -> Standing:
        """Waits until no bad shard is known any more, or no longer; `tell(bad shards left)`."""
        deadline = self._clock.monotonic() + seconds_max
        while (now := await self.standing()).bad_shards and self._clock.monotonic() < deadline:
            tell(now.bad_shards)
            await asyncio.sleep(REPAIR_PERIOD_SECONDS / 2)
        return now


def choose_input(folder: Path | None, limit: int = INPUT_BYTES) -> list[Input]:
    """Regular files of this machine, up to `limit` bytes and FILES_MAX; rather bigger ones than tiny ones.

    Raises Refusal("config.invalid") where there are none.
    """
    roots = [folder] if folder else [Path(name) for name in FOLDERS]
    chosen: list[Input] = []
    small: list[Input] = []
    seen: set[tuple[int, int]] = set()
    left = limit
    for path, facts in islice(_files(roots), WALKED_MAX):
        if (facts.st_dev, facts.st_ino) in seen or not facts.st_size or facts.st_size > limit // SHARE_MAX:
            continue
        seen.add((facts.st_dev, facts.st_ino))
        file = Input(path, str(path).lstrip("/"), facts.st_size)
        if file.size < FILE_BYTES_MIN:
            small.append(file)
        elif file.size <= left:
            chosen.append(file)
            left -= file.size
        if len(chosen) == FILES_MAX or left < FILE_BYTES_MIN:
            break
    for file in small[:SMALL_FILES_MAX]:
        if file.size <= left:
            chosen.append(file)
            left -= file.size
    if not chosen:
        raise Refusal(
            "config.invalid",
            f"There is no file of 1 byte to {limit // SHARE_MAX} bytes in {folder}.",
            advice="Name another folder with --input, or allow more with --size.",
        )
    return chosen


def _files(roots: Sequence[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    """Readable regular files below the folders, with what the system says of them."""
    for folder, folders, names in chain.from_iterable(os.walk(root) for root in roots):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            try:
                facts = path.lstat()
                str(path).encode()
            except (OSError, UnicodeEncodeError):
                continue
            if stat.S_ISREG(facts.st_mode) and os.access(path, os.R_OK):
                yield path, facts


def _volumes(node: LocalNode) -> list[Path]:
    return sorted(path for path in (node.folder / "vault").iterdir() if path.is_file())


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


async def _side_by_side(works: Sequence[Callable[[], Awaitable[Any]]]) -> None:
    """Runs all of them, AT_ONCE at a time."""
    waiting = iter(works)

    async def run() -> None:
        for work in waiting:
            await work()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(run())
