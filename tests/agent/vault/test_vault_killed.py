"""`kill -9` in the middle of a storm of puts, deletes and compactions; then a full disk, a real one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.vault.conftest import body, fetched, length_of, shard, store

from holdfast.agent.vault import Vault
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Failure
from holdfast.world.offload import ThreadOffload
from holdfast.world.system_disk import SystemDisk

ROOT = Path(__file__).resolve().parents[3]
ACKNOWLEDGED_PER_LIFE = 400


def one_life(folder: Path, first: int) -> list[list[str]]:
    """Lets the storm rage until enough was acknowledged, kills it, and returns what it had said."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.agent.vault.storm", str(folder), str(first)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = [process.stdout.readline() for _ in range(ACKNOWLEDGED_PER_LIFE)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
    return [line.split() for line in said if line.endswith("\n")]


async def opened_again(folder: Path, offload: ThreadOffload) -> Vault:
    return await Vault.open(
        SystemDisk(folder),
        allocated=1 << 30,
        reserve=0,
        offload=offload,
        clock=SystemClock(),
        chance=SystemChance(),
    )


@pytest.mark.slow
async def test_whatever_was_acknowledged_is_there_after_kill_9(tmp_path):
    stored, deleted, unsure = set(), set(), set()
    offload = ThreadOffload(2, "vault")
    for life in range(4):
        lines = await asyncio.to_thread(one_life, tmp_path, 100_000 * life)
        stored |= {int(words[1]) for words in lines if words[0] == "put"}
        unsure |= {int(words[1]) for words in lines if words[0] == "deleting"}
        deleted |= {int(words[1]) for words in lines if words[0] == "deleted"}
        assert not [words for words in lines if words[0] == "failed"]
        vault = await opened_again(tmp_path, offload)
        assert vault.lost == []
        for number in sorted(stored - unsure):
            assert await fetched(vault, number) == body(number, length_of(number))
        assert not [number for number in deleted if vault.holds(shard(number))]
        after = b""
        while (page := await vault.scrub(after)).last is not None:
            assert not page.lost
            after = page.last
        await vault.close()
    assert len(stored) > 2 * ACKNOWLEDGED_PER_LIFE
    assert len(deleted) > 50
    offload.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small file system is not permitted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


async def test_a_real_disk_that_is_full_refuses_what_does_not_fit_and_keeps_the_rest(small_disk):
    offload = ThreadOffload(2, "vault")
    vault = await opened_again(small_disk, offload)
    outcomes = await asyncio.gather(
        *(store(vault, number, 150_000) for number in range(100)), return_exceptions=True
    )
    there = [number for number in range(100) if not isinstance(outcomes[number], BaseException)]
    codes = {one.code for one in outcomes if isinstance(one, Failure)}
    assert codes <= {"node.full", "disk.full"}
    assert codes
    assert 40 < len(there) < 60
    # Somebody else takes what is left: now not even deletes have room (more than a page of them), and say so.
    (small_disk / "other").write_bytes(bytes(SystemDisk(small_disk).free()))
    refused = await asyncio.gather(
        *(vault.delete(shard(number)) for number in there[:30]), return_exceptions=True
    )
    assert {one.code for one in refused} == {"disk.full"}
    assert vault.shard_count == len(there)
    (small_disk / "other").unlink()
    await asyncio.gather(*(vault.delete(shard(number)) for number in there[:30]))
    await vault.close()
    vault = await opened_again(small_disk, offload)
    for number in there[30:]:
        assert await fetched(vault, number) == body(number, 150_000)
    assert sorted(vault.ids()) == sorted(map(shard, there[30:]))
    await vault.close()
    offload.close()
