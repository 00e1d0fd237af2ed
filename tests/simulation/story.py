"""What happens to a cluster from one seed: work and faults, stacked; and what must hold in the end.

The law: bytes that come back are bytes that were stored; what was acknowledged is there when the world has
healed; what was never acknowledged is there whole or not at all; of several writers of one key one wins, with
its whole object. While nodes are away a read may fail, but it may not lie. When all is quiet again, every
shard that the coordinator counts on lies where it says, and none is left that it gave up, except on machines
whose bytes were spoilt.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

from tests.simulation.cluster import NODES, Cluster
from tests.simulation.faults import Faults

from holdfast.files.stores.store_versions import usage_of
from holdfast.world.errors import Failure, Refusal, Trouble
from holdfast.world.simulated.world import World

BUCKET = "bucket"
CHUNK = 64 << 10
STEPS = 40
KEYS = 8


@dataclass
class Outcome:
    """How a story ended; equal for equal seeds."""

    digest: str
    stored: int
    removed: int
    in_doubt: int
    failed_reads: int
    faults: dict[str, int]


@dataclass
class Story:
    """The state of the telling: what may be found under each key, None standing for nothing."""

    cluster: Cluster
    world: World
    faults: Faults
    possible: dict[str, set[bytes | None]] = field(default_factory=dict)
    stored: int = 0
    removed: int = 0
    in_doubt: int = 0
    failed_reads: int = 0
    contests: int = 0
    busy: set[str] = field(default_factory=set)

    # --- work --------------------------------------------------------------------------------------------

    def _pick_key(self) -> str | None:
        """A key that nobody works on now: those who contend for one say so."""
        free = [key for key in (f"key-{number}" for number in range(KEYS)) if key not in self.busy]
        return free[self.world.chance.below(len(free))] if free else None

    def _content(self) -> bytes:
        chance = self.world.chance
        size = [0, 1, chance.below(5000), CHUNK, chance.below(4 * CHUNK)][chance.below(5)]
        return chance.bytes(size) if chance.happens(0.7) else bytes(size)

    async def _try_put(self, key: str, content: bytes, *, if_absent: bool = False) -> bool:
        """Whether it was acknowledged."""
        try:
            await self.cluster.session.put(content, BUCKET, key, chunk_size=CHUNK, if_absent=if_absent)
        except Failure as failure:
            assert failure.code != "internal", repr(failure)
            self.in_doubt += 1
            return False
        self.stored += 1
        return True

    async def put(self, key: str) -> None:
        """One writer."""
        content = self._content()
        self.possible[key] = self.possible.get(key, {None}) | {content}
        if await self._try_put(key, content):
            self.possible[key] = {content}

    async def put_and_leave(self, key: str) -> None:
        """A writer who is gone, at any moment, before all is said."""
        content = self._content()
        self.possible[key] = self.possible.get(key, {None}) | {content}
        writing = asyncio.create_task(self._try_put(key, content))
        done, _ = await asyncio.wait([writing], timeout=self.world.chance.between(0, 0.4))
        if done and writing.result():
            self.possible[key] = {content}
            return
        writing.cancel()
        await asyncio.wait([writing])
        # What the coordinator has begun for it comes to its end before anybody else writes the key.
        await asyncio.sleep(20)

    async def contend(self, key: str) -> None:
        """Several writers of one key at once: whoever was acknowledged, one of them all is found."""
        contents = [self._content() for _ in range(2 + self.world.chance.below(2))]
        before = self.possible.get(key, {None})
        self.possible[key] = before | set(contents)
        done = await asyncio.gather(*(self._try_put(key, content) for content in contents))
        if any(done):
            self.possible[key] = set(contents)

    async def race(self) -> None:
        """Several writers that each want to be the first: one is, and it alone is told so."""
        self.contests += 1
        key = f"only-{self.contests}"
        contents = [b"%d " % number + self._content() for number in range(3)]
        self.possible[key] = {None, *contents}
        done = await asyncio.gather(*(self._try_put(key, one, if_absent=True) for one in contents))
        assert sum(done) <= 1, f"{key}: two writers were told that they were the first"
        if any(done):
            self.possible[key] = {contents[done.index(True)]}

    async def remove(self, key: str) -> None:
        """Acknowledged, or refused because there is nothing."""
        before = self.possible.get(key, {None})
        self.possible[key] = before | {None}
        try:
            await self.cluster.session.remove(BUCKET, key)
        except Refusal as refusal:
            assert refusal.code == "object.unknown", repr(refusal)
            assert None in before, f"{key} was acknowledged and is unknown"
            self.possible[key] = {None}
        except Trouble as trouble:
            assert trouble.code != "internal", repr(trouble)
            self.in_doubt += 1
        else:
            assert before != {None}, f"{key} was removed, and was never there"
            self.possible[key] = {None}
            self.removed += 1

    async def get(self, key: str, *, healed: bool = False) -> bytes | None:
        """What is there now; the law is checked here."""
        possible = self.possible.get(key, {None})
        found: bytes | None
        try:
            found = await self.cluster.session.read(BUCKET, key)
        except Refusal as refusal:
            assert refusal.code == "object.unknown", repr(refusal)
            found = None
        except Trouble as trouble:
            assert not healed, f"{key} cannot be read in a healed world: {trouble!r}"
            assert trouble.code not in {"internal", "metadata.forged"}, repr(trouble)
            self.failed_reads += 1
            return None
        told = None if found is None else f"{len(found)} bytes"
        assert found in possible, f"{key}: found {told}, which nobody stored there"
        # What is there stays there: a write in doubt does not come to life later.
        self.possible[key] = {found} if healed else possible
        return found

    # --- the telling -------------------------------------------------------------------------------------

    async def step(self) -> None:
        """One piece of work on a key of its own."""
        kind = self.world.chance.below(20)
        if kind == 0:
            await self.race()
            return
        key = self._pick_key()
        if key is None:
            return
        self.busy.add(key)
        try:
            if kind < 9:
                await self.put(key)
            elif kind < 10:
                await self.put_and_leave(key)
            elif kind < 11:
                await self.contend(key)
            elif kind < 13:
                await self.remove(key)
            else:
                await self.get(key)
        finally:
            self.busy.discard(key)

    async def tell(self) -> None:
        """Work goes on while faults happen."""
        chance = self.world.chance
        working: dict[asyncio.Task[None], None] = {}
        for _ in range(STEPS):
            task = asyncio.create_task(self.step())
            working[task] = None
            task.add_done_callback(working.pop)
            await asyncio.sleep(
                chance.between(0.0, 60.0) if chance.happens(0.1) else chance.between(0.0, 4.0)
            )
            if chance.happens(0.35):
                await self.faults.cause()
        while working:
            await next(iter(working))

    async def settle(self) -> str:
        """Reads all, repairs, reads again with two healthy nodes gone; the digest of what there is."""
        await self.cluster.session.close()
        self.cluster.session = self.cluster.new_session()
        digest = hashlib.sha256()
        first = {key: await self.get(key, healed=True) for key in sorted(self.possible)}
        await asyncio.sleep(400)
        await self.cluster.repair(rounds=3)
        down = [node for node in self.cluster.nodes if node.name not in self.faults.damaged]
        for node in down[: NODES - 12]:
            await self.cluster.power_cut(node)
        for key in sorted(self.possible):
            again = await self.get(key, healed=True)
            assert again == first[key], f"{key} changed without anybody writing"
            digest.update(key.encode() + b"\0" + (b"-" if again is None else again) + b"\0")
        listing = await self.cluster.session.list(BUCKET)
        assert [info.key for info in listing.objects] == [
            key for key in sorted(first) if first[key] is not None
        ]
        kept = await self.cluster.database.read(usage_of, self.cluster.tenant_id)
        sizes = [info.size for info in listing.objects]
        assert kept == (sum(sizes), len(sizes)), "what is charged is what is kept"
        for info in listing.objects:
            digest.update(f"{info.key} {info.version_id} {info.size} {info.created}\n".encode())
        for node in down[: NODES - 12]:
            self.cluster.boot(node)
        await self.cluster.calm_down()
        await self.cluster.close()
        missing, left = await self.cluster.inventory(self.faults.damaged)
        assert not missing, f"{len(missing)} shards are not where the coordinator says: {missing[:5]}"
        assert not left, f"{len(left)} shards were never freed: {left[:5]}"
        for node in self.cluster.nodes:
            for name in node.machine.disk.names():
                digest.update(f"{node.name}/{name} {node.machine.disk.size_of(name)}\n".encode())
        return digest.hexdigest()


async def tell(world: World) -> Outcome:
    """The whole story of one world."""
    cluster = Cluster(world)
    await cluster.start()
    await cluster.session.make_bucket(BUCKET)
    faults = Faults(cluster, world)
    story = Story(cluster, world, faults)
    await story.tell()
    await faults.heal()
    digest = await story.settle()
    return Outcome(
        digest,
        story.stored,
        story.removed,
        story.in_doubt,
        story.failed_reads,
        dict(sorted(faults.counts.items())),
    )
