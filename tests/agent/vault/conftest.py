"""A vault in a small world, on every disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from tests.agent.vault.sabotaged_disk import SabotagedDisk

from holdfast.agent.vault import StoredAt, Vault, VaultSettings
from holdfast.world.clock import SystemClock
from holdfast.world.disk import Disk
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.offload import InlineOffload, ThreadOffload
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.system_disk import SystemDisk

Opener = Callable[..., AbstractAsyncContextManager[Vault]]


def shard(number: int) -> bytes:
    """A shard id; consecutive numbers are far apart."""
    return hashlib.sha256(b"id %d" % number).digest()[:18]


def body(number: int, length: int) -> bytes:
    """A body that belongs to the number."""
    return (hashlib.sha256(b"body %d" % number).digest() * (length // 32 + 1))[:length]


def root(number: int) -> bytes:
    return hashlib.sha256(b"root %d" % number).digest()


def length_of(number: int) -> int:
    """Lengths for many shards: mostly small, some larger than a page or a read."""
    return (number * 7919) % 3000 + (100_000 if number % 10 == 0 else 0)


@pytest.fixture(params=["simulated", "system"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return SabotagedDisk() if request.param == "simulated" else SystemDisk(tmp_path / "vault")


@pytest.fixture
def opened(disk: Disk) -> Opener:
    """Opens the vault on the disk, as often as wanted; threads are real on the real disk."""

    @asynccontextmanager
    async def open_vault(**options):
        offload = ThreadOffload(3, "vault") if isinstance(disk, SystemDisk) else InlineOffload()
        settings = VaultSettings(compact_bytes_per_second=1 << 40, **options.pop("settings", {}))
        vault = await Vault.open(
            options.pop("disk", disk),
            offload=offload,
            clock=SystemClock(),
            chance=options.pop("chance", SimulatedChance(7)),
            settings=settings,
            **{"allocated": 100_000_000, "reserve": 0, **options},
        )
        try:
            yield vault
        finally:
            await vault.close()
            offload.close()

    return open_vault


async def store(vault, number: int, length: int = 1000) -> StoredAt:
    content = body(number, length)
    half = length // 2
    parts = [content[:half], memoryview(content)[half:]]
    return await vault.put(shard(number), b"meta%d" % number, parts, root=root(number))


async def fetched(vault, number: int) -> bytes:
    held = await vault.get(shard(number))
    assert held.meta == b"meta%d" % number
    assert held.root == root(number)
    assert held.body_length == len(held.body)
    return bytes(held.body)


async def code_of(awaitable) -> str:
    with pytest.raises((Refusal, Trouble)) as failed:
        await awaitable
    return failed.value.code
