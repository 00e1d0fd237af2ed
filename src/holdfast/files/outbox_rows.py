"""What is still to be told, copied and ended, as everybody reads it: plain tuples, no SQL.

Keys are bytes (UTF-8), times microseconds since the epoch. `due` is when a row may be tried (again).
"""

from __future__ import annotations

from typing import NamedTuple


class EventRow(NamedTuple):
    """A row of `event_outbox`."""

    id: int
    tenant: str
    bucket_id: int
    bucket: str
    key: bytes
    event: str
    target_id: str
    arn: str
    size: int
    etag: str
    version_id: str | None
    sequencer: int
    who: bytes
    time: int
    state: str
    attempts: int
    due: int
    failure: str


class CopyRow(NamedTuple):
    """A row of `replication_outbox`."""

    id: int
    bucket_id: int
    key: bytes
    version_id: str | None
    time: int
    attempts: int
    due: int


class Restore(NamedTuple):
    """A row of `restores`."""

    bucket_id: int
    key: bytes
    version_id: str
    until: int
