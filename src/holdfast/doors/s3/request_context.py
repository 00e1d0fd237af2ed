"""What the conditions of policies may ask of a request, computed only when one does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.xml_writing import time_text
from holdfast.world.clock import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.doors.s3.request import S3Request

_OF_ITS_NAME: Final = (
    "x-amz-acl", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-grant-full-control", "x-amz-grant-read",
    "x-amz-grant-read-acp", "x-amz-grant-write", "x-amz-grant-write-acp", "x-amz-metadata-directive",
    "x-amz-object-ownership", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm", "x-amz-storage-class",
    "x-amz-website-redirect-location", "if-match", "if-none-match",
)  # fmt: skip
_OF_HEADERS: Final = {
    **{name: f"s3:{name}" for name in _OF_ITS_NAME},
    "user-agent": "aws:useragent",
    "referer": "aws:referer",
    "x-amz-object-lock-mode": "s3:object-lock-mode",
    "x-amz-object-lock-legal-hold": "s3:object-lock-legal-hold",
    "x-amz-object-lock-retain-until-date": "s3:object-lock-retain-until-date",
}
_OF_QUERY: Final = {
    "prefix": "s3:prefix",
    "delimiter": "s3:delimiter",
    "max-keys": "s3:max-keys",
    "versionId": "s3:versionid",
}
_AUTHENTICATION: Final = {"AuthHeader": "REST-HEADER", "QueryString": "REST-QUERY-STRING", "POST": "POST"}


class RequestContext(Mapping[str, str]):
    """Condition keys by lower-case name, with the values that the request has for them."""

    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], dict[str, str]]) -> None:
        self._make = make
        self._made: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def conditions_of(request: S3Request, authentication: str, region: str) -> dict[str, str]:
    """The values that a request has for condition keys."""
    found = {
        "aws:securetransport": "true" if request.secure else "false",
        "aws:currenttime": time_text(request.now),
        "aws:epochtime": str(request.now // MICROSECONDS),
        "aws:requestedregion": region,
    }
    if request.remote:
        found["aws:sourceip"] = request.remote
    for values, keys in ((request.headers, _OF_HEADERS), (request.query, _OF_QUERY)):
        found |= {key: values[name] for name, key in keys.items() if name in values}
    if authentication:
        found["s3:authtype"] = _AUTHENTICATION[authentication]
        found["s3:signatureversion"] = "AWS4-HMAC-SHA256"
    if request.operation == "CopyObject":
        found.setdefault("s3:x-amz-metadata-directive", "COPY")
    if "s3:x-amz-copy-source" in found:
        found["s3:x-amz-copy-source"] = found["s3:x-amz-copy-source"].removeprefix("/")
    return found
