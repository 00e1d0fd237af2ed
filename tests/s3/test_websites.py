"""Websites through their own host names, request logs, and who pays: what owners set for others."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from tests.s3.plain import Answer, ask
from tests.s3.refusals import header, refusal, status

LOGS = "http://acs.amazonaws.com/groups/s3/LogDelivery"
DENIED = (403, "AccessDenied")


def test_who_asks_must_say_that_it_pays(s3: Any, s3_other: Any, s3_visitor: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL="public-read")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    put = s3.put_bucket_request_payment
    assert refusal(put, Bucket=bucket, RequestPaymentConfiguration={"Payer": "Nobody"}) == (
        400,
        "MalformedXML",
    )
    put(Bucket=bucket, RequestPaymentConfiguration={"Payer": "Requester"})
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    assert header(s3.get_object(Bucket=bucket, Key="a"), "x-amz-request-charged") is None
    for client, words in ((s3_other, {}), (s3_visitor, {}), (s3_visitor, {"RequestPayer": "requester"})):
        assert refusal(client.get_object, Bucket=bucket, Key="a", **words) == DENIED
        assert refusal(client.list_objects_v2, Bucket=bucket, **words) == DENIED
    found = s3_other.get_object(Bucket=bucket, Key="a", RequestPayer="requester")
    assert (found["Body"].read(), found["RequestCharged"]) == (b"x", "requester")
    url = s3_other.generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "a", "RequestPayer": "requester"}
    )
    assert ask("GET", url, headers={"x-amz-request-payer": "requester"}).content == b"x"
    put(Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})
    assert s3_visitor.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


FIELD = re.compile(r'"[^"]*"|\[[^\]]*\]|\S+')


def lines_of(s3: Any, target: str, prefix: str) -> list[list[str]]:
    listed = s3.list_objects_v2(Bucket=target, Prefix=prefix).get("Contents", [])
    texts = [s3.get_object(Bucket=target, Key=one["Key"])["Body"].read().decode() for one in listed]
    return [FIELD.findall(line) for text in texts for line in text.splitlines()]


def work(s3: Any, bucket: str) -> None:
    """Requests of many kinds."""
    s3.put_object(Bucket=bucket, Key="dir/a b", Body=b"x" * 1234)
    s3.get_object(Bucket=bucket, Key="dir/a b", Range="bytes=0-9")["Body"].read()
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/dir/a b")
    begun = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="m", UploadId=begun, PartNumber=1, Body=b"y" * 77)
    s3.list_parts(Bucket=bucket, Key="m", UploadId=begun)
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=begun)
    s3.list_objects_v2(Bucket=bucket)
    s3.get_object_tagging(Bucket=bucket, Key="copy")
    assert refusal(s3.get_object, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy"}, {"Key": "gone"}]})
    s3.delete_object(Bucket=bucket, Key="dir/a b")


@pytest.mark.parametrize("source", ["", "EventTime", "DeliveryTime"])
def test_each_request_is_a_line_of_26_fields(s3: Any, bucket: str, owner: Any, source: str) -> None:
    target = f"{bucket}-logs"
    s3.create_bucket(Bucket=target)
    let_in = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/logs/*",
    }
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps({"Version": "2012-10-17", "Statement": [let_in]}))
    enabled: dict[str, Any] = {"TargetBucket": target, "TargetPrefix": "logs/"}
    if source:
        enabled["TargetObjectKeyFormat"] = {"PartitionedPrefix": {"PartitionDateSource": source}}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": enabled})
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == enabled

    work(s3, bucket)
    expected = {
        ("REST.PUT.OBJECT", "dir/a%20b", "200", "-", "-", "1234"),
        ("REST.GET.OBJECT", "dir/a%20b", "206", "-", "10", "1234"),
        ("REST.COPY.OBJECT", "copy", "200", "-", "*", "1234"),
        ("REST.POST.UPLOADS", "m", "200", "-", "*", "-"),
        ("REST.PUT.PART", "m", "200", "-", "-", "77"),
        ("REST.GET.UPLOAD", "m", "200", "-", "*", "-"),
        ("REST.DELETE.UPLOAD", "m", "204", "-", "-", "-"),
        ("REST.GET.BUCKET", "-", "200", "-", "*", "-"),
        ("REST.GET.OBJECT_TAGGING", "copy", "200", "-", "*", "-"),
        ("REST.GET.OBJECT", "none", "404", "NoSuchKey", "*", "-"),
        ("REST.POST.MULTI_OBJECT_DELETE", "-", "200", "-", "*", "-"),
        ("BATCH.DELETE.OBJECT", "copy", "204", "-", "-", "-"),
        ("BATCH.DELETE.OBJECT", "gone", "204", "-", "-", "-"),
        ("REST.DELETE.OBJECT", "dir/a%20b", "204", "-", "-", "-"),
    }
    deadline = time.monotonic() + 60
    lines: list[list[str]] = []
    while time.monotonic() < deadline:
        lines = lines_of(s3, target, "logs/")
        if any(line[6] == "REST.DELETE.OBJECT" for line in lines):
            break
        time.sleep(0.5)
    found = set()
    for line in lines:
        assert len(line) == 26
        assert (line[0], line[1], line[4]) == (owner.canonical_id, bucket, owner.canonical_id)
        if not line[6].startswith("BATCH"):
            assert line[13].isdecimal(), "total time"
            assert line[14].isdecimal(), "turn-around time"
        sent = "*" if line[11] not in {"-", "10"} else line[11]
        found.add((line[6], line[7], line[9], line[10], sent, line[12]))
    assert expected <= found
    named = [one["Key"] for one in s3.list_objects_v2(Bucket=target)["Contents"]]
    day = r"\d{4}/\d\d/\d\d/" if source else ""
    place = rf"{owner.account}/[a-z0-9-]+/{bucket}/" if source else ""
    assert all(re.fullmatch(rf"logs/{place}{day}\d{{4}}(-\d\d){{5}}-[0-9A-F]{{16}}", each) for each in named)


def test_logs_go_where_they_may(s3: Any, s3_other: Any, bucket: str) -> None:
    put = s3.put_bucket_logging

    def asked(target: str) -> dict[str, Any]:
        enabled = {"TargetBucket": target, "TargetPrefix": ""}
        return {"Bucket": bucket, "BucketLoggingStatus": {"LoggingEnabled": enabled}}

    refused = (400, "InvalidTargetBucketForLogging")
    assert refusal(put, **asked(f"{bucket}-none")) == refused
    s3_other.create_bucket(Bucket=f"{bucket}-theirs", ACL="log-delivery-write")
    assert refusal(put, **asked(f"{bucket}-theirs")) == refused
    s3.create_bucket(Bucket=f"{bucket}-ours", ACL="log-delivery-write")
    assert status(put(**asked(f"{bucket}-ours"))) == 200
    assert status(put(Bucket=bucket, BucketLoggingStatus={})) == 200
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert refusal(s3_other.get_bucket_logging, Bucket=bucket) == DENIED


PAGES = {"index.html": b"<p>home", "sub/index.html": b"<p>sub", "error.html": b"<p>sorry", "a": b"plain"}


@pytest.fixture
def site(s3: Any, bucket: str, endpoint: Any) -> Any:
    """Asks a public bucket's website for a path."""
    for key, body in PAGES.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body, ACL="public-read", ContentType="text/html")
    s3.put_object(Bucket=bucket, Key="hidden", Body=b"secret")

    def get(path: str, method: str = "GET") -> Answer:
        host = {"Host": f"{bucket}.website.localhost"}
        return ask(method, f"{endpoint.url}{path}", headers=host)

    if get("/").status == 403 or "NoSuchBucket" in get("/").text:
        pytest.skip("the server that runs elsewhere serves no websites below website.localhost")
    return get


def put_site(s3: Any, bucket: str, **more: Any) -> None:
    words = {"IndexDocument": {"Suffix": "index.html"}, **more}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=words)
    found = s3.get_bucket_website(Bucket=bucket)
    assert {name: found[name] for name in words} == words


def test_a_website_has_indexes_and_an_error_page(s3: Any, bucket: str, site: Any) -> None:
    assert (site("/").status, "NoSuchWebsiteConfiguration" in site("/").text) == (404, True)
    put_site(s3, bucket)
    assert (site("/").content, site("/sub/").content, site("/a").content) == (b"<p>home", b"<p>sub", b"plain")
    assert site("/").headers["content-type"] == "text/html"
    assert (site("/", "HEAD").status, site("/", "HEAD").content) == (200, b"")
    moved = site("/sub")
    assert (moved.status, moved.headers["location"]) == (302, "/sub/")
    assert site("/hidden").status == 403
    assert site("/none").status == 403
    assert site("/", "POST").status == 405
    put_site(s3, bucket, ErrorDocument={"Key": "error.html"})
    for path, wanted in (("/hidden", 403), ("/none", 403)):
        assert (site(path).status, site(path).content) == (wanted, b"<p>sorry")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert (site("/none").status, site("/none").content) == (404, b"<p>sorry")
    s3.delete_bucket_website(Bucket=bucket)
    assert site("/").status == 404


def test_a_website_leads_elsewhere(s3: Any, bucket: str, site: Any) -> None:
    redirect = {"RedirectAllRequestsTo": {"HostName": "example.com", "Protocol": "https"}}
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=redirect)
    moved = site("/a/b?x=1")
    assert moved.status == 301
    assert moved.headers["location"].startswith("https://example.com/a/b")
    rules = [
        {
            "Condition": {"KeyPrefixEquals": "docs/"},
            "Redirect": {"ReplaceKeyPrefixWith": "documents/", "HttpRedirectCode": "302"},
        },
        {
            "Condition": {"HttpErrorCodeReturnedEquals": "403"},
            "Redirect": {"HostName": "example.com", "Protocol": "http", "ReplaceKeyWith": "lost"},
        },
    ]
    put_site(s3, bucket, RoutingRules=rules)
    moved = site("/docs/x")
    assert moved.status == 302
    assert moved.headers["location"].endswith("/documents/x")
    moved = site("/none")
    assert (moved.status, moved.headers["location"]) == (301, "http://example.com/lost")
    for target, seen in (("/a", "/a"), ("http://example.org/", "http://example.org/")):
        s3.put_object(Bucket=bucket, Key="moved", Body=b"", ACL="public-read", WebsiteRedirectLocation=target)
        moved = site("/moved")
        assert moved.status == 301
        assert moved.headers["location"].endswith(seen)
    wrong = {"Bucket": bucket, "Key": "moved", "Body": b"", "WebsiteRedirectLocation": "nowhere"}
    assert refusal(s3.put_object, **wrong)[0] == 400
