"""Machines of a test: network namespaces of this one, on a switch of their own, with nothing else reachable.

Each machine has an address in 10.77.0.0/24 and a home folder; what runs in it sees no other network, not even
this machine's loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from tests.app.running import HOLDFAST, Result

NETWORK = "10.77.0."


def why_not() -> str:
    """Why namespaces cannot be had here; empty where they can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    if shutil.which("ip") is None:
        return "network namespaces need the program `ip` of the Debian package iproute2"
    name = f"hf{os.getpid()}try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"network namespaces are not permitted here: {made.stderr.strip()}"
    probe = subprocess.run(["ip", "netns", "exec", name, "true"], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", name], check=False)
    return f"programs cannot be run in namespaces here: {probe.stderr.strip()}" if probe.returncode else ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Machine:
    """One namespace with its address."""

    def __init__(self, street: Street, name: str, number: int) -> None:
        self.name = name
        self.namespace = f"{street.prefix}{name}"
        self.address = f"{NETWORK}{number}"
        self.home = street.folder / name
        self.home.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
        }
        self._running: list[subprocess.Popen[bytes]] = []
        plug = f"{street.prefix}{number}"
        _ip("netns", "add", self.namespace)
        _ip(
            "link",
            "add",
            plug,
            "netns",
            street.switch,
            "type",
            "veth",
            "peer",
            "eth0",
            "netns",
            self.namespace,
        )
        _ip("-n", street.switch, "link", "set", plug, "master", "switch", "up")
        _ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _ip("-n", self.namespace, "link", "set", link, "up")

    def run(self, *arguments: str, stdin: bytes | None = None, **environment: str) -> Result:
        """`holdfast ARGUMENTS` on this machine, to its end."""
        return Result(
            subprocess.run(
                [*self._here(), *HOLDFAST, *arguments],
                env={**self.environment, **environment},
                cwd=self.home,
                input=stdin,
                capture_output=True,
                check=False,
                timeout=120,
            )
        )

    def start(self, *arguments: str) -> Path:
        """`holdfast ARGUMENTS` on this machine, in the background; where its output goes."""
        log = self.home / "log"
        with log.open("ab") as output:
            self._running.append(self._popen(arguments, output))
        return log

    def reaches(self, other: Machine, port: int) -> bool:
        """Whether a connection from here to there can be made within a second."""
        probe = f"import socket; socket.create_connection(('{other.address}', {port}), 1)"
        line = [*self._here(), sys.executable, "-c", probe]
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    def deaf_to(self, other: Machine) -> None:
        """Lets nothing that this machine sends arrive at the other, as a firewall that drops does."""
        _ip("-n", self.namespace, "route", "add", "blackhole", f"{other.address}/32")

    def hears_again(self, other: Machine) -> None:
        """Undoes `deaf_to`."""
        _ip("-n", self.namespace, "route", "del", "blackhole", f"{other.address}/32")

    def stop(self) -> list[int]:
        """SIGTERM for what runs in the background; the exit statuses."""
        for process in self._running:
            process.send_signal(signal.SIGTERM)
        return [process.wait(30) for process in self._running]

    def remove(self) -> None:
        """Ends everything here."""
        for process in self._running:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)

    def _here(self) -> list[str]:
        return ["ip", "netns", "exec", self.namespace]

    def _popen(self, arguments: tuple[str, ...], output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._here(), *HOLDFAST, *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


class Street:
    """The switch with its machines; `remove` it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = f"h{os.getpid() % 100_000}"
        self.switch = f"{self.prefix}switch"
        self.machines: list[Machine] = []
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "switch", "up")

    def machine(self, name: str) -> Machine:
        """One more machine."""
        made = Machine(self, name, len(self.machines) + 1)
        self.machines.append(made)
        return made

    def remove(self) -> None:
        """Ends everything, and takes the namespaces away."""
        for machine in reversed(self.machines):
            machine.remove()
        subprocess.run(["ip", "netns", "del", self.switch], check=False, capture_output=True)


def until(ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Waits for `ready()` to be true."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.2)
