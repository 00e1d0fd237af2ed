"""Whether this machine has the memory and the disk that a local cloud needs, asked before it is started."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from holdfast.agent.sizes import size_text
from holdfast.agent.vault import RESERVE_BYTES
from holdfast.world.errors import Trouble

NODE_MEMORY_BYTES = 60_000_000
"""What a node's process takes beside what all of them share."""
COORDINATOR_MEMORY_BYTES = 150_000_000
DISK_BYTES_MIN = 100_000_000
"""Beside the reserve: less room than this is not worth a cloud."""
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Room:
    """Bytes that can be had now."""

    memory: int
    disk: int


def room_at(folder: Path) -> Room:
    """What is free, for programs in this process's control group and for files in `folder` (or above it)."""
    while not folder.exists():
        folder = folder.parent
    return Room(min(psutil.virtual_memory().available, _left_in_group()), shutil.disk_usage(folder).free)


def shortage(room: Room, folder: Path, nodes: int) -> Trouble | None:
    """What is too little for a cloud of so many nodes, and what to do; None where there is enough."""
    wanted = COORDINATOR_MEMORY_BYTES + nodes * NODE_MEMORY_BYTES
    if room.memory < wanted:
        fitting = max(0, room.memory - COORDINATOR_MEMORY_BYTES) // NODE_MEMORY_BYTES
        fewer = f", or start fewer: --nodes {fitting}" if fitting else ""
        return Trouble(
            "internal",
            f"{nodes} nodes need about {size_text(wanted)} of memory; {size_text(room.memory)} are free.",
            retry=True,
            advice=f"Stop other programs{fewer}.",
        )
    if room.disk < RESERVE_BYTES + DISK_BYTES_MIN:
        return Trouble(
            "disk.full",
            f"{size_text(room.disk)} are free on the disk of {folder}, of which nodes never touch "
            f"{size_text(RESERVE_BYTES)}.",
            advice="Free some space, or choose a folder on another disk with --home.",
        )
    return None


def _left_in_group() -> int:
    """What the control group of a container still allows; nothing is known where there is none."""
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = int((_CGROUP / "memory.current").read_text())
        cached = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return psutil.virtual_memory().available
    if limit == "max":
        return psutil.virtual_memory().available
    return max(0, int(limit) - used + int(cached.get("inactive_file", 0)))
