"""One S3 request as handlers see it, and what they answer.

A handler is `async def name(door: Door, request: S3Request) -> S3Response`; each module of operations
exports its own in `HANDLERS` by S3's operation name, and `operations` joins them. By the time a handler
runs, the request is believed, its operation known, its bucket read, and what can be judged from those has
been judged.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.rights.access import Access
    from holdfast.doors.s3.wire.body import RequestBody
    from holdfast.files.records import Bucket
    from holdfast.tenants.identity import Identity


@dataclass(slots=True, kw_only=True)
class S3Request:
    """Plain facts of one request. Times are microseconds since the epoch.

    `headers`: by lower-case name, repeated ones joined by a comma. `query`: decoded, first value of each
    name; keys without a value have "". `key`: the object key, decoded; None for operations on buckets.
    `bucket_name` is None for operations on the service. `record`: the bucket's row, None where the
    operation makes it or needs none. `access` judges what remains to be judged (`access.demand`).
    """

    operation: str
    method: str
    bucket_name: str | None
    key: str | None
    query: Mapping[str, str]
    headers: Mapping[str, str]
    identity: Identity
    now: int
    request_id: str
    secure: bool
    body: RequestBody
    access: Access
    remote: str = ""
    host: str = ""
    record: Bucket | None = None

    @property
    def bucket(self) -> Bucket:
        """The bucket's row, where the operation is about one that must exist."""
        assert self.record is not None, "the operation's table says that it reads the bucket"
        return self.record

    @property
    def object_key(self) -> str:
        """The object key, where the operation is about an object."""
        assert self.key is not None, "the operation's table says that it is about an object"
        return self.key


class Done(NamedTuple):
    """What became of one of the many keys of a request, for request logs."""

    key: str
    version_id: str
    status: int
    error: str = ""


@dataclass(slots=True, kw_only=True)
class S3Response:
    """What is sent back. `stream` yields views valid until the next; then `length` says how many bytes come.

    `headers` go out as they are; request ids, date and server are added to every answer. `object_size`: of
    the object or part that was read or written, below zero where there is none, and `batch`: what was done
    besides, are for request logs.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    content: bytes = b""
    stream: AsyncGenerator[memoryview] | None = None
    length: int | None = None
    object_size: int = -1
    batch: Sequence[Done] = ()


Handler = Callable[["Door", S3Request], Awaitable[S3Response]]
