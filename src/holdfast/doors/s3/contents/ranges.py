"""Byte ranges as S3 understands them: one range or none at all.

The law: a header that is no single well-formed range is as good as absent. A well-formed range of which no
byte exists is InvalidRange; one that reaches beyond the end is cut there. A part number stands for the bytes
of that part.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import PartInfo

PARTS_MAX: Final = 10_000
_UNIT: Final = "bytes="


class Span(NamedTuple):
    """Bytes `start` up to, not including, `stop`."""

    start: int
    stop: int


def asked_span(header: str, size: int) -> Span | None:
    """The bytes that a `Range` header asks for of `size`; None: all of them, as if there were no header.

    Raises S3Error InvalidRange if the range is well-formed and none of its bytes exists.
    """
    if header[: len(_UNIT)].lower() != _UNIT:
        return None
    first_text, dash, last_text = header[len(_UNIT) :].strip().partition("-")
    first, last = number(first_text), number(last_text)
    if not dash or (first_text and first is None) or (last_text and last is None):
        return None
    if first is None:
        if last is None:
            return None
        if last == 0 or size == 0:
            raise _unsatisfiable(header, size)
        return Span(max(0, size - last), size)
    if last is not None and last < first:
        return None
    if first >= size:
        raise _unsatisfiable(header, size)
    return Span(first, size if last is None else min(last + 1, size))


def source_span(header: str, size: int) -> Span:
    """The bytes that `x-amz-copy-source-range` asks for: both ends given, all of them there.

    Raises S3Error InvalidArgument otherwise.
    """
    first_text, _, last_text = header[len(_UNIT) :].partition("-")
    first, last = number(first_text), number(last_text)
    if not header.startswith(_UNIT) or first is None or last is None:
        raise S3Error(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are "
            "the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    if first > last or last >= size:
        raise S3Error(
            "InvalidArgument",
            f"Range specified is not valid for source object of size: {size}",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=header,
        )
    return Span(first, last + 1)


def part_span(parts: tuple[PartInfo, ...], wanted: int, size: int) -> Span:
    """The bytes of the `wanted`-th part; an object that was not made of parts is its own first.

    Raises S3Error InvalidPartNumber if there is no such part.
    """
    if not parts and wanted == 1:
        return Span(0, size)
    if wanted > len(parts):
        raise S3Error("InvalidPartNumber", ActualPartCount=max(1, len(parts)), PartNumberRequested=wanted)
    start = sum(part.size for part in parts[: wanted - 1])
    return Span(start, start + parts[wanted - 1].size)


def part_number(text: str) -> int:
    """A `partNumber` of a request: 1 to 10,000; raises S3Error InvalidArgument."""
    parsed = number(text)
    if parsed is None or not 1 <= parsed <= PARTS_MAX:
        raise S3Error(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {PARTS_MAX}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return parsed


def number(text: str) -> int | None:
    """A decimal number without a sign, None for anything else (also for one of absurd length)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None  # noqa: PLR2004


def _unsatisfiable(header: str, size: int) -> S3Error:
    return S3Error(
        "InvalidRange",
        headers=(("Content-Range", f"bytes */{size}"),),
        RangeRequested=header,
        ActualObjectSize=size,
    )
