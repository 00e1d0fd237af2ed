"""Our signatures are those of AWS's own signer, and only a rightly signed request is believed."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from unittest import mock
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol import sigv4
from holdfast.protocol.sigv4 import Request, parse_authorization, presign, sign, verify
from holdfast.world.errors import Refusal

NOW = 1_760_000_000 * 1_000_000
ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
EMPTY = hashlib.sha256(b"").hexdigest()
KEYS = {"access": ACCESS, "secret": SECRET, "region": "eu-north-1", "service": "s3"}

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
paths = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts))
queries = st.lists(
    st.tuples(names.filter(lambda name: "X-Amz" not in name), names),
    max_size=4,
    unique_by=lambda pair: pair[0],
).map(
    lambda pairs: "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
)
header_values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
header_names = st.from_regex(r"x-amz-meta-[a-z]{1,8}", fullmatch=True)
methods = st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE"])


def by_botocore(signer, request):
    """The same request signed by botocore, at NOW."""
    at = dt.datetime.fromtimestamp(NOW // 1_000_000, dt.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at):
        signer.add_auth(request)
    return request


@given(
    methods, paths, queries, st.dictionaries(header_names, header_values, max_size=3), st.binary(max_size=40)
)
def test_a_signed_request_is_signed_as_botocore_signs_it(method, path, query, extra, body):
    url = f"http://cloud.example:9000{path}" + (f"?{query}" if query else "")
    theirs = by_botocore(
        S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", "eu-north-1"),
        AWSRequest(method=method, url=url, headers=dict(extra), data=body),
    )
    request = Request(method, path, query, [("Host", "cloud.example:9000"), *extra.items()])
    ours = sign(request, **KEYS, now=NOW, payload_hash=hashlib.sha256(body).hexdigest())
    assert ours["authorization"] == theirs.headers["Authorization"]
    sent = Request(method, path, query, [("Host", "cloud.example:9000"), *theirs.headers.items()])
    claim = parse_authorization(sent)
    assert claim is not None
    assert claim.access == ACCESS
    verify(claim, sent, secret=SECRET, region="eu-north-1", service="s3", now=NOW)


@given(methods, paths, queries, st.integers(1, 604_800))
def test_a_request_presigned_by_botocore_is_believed_and_ours_is_the_same(method, path, query, expires):
    url = f"https://cloud.example{path}" + (f"?{query}" if query else "")
    signer = S3SigV4QueryAuth(Credentials(ACCESS, SECRET), "s3", "eu-north-1", expires=expires)
    theirs = urlsplit(by_botocore(signer, AWSRequest(method=method, url=url)).url)
    request = Request(method, path, theirs.query, [("host", "cloud.example")])
    claim = parse_authorization(request)
    assert claim is not None
    assert claim.expires_seconds == expires
    verify(claim, request, secret=SECRET, region=None, service="s3", now=NOW)
    ours = presign(request._replace(query=query), **KEYS, now=NOW, expires_seconds=expires)
    assert ours.rpartition("=")[2] == theirs.query.rpartition("=")[2]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/b/a+b", ""),
        ("/b/a%2Bb", ""),
        ("/b//double/../dots/.", ""),
        ("/b/%7Etilde~", "x"),
        ("/b/k", "tagging"),
        ("/b", "list-type=2&prefix=a%2Fb&delimiter=%2F"),
        ("/b", "marker=b&marker=a"),
        ("/", ""),
    ],
)
def test_the_path_is_signed_as_it_stands_on_the_wire(path, query):
    request = Request("GET", path, query, [("host", "h")])
    added = sign(request, **KEYS, now=NOW, payload_hash=EMPTY)
    canonical = sigv4.canonical_request(request, ["host"], EMPTY).split("\n")
    assert canonical[1] == path
    sent = request._replace(headers=[*request.headers, *added.items()])
    believe(sent)
    with pytest.raises(Refusal, match="does not match"):
        believe(sent._replace(path=path + "/"))


def believe(sent, **changes):
    claim = parse_authorization(sent)
    assert claim is not None
    verify(claim, sent, **{"secret": SECRET, "region": "eu-north-1", "service": "s3", "now": NOW, **changes})


def signed(**changes):
    request = Request("PUT", "/b/k", "", [("host", "h"), ("x-amz-meta-a", "1  2")])
    added = sign(request, **{**KEYS, "now": NOW, "payload_hash": EMPTY, **changes})
    return request._replace(headers=[*request.headers, *added.items()])


MINUTE = 60 * 1_000_000


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret": "wrong"}, "signature.invalid"),
        ({"region": "us-east-1"}, "request.invalid"),
        ({"service": "iam"}, "request.invalid"),
        ({"now": NOW + 16 * MINUTE}, "clock.skewed"),
        ({"now": NOW - 16 * MINUTE}, "clock.skewed"),
        ({"payload_hash": "UNSIGNED-PAYLOAD"}, "signature.invalid"),
    ],
)
def test_a_request_checked_against_something_else_is_refused(changes, code):
    believe(signed())
    with pytest.raises(Refusal) as caught:
        believe(signed(), **changes)
    assert caught.value.code == code


def test_an_unsigned_amz_header_is_refused_although_the_signature_matches():
    sent = signed()
    sent = sent._replace(headers=[*sent.headers, ("X-Amz-Acl", "public-read")])
    with pytest.raises(Refusal) as caught:
        believe(sent)
    assert caught.value.code == "access.denied"
    assert caught.value.facts["headers"] == "x-amz-acl"


def test_a_signed_header_that_is_missing_is_refused():
    sent = signed()
    sent = sent._replace(headers=[pair for pair in sent.headers if pair[0] != "x-amz-meta-a"])
    with pytest.raises(Refusal, match="missing: x-amz-meta-a"):
        believe(sent)


def test_an_expired_presigned_request_is_refused():
    request = Request("GET", "/b/k", "", [("host", "h")])
    sent = request._replace(query=presign(request, **KEYS, now=NOW, expires_seconds=60))
    believe(sent, now=NOW + MINUTE)
    with pytest.raises(Refusal, match="expired"):
        believe(sent, now=NOW + MINUTE + 1_000_000)


def test_the_date_header_serves_where_there_is_no_amz_date():
    request = Request("GET", "/b/k", "", [("host", "cloud.example")])
    theirs = by_botocore(
        S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", "eu-north-1"),
        AWSRequest(method="GET", url="http://cloud.example/b/k", headers={"Date": "now"}),
    )
    believe(request._replace(headers=[*request.headers, *theirs.headers.items()]))


def test_an_unsigned_request_is_anonymous():
    assert parse_authorization(Request("GET", "/", "", [("host", "h")])) is None


GOOD = f"AWS4-HMAC-SHA256 Credential=A/20251009/r/s3/aws4_request, SignedHeaders=host, Signature={'0' * 64}"


@pytest.mark.parametrize(
    "authorization",
    [
        "AWS AKID:c2lnbmF0dXJl",
        "Basic dTpw",
        "AWS4-HMAC-SHA256",
        GOOD.replace("/aws4_request", ""),
        GOOD.replace("0" * 64, "0" * 63),
        GOOD.replace("=host", "=Host"),
        GOOD.replace("=host", "=x-amz-date;host"),
        GOOD.replace("=host", "=host;host"),
        GOOD.replace("20251009", "20251010"),
    ],
)
def test_a_malformed_authorization_is_refused(authorization):
    headers = [("host", "h"), ("x-amz-date", "20251009T085320Z"), ("authorization", GOOD)]
    assert parse_authorization(Request("GET", "/", "", headers)) is not None
    headers[2] = ("authorization", authorization)
    with pytest.raises(Refusal) as caught:
        parse_authorization(Request("GET", "/", "", headers))
    assert caught.value.code == "request.invalid"


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_no_header_or_query_makes_the_parser_fail_otherwise(authorization, query, date):
    for headers in ([("authorization", authorization), ("x-amz-date", date)], []):
        for text in (query, f"X-Amz-Signature=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}"):
            with contextlib.suppress(Refusal):
                parse_authorization(Request("GET", "/", text, headers))
