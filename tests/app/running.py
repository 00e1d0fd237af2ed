"""A local cloud as its user runs it: `holdfast up` in its own process, worked with by the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from holdfast.app.ports import free_ports

HOLDFAST = [sys.executable, "-m", "holdfast.app.cli.main"]
READY = "The cloud is up."
START_SECONDS = 120
NODES = 14
"""Of the cloud that tests share."""


class Result:
    """How a command ended."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.out = done.stdout
        self.err = done.stderr.decode(errors="replace")

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def code(self) -> str:
        """The failure's code; with `--json` given."""
        lines = [line for line in self.err.splitlines() if line.startswith("{")]
        return str(json.loads(lines[-1])["error"]["code"])


class RunningCloud:
    """Started by `start`, stopped by `stop`; everything of it stays in `folder`."""

    def __init__(self, folder: Path, *, nodes: int, environment: dict[str, str] | None = None) -> None:
        self.home = folder / "cloud"
        self.nodes = nodes
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")},
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "up.log"

    def start(self) -> None:
        port = free_ports([0])[0]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*HOLDFAST, "up", "--home", str(self.home), "--nodes", str(self.nodes), "--port", str(port)],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while READY not in self.log.read_text():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> str:
        """Ctrl-C; what it printed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(60) == 0, self.log.read_text()
        return self.log.read_text()

    def kill(self) -> None:
        """`kill -9` for the supervisor; the kernel takes its children along."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + 30
        while self.pids("run"):
            assert time.monotonic() < deadline, "processes were left behind"
            time.sleep(0.1)

    def run(self, *arguments: str, stdin: bytes | None = None, **environment: str) -> Result:
        """`holdfast ARGUMENTS`, to its end."""
        return Result(
            subprocess.run(
                [*HOLDFAST, *arguments],
                env={**self.environment, **environment},
                input=stdin,
                capture_output=True,
                check=False,
                timeout=120,
            )
        )

    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`holdfast ARGUMENTS`, under way."""
        return subprocess.Popen(
            [*HOLDFAST, *arguments], env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def pids(self, *words: str) -> list[int]:
        """Processes of this cloud whose command line has all the words."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if str(self.home / "") in line and "--home" in line and all(word in line for word in words):
                    found.append(int(entry.name))
        return found

    def node_pid(self, number: int) -> int:
        [pid] = self.pids(f"node-{number:02}")
        return pid
