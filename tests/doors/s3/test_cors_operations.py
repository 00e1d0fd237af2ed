"""CORS configurations come back as they were put; what S3 does not take is refused in its words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import cors_operations as cors

ORIGINS = st.sampled_from(["*", "http://example.com", "https://*.example.com", "http://a:8080", "null"])
TOKENS = st.from_regex(r"\A[A-Za-z0-9-]{1,12}\Z")


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "AllowedOrigins": draw(st.lists(ORIGINS, min_size=1, max_size=3)),
        "AllowedMethods": draw(st.lists(st.sampled_from(cors.METHODS), min_size=1, max_size=5)),
    }
    if draw(st.booleans()):
        rule["ID"] = draw(st.text("abc &<é", min_size=1, max_size=9))
    if draw(st.booleans()):
        rule["AllowedHeaders"] = draw(
            st.lists(TOKENS | st.sampled_from(["*", "x-amz-*"]), min_size=1, max_size=3)
        )
    if draw(st.booleans()):
        rule["ExposeHeaders"] = draw(st.lists(TOKENS, min_size=1, max_size=3))
    if draw(st.booleans()):
        rule["MaxAgeSeconds"] = draw(st.integers(0, 2**31 - 1))
    return rule


def put(*given: dict[str, Any]) -> Any:
    return cors.read_cors(shapes.sent("PutBucketCors", CORSConfiguration={"CORSRules": list(given)}))


@given(st.lists(rules(), min_size=1, max_size=4))
def test_a_configuration_comes_back_as_it_was_put(given: list[dict[str, Any]]) -> None:
    content = cors.cors_elements(put(*given))
    assert shapes.shown("GetBucketCors", "CORSConfiguration", content)["CORSRules"] == given


def rule_of(**changed: Any) -> dict[str, Any]:
    rule = {"AllowedOrigins": ["http://a"], "AllowedMethods": ["GET"]} | changed
    return {name: value for name, value in rule.items() if value is not None}


@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        (rule_of(AllowedOrigins=None), "MalformedXML", ""),
        (rule_of(AllowedMethods=None), "MalformedXML", ""),
        (rule_of(AllowedMethods=["PATCH"]), "InvalidRequest", "Unsupported method is PATCH"),
        (rule_of(AllowedMethods=["get"]), "InvalidRequest", "Unsupported method is get"),
        (rule_of(AllowedOrigins=["http://*.*"]), "InvalidRequest", "more than one wildcard"),
        (rule_of(AllowedHeaders=["*-*"]), "InvalidRequest", "more than one wildcard"),
        (rule_of(AllowedHeaders=["a b"]), "InvalidRequest", "invalid character"),
        (rule_of(ExposeHeaders=["x-*"]), "InvalidRequest", "contains wildcard"),
        (rule_of(ExposeHeaders=[""]), "InvalidRequest", "invalid character"),
        (rule_of(ExposeHeaders=["a\r\nb"]), "InvalidRequest", "invalid character"),
        (rule_of(MaxAgeSeconds=-1), "MalformedXML", ""),
        (rule_of(MaxAgeSeconds=2**31), "MalformedXML", ""),
        (rule_of(ID="i" * 256), "InvalidArgument", "ID length"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(rule)
    assert shapes.code_of(caught.value) == (code, 400)
    assert words in caught.value.message


def test_there_are_one_to_a_hundred_rules() -> None:
    assert len(put(*[rule_of()] * 100)) == 100
    for count, code in ((0, "MalformedXML"), (101, "InvalidRequest")):
        with pytest.raises(S3Error) as caught:
            put(*[rule_of()] * count)
        assert caught.value.code == code


VALID = shapes.written(
    "PutBucketCors",
    CORSConfiguration={"CORSRules": [rule_of(ID="i", AllowedHeaders=["*"], MaxAgeSeconds=9), rule_of()]},
)


@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, lambda root: cors.cors_elements(cors.read_cors(root)))
