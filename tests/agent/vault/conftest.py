"""A vault in a small world, on every disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from holdfast.agent.vault import Vault, VaultSettings
from holdfast.world.clock import SystemClock
from holdfast.world.disk import Disk
from holdfast.world.offload import InlineOffload, ThreadOffload
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.system_disk import SystemDisk
from tests.agent.vault.crashing_disk import CrashingDisk

Opener = Callable[..., AbstractAsyncContextManager[Vault]]


def shard(number: int) -> bytes:
    """A shard id; consecutive numbers are far apart."""
    return hashlib.sha256(b"id %d" % number).digest()[:18]


def body(number: int, length: int) -> bytes:
    """A body that belongs to the number."""
    return (hashlib.sha256(b"body %d" % number).digest() * (length // 32 + 1))[:length]


def root(number: int) -> bytes:
    return hashlib.sha256(b"root %d" % number).digest()


@pytest.fixture(params=["simulated", "system"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return CrashingDisk() if request.param == "simulated" else SystemDisk(tmp_path / "vault")


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
            chance=SimulatedChance(7),
            settings=settings,
            **{"allocated": 100_000_000, "reserve": 0, **options},
        )
        try:
            yield vault
        finally:
            await vault.close()
            offload.close()

    return open_vault
