"""Cross-origin requests: which rule answers, what it says, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.s3.plain import Answer, ask
from tests.s3.refusals import refusal

ORIGIN = "https://a.example.com"
NAMES = ("allow-origin", "allow-methods", "allow-headers", "expose-headers", "max-age", "allow-credentials")


def shown(answer: Answer) -> dict[str, str]:
    """The CORS headers that an answer has, without their common beginning."""
    found = {name: answer.headers.get(f"access-control-{name}") for name in NAMES}
    return {name: value for name, value in found.items() if value is not None}


def put_rules(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": list(rules)})


def preflight(url: str, origin: str | None, method: str | None, headers: str = "") -> Answer:
    asked = {"Origin": origin, "Access-Control-Request-Method": method}
    if headers:
        asked["Access-Control-Request-Headers"] = headers
    return ask("OPTIONS", url, headers={name: value for name, value in asked.items() if value is not None})


@pytest.mark.parametrize(
    ("pattern", "fits", "not_these"),
    [
        ("*", ["http://a", "null", "https://x.y:8080"], []),
        ("https://*.example.com", ["https://a.example.com", "https://a.b.example.com"],
         ["http://a.example.com", "https://example.com", "https://a.example.com.evil", "https://a.example.co"]),
        ("http://a.example.com", ["http://a.example.com"],
         ["https://a.example.com", "http://A.example.com", "http://a.example.com:80", "http://a.example.com/"]),
        ("http://start*end", ["http://startend", "http://start1end", "http://start12end"],
         ["http://star12end", "http://startendx", "http://startxen"]),
        ("http://prefix*", ["http://prefix", "http://prefix.suffix"], ["http://bla.prefix", "https://prefix"]),
        ("*.suffix", ["http://a.suffix", "http://a.b.suffix"], ["http://suffix", "http://a.suffix.get"]),
    ],
)  # fmt: skip
def test_origins_are_matched_by_one_star(
    s3: Any, bucket: str, endpoint: Any, pattern: str, fits: list[str], not_these: list[str]
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", ACL="public-read")
    put_rules(s3, bucket, {"AllowedMethods": ["GET"], "AllowedOrigins": [pattern]})
    url = f"{endpoint.url}/{bucket}/a"
    for origin in fits:
        expected = {"allow-origin": "*" if pattern == "*" else origin, "allow-methods": "GET"}
        if pattern != "*":
            expected["allow-credentials"] = "true"
        get = ask("GET", url, headers={"Origin": origin})
        assert (get.status, shown(get)) == (200, expected)
        missing = ask("GET", f"{url}-no", headers={"Origin": origin})
        assert (missing.status, shown(missing)) == (403, expected)
        asked = preflight(url, origin, "GET")
        assert (asked.status, shown(asked), asked.content) == (200, expected, b"")
    for origin in not_these:
        get = ask("GET", url, headers={"Origin": origin})
        assert (get.status, shown(get)) == (200, {})
        assert (preflight(url, origin, "GET").status) == 403


def test_methods_belong_to_rules(s3: Any, bucket: str, endpoint: Any) -> None:
    put_rules(
        s3,
        bucket,
        {"AllowedMethods": ["PUT", "POST", "DELETE"], "AllowedOrigins": [ORIGIN], "MaxAgeSeconds": 5},
        {"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["*"], "ExposeHeaders": ["ETag", "x-amz-id-2"]},
    )
    url = f"{endpoint.url}/{bucket}/a"
    first = {"allow-origin": ORIGIN, "allow-methods": "PUT, POST, DELETE", "max-age": "5"}
    first["allow-credentials"] = "true"
    second = {"allow-origin": "*", "allow-methods": "GET, HEAD", "expose-headers": "ETag, x-amz-id-2"}
    for method in ("PUT", "POST", "DELETE"):
        assert shown(preflight(url, ORIGIN, method)) == first
        assert preflight(url, "https://b.example.com", method).status == 403
    for method in ("GET", "HEAD"):
        for origin in (ORIGIN, "https://b.example.com"):
            assert shown(preflight(url, origin, method)) == second
    assert preflight(f"{endpoint.url}/{bucket}", ORIGIN, "GET").status == 200


def test_headers_are_matched_without_case(s3: Any, bucket: str, endpoint: Any) -> None:
    rule = {"AllowedMethods": ["PUT"], "AllowedOrigins": ["*"]}
    put_rules(s3, bucket, {**rule, "AllowedHeaders": ["x-amz-meta-*", "Content-Type", "*-x"]})
    url = f"{endpoint.url}/{bucket}/a"
    for headers in ("x-amz-meta-a", "X-Amz-Meta-A, content-type", "CONTENT-TYPE", "any-x"):
        answer = preflight(url, ORIGIN, "PUT", headers)
        assert answer.status == 200
        assert answer.headers["access-control-allow-headers"].lower() == headers.lower()
    for headers in ("x-amz-date", "content-type, x-amz-date", "x-amz-met"):
        assert preflight(url, ORIGIN, "PUT", headers).status == 403
    put_rules(s3, bucket, rule)
    assert preflight(url, ORIGIN, "PUT", "content-type").status == 403
    put_rules(s3, bucket, {**rule, "AllowedHeaders": ["*"]})
    assert preflight(url, ORIGIN, "PUT", "content-type, x-anything").status == 200


def test_questions_that_are_none(s3: Any, bucket: str, endpoint: Any) -> None:
    url = f"{endpoint.url}/{bucket}/a"
    assert preflight(url, ORIGIN, "GET").status == 403
    put_rules(s3, bucket, {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]})
    assert preflight(url, None, "GET").status == 400
    assert preflight(url, ORIGIN, None).status == 400
    assert preflight(url, ORIGIN, "FETCH").status == 400
    assert preflight(url, ORIGIN, "PUT").status == 403
    assert preflight(f"{endpoint.url}/{bucket}-no/a", ORIGIN, "GET").status in {403, 404}


def test_presigned_urls_work_from_other_origins(s3: Any, bucket: str) -> None:
    put_rules(
        s3, bucket, {"AllowedMethods": ["PUT", "GET"], "AllowedOrigins": [ORIGIN], "AllowedHeaders": ["*"]}
    )
    expected = {"allow-origin": ORIGIN, "allow-methods": "PUT, GET", "allow-credentials": "true"}
    for words in ({}, {"ContentType": "text/plain"}):
        url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a", **words})
        headers = {"Content-Type": "text/plain"} if words else {}
        asked = preflight(url, ORIGIN, "PUT", "content-type")
        assert (asked.status, shown(asked)) == (200, {**expected, "allow-headers": "content-type"})
        put = ask("PUT", url, body=b"x", headers={"Origin": ORIGIN, **headers})
        assert (put.status, shown(put)) == (200, expected)
        assert "Origin" in put.headers["vary"]
        elsewhere = ask("PUT", url, body=b"x", headers={"Origin": "https://b.example", **headers})
        assert (elsewhere.status, shown(elsewhere)) == (200, {})
        without = ask("PUT", url, body=b"x", headers=headers)
        assert (without.status, shown(without)) == (200, {})
    get = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a"})
    found = ask("GET", get, headers={"Origin": ORIGIN})
    assert (found.content, shown(found)) == (b"x", expected)
    assert shown(ask("GET", get + "x", headers={"Origin": ORIGIN})) == expected


def test_rules_are_shown_as_they_were_put(s3: Any, bucket: str) -> None:
    rules = [
        {"ID": "one", "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["*.get", "*.put"]},
        {
            "AllowedMethods": ["HEAD"],
            "AllowedOrigins": ["*"],
            "AllowedHeaders": ["a", "b-*"],
            "ExposeHeaders": ["c"],
            "MaxAgeSeconds": 0,
        },
    ]
    put_rules(s3, bucket, *rules)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    s3.delete_bucket_cors(Bucket=bucket)
    assert refusal(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")


@pytest.mark.parametrize(
    "rule",
    [
        {"AllowedMethods": ["FETCH"], "AllowedOrigins": ["*"]},
        {"AllowedMethods": ["OPTIONS"], "AllowedOrigins": ["*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["http://*.*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*-*"]},
        {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["a b"]},
        {"AllowedOrigins": ["*"]},
        {"AllowedMethods": ["GET"]},
        {"ID": "x" * 256, "AllowedMethods": ["GET"], "AllowedOrigins": ["*"]},
    ],
)
def test_rules_that_cannot_be(s3: Any, bucket: str, rule: dict[str, Any]) -> None:
    answer = refusal(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert answer[0] == 400
    many = [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}] * 101
    assert refusal(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration={"CORSRules": many})[0] == 400
