"""The vault against a plain dict, through power cuts at any step, full disks, failed syncs, flipped bits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.agent.vault.conftest import body, root, shard
from tests.agent.vault.sabotaged_disk import PowerCutError, SabotagedDisk

from holdfast.agent.vault import Vault, VaultSettings
from holdfast.agent.volume import number_of
from holdfast.world.errors import Failure, Refusal
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.simulated.loop import SimulatedLoop
from holdfast.world.simulated.offload import SimulatedOffload

T = TypeVar("T")
NUMBERS = range(6)
ALLOCATED = 60_000
SMALL = VaultSettings(volume_bytes=4000, compact_batch_bytes=2000, group_records=4, files_max=2)

# A number and a variant: the variants of one number have other bytes and another root. None: a delete.
changes = st.lists(
    st.tuples(st.sampled_from(NUMBERS), st.none() | st.integers(0, 1)),
    unique_by=lambda change: change[0],
    max_size=6,
)


def content(number: int, variant: int) -> bytes:
    return body(10 * number + variant, 300 * number)


def meta(number: int, variant: int) -> bytes:
    return b"%d of %d" % (variant, number) * 5


class VaultMachine(RuleBasedStateMachine):
    """`now` is what an honest vault shows; `maybe` is what may turn up after a restart."""

    @initialize(seed=st.integers(0, 1000))
    def start(self, seed: int) -> None:
        self.loop = SimulatedLoop()
        self.disk = SabotagedDisk(seed=seed)
        self.chance = SimulatedChance(seed)
        self.now: dict[int, int | None] = dict.fromkeys(NUMBERS)
        self.maybe: dict[int, set[int | None]] = {number: {None} for number in NUMBERS}
        self.flipped: set[str] = set()
        # A disk that would not even remove an empty file is a few bytes fuller than the vault says.
        self.exact = True
        self.vault = self.run(self.open())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def open(self) -> Vault:
        return await Vault.open(
            self.disk,
            allocated=ALLOCATED,
            reserve=0,
            offload=SimulatedOffload(self.chance),
            clock=SimulatedClock(self.loop.time),
            chance=self.chance,
            settings=SMALL,
        )

    # What is asked of it.

    async def change(self, number: int, variant: int | None) -> None:
        """One put or delete, and what its outcome says about now and later."""
        before = self.now[number]
        try:
            if variant is None:
                await self.vault.delete(shard(number))
            else:
                await self.put(number, variant)
        except Refusal as refusal:
            note(f"{number} {variant}: {refusal.code}")
            expected = "shard.exists" if before is not None and before != variant else "node.full"
            if refusal.code != expected:
                raise
        except (Failure, PowerCutError) as failure:
            note(f"{number} {variant}: {failure!r}")
            self.maybe[number].add(variant)
        else:
            note(f"{number} {variant}: done")
            self.now[number] = variant
            self.maybe[number] = {variant}

    async def put(self, number: int, variant: int) -> None:
        before = self.now[number]
        data = content(number, variant)
        stored = await self.vault.put(
            shard(number), meta(number, variant), [data[:7], data[7:]], root=root(10 * number + variant)
        )
        if stored.again:
            assert before == variant

    async def read(self, number: int) -> int | None:
        """Which variant the vault holds; every byte of it must be right."""
        try:
            held = await self.vault.get(shard(number))
        except Refusal as refusal:
            if refusal.code != "shard.unknown":
                raise
            return None
        variant = 0 if held.root == root(10 * number) else 1
        assert held.root == root(10 * number + variant)
        assert held.body == content(number, variant)
        assert held.meta == meta(number, variant)
        return variant

    async def batch(self, wanted: list[tuple[int, int | None]], *, compact: bool) -> None:
        """All at once, with reads and a compaction in between."""
        work = [self.change(number, variant) for number, variant in wanted]
        if compact:
            work.append(self.compact())
        await asyncio.gather(*work)

    async def compact(self) -> None:
        try:
            note(f"compact: {await self.vault.compact()}")
        except (Failure, PowerCutError) as failure:
            note(f"compact: {failure!r}")

    async def check_after_start(self, *, flipped: bool = False, crashed: bool = False) -> None:
        """Every shard is one of those it may be, or reported lost.

        What is found after a power cut stays; without one it may be in the page cache only.
        """
        note(f"start: {self.vault.recovery}")
        self.exact = True
        if flipped:
            await self.vault.scrub()
        for number in NUMBERS:
            if shard(number) in self.vault.lost:
                assert flipped or len(self.maybe[number]) > 1, f"shard {number} was lost for no reason"
                await self.vault.delete(shard(number))
                self.now[number] = None
                self.maybe[number] = {None}
            else:
                self.now[number] = await self.read(number)
                assert self.now[number] in self.maybe[number]
            if crashed:
                self.maybe[number] = {self.now[number]}
        assert self.vault.lost == []
        if not flipped:
            assert not (await self.vault.scrub()).lost

    # The rules.

    @rule(wanted=changes, compact=st.booleans())
    def change_some(self, wanted: list[tuple[int, int | None]], compact: bool) -> None:
        self.run(self.batch(wanted, compact=compact))

    @rule()
    def compact_once(self) -> None:
        self.run(self.compact())

    @rule()
    def close_and_open(self) -> None:
        self.run(self.vault.close())
        self.vault = self.run(self.open())
        self.run(self.check_after_start())

    @rule(
        wanted=changes,
        compact=st.booleans(),
        steps=st.integers(0, 12),
        steps_of_start=st.none() | st.integers(0, 4),
    )
    def cut_the_power(
        self, wanted: list[tuple[int, int | None]], compact: bool, steps: int, steps_of_start: int | None
    ) -> None:
        self.disk.steps_left = steps
        self.run(self.batch(wanted, compact=compact))
        self.disk.crash()
        self.disk.steps_left = steps_of_start
        try:
            self.vault = self.run(self.open())
        except PowerCutError:
            self.disk.crash()
            self.vault = self.run(self.open())
        self.disk.steps_left = None
        self.run(self.check_after_start(crashed=True))

    @rule(wanted=changes, compact=st.booleans(), room=st.integers(0, 3000))
    def fill_the_disk(self, wanted: list[tuple[int, int | None]], compact: bool, room: int) -> None:
        capacity, self.disk.capacity = self.disk.capacity, self.disk.used() + room
        self.run(self.batch(wanted, compact=compact))
        self.disk.capacity = capacity

    @rule(wanted=changes, compact=st.booleans(), share=st.sampled_from([0.3, 1.0]), stubborn=st.booleans())
    def fail(self, wanted: list[tuple[int, int | None]], compact: bool, share: float, stubborn: bool) -> None:
        self.disk.failing_syncs = self.disk.failing_writes = share
        self.disk.truncates_fail = self.disk.removals_fail = stubborn
        self.exact = self.exact and not stubborn and not compact
        self.run(self.batch(wanted, compact=compact))
        self.disk.failing_syncs = self.disk.failing_writes = 0.0
        self.disk.truncates_fail = self.disk.removals_fail = False

    @rule(which=st.integers(0, 100), where=st.floats(0, 1, exclude_max=True))
    def flip_a_bit(self, which: int, where: float) -> None:
        """Once in each volume: it is said that two faults in one record may cost it without a trace."""
        # What could not be removed may lie there empty.
        names = [name for name in self.disk.names() if number_of(name) and self.disk.size_of(name)]
        names = [name for name in names if name not in self.flipped]
        if not names:
            return
        self.run(self.vault.close())
        name = names[which % len(names)]
        self.flipped.add(name)
        self.disk.flip(name, int(where * self.disk.size_of(name) * 8))
        self.vault = self.run(self.open())
        self.run(self.check_after_start(flipped=True))

    @invariant()
    @precondition(lambda self: hasattr(self, "vault"))
    def shows_what_was_acknowledged(self) -> None:
        for number in NUMBERS:
            assert self.run(self.read(number)) == self.now[number]
        held = sorted(shard(number) for number in NUMBERS if self.now[number] is not None)
        assert self.vault.ids() == held

    @invariant()
    @precondition(lambda self: hasattr(self, "vault"))
    def counts_what_is_on_the_disk_and_keeps_to_its_allocation(self) -> None:
        assert self.vault.used <= ALLOCATED
        if self.exact:
            assert self.vault.used == self.disk.used()
        assert self.vault._commit.pending_bytes == 0


TestVaultMachine = VaultMachine.TestCase
TestVaultMachine.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
