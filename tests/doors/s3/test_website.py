"""Buckets as websites, as browsers meet them: through the whole door, by the website's host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from tests.doors.s3.program import S3Cloud, s3_story

DOMAIN = "web.example"
INDEX = {"IndexDocument": {"Suffix": "index.html"}}
PUBLIC = '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",\
 "Resource": "arn:aws:s3:::pages/*"}]}'
LISTED = '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],\
 "Resource": ["arn:aws:s3:::pages", "arn:aws:s3:::pages/*"]}]}'


class Seen(NamedTuple):
    """An answer as a browser has it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def to(self) -> tuple[int, str]:
        """Where it redirects."""
        return self.status, self.headers["location"]


async def visit(
    cloud: S3Cloud,
    path: str,
    *,
    method: str = "GET",
    host: str = f"pages.{DOMAIN}:8333",
    scheme: str = "http",
    **headers: str,
) -> Seen:
    """A browser's request, signed by nobody."""
    came: list[dict[str, Any]] = []
    named = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 5000),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        came.append({**message, "body": bytes(message.get("body", b""))})

    await cloud.application(scope, receive, send)
    pairs = {name.decode().lower(): value.decode("latin-1") for name, value in came[0]["headers"]}
    return Seen(came[0]["status"], pairs, b"".join(message["body"] for message in came[1:]))


Story = Callable[[S3Cloud], Awaitable[None]]


def website_story(story: Story, policy: str = LISTED, **configuration: Any) -> None:
    """A bucket `pages` with a few pages, its website configured so."""

    async def told(cloud: S3Cloud) -> None:
        alice = cloud.alice
        await alice.call("CreateBucket", Bucket="pages")
        await alice.call("PutBucketWebsite", Bucket="pages", WebsiteConfiguration=configuration or INDEX)
        await alice.call("PutBucketPolicy", Bucket="pages", Policy=policy)
        for key, body in (
            ("index.html", b"home"),
            ("docs/index.html", b"docs"),
            ("docs/a b.html", b"a page"),
            ("sorry.html", b"sorry"),
        ):
            await alice.call("PutObject", Bucket="pages", Key=key, Body=body, ContentType="text/html")
        await story(cloud)

    s3_story(told, website_domains=(DOMAIN,))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", b"home"),
        ("/index.html", b"home"),
        ("/docs/", b"docs"),
        ("/docs/a%20b.html", b"a page"),
        ("/docs/a%20b.html?versionId=x&acl", b"a page"),
    ],
)
def test_pages_and_the_index_pages_of_folders_are_served(path: str, body: bytes) -> None:
    async def story(cloud: S3Cloud) -> None:
        seen = await visit(cloud, path)
        assert (seen.status, seen.body, seen.headers["content-type"]) == (200, body, "text/html")
        head = await visit(cloud, path, method="HEAD")
        assert (head.status, head.body, head.headers["etag"]) == (200, b"", seen.headers["etag"])
        again = await visit(cloud, path, if_none_match=seen.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        part = await visit(cloud, path, range="bytes=0-1")
        assert (part.status, part.body) == (206, body[:2])

    website_story(story)


def test_a_folder_without_its_slash_is_found() -> None:
    async def story(cloud: S3Cloud) -> None:
        assert (await visit(cloud, "/docs")).to == (302, "/docs/")
        assert (await visit(cloud, "/doc")).status == 404
        # Two slashes in front would lead to another host.
        await cloud.alice.call("PutObject", Bucket="pages", Key="/evil.example/index.html", Body=b"x")
        seen = await visit(cloud, "//evil.example")
        assert seen.to == (302, f"http://pages.{DOMAIN}:8333//evil.example/")

    website_story(story)


@pytest.mark.parametrize(
    ("policy", "status", "code"), [(LISTED, 404, "NoSuchKey"), (PUBLIC, 403, "AccessDenied")]
)
def test_what_is_not_there_is_said_in_html_by_what_strangers_may_know(
    policy: str, status: int, code: str
) -> None:
    async def story(cloud: S3Cloud) -> None:
        seen = await visit(cloud, "/%3Cscript%3E")
        assert (seen.status, seen.headers["x-amz-error-code"]) == (status, code)
        assert seen.headers["content-type"] == "text/html; charset=utf-8"
        assert code.encode() in seen.body
        assert b"<script>" not in seen.body

    website_story(story, policy)


def test_private_pages_stay_private() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("DeleteBucketPolicy", Bucket="pages")
        for path in ("/", "/docs", "/docs/", "/nothing"):
            assert (await visit(cloud, path)).status == 403

    website_story(story)


def test_the_error_document_is_served_with_the_status_of_the_error() -> None:
    async def story(cloud: S3Cloud) -> None:
        seen = await visit(cloud, "/nothing", range="bytes=0-1")
        assert (seen.status, seen.body, seen.headers["content-type"]) == (404, b"sorry", "text/html")
        assert seen.headers["x-amz-error-code"] == "NoSuchKey"
        await cloud.alice.call("DeleteObject", Bucket="pages", Key="sorry.html")
        seen = await visit(cloud, "/nothing")
        assert (seen.status, seen.body.count(b"NoSuchKey")) == (404, 2)

    website_story(story, **INDEX, ErrorDocument={"Key": "sorry.html"})


RULES = [
    {"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "docs/"}},
    {
        "Condition": {"KeyPrefixEquals": "away/"},
        "Redirect": {"HostName": "example.com", "Protocol": "https", "HttpRedirectCode": "307"},
    },
    {
        "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "docs/"},
        "Redirect": {"ReplaceKeyWith": "docs/index.html", "HttpRedirectCode": "302"},
    },
]


@pytest.mark.parametrize(
    ("path", "scheme", "status", "location"),
    [
        ("/old/a%20b.html", "http", 301, f"http://pages.{DOMAIN}:8333/docs/a%20b.html"),
        ("/old/x", "https", 301, f"https://pages.{DOMAIN}:8333/docs/x"),
        ("/away/x", "http", 307, "https://example.com/away/x"),
        ("/docs/nothing", "http", 302, f"http://pages.{DOMAIN}:8333/docs/index.html"),
    ],
)
def test_routing_rules_redirect(path: str, scheme: str, status: int, location: str) -> None:
    async def story(cloud: S3Cloud) -> None:
        assert (await visit(cloud, path, scheme=scheme)).to == (status, location)
        assert (await visit(cloud, "/docs/a%20b.html")).status == 200
        assert (await visit(cloud, "/nothing")).status == 404

    website_story(story, **INDEX, RoutingRules=RULES)


def test_everything_may_be_redirected() -> None:
    async def story(cloud: S3Cloud) -> None:
        assert (await visit(cloud, "/")).to == (301, "https://example.com/")
        assert (await visit(cloud, "/a%20b/c")).to == (301, "https://example.com/a%20b/c")

    website_story(story, RedirectAllRequestsTo={"HostName": "example.com", "Protocol": "https"})


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/docs/a b.html?x=1", f"http://pages.{DOMAIN}:8333/docs/a%20b.html?x=1"),
        ("https://example.com/x", "https://example.com/x"),
    ],
)
def test_an_object_may_redirect(target: str, location: str) -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("PutObject", Bucket="pages", Key="go", WebsiteRedirectLocation=target)
        assert (await visit(cloud, "/go")).to == (301, location)
        await cloud.alice.call("DeleteBucketPolicy", Bucket="pages")
        assert (await visit(cloud, "/go")).status == 403

    website_story(story)


def test_hosts_without_a_website_and_other_methods_are_told_so_in_html() -> None:
    async def story(cloud: S3Cloud) -> None:
        await cloud.alice.call("CreateBucket", Bucket="plain")
        for host, status, code in (
            (f"nothing.{DOMAIN}", 404, "NoSuchBucket"),
            (f"B_A_D.{DOMAIN}", 404, "NoSuchBucket"),
            (f"plain.{DOMAIN}", 404, "NoSuchWebsiteConfiguration"),
        ):
            seen = await visit(cloud, "/", host=host)
            assert (seen.status, seen.headers["x-amz-error-code"]) == (status, code)
        for method in ("PUT", "POST", "DELETE"):
            seen = await visit(cloud, "/index.html", method=method)
            assert (seen.status, seen.headers["x-amz-error-code"]) == (405, "MethodNotAllowed")
        payer = {"RequestPaymentConfiguration": {"Payer": "Requester"}}
        await cloud.alice.call("PutBucketRequestPayment", Bucket="pages", **payer)
        assert (await visit(cloud, "/")).status == 403

    website_story(story)
