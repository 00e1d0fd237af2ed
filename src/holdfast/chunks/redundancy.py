"""`k of n, repair at r`: how many shards a chunk has, how many reopen it, when it is repaired."""

from __future__ import annotations

import re
from dataclasses import dataclass

from holdfast.world.errors import Refusal

SHARDS_MAX = 255

_TEXT = re.compile(r"([1-9][0-9]{0,2})of([1-9][0-9]{0,2})r([1-9][0-9]{0,2})")


@dataclass(frozen=True, slots=True)
class Redundancy:
    """Any `k` of `n` shards reopen a chunk; below `repair_at` live shards it is repaired.

    `k = 1` is replication. Raises Refusal("config.invalid") unless 1 <= k <= repair_at <= n <= 255.
    """

    k: int
    n: int
    repair_at: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.repair_at <= self.n <= SHARDS_MAX:
            raise Refusal(
                "config.invalid",
                f"A redundancy of {self.k} of {self.n}, repair at {self.repair_at}, cannot work.",
                advice=f"Choose 1 <= k <= repair at <= n <= {SHARDS_MAX}.",
                k=self.k,
                n=self.n,
                repair_at=self.repair_at,
            )

    @classmethod
    def parse(cls, text: str) -> Redundancy:
        """The redundancy written as "10of14r12"; raises Refusal("config.invalid")."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise Refusal(
                "config.invalid",
                f"{text!r} is not a redundancy.",
                advice="Write it as 10of14r12: any 10 of 14 shards reopen a chunk, repair below 12.",
            )
        k, n, repair_at = (int(part) for part in match.groups())
        return cls(k=k, n=n, repair_at=repair_at)

    def __str__(self) -> str:
        return f"{self.k}of{self.n}r{self.repair_at}"

    @property
    def parity(self) -> int:
        """How many shards may be missing: n - k."""
        return self.n - self.k

    @property
    def expansion(self) -> float:
        """Stored bytes per sealed byte: n / k."""
        return self.n / self.k
