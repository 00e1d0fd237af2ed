"""Content headers and user metadata, from the request's headers into a version's attributes and back.

Content headers are kept as they came on the wire; only the framing of the upload, `aws-chunked`, is taken
out. User metadata is text: it comes in UTF-8, or in Latin-1 where it is no UTF-8, and goes out in Latin-1, as
HTTP has it, or by RFC 2047 where Latin-1 has no sign for it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import Attributes

META: Final = "x-amz-meta-"
METADATA_BYTES_MAX: Final = 2048
REDIRECT: Final = "x-amz-website-redirect-location"
REDIRECT_BYTES_MAX: Final = 2048
UNKNOWN_TYPE: Final = "binary/octet-stream"
CONTENT_HEADERS: Final = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
OVERRIDES: Final[dict[str, str]] = {
    f"response-{name.removeprefix('x-amz-')}": name for name in CONTENT_HEADERS
}
"""Query keys of a read that replace a content header of its answer."""
_CONTENT: Final = frozenset(CONTENT_HEADERS)
_LATIN_MAX: Final = 0xFF


def stored_headers(headers: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Content headers and user metadata of a write, in one pass; raises S3Error MetadataTooLarge."""
    content: dict[str, str] = {}
    metadata: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        if name in _CONTENT:
            _check_line(name, value)
            kept = without_framing(value) if name == "content-encoding" else value
            if kept:
                content[name] = kept
        elif name.startswith(META):
            metadata[name[len(META) :]] = value if value.isascii() else from_wire(value)
            size += len(name) - len(META) + len(value)
    if size > METADATA_BYTES_MAX:
        raise S3Error("MetadataTooLarge", Size=size, MaxSizeAllowed=METADATA_BYTES_MAX)
    return content, metadata


def _check_line(name: str, value: str) -> None:
    """A form's field may have several lines, a header may not; raises S3Error InvalidArgument."""
    if "\n" in value or "\r" in value or "\0" in value:
        raise S3Error("InvalidArgument", "A header's value is one line.", ArgumentName=name)


def without_framing(encoding: str) -> str:
    """A Content-Encoding without `aws-chunked`, which is about the upload and not about the object."""
    if "aws-chunked" not in encoding.lower():
        return encoding
    codings = [coding.strip() for coding in encoding.split(",")]
    return ", ".join(coding for coding in codings if coding and coding.lower() != "aws-chunked")


def redirect_location(headers: Mapping[str, str]) -> str:
    """Where a website sends those who ask for the object; raises S3Error InvalidRedirectLocation."""
    location = headers.get(REDIRECT, "")
    _check_line(REDIRECT, location)
    if location and not location.startswith(("/", "http://", "https://")):
        raise S3Error(
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        )
    if len(location) > REDIRECT_BYTES_MAX:
        raise S3Error(
            "InvalidRedirectLocation",
            f"The length of website redirect location cannot exceed {REDIRECT_BYTES_MAX} characters.",
        )
    return location


def answer_headers(
    attributes: Attributes, overrides: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """The headers that show what was stored; `overrides` by the names of headers replace content headers."""
    content = attributes.headers
    if overrides:
        content = {**content, **overrides}
    shown = [("content-type", content.get("content-type", UNKNOWN_TYPE))]
    shown += [(name, wire(value)) for name, value in content.items() if name != "content-type"]
    missing = attributes.metadata_lost
    for name, value in attributes.metadata.items():
        if _fits_a_header(name) and _printable(value):
            shown.append((META + name, wire(value)))
        else:
            missing += 1
    if missing:
        shown.append(("x-amz-missing-meta", str(missing)))
    if attributes.website_redirect:
        shown.append((REDIRECT, wire(attributes.website_redirect)))
    return shown


def from_wire(value: str) -> str:
    """The text of a header's bytes, which are handed on as if they were Latin-1."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def wire(value: str) -> str:
    """The value as a header can carry it: as it is in Latin-1, by RFC 2047 beyond."""
    if value.isascii() or max(map(ord, value)) <= _LATIN_MAX:
        return value
    return f"=?UTF-8?B?{b64encode(value.encode('utf-8', 'replace')).decode()}?="


def _fits_a_header(name: str) -> bool:
    return name.isascii() and name.isprintable() and not any(mark in name for mark in ' ":(),/;<=>?@[\\]{}')


def _printable(value: str) -> bool:
    return value.isprintable() or not any(ord(mark) < 0x20 and mark != "\t" for mark in value)  # noqa: PLR2004
