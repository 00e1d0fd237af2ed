from __future__ import annotations

from holdfast.tenants.master import Master

MASTER = Master({"m1": b"1" * 32}, "m1")


class Time:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds
