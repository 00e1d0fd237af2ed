"""A process that stores shards as fast as it can and prints each number once it is acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import sys

from tests.agent.vault.conftest import length_of, shard, store

from holdfast.agent.vault import Vault, VaultSettings
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Failure
from holdfast.world.offload import ThreadOffload
from holdfast.world.system_disk import SystemDisk

VOLUME_BYTES = 1 << 20
PUTTERS = 24


def say(*words: object) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def storm(folder: str, first: int) -> None:
    """Puts ever higher numbers, deletes every seventh again, compacts meanwhile; until killed."""
    vault = await Vault.open(
        SystemDisk(folder),
        allocated=1 << 30,
        reserve=0,
        offload=ThreadOffload(4, "vault"),
        clock=SystemClock(),
        chance=SystemChance(),
        settings=VaultSettings(volume_bytes=VOLUME_BYTES, dead_share=0.1),
    )
    numbers = itertools.count(first)

    async def putter() -> None:
        for number in numbers:
            try:
                await store(vault, number, length_of(number))
                say("put", number)
                if number % 7 == 0:
                    await delete(number)
            except Failure as failure:
                say("failed", number, failure.code)

    async def delete(number: int) -> None:
        say("deleting", number)
        await vault.delete(shard(number))
        say("deleted", number)

    async def compactor() -> None:
        while True:
            await vault.compact()
            await asyncio.sleep(0.01)

    await asyncio.gather(compactor(), *(putter() for _ in range(PUTTERS)))


if __name__ == "__main__":
    asyncio.run(storm(sys.argv[1], int(sys.argv[2])))
