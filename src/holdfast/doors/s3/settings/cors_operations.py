"""Which other origins' pages may use a bucket: kept here, answered at preflight."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import (
    done,
    expect,
    gone,
    invalid,
    leaf,
    malformed,
    save,
    sent,
    shown,
    whole,
)
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group
from holdfast.files.bucket_settings import CorsRule

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import Handler, S3Request, S3Response

RULES_MAX: Final = 100
ID_LENGTH_MAX: Final = 255
METHODS: Final = ("GET", "PUT", "POST", "DELETE", "HEAD")

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def read_cors(root: Node) -> tuple[CorsRule, ...]:
    """A `<CORSConfiguration>`'s rules; raises S3Error MalformedXML, InvalidRequest or InvalidArgument."""
    expect(root, many="CORSRule")
    if not root.children:
        malformed()
    if len(root.children) > RULES_MAX:
        raise S3Error(
            "InvalidRequest",
            f"The number of CORS rules should not exceed allowed limit of {RULES_MAX} rules.",
        )
    return tuple([_read_rule(node) for node in root.children])


def _read_rule(node: Node) -> CorsRule:
    expect(node, one="ID MaxAgeSeconds", many="AllowedHeader AllowedMethod AllowedOrigin ExposeHeader")
    rule_id = leaf(node, "ID") or ""
    if len(rule_id) > ID_LENGTH_MAX:
        invalid(f"ID length should not exceed allowed limit of {ID_LENGTH_MAX}", "ID", rule_id)
    rule = CorsRule(
        rule_id=rule_id,
        origins=_texts(node, "AllowedOrigin"),
        methods=_texts(node, "AllowedMethod"),
        headers=_texts(node, "AllowedHeader"),
        expose=_texts(node, "ExposeHeader"),
        max_age_seconds=whole(leaf(node, "MaxAgeSeconds")),
    )
    _check_rule(rule)
    return rule


def _texts(node: Node, name: str) -> tuple[str, ...]:
    found = node.all(name)
    if any(each.children for each in found):
        malformed()
    return tuple([each.text for each in found])


def _check_rule(rule: CorsRule) -> None:
    if not rule.origins or not rule.methods:
        malformed()
    for method in rule.methods:
        if method not in METHODS:
            _refuse(
                f"Found unsupported HTTP method in CORS config. Unsupported method is {method}",
            )
    for origin in rule.origins:
        _check_wildcard("AllowedOrigin", origin)
    for header in rule.headers:
        _check_wildcard("AllowedHeader", header)
        _check_token("AllowedHeader", header)
    for header in rule.expose:
        if "*" in header:
            _refuse(
                f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard for '
                "ExposeHeader.",
            )
        _check_token("ExposeHeader", header)
    if rule.max_age_seconds is not None and rule.max_age_seconds < 0:
        malformed()


def _check_wildcard(name: str, value: str) -> None:
    if value.count("*") > 1:
        _refuse(f'{name} "{value}" can not have more than one wildcard.')


def _check_token(name: str, value: str) -> None:
    if _TOKEN.fullmatch(value) is None:
        _refuse(f'{name} "{value}" contains invalid character.')


def _refuse(message: str) -> None:
    raise S3Error("InvalidRequest", message)


def cors_elements(rules: Sequence[CorsRule]) -> str:
    """`<CORSRule>` elements."""
    return "".join([_rule_element(rule) for rule in rules])


def _rule_element(rule: CorsRule) -> str:
    age = rule.max_age_seconds
    return group(
        "CORSRule",
        element("ID", rule.rule_id) if rule.rule_id else "",
        *(element("AllowedOrigin", each) for each in rule.origins),
        *(element("AllowedMethod", each) for each in rule.methods),
        *(element("AllowedHeader", each) for each in rule.headers),
        *(element("ExposeHeader", each) for each in rule.expose),
        "" if age is None else element("MaxAgeSeconds", age),
    )


async def get_bucket_cors(_door: Door, request: S3Request) -> S3Response:
    """GET ?cors."""
    rules = request.bucket.parsed.cors
    if not rules:
        raise S3Error("NoSuchCORSConfiguration", BucketName=request.bucket.name)
    return shown("CORSConfiguration", cors_elements(rules))


async def put_bucket_cors(door: Door, request: S3Request) -> S3Response:
    """PUT ?cors."""
    rules = read_cors(await sent(request, "CORSConfiguration"))
    await save(door, request, cors=rules)
    return done()


async def delete_bucket_cors(door: Door, request: S3Request) -> S3Response:
    """DELETE ?cors."""
    await save(door, request, cors=())
    return gone()


HANDLERS: Final[dict[str, Handler]] = {
    "GetBucketCors": get_bucket_cors,
    "PutBucketCors": put_bucket_cors,
    "DeleteBucketCors": delete_bucket_cors,
}
