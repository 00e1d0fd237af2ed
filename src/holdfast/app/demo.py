"""The demonstration: real files, real processes, real losses. Every step returns what it measured.

The law of the order: never more losses at a time than the class tolerates. With n - k nodes dead there is
nothing to spare, so one of them comes back before another node's disk is damaged.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from holdfast.app.local import LocalCloud, LocalNode
from holdfast.client.session import AsyncSession
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.errors import Failure, Refusal

BUCKET = "demo"
INPUT_BYTES = 200 * 10**6
FILE_BYTES_MIN = 1
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


class Demo:
    """The steps, in the order of their definition; `stored` holds the SHA-256 of every file."""

    def __init__(self, cloud: LocalCloud, clock: Clock, chance: Chance) -> None:
        self._cloud = cloud
        self._clock = clock
        self._chance = chance
        self._session: AsyncSession | None = None
        self.stored: dict[str, tuple[int, bytes]] = {}
        self.dead: list[LocalNode] = []

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
            digest = await asyncio.to_thread(_sha256, file.path)
            await self.session.put(file.path, BUCKET, file.key)
            self.stored[file.key] = (file.size, digest)
            done += file.size
            tell(len(self.stored), done)

        await _side_by_side([partial(store_one, file) for file in files])
        return self._clock.monotonic() - began

    async def tolerance(self) -> tuple[int, int, int, int]:
        """(k, n, fewest losses any object survives now, bytes on the nodes)."""
        survives: list[int] = []
        stored = 0
        k = n = 0

        async def look(key: str) -> None:
            nonlocal stored, k, n
            health = await self.session.stat(BUCKET, key)
            survives.append(health.survives)
            stored += health.stored_bytes
            k, n = health.redundancy.k, health.redundancy.n

        await _side_by_side([partial(look, key) for key in sorted(self.stored)])
        return k, n, min(survives), stored

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
        """Overwrites FLIPS bytes all over the vault of one live node, behind its back."""
        alive = [node for node in self._cloud.nodes if node not in self.dead]
        node = max(alive, key=lambda one: sum(path.stat().st_size for path in _volumes(one)))
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

    async def suspects(self) -> int:
        """How many shards readers have reported as wrong or missing."""
        found = 0

        async def look(key: str) -> None:
            nonlocal found
            health = await self.session.stat(BUCKET, key)
            found += sum(shard.state == "lost" for chunk in health.chunks for shard in chunk.shards)

        await _side_by_side([partial(look, key) for key in sorted(self.stored)])
        return found


def choose_input(folder: Path | None, limit: int = INPUT_BYTES) -> list[Input]:
    """Regular files of this machine, up to `limit` bytes; raises Refusal("config.invalid") for too few."""
    chosen: list[Input] = []
    total = 0
    roots = [folder] if folder else [Path(name) for name in FOLDERS]
    seen: set[tuple[int, int]] = set()
    for path in (path for root in roots for path in _files(root)):
        facts = path.stat()
        if (
            (facts.st_dev, facts.st_ino) in seen
            or facts.st_size < FILE_BYTES_MIN
            or total + facts.st_size > limit
        ):
            continue
        seen.add((facts.st_dev, facts.st_ino))
        chosen.append(Input(path, str(path).lstrip("/"), facts.st_size))
        total += facts.st_size
    if not chosen:
        raise Refusal("config.invalid", f"There are no files in {folder}.", advice="Name another folder.")
    return chosen


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            try:
                mode = path.lstat().st_mode
                name.encode()
            except (OSError, UnicodeEncodeError):
                continue
            if stat.S_ISREG(mode) and os.access(path, os.R_OK):
                yield path


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
