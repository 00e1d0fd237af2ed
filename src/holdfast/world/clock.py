"""What time it is. Sleeping is `asyncio.sleep`: in simulation the event loop itself keeps simulated time."""

from __future__ import annotations

import time
from typing import Protocol

MICROSECONDS = 1_000_000


class Clock(Protocol):
    """Tells wall time and monotonic time; never sleeps."""

    def now(self) -> int:
        """Microseconds since the Unix epoch (UTC). May jump when an operator sets the clock."""
        ...

    def monotonic(self) -> float:
        """Seconds that only go forward; the same scale as the running event loop's `time()`."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()
