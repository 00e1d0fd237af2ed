"""Gathers what the doctor judges: looks at a node's folder, its coordinator, its addresses and its disk."""

from __future__ import annotations

import resource
import statistics
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.agent.coordinator import HttpCoordinator
from holdfast.agent.doctor import Facts
from holdfast.agent.folder import mode_of, running_pid
from holdfast.agent.home import Home, Settings, Status
from holdfast.links.peer import dial
from holdfast.protocol.messages import Ping
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.signing import SEED_BYTES, SigningKey
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.disk import Disk
from holdfast.world.errors import Failure, Refusal
from holdfast.world.network import Network, parse_address

_SYNC_TRIES = 7
_SYNC_NAME = "doctor.probe"


async def gather(
    folder: Path,
    home: Home,
    *,
    vault_disk: Callable[[], Disk],
    network: Network,
    clock: Clock,
    chance: Chance,
) -> Facts:
    """Looks at the node in `folder`: never changes it, and works beside a running node.

    It writes a small probe file beside the shards and removes it.
    """
    facts = Facts(now=clock.now(), made=home.made(), pid=running_pid(folder))
    if not facts.made:
        return facts
    try:
        settings, memory = home.settings(), home.memory()
    except Refusal as refusal:
        return msgspec.structs.replace(facts, key_failure=str(refusal))
    key_failure = ""
    key = None
    try:
        key = home.key()
    except Refusal as refusal:
        key_failure = str(refusal)
    status = home.status()
    facts = msgspec.structs.replace(
        facts,
        settings=settings,
        registered=memory.registered,
        status=status,
        key_failure=key_failure,
        folder_mode=mode_of(folder),
        key_mode=mode_of(folder / "node.key"),
        files_max=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        reached=await _reached(facts, settings, status, key, network, clock, chance),
    )
    facts = await _with_endpoint(facts, settings, clock)
    return _with_disk(facts, vault_disk, clock)


async def _reached(
    facts: Facts,
    settings: Settings,
    status: Status | None,
    key: SigningKey | None,
    network: Network,
    clock: Clock,
    chance: Chance,
) -> dict[str, str]:
    if facts.pid is None or status is None or key is None:
        return {}
    reached = {}
    for text in settings.advertised or status.addresses:
        try:
            parse_address(text)
            peer = await dial(
                network,
                NodeAddress(node_id=key.public, addresses=[text]),
                session_key=SigningKey(chance.bytes(SEED_BYTES)),
                clock=clock,
                chance=chance,
            )
            await peer.call(Ping())
            await peer.close()
            reached[text] = ""
        except Failure as failure:
            reached[text] = failure.message
    return reached


async def _with_endpoint(facts: Facts, settings: Settings, clock: Clock) -> Facts:
    try:
        coordinator = HttpCoordinator(settings.endpoint)
        try:
            probe = await coordinator.probe(clock)
        finally:
            await coordinator.close()
    except Failure as failure:
        return msgspec.structs.replace(facts, endpoint_failure=failure.message)
    return msgspec.structs.replace(facts, round_trip=probe.round_trip, clock_offset=probe.clock_offset)


def _with_disk(facts: Facts, vault_disk: Callable[[], Disk], clock: Clock) -> Facts:
    try:
        disk = vault_disk()
        return msgspec.structs.replace(facts, disk_free=disk.free(), sync_seconds=_sync_seconds(disk, clock))
    except Failure as failure:
        return msgspec.structs.replace(facts, disk_failure=failure.message)


def _sync_seconds(disk: Disk, clock: Clock) -> float:
    """The median time of a durable 4 KiB append."""
    file = disk.open(_SYNC_NAME, create=True)
    try:
        times = []
        for _ in range(_SYNC_TRIES):
            began = clock.monotonic()
            file.append([bytes(4096)])
            file.sync()
            times.append(clock.monotonic() - began)
        return statistics.median(times)
    finally:
        file.close()
        disk.remove(_SYNC_NAME)
