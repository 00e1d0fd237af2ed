"""Requests that a bucket's owner wants written down, kept in memory until upkeep writes them into a bucket.

Delivery is at best effort, as S3's is: what a process has noted and not yet written is lost if it dies. The
memory is bounded; past it, what comes is counted and dropped.
"""

from __future__ import annotations

from typing import NamedTuple

from holdfast.files.bucket_settings import Logging

LINES_MAX = 200_000
"""Held at once, of all buckets together."""


class RequestFacts(NamedTuple):
    """One request, as its line will tell of it. What is empty, None or below zero is shown as `-`.

    Times are microseconds. `operation` is S3's name in its logs (`log_operation`). `key` as in the request,
    decoded; `uri` the request line's target as it came. `requester`: canonical id, or the ARN of a user.
    """

    bucket: str
    owner: str
    """Canonical id of the bucket's owner."""
    account: str
    """The owner's account number."""
    logging: Logging
    time: int
    remote: str
    requester: str
    request_id: str
    operation: str
    key: str | None
    method: str
    uri: str
    status: int
    error: str = ""
    sent: int = -1
    """Bytes of the body that was sent."""
    size: int = -1
    """The object's."""
    total: int = -1
    turnaround: int = -1
    referer: str = ""
    agent: str = ""
    version_id: str = ""
    host_id: str = ""
    signature: str = ""
    """`SigV4`, or nothing."""
    cipher: str = ""
    authentication: str = ""
    """`AuthHeader`, `QueryString` or nothing."""
    host: str = ""
    tls: str = ""
    acl_required: bool = False


class LogKey(NamedTuple):
    """What goes into one log object together."""

    logging: Logging
    bucket: str
    account: str
    day: int
    """Days since the epoch, where each day has its own objects; else 0."""


_DAY = 86_400_000_000


def log_operation(method: str, key: str | None, resource: str = "") -> str:
    """S3's name of an operation in its logs: `REST.GET.OBJECT`.

    `resource` is the sub-resource in capitals (`ACL`, `UPLOADS`); nothing: the object or bucket itself.
    """
    return f"REST.{method}.{resource or ('BUCKET' if key is None else 'OBJECT')}"


class RequestLog:
    """Noted requests; `note` is for the path of every request, and does next to nothing."""

    __slots__ = ("_held", "dropped", "lines_max")

    def __init__(self, *, lines_max: int = LINES_MAX) -> None:
        self._held: list[RequestFacts] = []
        self.lines_max = lines_max
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._held)

    def note(self, facts: RequestFacts) -> None:
        """Keeps it until it is written; drops it when memory for these is full."""
        if len(self._held) < self.lines_max:
            self._held.append(facts)
        else:
            self.dropped += 1

    def oldest(self) -> int | None:
        """When the oldest that is held was noted, by its own time."""
        return self._held[0].time if self._held else None

    def take(self) -> tuple[dict[LogKey, list[RequestFacts]], int]:
        """Hands over everything held, by where it goes, in the order noted; and how many were dropped."""
        held, self._held = self._held, []
        dropped, self.dropped = self.dropped, 0
        found: dict[LogKey, list[RequestFacts]] = {}
        for facts in held:
            day = facts.time // _DAY if facts.logging.key_format == "event_time" else 0
            found.setdefault(LogKey(facts.logging, facts.bucket, facts.account, day), []).append(facts)
        return found, dropped

    def give_back(self, facts: list[RequestFacts]) -> None:
        """Holds these again, which could not be written, before what was noted since."""
        room = max(0, self.lines_max - len(self._held))
        self.dropped += max(0, len(facts) - room)
        self._held[:0] = facts[:room]
