"""Child processes of a local cloud: started with a log of their own, ended politely, never left behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast.world.errors import Trouble

STOP_SECONDS = 15.0
LOG_TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1


class Child:
    """One process running `holdfast ARGUMENTS`.

    It has a session of its own, so that Ctrl-C reaches only the parent, and gets SIGTERM from the kernel if
    the parent dies without stopping it.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self._arguments = [sys.executable, "-m", "holdfast.app.cli.main", *arguments]
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Its process id while it runs."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    async def start(self) -> None:
        """Starts it; what it prints goes to its log."""
        assert not self.running, f"{self.name} runs already"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_dying_with(os.getpid()),
            )

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        assert self._process is not None, f"{self.name} was never started"
        return await self._process.wait()

    async def stop(self) -> None:
        """Asks it to end (SIGTERM), and makes it end after STOP_SECONDS."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Ends it at once (SIGKILL), as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def failure(self) -> Trouble:
        """Why it ended, with the end of its log."""
        status = self._process.returncode if self._process else None
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        tail = "\n    ".join(lines)
        return Trouble(
            "internal",
            f"{self.name} ended with status {status}.",
            retry=False,
            advice=f"The end of its log {self._log}:\n    {tail}",
        )


_libc = ctypes.CDLL(None, use_errno=True)


def _dying_with(parent: int) -> Callable[[], None]:
    """What runs in the child before exec: if `parent` dies the kernel ends it, or it ends itself now."""

    def prepare() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(0)

    return prepare
