"""XML as S3 writes it, by hand: text in, text out, encoded once at the end.

Elements are plain strings: `element` holds text (escaped), `group` holds elements, `document` is the whole.
Characters that XML 1.0 cannot carry go out as numeric references, as S3 does it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

from holdfast.world.clock import MICROSECONDS

HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

_SPECIAL: Final = re.compile('[&<>"\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]')
_ESCAPES: Final = {
    **{code: f"&#x{code:x};" for code in (*range(0x09), *range(0x0B, 0x20), 0x7F, 0xFFFE, 0xFFFF)},
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord('"'): "&quot;",
    ord("\r"): "&#13;",
}


def escape(text: str) -> str:
    """The text as it stands between tags or in an attribute."""
    return text.translate(_ESCAPES) if _SPECIAL.search(text) else text


def element(name: str, text: str | int) -> str:
    """`<name>text</name>`."""
    return f"<{name}>{text if isinstance(text, int) else escape(text)}</{name}>"


def optional(name: str, text: str | int | None) -> str:
    """The element, or nothing if there is no text (None or "")."""
    return "" if text is None or text == "" else element(name, text)


def truth(name: str, value: bool) -> str:
    """`<name>true</name>` or `<name>false</name>`."""
    return f"<{name}>true</{name}>" if value else f"<{name}>false</{name}>"


def group(name: str, *children: str) -> str:
    """An element of elements."""
    return f"<{name}>{''.join(children)}</{name}>"


def groups(name: str, each: Iterable[str]) -> str:
    """One element for each given content."""
    return "".join([f"<{name}>{content}</{name}>" for content in each])


def etag(value: str) -> str:
    """`<ETag>` with the value in quotes; `value` without."""
    return f"<ETag>&quot;{escape(value)}&quot;</ETag>"


def document(root: str, *children: str, namespace: bool = True) -> bytes:
    """The whole document."""
    opening = f'<{root} xmlns="{NAMESPACE}">' if namespace else f"<{root}>"
    return f"{HEAD}{opening}{''.join(children)}</{root}>".encode("utf-8", "replace")


def error_document(
    code: str, message: str, fields: Iterable[tuple[str, str | int]], request_id: str, host_id: str
) -> bytes:
    """What S3 says instead of an answer; it has no namespace."""
    return document(
        "Error",
        element("Code", code),
        element("Message", message),
        *(element(name, value) for name, value in fields),
        element("RequestId", request_id),
        element("HostId", host_id),
        namespace=False,
    )


def time_text(microseconds: int) -> str:
    """ISO 8601 as S3 writes it: whole seconds, then `.000Z`."""
    return _time_text(microseconds // MICROSECONDS)


def http_date(microseconds: int) -> str:
    """As in the headers `Date` and `Last-Modified`."""
    return _http_date(microseconds // MICROSECONDS)


@lru_cache(maxsize=8192)
def _time_text(seconds: int) -> str:
    day, second = divmod(seconds, 86400)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{_day_text(day)}T{hour:02}:{minute:02}:{second:02}.000Z"


@lru_cache(maxsize=512)
def _day_text(day: int) -> str:
    return datetime.fromtimestamp(day * 86400, UTC).strftime("%Y-%m-%d")


@lru_cache(maxsize=8192)
def _http_date(seconds: int) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
