"""How settings come in and go out: documents read strictly, saved in one transaction, shown again.

S3 checks documents against a schema: an element that it does not know, one twice where it may stand once,
a number that is none, are all MalformedXML. What is well formed and still wrong has errors of its own,
which the operations raise.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.wire.xml_reading import BYTES_MAX, Node, parse
from holdfast.doors.s3.wire.xml_writing import document, time_text
from holdfast.files.bucket_settings import BucketSettings
from holdfast.world.clock import MICROSECONDS

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import S3Request
    from holdfast.files.records import Bucket

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1
MIDNIGHT: Final = 86_400 * MICROSECONDS

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_MOMENT: Final = re.compile(
    r"[1-9]\d{3}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


async def sent(request: S3Request, root: str, limit: int = BYTES_MAX) -> Node:
    """The document of the request's body; raises S3Error MalformedXML unless its root has that name."""
    return parse(await request.body.document(limit), root, limit)


def shown(root: str, *children: str, headers: Collection[tuple[str, str]] = ()) -> S3Response:
    """An answer that is a document."""
    return S3Response(
        headers=[("Content-Type", "application/xml"), *headers], content=document(root, *children)
    )


def done() -> S3Response:
    """What a Put answers."""
    return S3Response()


def gone() -> S3Response:
    """What a Delete answers, whether there was anything or not."""
    return S3Response(status=204)


async def save(door: Door, request: S3Request, **changes: Any) -> Bucket:
    """Changes these fields of the bucket's settings and nothing else of them."""

    def change(_bucket: Bucket, settings: BucketSettings) -> BucketSettings:
        return msgspec.structs.replace(settings, **changes)

    bucket: Bucket = await door.buckets.change(request.bucket.id, change)
    return bucket


def malformed() -> NoReturn:
    """Says that the document does not follow the schema."""
    raise S3Error("MalformedXML")


def expect(node: Node, *, one: str = "", many: str = "") -> None:
    """Checks an element's children: names in `one` at most once each, in `many` any number, others never.

    Both are names with spaces between them.
    """
    once = one.split()
    often = many.split()
    seen: list[str] = []
    for child in node.children:
        if child.name in once:
            if child.name in seen:
                malformed()
            seen.append(child.name)
        elif child.name not in often:
            malformed()
    if not node.children and node.text.strip():
        malformed()


def leaf(node: Node, name: str) -> str | None:
    """The text of a child that holds only text; None if there is no such child."""
    child = node.find(name)
    if child is None:
        return None
    if child.children:
        malformed()
    return child.text


def need_leaf(node: Node, name: str) -> str:
    """The text of a child that must be there, and may be empty."""
    text = leaf(node, name)
    return malformed() if text is None else text


def choice(text: str | None, *allowed: str) -> str:
    """The text, if it is one of those allowed."""
    return text if text is not None and text in allowed else malformed()


def whole(text: str | None, most: int = INT_MAX) -> int | None:
    """A whole number, also a negative one; None for None."""
    if text is None:
        return None
    text = text.strip()
    if _WHOLE.fullmatch(text) is None:
        malformed()
    number = int(text)
    return number if -most <= number <= most else malformed()


def truth(text: str | None) -> bool | None:
    """A boolean; None for None."""
    if text is None:
        return None
    value = _TRUTHS.get(text.strip().lower())
    return malformed() if value is None else value


def moment(text: str | None) -> int | None:
    """A time in ISO 8601, in microseconds since the epoch; None for None. Without a zone it is UTC."""
    if text is None:
        return None
    found = parse_moment(text.strip())
    return malformed() if found is None else found


def parse_moment(text: str) -> int | None:
    """The same; None if the text is no time."""
    if _MOMENT.fullmatch(text) is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        # What lies outside of the calendar could be kept, but never shown again.
        return (parsed.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def exact_time_text(time: int) -> str:
    """ISO 8601 with milliseconds, for times that callers chose."""
    milliseconds = time // 1000 % 1000
    return f"{time_text(time)[:-4]}{milliseconds:03}Z"


def invalid(message: str, name: str = "", value: str = "") -> NoReturn:
    """Says InvalidArgument, and which argument."""
    if not name:
        raise S3Error("InvalidArgument", message)
    raise S3Error("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)
