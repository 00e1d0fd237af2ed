"""Requests signed by AWS's own signer are believed; every way to be wrong has S3's code for it."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from collections.abc import Mapping
from unittest import mock
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4PostAuth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.authentication import Authenticated, Authentication, Wire, query_of
from holdfast.protocol.sigv4 import canonical_query, signing_key
from holdfast.tenants.identity import ANONYMOUS, Identity
from holdfast.tenants.keys import Signer
from holdfast.world.errors import Refusal

NOW = 1_760_000_000 * 1_000_000
ACCESS, SECRET, REGION = "AKHF/WITH/SLASHES", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1"
SIGNER = Signer(Identity(tenant_id="t-1", access_key=ACCESS), SECRET)
HOST = "bucket.s3.localhost:8335"
EMPTY = hashlib.sha256(b"").hexdigest()

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=10)
paths = st.lists(names | st.sampled_from(["..", ".", "", "a+b", "~"]), max_size=4).map(
    lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts)
)
queries = st.dictionaries(
    names.filter(lambda name: "X-Amz" not in name), names | st.just(""), max_size=3
).map(
    lambda pairs: "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs.items()
    )
)
header_values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
headers = st.dictionaries(st.from_regex(r"x-amz-meta-[a-z]{1,8}", fullmatch=True), header_values, max_size=3)
methods = st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE"])


class OneKey:
    """Knows one access key."""

    async def secret_of(self, access_key: str) -> Signer:
        if access_key != ACCESS:
            raise Refusal("access.unknown", "Unknown.")
        return SIGNER


def test_a_plus_in_a_query_is_signed_as_the_space_that_it_is_read_as() -> None:
    assert query_of("prefix=a+b") == query_of("prefix=a%20b")
    assert canonical_query("prefix=a+b") == canonical_query("prefix=a%20b") == "prefix=a%20b"
    assert canonical_query("prefix=a%2Bb") == "prefix=a%2Bb"


def done(coroutine):
    """What a coroutine returns that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


def identify(wire: Wire, now: int = NOW) -> Authenticated:
    return done(Authentication(OneKey(), region=REGION).identify(wire, now))


def signed(
    method="GET", path="/", query="", extra=None, *, signer=S3SigV4Auth, body=b"", region=REGION, **keywords
):
    """A request as botocore's signer leaves it, on the wire."""
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, headers=dict(extra or {}), data=body)
    at = dt.datetime.fromtimestamp(NOW // 1_000_000, dt.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at):
        signer(Credentials(ACCESS, SECRET), "s3", region, **keywords).add_auth(request)
    return wire_of(method, path, urlsplit(request.url).query, {"host": HOST, **dict(request.headers.items())})


def test_a_path_may_be_signed_as_s3_encodes_it_and_sent_in_another_encoding() -> None:
    wire = signed(path="/a%2A%27b/c%2Fd")
    assert identify(wire._replace(raw_path="/a*'b/c%2fd")).identity == SIGNER.identity
    for other in ("/a*'b/c/d", "/a*'c/c%2Fd", "/a%252A'b/c%2Fd"):
        with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
            identify(wire._replace(raw_path=other))


def wire_of(method: str, path: str, query: str, sent: Mapping[str, str]) -> Wire:
    return Wire(method, path, query, {name.lower(): value for name, value in sent.items()}, query_of(query))


def changed(wire: Wire, **sent: str | None) -> Wire:
    """The same with other headers; None takes one away."""
    kept = {name: value for name, value in wire.headers.items() if name not in sent}
    more = {name.replace("_", "-"): value for name, value in sent.items() if value is not None}
    gone = {name.replace("_", "-") for name, value in sent.items()}
    return wire._replace(headers={**{n: v for n, v in kept.items() if n not in gone}, **more})


def refused(wire: Wire, now: int = NOW) -> S3Error:
    with pytest.raises(S3Error) as caught:
        identify(wire, now)
    return caught.value


@given(methods, paths, queries, headers, st.binary(max_size=20))
def test_what_botocore_signs_is_believed(method, path, query, extra, body) -> None:
    found = identify(signed(method, path, query, extra, body=body))
    assert (found.identity, found.payload, found.kind) == (
        SIGNER.identity, hashlib.sha256(body).hexdigest(), "AuthHeader",
    )  # fmt: skip
    assert found.signed_at == NOW


@given(methods, paths, queries, st.integers(1, 604_800), st.data())
def test_what_botocore_presigns_is_believed_until_it_expires(method, path, query, expires, data) -> None:
    wire = signed(method, path, query, signer=S3SigV4QueryAuth, expires=expires)
    age = data.draw(st.integers(0, 2 * expires)) * 1_000_000
    if age <= expires * 1_000_000:
        found = identify(wire, NOW + age)
        assert (found.identity, found.payload, found.kind) == (
            SIGNER.identity,
            "UNSIGNED-PAYLOAD",
            "QueryString",
        )
    else:
        error = refused(wire, NOW + age)
        assert (error.code, error.message, error.status) == ("AccessDenied", "Request has expired", 403)


@given(paths, queries, headers, st.data())
def test_a_change_to_what_is_signed_is_noticed(path, query, extra, data) -> None:
    wire = signed("PUT", path, query, extra)
    part = data.draw(st.sampled_from(["method", "raw_path", "raw_query", "host"]))
    other = changed(wire, host="else") if part == "host" else wire._replace(
        **{part: "GET" if part == "method" else getattr(wire, part) + "&x=1"}
    )  # fmt: skip
    assert refused(other).code == "SignatureDoesNotMatch"


def test_a_wrong_signature_is_told_what_was_to_be_signed() -> None:
    wire = signed("PUT", "/a/b", "c=d")
    error = refused(changed(wire, x_amz_content_sha256="UNSIGNED-PAYLOAD"))
    assert (error.code, error.status) == ("SignatureDoesNotMatch", 403)
    canonical = str(error.fields["CanonicalRequest"])
    assert canonical.startswith("PUT\n/a/b\nc=d\n")
    assert canonical.endswith("\nUNSIGNED-PAYLOAD")
    assert hashlib.sha256(canonical.encode()).hexdigest() in str(error.fields["StringToSign"])


@pytest.mark.parametrize(
    ("authorization", "code", "status"),
    [
        ("", "AccessDenied", 403),
        ("\x07", "AccessDenied", 403),
        ("AWS AKID:c2lnbmF0dXJl", "InvalidRequest", 400),
        ("AWS nonsense", "InvalidArgument", 400),
        ("Basic QWxhZGRpbg==", "InvalidArgument", 400),
        ("AWS4-ECDSA-P256-SHA256 Credential=x", "NotImplemented", 501),
        ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed", 400),
        ("AWS4-HMAC-SHA256 Credential=x", "AuthorizationHeaderMalformed", 400),
        ("AWS4-HMAC-SHA256 Credential=x, Credential=y", "AuthorizationHeaderMalformed", 400),
        (
            "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=y",
            "AuthorizationHeaderMalformed",
            400,
        ),
    ],
)
def test_an_authorization_that_is_no_signature_of_version_four_is_refused(
    authorization, code, status
) -> None:
    error = refused(changed(signed(), authorization=authorization))
    assert (error.code, error.status) == (code, status)


def test_spaces_and_order_in_the_header_do_not_matter() -> None:
    wire = signed()
    algorithm, _, rest = wire.headers["authorization"].partition(" ")
    parts = [part.strip() for part in rest.split(",")]
    assert identify(changed(wire, authorization=f"{algorithm} {','.join(reversed(parts))}"))
    assert identify(changed(wire, authorization=f"{algorithm}   {'  ,  '.join(parts)} "))


def test_a_request_for_another_region_is_told_the_right_one() -> None:
    error = refused(signed(region="eu-north-1"))
    assert (error.code, error.status, error.fields) == (
        "AuthorizationHeaderMalformed",
        400,
        {"Region": REGION},
    )
    error = refused(signed(region="eu-north-1", signer=S3SigV4QueryAuth))
    assert (error.code, error.fields) == ("AuthorizationQueryParametersError", {"Region": REGION})


def test_an_unknown_key_is_unknown_and_not_wrongly_signed() -> None:
    wire = signed()
    error = refused(changed(wire, authorization=wire.headers["authorization"].replace("AKHF", "AKXX")))
    assert (error.code, error.status, error.fields) == (
        "InvalidAccessKeyId", 403, {"AWSAccessKeyId": ACCESS.replace("AKHF", "AKXX")},
    )  # fmt: skip


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_too_far_off_is_told(minutes: int) -> None:
    error = refused(signed(), NOW + minutes * 60_000_000)
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert error.fields["MaxAllowedSkewMilliseconds"] == 900_000
    assert identify(signed(), NOW + (minutes // 16) * 14 * 60_000_000)


@pytest.mark.parametrize("stamp", ["19500707T215304Z", "20100707T215304Z", "99990707T215304Z"])
def test_a_date_far_off_is_told_before_its_credential_is_looked_at(stamp: str) -> None:
    error = refused(changed(signed(), x_amz_date=stamp))
    assert (error.code, error.status) == ("RequestTimeTooSkewed", 403)
    assert error.fields["RequestTime"] == stamp


@pytest.mark.parametrize("date", [None, "", "yesterday", "20251309T000000Z", "99999999999999"])
def test_a_request_without_a_readable_date_is_denied(date: str | None) -> None:
    error = refused(changed(signed(), x_amz_date=date))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert "Date" in error.message


def test_the_date_header_serves_where_there_is_no_other() -> None:
    stamp = dt.datetime.fromtimestamp(NOW // 1_000_000, dt.UTC)
    date = stamp.strftime("%a, %d %b %Y %H:%M:%S GMT")
    scope = f"{stamp:%Y%m%d}/{REGION}/s3/aws4_request"
    lines = f"date:{date}\nhost:{HOST}\nx-amz-content-sha256:{EMPTY}\n"
    canonical = f"GET\n/\n\n{lines}\ndate;host;x-amz-content-sha256\n{EMPTY}"
    text = (
        f"AWS4-HMAC-SHA256\n{stamp:%Y%m%dT%H%M%SZ}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    )
    key = signing_key(SECRET, f"{stamp:%Y%m%d}", REGION, "s3")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent = {
        "host": HOST,
        "date": date,
        "x-amz-content-sha256": EMPTY,
        "authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, "
        f"SignedHeaders=date;host;x-amz-content-sha256, Signature={signature}",
    }
    assert identify(wire_of("GET", "/", "", sent)).identity == SIGNER.identity


@pytest.mark.parametrize("name", ["x_amz_acl", "x_amz_meta_more"])
def test_headers_of_amazons_must_be_signed(name: str) -> None:
    error = refused(changed(signed(), **{name: "v"}))
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.fields == {"HeadersNotSigned": name.replace("_", "-")}


def test_other_headers_may_come_and_go() -> None:
    assert identify(changed(signed(), accept_encoding="gzip", expect="100-continue"))


@pytest.mark.parametrize(
    ("payload", "code", "status"),
    [
        (None, "InvalidRequest", 400),
        ("", "InvalidArgument", 400),
        ("abc", "InvalidArgument", 400),
        ("STREAMING-WHATEVER", "InvalidArgument", 400),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "NotImplemented", 501),
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER", "NotImplemented", 501),
    ],
)
def test_what_is_said_of_the_body_must_be_something_known(payload, code, status) -> None:
    error = refused(changed(signed(), x_amz_content_sha256=payload))
    assert (error.code, error.status) == (code, status)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("X-Amz-Expires=604801", "AuthorizationQueryParametersError"),
        ("X-Amz-Expires=-1", "AuthorizationQueryParametersError"),
        ("X-Amz-Expires=soon", "AuthorizationQueryParametersError"),
        ("X-Amz-Expires=", "AuthorizationQueryParametersError"),
        ("X-Amz-Date=yesterday", "AuthorizationQueryParametersError"),
        ("X-Amz-Algorithm=AWS4-HMAC-SHA1", "AuthorizationQueryParametersError"),
        ("X-Amz-Credential=a/b", "AuthorizationQueryParametersError"),
        ("X-Amz-Signature=0", "SignatureDoesNotMatch"),
    ],
)
def test_a_presigned_request_must_be_whole_and_sound(change: str, code: str) -> None:
    wire = signed(signer=S3SigV4QueryAuth, expires=60)
    name, _, value = change.partition("=")
    query = "&".join(change if part.startswith(name) else part for part in wire.raw_query.split("&"))
    assert refused(wire._replace(raw_query=query, query={**wire.query, name: value})).code == code


def test_a_presigned_request_from_the_future_is_not_yet_valid() -> None:
    error = refused(signed(signer=S3SigV4QueryAuth, expires=60), NOW - 16 * 60_000_000)
    assert (error.code, error.message) == ("AccessDenied", "Request is not yet valid")


def test_two_signatures_are_one_too_many() -> None:
    wire = signed(signer=S3SigV4QueryAuth, expires=60)
    error = refused(changed(wire, authorization=signed().headers["authorization"]))
    assert (error.code, error.status) == ("InvalidArgument", 400)


def test_headers_of_the_second_version_are_refused_as_in_new_regions() -> None:
    error = refused(wire_of("GET", "/b/k", "", {"host": HOST, "authorization": "AWS AKID:abc"}))
    assert (error.code, error.status) == ("InvalidRequest", 400)
    assert "AWS4-HMAC-SHA256" in error.message


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("AWSAccessKeyId=AKID&Expires=1&Signature=abc", "AccessDenied"),
        ("AWSAccessKeyId=AKID&Expires=soon&Signature=abc", "AccessDenied"),
        ("AWSAccessKeyId=AKID&Signature=abc", "AccessDenied"),
        ("AWSAccessKeyId=AKID&Expires=9999999999&Signature=abc", "InvalidAccessKeyId"),
        (f"AWSAccessKeyId={ACCESS}&Expires=9999999999&Signature=abc", "SignatureDoesNotMatch"),
    ],
)
def test_urls_presigned_by_the_second_version_are_checked(query, code) -> None:
    error = refused(wire_of("GET", "/b/k", query, {"host": HOST}))
    assert (error.code, error.status) == (code, 403)


def test_temporary_credentials_are_nobodys() -> None:
    extra = {"x-amz-security-token": "token"}
    assert refused(signed(extra=extra)).code == "InvalidToken"


def test_a_request_without_a_signature_is_anonymous() -> None:
    found = identify(wire_of("GET", "/b/k", "versionId=3", {"host": HOST}))
    assert found == Authenticated(ANONYMOUS, "")
    streaming = {"host": HOST, "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}
    assert refused(wire_of("PUT", "/b/k", "", streaming)).code == "InvalidRequest"


@pytest.mark.parametrize(
    "payload", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"]
)
def test_chunks_hang_on_the_requests_signature(payload: str) -> None:
    with mock.patch("botocore.auth.S3SigV4Auth.payload", return_value=payload):
        wire = signed("PUT", "/b/k")
    found = identify(changed(wire, x_amz_content_sha256=payload))
    assert found.payload == payload
    assert found.chunks is not None
    assert found.chunks.seed == wire.headers["authorization"].rpartition("=")[2]
    assert SECRET not in repr(found.chunks)
    assert found.chunks.seed not in repr(found.chunks)


def form_fields(**more: str) -> dict[str, str]:
    request = AWSRequest(method="POST", url=f"http://{HOST}/")
    request.context["s3-presign-post-fields"] = {}
    request.context["s3-presign-post-policy"] = {"expiration": "2099-01-01T00:00:00Z", "conditions": []}
    at = dt.datetime.fromtimestamp(NOW // 1_000_000, dt.UTC)
    with mock.patch("botocore.auth.get_current_datetime", return_value=at):
        S3SigV4PostAuth(Credentials(ACCESS, SECRET), "s3", REGION).add_auth(request)
    return {**{k.lower(): v for k, v in request.context["s3-presign-post-fields"].items()}, **more}


def identify_form(fields: Mapping[str, str]) -> Identity:
    return done(Authentication(OneKey(), region=REGION).identify_form(fields))


def test_a_forms_policy_is_signed_as_botocore_signs_it() -> None:
    assert identify_form(form_fields()) == SIGNER.identity
    assert identify_form({"key": "k"}) == ANONYMOUS


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"policy": base64.b64encode(json.dumps({}).encode()).decode()}, "SignatureDoesNotMatch"),
        ({"x-amz-signature": ""}, "InvalidArgument"),
        ({"x-amz-signature": "é"}, "SignatureDoesNotMatch"),
        ({"x-amz-algorithm": "AWS4-HMAC-SHA1"}, "InvalidArgument"),
        ({"x-amz-credential": "AKXX/20251009/us-east-1/s3/aws4_request"}, "InvalidAccessKeyId"),
        ({"x-amz-credential": "AKXX"}, "InvalidArgument"),
    ],
)
def test_a_form_whose_signature_is_wrong_is_refused(more, code) -> None:
    with pytest.raises(S3Error) as caught:
        identify_form(form_fields(**more))
    assert caught.value.code == code


@given(st.text(max_size=60), st.text(max_size=60), st.text(st.characters(max_codepoint=255), max_size=60))
def test_whatever_is_sent_is_believed_or_refused_by_name(authorization, date, query) -> None:
    sent = {"host": HOST, "authorization": authorization, "x-amz-date": date}
    for head in ("", "AWS4-HMAC-SHA256 Credential="):
        for more in ("", "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires="):
            try:
                identify(
                    wire_of("GET", "/", query + more + query, {**sent, "authorization": head + authorization})
                )
            except S3Error as error:
                assert error.status in {400, 403, 501}  # noqa: PT017


@given(st.text(st.characters(max_codepoint=255)))
def test_queries_are_read_or_refused(raw: str) -> None:
    try:
        found = query_of(raw)
    except S3Error as error:
        assert error.code == "InvalidURI"  # noqa: PT017
    else:
        assert len(found) <= raw.count("&") + 1


def test_of_a_name_sent_twice_the_first_counts_and_a_plus_is_a_blank() -> None:
    assert query_of("prefix=a+b%2B&prefix=c&acl&&x=%C3%BC") == {"prefix": "a b+", "acl": "", "x": "ü"}
