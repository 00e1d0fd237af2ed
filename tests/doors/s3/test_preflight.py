"""Pages of other origins are answered by the first rule that allows them, and by no other."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.preflight import Asked, answer, asked, headers_for
from holdfast.files.bucket_settings import CorsRule

RULES = (
    CorsRule(
        origins=("https://one.example",),
        methods=("PUT",),
        headers=("x-amz-*", "Content-Type"),
        max_age_seconds=5,
    ),
    CorsRule(
        origins=("https://*.example", "http://a*"), methods=("GET", "HEAD"), expose=("ETag", "x-amz-id-2")
    ),
    CorsRule(origins=("*",), methods=("DELETE",), headers=("*",)),
)
VARY = ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")


def test_a_preflight_is_told_what_its_rule_allows() -> None:
    question = asked("https://one.example", "PUT", "X-Amz-Meta-A, content-type")
    assert answer(RULES, question, "OBJECT") == [
        ("access-control-allow-origin", "https://one.example"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-credentials", "true"),
        VARY,
        ("access-control-allow-headers", "x-amz-meta-a, content-type"),
        ("access-control-max-age", "5"),
    ]


def test_a_rule_for_everybody_says_so_and_lends_no_credentials() -> None:
    assert headers_for(RULES, "https://anybody", "DELETE") == [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "DELETE"),
        VARY,
    ]


def test_the_answer_to_a_request_exposes_what_its_rule_exposes() -> None:
    assert headers_for(RULES, "https://two.example", "GET") == [
        ("access-control-allow-origin", "https://two.example"),
        ("access-control-allow-methods", "GET, HEAD"),
        ("access-control-expose-headers", "ETag, x-amz-id-2"),
        ("access-control-allow-credentials", "true"),
        VARY,
    ]
    assert headers_for(RULES, "https://two.example", "PUT") == []


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://one.example", "PUT", "authorization"),
        ("https://one.example.evil", "PUT", None),
        ("https://example", "GET", None),
        ("https://two.example", "PUT", None),
        ("https://two.example", "GET", "x-amz-date"),
    ],
)
def test_what_no_rule_allows_is_forbidden(origin, method, headers) -> None:
    with pytest.raises(S3Error) as caught:
        answer(RULES, asked(origin, method, headers), "OBJECT")
    assert (caught.value.code, caught.value.status) == ("AccessForbidden", 403)
    assert caught.value.fields == {"Method": method, "ResourceType": "OBJECT"}


def test_a_bucket_without_rules_says_so() -> None:
    with pytest.raises(S3Error, match="CORS is not enabled"):
        answer((), asked("https://one.example", "PUT", None), "BUCKET")


@pytest.mark.parametrize(
    ("origin", "method"), [(None, "GET"), ("", "GET"), ("o", None), ("o", "PATCH"), ("o", "")]
)
def test_a_question_that_is_none_is_a_bad_request(origin, method) -> None:
    with pytest.raises(S3Error) as caught:
        asked(origin, method, None)
    assert (caught.value.code, caught.value.status) == ("BadRequest", 400)


def test_an_empty_list_of_headers_asks_for_none() -> None:
    assert asked("o", "GET", " , ") == Asked("o", "GET", ())


letters = st.text("ab", max_size=5)


@given(st.tuples(letters, letters).map("*".join) | letters, letters)
def test_one_star_stands_for_anything(pattern: str, origin: str) -> None:
    rule = CorsRule(origins=(pattern,), methods=("GET",))
    obvious = re.fullmatch(fnmatch.translate(pattern), origin) is not None
    assert bool(headers_for((rule,), origin, "GET")) == obvious
