"""Cross-origin requests: what a bucket's rules answer, before a request (preflight) and with one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from holdfast.doors.s3.failures import S3Error
from holdfast.files.bucket_settings import CorsRule

Headers = list[tuple[str, str]]

VARY: Final = ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")


class Asked(NamedTuple):
    """A preflight's question."""

    origin: str
    method: str
    headers: tuple[str, ...]
    """In lower case."""


def asked(origin: str | None, method: str | None, headers: str | None) -> Asked:
    """The question of an OPTIONS request; raises S3Error BadRequest if it is none."""
    if not origin:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    if method not in {"GET", "PUT", "POST", "DELETE", "HEAD"}:
        raise S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
    names = tuple(name.strip().lower() for name in (headers or "").split(",") if name.strip())
    return Asked(origin, method, names)


def answer(rules: Sequence[CorsRule], question: Asked, resource_type: str) -> Headers:
    """What a preflight is answered; raises S3Error AccessForbidden if no rule allows it."""
    told = {"Method": question.method, "ResourceType": resource_type}
    if not rules:
        raise S3Error("AccessForbidden").telling(**told)
    for rule in rules:
        if not _allows(rule, question.origin, question.method):
            continue
        if all(any(_matches(pattern.lower(), name) for pattern in rule.headers) for name in question.headers):
            headers = _shown(rule, question.origin)
            if question.headers:
                headers.append(("access-control-allow-headers", ", ".join(question.headers)))
            if rule.max_age_seconds is not None:
                headers.append(("access-control-max-age", str(rule.max_age_seconds)))
            return headers
    raise S3Error(
        "AccessForbidden",
        "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, "
        "request method / Access-Control-Request-Method or Access-Control-Request-Headers are not "
        "whitelisted by the resource's CORS spec.",
    ).telling(**told)


def headers_for(rules: Sequence[CorsRule], origin: str, method: str) -> Headers:
    """What is added to the answer of a request from another origin: nothing, if no rule allows it."""
    for rule in rules:
        if _allows(rule, origin, method):
            return _shown(rule, origin)
    return []


def _shown(rule: CorsRule, origin: str) -> Headers:
    anybody = "*" in rule.origins
    headers = [
        ("access-control-allow-origin", "*" if anybody else origin),
        ("access-control-allow-methods", ", ".join(rule.methods)),
    ]
    if rule.expose:
        headers.append(("access-control-expose-headers", ", ".join(rule.expose)))
    if not anybody:
        headers.append(("access-control-allow-credentials", "true"))
    headers.append(VARY)
    return headers


def _allows(rule: CorsRule, origin: str, method: str) -> bool:
    return method in rule.methods and any(_matches(pattern, origin) for pattern in rule.origins)


def _matches(pattern: str, text: str) -> bool:
    """Whether the pattern, in which one `*` stands for anything, is the text."""
    head, star, tail = pattern.partition("*")
    if not star:
        return pattern == text
    return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)
