"""One request while it is served: what came and what became of it, for its answer and for logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote_to_bytes

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.authentication import Wire, query_of
from holdfast.tenants.identity import ANONYMOUS, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

    from holdfast.doors.s3.request import Done
    from holdfast.doors.s3.wire.body import RequestBody
    from holdfast.doors.s3.wire.hosts import Place
    from holdfast.files.records import Bucket

KEY_BYTES_MAX: Final = 1024


@dataclass(slots=True, kw_only=True)
class Exchange:
    """Plain facts; filled in as they become known."""

    method: str
    raw_path: str
    raw_query: str
    headers: dict[str, str]
    now: int
    request_id: str
    remote: str
    secure: bool
    query: Mapping[str, str] = field(default_factory=dict)
    bucket_name: str | None = None
    key: str | None = None
    bucket_in_host: str = ""
    website: bool = False
    operation: str = ""
    identity: Identity = ANONYMOUS
    authentication: str = ""
    signature_version: int = 4
    record: Bucket | None = None
    charged: bool = False
    """Whether the one who asks pays for it, not the bucket's owner."""
    body: RequestBody | None = None
    status: int = 0
    error: str = ""
    sent: int = 0
    object_size: int = -1
    """Of the object or part that was read or written; below zero where there is none."""
    batch: Sequence[Done] = ()
    """What was done besides, key by key."""
    received_at: float = 0.0
    """When the last byte of the request came, by the monotonic clock; kept where requests are logged."""
    answered_at: float = 0.0
    """When the first byte of the answer was ready."""

    @property
    def host(self) -> str:
        """The Host header."""
        return self.headers.get("host", "")

    @property
    def wire(self) -> Wire:
        """What is signed of it."""
        return Wire(self.method, self.raw_path, self.raw_query, self.headers, self.query, self.bucket_in_host)

    @property
    def level(self) -> Literal["service", "bucket", "object"]:
        """What it is about: the service, a bucket or an object."""
        if self.bucket_name is None:
            return "service"
        return "bucket" if self.key is None else "object"

    def read_target(self, place: Place) -> None:
        """Takes bucket, key and query from host and target; raises S3Error for what is no text."""
        path = self.raw_path
        if place.bucket is not None:
            bucket, key = place.bucket, path[1:]
            self.bucket_in_host = bucket
            self.website = place.website
        else:
            bucket, _, key = path[1:].partition("/")
            if "%" in bucket:
                bucket = _text(bucket)
        if not path.startswith("/"):
            raise S3Error("InvalidURI")
        self.query = query_of(self.raw_query)
        if bucket:
            self.bucket_name = bucket
        elif key:
            raise S3Error("InvalidBucketName", BucketName="")
        if key:
            self.key = _text(key) if "%" in key else key
            if len(key) > KEY_BYTES_MAX and len(self.key.encode()) > KEY_BYTES_MAX:
                raise S3Error("KeyTooLongError", Size=len(self.key.encode()), MaxSizeAllowed=KEY_BYTES_MAX)


def exchange_of(scope: MutableMapping[str, Any], now: int, request_id: str) -> Exchange:
    """The request of an ASGI scope, nothing of it judged yet."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    client = scope.get("client")
    return Exchange(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("latin-1"),
        raw_query=scope["query_string"].decode("latin-1"),
        headers=headers,
        now=now,
        request_id=request_id,
        remote=client[0] if client else "",
        secure=scope.get("scheme") == "https",
    )


def _text(encoded: str) -> str:
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
