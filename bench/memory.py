"""How much memory the programs need for an object far larger than it: 10 GB through a pipe, and back.

The object is put and got by the command line itself, in processes of their own; what counts is the most that
each ever had resident, as the system kept count of it. Needs 14 GB of disk for a while.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from holdfast.app.local import LocalCloud

OBJECT_BYTES: Final = 10 * 10**9
LIMIT_MB: Final = 300
ELSEWHERE: Final = "/var/tmp"  # by custom never in memory, as /tmp may be
OBJECT: Final = "bench/big"
LOOK_SECONDS: Final = 0.02
# Counter mode over zeros: bytes that no compressor shortens, faster than any disk.
SOURCE: Final = """
import os, sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
stream = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(bytes(16))).encryptor()
left, zeros = int(sys.argv[1]), bytes(1 << 20)
while left:
    piece = stream.update(zeros[:left])
    sys.stdout.buffer.write(piece)
    left -= len(piece)
"""


def measure(folder: str | Path = ELSEWHERE, size: int = OBJECT_BYTES) -> dict[str, Any]:
    """Runs a cloud in `folder`, puts and gets `size` bytes; the peaks in MB, also printed."""
    home = Path(tempfile.mkdtemp(prefix="holdfast-memory-", dir=folder))
    try:
        return asyncio.run(_measure(home, size))
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _measure(home: Path, size: int) -> dict[str, Any]:
    cloud = LocalCloud(home, node_count=16, port=0)
    try:
        await cloud.start(lambda _line: None)
        environment = {**os.environ, "HOLDFAST_PROFILE": str(cloud.profile_path)}
        environment["XDG_STATE_HOME"] = str(home / "state")
        await asyncio.to_thread(_command, environment, "mb", OBJECT.partition("/")[0])
        put = await asyncio.to_thread(_put, environment, size)
        get = await asyncio.to_thread(_get, environment, size)
        peaks = {
            "put_peak_mb": put["peak_mb"],
            "get_peak_mb": get["peak_mb"],
            "coordinator_peak_mb": _peak_mb(cloud.coordinator.pid),
            "node_peak_mb": max(_peak_mb(node.child.pid) for node in cloud.nodes),
        }
    finally:
        await cloud.stop()
    figures = {
        "object_bytes": size,
        "limit_mb": LIMIT_MB,
        **peaks,
        "put_mb_per_s": put["mb_per_s"],
        "get_mb_per_s": get["mb_per_s"],
        "within_limit": all(peak < LIMIT_MB for peak in peaks.values()),
    }
    for name, value in figures.items():
        print(f"  {name:<20} {value}")
    return figures


def _put(environment: dict[str, str], size: int) -> dict[str, float]:
    with subprocess.Popen([sys.executable, "-c", SOURCE, str(size)], stdout=subprocess.PIPE) as source:
        return _command(environment, "put", "--quiet", "-", OBJECT, source=source, size=size)


def _get(environment: dict[str, str], size: int) -> dict[str, float]:
    return _command(environment, "get", "--quiet", OBJECT, "-", size=size)


def _command(
    environment: dict[str, str], *words: str, source: subprocess.Popen[bytes] | None = None, size: int = 0
) -> dict[str, float]:
    """Runs a command of ours to its end; raises if it fails."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "holdfast.app.cli.main", *words],
        env=environment,
        stdin=source.stdout if source is not None else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    # What `wait4` tells of a child begins with the memory of whoever started it, so we look ourselves: often,
    # since a process that has ended has no memory to be asked about.
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, _peak_mb(child.pid))
        time.sleep(LOOK_SECONDS)
    if child.returncode:
        raise RuntimeError(f"holdfast {words[0]} ended with status {child.returncode}")
    seconds = time.perf_counter() - began
    return {"peak_mb": peak, "mb_per_s": round(size / seconds / 1e6, 1)}


def _peak_mb(pid: int) -> float:
    """The most memory that a process ever had resident; 0 if it has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), "0")
    return round(int(kilobytes) * 1024 / 1e6, 1)


if __name__ == "__main__":
    measure(*sys.argv[1:2])
