"""Uploads of browser forms: who signed the form's policy, whether the form keeps to it, what is answered.

A form becomes a PUT: its fields are the headers, its file is the body. Everything about the form is judged
before its file is read.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.request import S3Response
from holdfast.doors.s3.settings import tagging
from holdfast.doors.s3.wire.body import Claims, RequestBody
from holdfast.doors.s3.wire.form_reading import FieldsReader, FileDecoder, boundary_of, no_file
from holdfast.doors.s3.wire.xml_reading import parse
from holdfast.doors.s3.wire.xml_writing import document, element, etag
from holdfast.gateway.body import incomplete
from holdfast.world.clock import MICROSECONDS

if TYPE_CHECKING:
    from starlette.types import Message, Receive

    from holdfast.files.records import Version

FILE_NAME: Final = "${filename}"
KEY_BYTES_MAX: Final = 1024
UNCONDITIONAL: Final = frozenset({"policy", "x-amz-signature", "file", "awsaccesskeyid", "signature"})
"""Fields that a policy needs not speak of; nor of those that begin with x-ignore-."""
_AS_HEADERS: Final = frozenset(
    {"cache-control", "content-type", "content-disposition", "content-encoding", "content-language",
     "content-md5", "expires"}
)  # fmt: skip
_OF_SIGNING: Final = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"})
_DOLLAR: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\\$")
"""S3 lets policies write a dollar as `\\$`, which JSON does not know."""
_STATUSES: Final = {"200": 200, "201": 201, "204": 204}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form up to its file, and how to go on reading. `fields` by lower-case name."""

    fields: Mapping[str, str]
    file_name: str
    boundary: bytes
    receive: Receive

    @property
    def key(self) -> str:
        """The object's key; raises S3Error if the form names none."""
        key = self.fields.get("key")
        if not key:
            raise S3Error(
                "InvalidArgument",
                "Bucket POST must contain a field named 'key'.  If it is specified, please check the order "
                "of the fields.",
                ArgumentName="key",
                ArgumentValue="",
            )
        key = key.replace(FILE_NAME, self.file_name)
        if len(key.encode()) > KEY_BYTES_MAX:
            raise S3Error("KeyTooLongError", Size=len(key.encode()), MaxSizeAllowed=KEY_BYTES_MAX)
        return key

    def headers(self) -> dict[str, str]:
        """The headers that a PUT of the same would have."""
        found = {
            name: value
            for name, value in self.fields.items()
            if name in _AS_HEADERS or (name.startswith("x-amz-") and name not in _OF_SIGNING)
        }
        if "acl" in self.fields:
            found["x-amz-acl"] = self.fields["acl"]
        if self.fields.get("tagging"):
            tags = tagging.read_tagging(
                parse(self.fields["tagging"].encode(), "Tagging"), tagging.OBJECT_TAGS_MAX
            )
            found[tagging.HEADER] = urlencode(tags)
        return found

    def body(self, headers: Mapping[str, str], sizes: tuple[int, int | None]) -> RequestBody:
        """The file, whose size must be within bounds."""
        decoder = FileDecoder(self.boundary, least=sizes[0], most=sizes[1])
        return RequestBody(self.receive, headers, Claims(size=None), decoder)


async def read_form(receive: Receive, content_type: str) -> Form:
    """Reads up to the file; raises S3Error for what is no form, Refusal("request.incomplete") if cut."""
    boundary = boundary_of(content_type)
    reader = FieldsReader(boundary)
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise incomplete(0, 0)
        opening = reader.feed(message.get("body", b""))
        more = message.get("more_body", False)
        if opening is not None:
            going_on = _going_on(receive, opening.first, more=more)
            name = PureWindowsPath(PurePosixPath(opening.file_name).name).name
            return Form(fields=opening.fields, file_name=name, boundary=boundary, receive=going_on)
        if not more:
            raise no_file()


def _going_on(receive: Receive, first: bytes, *, more: bool) -> Receive:
    """A `receive` that begins with bytes that came already."""
    waiting: list[Message] = [{"type": "http.request", "body": first, "more_body": more}]

    async def go_on() -> Message:
        return waiting.pop() if waiting else await receive()

    return go_on


# --- the policy ------------------------------------------------------------------------------------------


def check_policy(form: Form, bucket_name: str, now: int) -> tuple[int, int | None]:
    """How small and how large the file may be; raises S3Error if the form breaks its policy.

    A form without a policy is bound by nothing but what everybody may.
    """
    if "policy" not in form.fields:
        return 0, None
    policy = _decoded(form.fields["policy"])
    if _expiration(policy) <= now:
        raise _denied("Policy expired.")
    values = {**form.fields, "bucket": bucket_name, "key": form.key}
    open_fields = {name for name in values if name not in UNCONDITIONAL and not name.startswith("x-ignore-")}
    sizes: tuple[int, int | None] = (0, None)
    conditions = policy.get("conditions")
    if not isinstance(conditions, list):
        raise _invalid("Policy missing conditions.")
    for condition in conditions:
        operator, name, value = _read_condition(condition)
        if operator == "content-length-range":
            sizes = _range(name, value)
            continue
        field = str(name)
        open_fields.discard(field)
        if not _holds(operator, field, str(value), values.get(field)):
            raise _denied(f"Policy Condition failed: {json.dumps(condition)}")
    if open_fields:
        raise _denied(f"Extra input fields: {', '.join(sorted(open_fields))}")
    return sizes


def _decoded(text: str) -> dict[str, Any]:
    try:
        policy = json.loads(_DOLLAR.sub(rb"\1$", b64decode(text, validate=True)))
    except (NotBase64, ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(policy, dict):
        raise _invalid("Invalid JSON.")
    return policy


def _expiration(policy: Mapping[str, Any]) -> int:
    text = policy.get("expiration")
    if text is None:
        raise _invalid("Policy missing expiration.")
    try:
        moment = datetime.fromisoformat(str(text))
        if "T" not in str(text):
            raise _invalid("Invalid 'expiration' value.")
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) * MICROSECONDS
    except (ValueError, OverflowError):
        raise _invalid("Invalid 'expiration' value.") from None


def _read_condition(condition: Any) -> tuple[str, Any, Any]:
    """Operator, lower-case field (or the least size) and value (or the most)."""
    if isinstance(condition, dict) and len(condition) == 1:
        ((name, value),) = condition.items()
        if isinstance(value, str):
            return "eq", name.lower(), value
    elif isinstance(condition, list) and len(condition) == 3:  # noqa: PLR2004 - operator, field, value
        operator, name, value = condition
        operator = str(operator).lower()
        if operator == "content-length-range":
            return operator, name, value
        if operator in {"eq", "starts-with"} and isinstance(name, str) and name.startswith("$"):
            return operator, name[1:].lower(), _text(value)
    raise _invalid("Invalid Condition.")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _invalid("Invalid Condition.")
    return value


def _range(least: Any, most: Any) -> tuple[int, int]:
    try:
        bounds = int(str(least)), int(str(most))
    except ValueError:
        raise _invalid("Invalid content-length-range.") from None
    if not 0 <= bounds[0] <= bounds[1]:
        raise _invalid("Invalid content-length-range.")
    return bounds


def _holds(operator: str, field: str, wanted: str, value: str | None) -> bool:
    if operator == "eq":
        return value == wanted
    if field == "content-type":
        # Several types may be given at once, each of which must begin so.
        return all(part.strip().startswith(wanted) for part in (value or "").split(","))
    return (value or "").startswith(wanted)


def _denied(why: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {why}")


def _invalid(why: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {why}")


# --- the answer ------------------------------------------------------------------------------------------


def answer(
    form: Form, bucket_name: str, version: Version, origin: str, shown: list[tuple[str, str]]
) -> S3Response:
    """What the browser is told; `origin` is the bucket's address, `shown` are headers about the object."""
    key = form.key
    location = f"{origin}/{quote(key)}"
    headers = [*shown, ("etag", f'"{version.etag}"')]
    target = form.fields.get("success_action_redirect") or form.fields.get("redirect")
    if target and urlsplit(target).scheme in {"http", "https"}:
        return S3Response(
            status=303,
            headers=[*headers, ("location", _redirect(target, bucket_name, key, version))],
            object_size=version.size,
        )
    headers.append(("location", location))
    status = _STATUSES.get(form.fields.get("success_action_status", ""), 204)
    content = b""
    if status == 201:  # noqa: PLR2004 - the one that has a document
        content = document(
            "PostResponse",
            element("Location", location),
            element("Bucket", bucket_name),
            element("Key", key),
            etag(version.etag),
            namespace=False,
        )
    return S3Response(status=status, headers=headers, content=content, object_size=version.size)


def _redirect(target: str, bucket_name: str, key: str, version: Version) -> str:
    parts = urlsplit(target)
    told = [("bucket", bucket_name), ("key", key), ("etag", f'"{version.etag}"')]
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *told])
    return urlunsplit(parts._replace(query=query))
