"""What bucket policies may ask about a request: the values of condition keys, found when they are asked for.

Most requests meet no policy, so nothing is computed ahead. What is known only later (an object's tags, a
bucket's location in a body) is handed to `Access.demand`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, unquote

from holdfast.world.clock import MICROSECONDS

DAY: Final = 86_400 * MICROSECONDS

_QUERY: Final = {
    "s3:delimiter": "delimiter",
    "s3:max-keys": "max-keys",
    "s3:prefix": "prefix",
    "s3:versionid": "versionId",
}
_HEADERS: Final = {
    "aws:referer": "referer",
    "aws:useragent": "user-agent",
    "s3:if-match": "if-match",
    "s3:if-none-match": "if-none-match",
    "s3:object-lock-legal-hold": "x-amz-object-lock-legal-hold",
    "s3:object-lock-mode": "x-amz-object-lock-mode",
    "s3:object-lock-retain-until-date": "x-amz-object-lock-retain-until-date",
}
_PREFIXED: Final = "s3:x-amz-"
_REQUEST_TAG: Final = "s3:requestobjecttag/"


class Circumstances(Mapping[str, "str | list[str]"]):
    """Condition keys by lower-case name."""

    __slots__ = (
        "_auth_type",
        "_headers",
        "_now",
        "_query",
        "_remote",
        "_secure",
        "_signed_at",
        "_tls",
        "_version",
    )

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str],
        remote: str,
        secure: bool,
        now: int,
        auth_type: str = "",
        signed_at: int | None = None,
        version: int = 4,
        tls_version: str = "",
    ) -> None:
        """The circumstances of one request.

        Args:
            headers: by lower-case name.
            query: decoded.
            remote: the caller's address.
            secure: whether it came over TLS.
            now: microseconds since the epoch.
            auth_type: "REST-HEADER", "REST-QUERY-STRING" or "POST"; empty for one that is not signed.
            signed_at: when it was signed, microseconds since the epoch.
            version: of the signature.
            tls_version: "1.3"; empty if it is not known.
        """
        self._headers = headers
        self._query = query
        self._remote = remote
        self._secure = secure
        self._now = now
        self._auth_type = auth_type
        self._signed_at = signed_at
        self._version = version
        self._tls = tls_version

    def __getitem__(self, name: str) -> str | list[str]:
        found = self._value(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        names = [*_QUERY, *_HEADERS, *_COMPUTED]
        names += [f"s3:{header}" for header in self._headers if header.startswith("x-amz-")]
        names += [_REQUEST_TAG + tag.lower() for tag in self._tags()]
        return iter([name for name in names if self._value(name) is not None])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _value(self, name: str) -> str | list[str] | None:
        if name in _QUERY:
            return self._query.get(_QUERY[name])
        if name in _HEADERS:
            return self._headers.get(_HEADERS[name])
        if name in _COMPUTED:
            return _COMPUTED[name](self)
        if name.startswith(_PREFIXED):
            return self._of_header(name.removeprefix("s3:"))
        if name.startswith(_REQUEST_TAG):
            wanted = name.removeprefix(_REQUEST_TAG)
            return next((value for tag, value in self._tags().items() if tag.lower() == wanted), None)
        return None

    def _of_header(self, name: str) -> str | None:
        value = self._headers.get(name)
        if name == "x-amz-copy-source" and value:
            return unquote(value.partition("?")[0]).removeprefix("/")
        if name == "x-amz-metadata-directive" and "x-amz-copy-source" in self._headers:
            return value or "COPY"
        return value

    def _tags(self) -> dict[str, str]:
        header = self._headers.get("x-amz-tagging")
        return dict(parse_qsl(header, keep_blank_values=True)) if header else {}

    # --- what is computed --------------------------------------------------------------------------------

    def source_ip(self) -> str | None:
        return self._remote or None

    def secure_transport(self) -> str:
        return "true" if self._secure else "false"

    def current_time(self) -> str:
        return datetime.fromtimestamp(self._now // MICROSECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def epoch_time(self) -> str:
        return str(self._now // MICROSECONDS)

    def auth_type(self) -> str | None:
        return self._auth_type or None

    def signature_version(self) -> str | None:
        if not self._auth_type:
            return None
        return "AWS4-HMAC-SHA256" if self._version == 4 else "AWS"  # noqa: PLR2004 - its number

    def signature_age(self) -> str | None:
        return None if self._signed_at is None else str(max(0, self._now - self._signed_at) // 1000)

    def tls_version(self) -> str | None:
        return self._tls or None

    def tag_keys(self) -> list[str] | None:
        return list(self._tags()) or None

    def remaining_days(self) -> str | None:
        """How many whole days a retention that the request asks for will last."""
        until = self._headers.get("x-amz-object-lock-retain-until-date")
        if until is None:
            return None
        try:
            seconds = datetime.fromisoformat(until).timestamp()
        except (ValueError, OverflowError):
            return None
        return str(max(0, int(seconds * MICROSECONDS) - self._now) // DAY)


_COMPUTED: Final[dict[str, Callable[[Circumstances], str | list[str] | None]]] = {
    "aws:currenttime": Circumstances.current_time,
    "aws:epochtime": Circumstances.epoch_time,
    "aws:securetransport": Circumstances.secure_transport,
    "aws:sourceip": Circumstances.source_ip,
    "s3:authtype": Circumstances.auth_type,
    "s3:object-lock-remaining-retention-days": Circumstances.remaining_days,
    "s3:requestobjecttagkeys": Circumstances.tag_keys,
    "s3:signatureage": Circumstances.signature_age,
    "s3:signatureversion": Circumstances.signature_version,
    "s3:tlsversion": Circumstances.tls_version,
}
