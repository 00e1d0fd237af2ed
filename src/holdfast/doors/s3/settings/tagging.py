"""Tags of buckets and of object versions: read from documents and headers, checked, shown.

Tags are kept in the order in which they were given. Objects may have ten, buckets fifty.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

import msgspec

from holdfast.doors.s3.contents.named_version import named_version, version_header
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import (
    done,
    expect,
    gone,
    invalid,
    need_leaf,
    save,
    sent,
    shown,
)
from holdfast.doors.s3.settings.telling import told
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group
from holdfast.files.attributes import Attributes

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response

OBJECT_TAGS_MAX: Final = 10
BUCKET_TAGS_MAX: Final = 50
KEY_UNITS_MAX: Final = 128
VALUE_UNITS_MAX: Final = 256
HEADER: Final = "x-amz-tagging"
DOCUMENT_BYTES_MAX: Final = 128 << 10
"""More than the longest tags that may be, however they are written."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9 _.:/=+\-@]*")
_PUNCTUATION: Final = frozenset("_.:/=+-@")
_RESERVED: Final = "aws:"


def parse_header(text: str) -> dict[str, str]:
    """The tags of the header `x-amz-tagging`, encoded like a query; raises S3Error InvalidArgument."""
    tags: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        key = _decoded(name)
        if key in tags:
            _bad_header(text)
        tags[key] = _decoded(value)
    return tags


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        _bad_header(text)
        raise


def _bad_header(text: str) -> None:
    invalid(
        f"The header '{HEADER}' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag "
        "name duplicates.",
        HEADER,
        text,
    )


def check(tags: Mapping[str, str], limit: int) -> None:
    """Raises S3Error InvalidTag for a tag that may not be, BadRequest for too many."""
    for key, value in tags.items():
        check_tag(key, value)
    if len(tags) > limit:
        raise S3Error(
            "BadRequest",
            f"Object tags cannot be greater than {limit}"
            if limit == OBJECT_TAGS_MAX
            else f"Bucket tag count cannot be greater than {limit}",
        )


def check_tag(key: str, value: str) -> None:
    """Raises S3Error InvalidTag."""
    if not key or _units(key) > KEY_UNITS_MAX or not _may_be(key):
        raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
    if _units(value) > VALUE_UNITS_MAX or not _may_be(value):
        raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
    if key.lower().startswith(_RESERVED):
        raise S3Error("InvalidTag", "System tags cannot be added/updated by requester", TagKey=key)


def _units(text: str) -> int:
    """S3 counts UTF-16 units: characters beyond the first 65536 count twice."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _may_be(text: str) -> bool:
    """Letters, digits and separators of any script, and a little punctuation."""
    if _PLAIN.fullmatch(text) is not None:
        return True
    return all(char in _PUNCTUATION or unicodedata.category(char)[0] in "LNZ" for char in text)


def tag_context(tags: Mapping[str, str]) -> dict[str, str | list[str]] | None:
    """The values of the condition keys that speak of the tags a request brings; None if it brings none."""
    if not tags:
        return None
    named: dict[str, str | list[str]] = {
        f"s3:requestobjecttag/{name.lower()}": value for name, value in tags.items()
    }
    named["s3:requestobjecttagkeys"] = list(tags)
    return named


def read_tags(nodes: Iterable[Node]) -> dict[str, str]:
    """`<Tag>` elements; raises S3Error MalformedXML, or InvalidTag for a key given twice."""
    tags: dict[str, str] = {}
    for node in nodes:
        expect(node, one="Key Value")
        key, value = need_leaf(node, "Key"), need_leaf(node, "Value")
        if key in tags:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        tags[key] = value
    return tags


def read_tagging(root: Node, limit: int) -> dict[str, str]:
    """A `<Tagging>` document's tags, checked."""
    expect(root, one="TagSet")
    tag_set = root.need("TagSet")
    expect(tag_set, many="Tag")
    tags = read_tags(tag_set.children)
    check(tags, limit)
    return tags


def tag_elements(tags: Mapping[str, str]) -> str:
    """`<Tag>` elements."""
    return "".join([group("Tag", element("Key", key), element("Value", tags[key])) for key in tags])


async def get_bucket_tagging(_door: Door, request: S3Request) -> S3Response:
    """GET ?tagging of a bucket."""
    tags = request.bucket.parsed.tags
    if not tags:
        raise S3Error("NoSuchTagSet", BucketName=request.bucket.name)
    return shown("Tagging", group("TagSet", tag_elements(tags)))


async def put_bucket_tagging(door: Door, request: S3Request) -> S3Response:
    """PUT ?tagging of a bucket; S3 answers 204."""
    tags = read_tagging(await sent(request, "Tagging"), BUCKET_TAGS_MAX)
    await save(door, request, tags=tags or None)
    return gone()


async def delete_bucket_tagging(door: Door, request: S3Request) -> S3Response:
    """DELETE ?tagging of a bucket."""
    await save(door, request, tags=None)
    return gone()


async def get_object_tagging(door: Door, request: S3Request) -> S3Response:
    """GET ?tagging of an object."""
    version = await named_version(door, request, "s3:GetObjectTagging", "s3:GetObjectVersionTagging")
    headers = version_header(request.bucket, version)
    return shown("Tagging", group("TagSet", tag_elements(version.parsed.tags)), headers=headers)


async def put_object_tagging(door: Door, request: S3Request) -> S3Response:
    """PUT ?tagging of an object."""
    # What tags are to be put may be what a policy asks about, so they are read before it is asked.
    tags = read_tagging(await sent(request, "Tagging", DOCUMENT_BYTES_MAX), OBJECT_TAGS_MAX)
    version = await named_version(
        door, request, "s3:PutObjectTagging", "s3:PutObjectVersionTagging", tag_context(tags)
    )

    def change(attributes: Attributes) -> Attributes:
        return msgspec.structs.replace(attributes, tags=tags)

    event, who = told(request, "s3:ObjectTagging:Put")
    await door.histories.change(request.bucket, version, change, event=event, who=who)
    response = done()
    response.headers += version_header(request.bucket, version)
    return response


async def delete_object_tagging(door: Door, request: S3Request) -> S3Response:
    """DELETE ?tagging of an object."""
    version = await named_version(door, request, "s3:DeleteObjectTagging", "s3:DeleteObjectVersionTagging")

    def change(attributes: Attributes) -> Attributes:
        return msgspec.structs.replace(attributes, tags={})

    event, who = told(request, "s3:ObjectTagging:Delete")
    await door.histories.change(request.bucket, version, change, event=event, who=who)
    response = gone()
    response.headers += version_header(request.bucket, version)
    return response


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketTagging": get_bucket_tagging,
    "PutBucketTagging": put_bucket_tagging,
    "DeleteBucketTagging": delete_bucket_tagging,
    "GetObjectTagging": get_object_tagging,
    "PutObjectTagging": put_object_tagging,
    "DeleteObjectTagging": delete_object_tagging,
}
