"""The node as a program: opens the vault, listens, beats, looks after the shards, and stops in good order.

`run_agent` is the whole of it with the world handed in, as a simulation runs it; `run_process` is the same
in a process of its own, on this machine's disk, network and clock.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import structlog

from holdfast.agent.answer import Answer
from holdfast.agent.coordinator import HttpCoordinator, outward_host
from holdfast.agent.folder import locked, make_private, vault_folder
from holdfast.agent.heart import Heart
from holdfast.agent.home import Home, Settings, Status
from holdfast.agent.vault import RESERVE_BYTES, Vault
from holdfast.links.serving import NodeListener, serve
from holdfast.protocol.fleet import Coordinator
from holdfast.world.chance import Chance, SystemChance
from holdfast.world.clock import Clock, SystemClock
from holdfast.world.disk import Disk
from holdfast.world.errors import Failure, Trouble
from holdfast.world.network import Address, Network, SystemNetwork, parse_address
from holdfast.world.offload import Offload, ThreadOffload
from holdfast.world.system_disk import SystemDisk
from holdfast.world.telemetry import set_up_logging

DRAIN_SECONDS: Final = 8.0
"""How long a stop waits for what has begun."""
SCRUB_BYTES_PER_SECOND: Final = 8 << 20
SCRUB_FIRST_SECONDS: Final = 600.0
"""A start has better things to do than to read old shards."""
SCRUB_PAGE: Final = 16
"""Shards that are read one after another without a pause."""
SCRUB_PASS_SECONDS: Final = 86_400.0
"""A pass over all shards begins at most this often."""
COMPACT_SECONDS: Final = 60.0
THREADS: Final = 4
FILES_MAX: Final = 65_536

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised here, not bound to

log = structlog.get_logger()


async def run_agent(
    home: Home,
    *,
    network: Network,
    vault_disk: Disk,
    clock: Clock,
    chance: Chance,
    offload: Offload,
    coordinator: Coordinator,
    stop: asyncio.Event,
    reload: asyncio.Event | None = None,
    reserve: int = RESERVE_BYTES,
) -> None:
    """Runs the node in `home` until `stop` is set.

    Args:
        home: its key, settings and memory.
        network: where it listens.
        vault_disk: the folder of its shards.
        clock: the node's.
        chance: for nonces and jitter.
        offload: for hashing and whatever blocks.
        coordinator: who it reports to.
        stop: ends it in good order.
        reload: set to have the settings read again at once; cleared each time.
        reserve: bytes of the disk that stay free whatever is allocated.

    Raises:
        Refusal: no node in the home, or its registration was refused.
        Trouble: the disk failed at the start, or the address to listen on is taken.
    """
    settings = home.settings()
    vault = await Vault.open(
        vault_disk,
        allocated=settings.allocated,
        reserve=reserve,
        offload=offload,
        clock=clock,
        chance=chance,
    )
    try:
        answer = Answer(vault, home.key(), clock, offload)
        listener = await serve(
            network,
            parse_address(settings.listen),
            node_key=home.key(),
            handler=answer,
            clock=clock,
            chance=chance,
        )
        log.info("listening", address=str(listener.address), shards=vault.shard_count, used=vault.used)
        heart = _heart(home, vault, answer, listener.address, coordinator, clock, chance, offload)
        await _live(vault, listener, heart, clock, stop, reload or asyncio.Event())
    finally:
        await vault.close()


def _heart(
    home: Home,
    vault: Vault,
    answer: Answer,
    listening: Address,
    coordinator: Coordinator,
    clock: Clock,
    chance: Chance,
    offload: Offload,
) -> Heart:
    return Heart(
        home=home,
        key=home.key(),
        stock=vault,
        coordinator=coordinator,
        clock=clock,
        chance=chance,
        offload=offload,
        addresses=_Whereabouts(listening, offload).addresses,
        learn=answer.learn,
        obey=lambda wishes: _obey(vault, wishes),
        status=Status(
            state="running",
            time=clock.now(),
            started=clock.now(),
            listening=str(listening),
            recovery=str(vault.recovery),
        ),
    )


async def _live(
    vault: Vault,
    listener: NodeListener,
    heart: Heart,
    clock: Clock,
    stop: asyncio.Event,
    reload: asyncio.Event,
) -> None:
    """Beats and looks after the shards until told to stop; then finishes what was begun."""
    try:
        await _until(
            stop, heart.run(), _scrub(vault, heart, clock), _compact(vault), _reload_on(reload, heart)
        )
    except BaseException:
        await listener.close(grace_seconds=0)
        raise
    await asyncio.gather(heart.goodbye(), listener.close(grace_seconds=DRAIN_SECONDS))
    await heart.report("stopped")
    log.info("stopped")


async def _until(stop: asyncio.Event, *works: Coroutine[Any, Any, None]) -> None:
    """Does all the works until `stop` is set; raises what one of them ends with."""
    tasks = [asyncio.create_task(work) for work in (stop.wait(), *works)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _scrub(vault: Vault, heart: Heart, clock: Clock) -> None:
    """Reads every shard again, over and over, at a pace that leaves the disk to others."""
    await asyncio.sleep(SCRUB_FIRST_SECONDS)
    while True:
        began = clock.monotonic()
        after: bytes | None = b""
        while after is not None:
            page = await vault.scrub(after, SCRUB_PAGE)
            if page.lost or page.unreadable:
                log.warning("damage found", lost=len(page.lost), unreadable=len(page.unreadable))
                heart.beat_soon()
            after = page.last
            await asyncio.sleep(page.checked_bytes / SCRUB_BYTES_PER_SECOND)
        await asyncio.sleep(max(SCRUB_PASS_SECONDS - (clock.monotonic() - began), COMPACT_SECONDS))


async def _compact(vault: Vault) -> None:
    """Gives the space of deleted shards back, volume by volume."""
    while True:
        await asyncio.sleep(COMPACT_SECONDS)
        try:
            while (done := await vault.compact()) is not None:
                log.info(
                    "compacted", volume=done.volume, copied=done.copied_bytes, regained=done.regained_bytes,
                    stopped_by=done.stopped_by,
                )  # fmt: skip
                if done.stopped_by is not None:
                    break
        except Failure as failure:
            log.warning("compaction failed", failure=failure)


async def _reload_on(reload: asyncio.Event, heart: Heart) -> None:
    """Has the settings read again whenever somebody asks for it."""
    while True:
        await reload.wait()
        reload.clear()
        heart.beat_soon()


def _obey(vault: Vault, settings: Settings) -> None:
    if vault.allocated != settings.allocated:
        log.info("allocation changed", before=vault.allocated, now=settings.allocated)
        vault.allocated = settings.allocated


class _Whereabouts:
    """The addresses others reach the node at; found anew each time, because machines move."""

    def __init__(self, listening: Address, offload: Offload) -> None:
        self._listening = listening
        self._offload = offload
        self._last: list[str] = []

    async def addresses(self, settings: Settings) -> list[str]:
        """What the owner says; else where it listens, seen from outside if it listens everywhere."""
        if settings.advertised:
            return settings.advertised
        if self._listening.host not in _WILDCARDS:
            return [str(self._listening)]
        try:
            host = await self._offload.run(outward_host, settings.endpoint)
        except Trouble:
            return self._last
        self._last = [str(self._listening._replace(host=host))]
        return self._last


# --- in a process of its own ----------------------------------------------------------------------------


def run_process(folder: Path) -> None:
    """Runs the node in `folder` until SIGTERM or SIGINT; SIGHUP has its settings read again.

    Raises what `run_agent` raises, and Refusal("node.running") if it runs already.
    """
    import uvloop

    # Until the loop listens for it, a request to read the settings again must not end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    set_up_logging(as_json=not sys.stderr.isatty())
    make_private(folder)
    with locked(folder):
        home = Home(SystemDisk(folder))
        settings = home.settings()
        _raise_file_limit()
        uvloop.run(_run_here(home, settings, SystemDisk(vault_folder(folder, settings.vault))))


async def _run_here(home: Home, settings: Settings, vault_disk: Disk) -> None:
    loop = asyncio.get_running_loop()
    stop, reload = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    offload = ThreadOffload(THREADS, "node")
    coordinator = HttpCoordinator(settings.endpoint)
    try:
        await run_agent(
            home,
            network=SystemNetwork(),
            vault_disk=vault_disk,
            clock=SystemClock(),
            chance=SystemChance(),
            offload=offload,
            coordinator=coordinator,
            stop=stop,
            reload=reload,
        )
    finally:
        await coordinator.close()
        offload.close()


async def count_used(vault_disk: Disk) -> int:
    """Bytes that the shards of a node take that is not running. Reads the whole vault's records."""
    offload = ThreadOffload(1, "count")
    try:
        vault = await Vault.open(
            vault_disk, allocated=0, offload=offload, clock=SystemClock(), chance=SystemChance()
        )
        await vault.close()
        return vault.used
    finally:
        offload.close()


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, FILES_MAX) if hard != resource.RLIM_INFINITY else FILES_MAX
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
