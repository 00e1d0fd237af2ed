"""A bucket as a website: pages, index pages of folders, redirects, error pages. For browsers: nobody signs.

How a request goes: everything is redirected, if that is set; then routing rules that ask only for the key's
beginning; then the object, or the folder's index; what fails looks for a routing rule that asks for its
status, then for the error document, and is said in plain HTML otherwise.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from holdfast.doors.s3.contents import reading
from holdfast.doors.s3.failures import S3Error, as_s3_error
from holdfast.doors.s3.request import S3Response
from holdfast.files.bucket_settings import RoutingRule, Website
from holdfast.world.errors import Failure, Refusal

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.doors.s3.request import S3Request
    from holdfast.files.records import Bucket

METHODS: Final = frozenset({"GET", "HEAD"})
MOVED: Final = 301
FOUND: Final = 302

_UNFIT: Final = re.compile(r"[^ -~]")
"""What does not go into a header."""

_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    412: "Precondition Failed",
    416: "Requested Range Not Satisfiable",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class Site(NamedTuple):
    """A website that was found: its bucket, its configuration."""

    bucket: Bucket
    website: Website


async def serve(door: Door, request: S3Request) -> S3Response:
    """Answers a request to a website's host; failures too are answered, in HTML.

    The request is anonymous, whatever it carries. Its bucket need not have been read (`record` may be None).
    """
    assert request.identity.anonymous, "websites are for those who sign nothing"
    try:
        site = await _site(door, request)
    except (S3Error, Failure) as error:
        return error_page(_as_error(error), request.request_id)
    record = site.bucket
    request = dataclasses.replace(request, record=record, access=request.access.for_bucket(record), query={})
    try:
        return await _page(door, request, site.website)
    except (S3Error, Failure) as error:
        return await _failed(door, request, site.website, _as_error(error))


def error_page(error: S3Error, request_id: str, also: S3Error | None = None) -> S3Response:
    """An error for people; `also` is what went wrong with the page that was to say it."""
    title = f"{error.status} {_REASONS.get(error.status, 'Error')}"
    rows = _rows(error, request_id)
    second = "" if also is None else f"<h3>The error page cannot be shown:</h3>{_rows(also, '')}"
    html = (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{title}</title></head>'
        f"<body><h1>{title}</h1>{rows}{second}</body></html>\n"
    )
    return S3Response(
        status=error.status,
        headers=[
            ("content-type", "text/html; charset=utf-8"),
            ("x-amz-error-code", error.code),
            ("x-amz-error-message", _UNFIT.sub("?", error.message)),
            *error.headers,
        ],
        content=html.encode(),
    )


def _rows(error: S3Error, request_id: str) -> str:
    facts: list[tuple[str, str]] = [("Code", error.code), ("Message", error.message)]
    facts += [(name, str(value)) for name, value in error.fields.items()]
    if request_id:
        facts.append(("RequestId", request_id))
    return "<ul>" + "".join([f"<li>{escape(name)}: {escape(value)}</li>" for name, value in facts]) + "</ul>"


def _as_error(error: S3Error | Failure) -> S3Error:
    return error if isinstance(error, S3Error) else as_s3_error(error)


async def _site(door: Door, request: S3Request) -> Site:
    if request.method not in METHODS:
        raise S3Error("MethodNotAllowed", headers=[("allow", "GET, HEAD")], Method=request.method)
    name = request.bucket_name or ""
    record = request.record
    if record is None:
        try:
            record = await door.buckets.find(name)
        except Refusal as refusal:
            if refusal.code not in {"bucket.unknown", "bucket.invalid"}:
                raise
            raise S3Error("NoSuchBucket", BucketName=name) from refusal
    settings = record.parsed
    if settings.website is None:
        raise S3Error("NoSuchWebsiteConfiguration", BucketName=name)
    if settings.request_payer == "Requester":
        raise S3Error("AccessDenied", "Buckets whose requesters pay have no website.")
    return Site(record, settings.website)


async def _page(door: Door, request: S3Request, website: Website) -> S3Response:
    asked = request.key or ""
    if website.redirect_host:
        protocol = website.redirect_protocol or _protocol(request)
        return _redirect(MOVED, f"{protocol}://{website.redirect_host}/{quote(asked)}")
    rule = _rule_for(website.routing, asked, "")
    if rule is not None:
        return _follow(rule, request)
    folder = not asked or asked.endswith("/")
    request = dataclasses.replace(request, key=asked + website.index_suffix if folder else asked)
    try:
        found = await reading.find_readable(door, request)
    except S3Error:
        if not folder and await _is_folder(door, request, website):
            # Two slashes in front would name another host.
            site = f"{_protocol(request)}://{request.host}" if asked.startswith("/") else ""
            return _redirect(FOUND, f"{site}/{quote(asked)}/")
        raise
    target = found.attributes.website_redirect
    if target:
        return _redirect(MOVED, _absolute(request, target))
    return await _send(door, request)


async def _is_folder(door: Door, request: S3Request, website: Website) -> bool:
    """Whether the key names nothing, but a folder of this name has an index that may be read."""
    try:
        await door.histories.find(request.bucket, request.object_key)
    except Refusal:
        index = dataclasses.replace(request, key=f"{request.key}/{website.index_suffix}")
        try:
            await reading.find_readable(door, index)
        except (S3Error, Failure):
            return False
        return True
    return False


async def _send(door: Door, request: S3Request) -> S3Response:
    handler = reading.head_object if request.method == "HEAD" else reading.get_object
    return await handler(door, request)


async def _failed(door: Door, request: S3Request, website: Website, error: S3Error) -> S3Response:
    asked = request.key or ""
    rule = _rule_for(website.routing, asked, str(error.status))
    if rule is not None:
        return _follow(rule, request)
    if not website.error_key or not 400 <= error.status < 500:  # noqa: PLR2004 - the callers' mistakes
        return error_page(error, request.request_id)
    # The page is sent whole: conditions and ranges were about what could not be sent.
    page = dataclasses.replace(request, key=website.error_key, headers={})
    try:
        response = await _send(door, page)
    except (S3Error, Failure) as second:
        return error_page(error, request.request_id, _as_error(second))
    response.status = error.status
    response.headers += [("x-amz-error-code", error.code)]
    return response


def _rule_for(rules: Iterable[RoutingRule], key: str, status: str) -> RoutingRule | None:
    """The first rule whose conditions hold: with a status those that ask for it, without one the others."""
    for rule in rules:
        if rule.error_code == status and key.startswith(rule.key_prefix):
            return rule
    return None


def _follow(rule: RoutingRule, request: S3Request) -> S3Response:
    asked = request.key or ""
    if rule.replace_key is not None:
        key = rule.replace_key
    elif rule.replace_prefix is not None:
        key = rule.replace_prefix + asked[len(rule.key_prefix) :]
    else:
        key = asked
    protocol, host = rule.protocol or _protocol(request), rule.host or request.host
    return _redirect(int(rule.code or MOVED), f"{protocol}://{host}/{quote(key)}")


def _absolute(request: S3Request, target: str) -> str:
    """Where an object's own redirect leads: another site, or another key of this one."""
    return (
        f"{_protocol(request)}://{request.host}{quote(target, safe=_KEPT)}" if target[:1] == "/" else target
    )


_KEPT: Final = "/?#&=%:@!$'()*+,;~"
"""What stands in a redirect as it was written."""


def _protocol(request: S3Request) -> str:
    return "https" if request.secure else "http"


def _redirect(status: int, location: str) -> S3Response:
    return S3Response(status=status, headers=[("location", location)])
