"""What a request requires of the object it is about.

Reads follow RFC 9110, section 13.2.2, as S3 does: If-Match is looked at before If-Unmodified-Since and makes
it idle, If-None-Match likewise If-Modified-Since. What a write or a delete requires is judged in the
transaction that carries it out, so here it is only understood. Times count in whole seconds, because that is
all that Last-Modified tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

from holdfast.doors.s3.contents.ranges import number
from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import ANYHOW, Conditions
from holdfast.world.clock import MICROSECONDS

ANY: Final = "*"
_READ_HEADERS: Final = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


class Verdict(Enum):
    """What becomes of a conditional read."""

    GO_ON = "the conditions hold"
    NOT_MODIFIED = "the caller has it already"
    FAILED = "the object is not the one that was meant"


def judge(headers: Mapping[str, str], etag: str, modified: int, prefix: str = "") -> tuple[Verdict, str]:
    """Whether an object may be read, and the name of the condition that says no.

    Args:
        headers: the request's, by lower-case name.
        etag: the object's, without quotes.
        modified: when it was last modified, in microseconds.
        prefix: stands before the names of the four headers (`x-amz-copy-source-`).
    """
    match = headers.get(f"{prefix}if-match")
    if match is not None:
        if not names(match, etag):
            return Verdict.FAILED, "If-Match"
    else:
        before = parse_time(headers.get(f"{prefix}if-unmodified-since"))
        if before is not None and _whole_seconds(modified) > before:
            return Verdict.FAILED, "If-Unmodified-Since"
    none_match = headers.get(f"{prefix}if-none-match")
    if none_match is not None:
        if names(none_match, etag):
            return Verdict.NOT_MODIFIED, "If-None-Match"
    else:
        since = parse_time(headers.get(f"{prefix}if-modified-since"))
        if since is not None and _whole_seconds(modified) <= since:
            return Verdict.NOT_MODIFIED, "If-Modified-Since"
    return Verdict.GO_ON, ""


def conditional(headers: Mapping[str, str]) -> bool:
    """Whether a read has any condition at all."""
    return any(name in headers for name in _READ_HEADERS)


def demand_source(headers: Mapping[str, str], etag: str, modified: int, prefix: str) -> None:
    """Raises S3Error PreconditionFailed unless a source's conditions hold; 304 means nothing to a copy."""
    verdict, condition = judge(headers, etag, modified, prefix)
    if verdict is not Verdict.GO_ON:
        raise S3Error("PreconditionFailed", Condition=f"{prefix}{condition}")


def for_write(headers: Mapping[str, str]) -> Conditions:
    """What a write requires of the key's latest version."""
    match = headers.get("if-match")
    none_match = headers.get("if-none-match")
    if match is None and none_match is None:
        return ANYHOW
    wanted = None if none_match is None else bare(none_match)
    return Conditions(
        if_absent=wanted == ANY,
        if_match=None if match is None else bare(match),
        if_none_match=None if wanted == ANY else wanted,
    )


def for_delete(headers: Mapping[str, str]) -> Conditions:
    """What a delete requires of the key's latest version."""
    return delete_conditions(
        headers.get("if-match"),
        headers.get("x-amz-if-match-size"),
        headers.get("x-amz-if-match-last-modified-time"),
    )


def delete_conditions(etag: str | None, size: str | None, modified: str | None) -> Conditions:
    """The same from its three texts, as headers or a DeleteObjects entry give them."""
    if etag is None and size is None and modified is None:
        return ANYHOW
    return Conditions(
        if_match=None if etag is None else bare(etag),
        size=None if size is None else _needed_number(size, "x-amz-if-match-size"),
        modified=None if modified is None else _needed_time(modified, "x-amz-if-match-last-modified-time"),
    )


def names(header: str, etag: str) -> bool:
    """Whether a list of entity tags, quoted or bare, weak or strong, names this one."""
    return any(one in {ANY, etag} for one in map(bare, header.split(",")))


def bare(etag: str) -> str:
    """An entity tag without the quotes and the mark of a weak one."""
    return etag.strip().removeprefix("W/").strip('"')


def parse_time(text: str | None) -> int | None:
    """A time in any form of HTTP's or ISO 8601, in microseconds; None for none and for nonsense."""
    if not text:
        return None
    text = text.strip()
    try:
        parsed = datetime.fromisoformat(text) if text[0].isdigit() else parsedate_to_datetime(text)
        moment = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return int(moment.timestamp() * MICROSECONDS)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _whole_seconds(time: int) -> int:
    return time - time % MICROSECONDS


def _needed_number(text: str, name: str) -> int:
    parsed = number(text.strip())
    if parsed is None:
        raise S3Error("InvalidArgument", "The size is not a number.", ArgumentName=name, ArgumentValue=text)
    return parsed


def _needed_time(text: str, name: str) -> int:
    parsed = parse_time(text)
    if parsed is None:
        raise S3Error("InvalidArgument", "The time is not a date.", ArgumentName=name, ArgumentValue=text)
    return _whole_seconds(parsed)
