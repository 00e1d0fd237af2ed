"""Conditional requests, compared with RFC 9110's table written out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.contents import conditions
from holdfast.doors.s3.contents.conditions import Verdict, judge
from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.xml_writing import http_date
from holdfast.files.attributes import ANYHOW, Conditions
from holdfast.world.clock import MICROSECONDS

NOON = 1_750_000_000 * MICROSECONDS
ETAGS = st.sampled_from(['"a"', "a", 'W/"a"', '"b"', '"b", "a"', "*", "b,c", ""])
TIMES = st.integers(-2, 2)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, str]:
    headers = {
        "if-match": draw(st.none() | ETAGS),
        "if-none-match": draw(st.none() | ETAGS),
        "if-modified-since": draw(st.none() | TIMES.map(lambda s: http_date(NOON + s * MICROSECONDS))),
        "if-unmodified-since": draw(st.none() | TIMES.map(lambda s: http_date(NOON + s * MICROSECONDS))),
    }
    return {name: value for name, value in headers.items() if value is not None}


def obvious(headers: dict[str, str]) -> Verdict:
    """The steps of RFC 9110, 13.2.2, for an object with the tag `a` modified half a second past noon."""
    names = {
        name: any(one.strip().removeprefix("W/").strip('"') in {"a", "*"} for one in value.split(","))
        for name, value in headers.items()
        if name in {"if-match", "if-none-match"}
    }
    noon = http_date(NOON)
    if "if-match" in headers and not names["if-match"]:
        return Verdict.FAILED
    if "if-match" not in headers and "if-unmodified-since" in headers:
        later = [http_date(NOON + s * MICROSECONDS) for s in (0, 1, 2)]
        if headers["if-unmodified-since"] not in later:
            return Verdict.FAILED
    if "if-none-match" in headers:
        return Verdict.NOT_MODIFIED if names["if-none-match"] else Verdict.GO_ON
    if "if-modified-since" in headers:
        later = [noon, http_date(NOON + MICROSECONDS), http_date(NOON + 2 * MICROSECONDS)]
        return Verdict.NOT_MODIFIED if headers["if-modified-since"] in later else Verdict.GO_ON
    return Verdict.GO_ON


@given(requests())
def test_reads_are_judged_in_the_order_of_the_rfc(headers: dict[str, str]) -> None:
    assert judge(headers, "a", NOON + MICROSECONDS // 2)[0] is obvious(headers)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 15 Jun 2025 15:06:40 GMT",
        "Sunday, 15-Jun-25 15:06:40 GMT",
        "Sun Jun 15 15:06:40 2025",
        "2025-06-15T15:06:40Z",
        "2025-06-15T15:06:40.000Z",
        "2025-06-15T17:06:40+02:00",
    ],
)
def test_a_time_may_be_written_in_every_form_there_is(text: str) -> None:
    assert conditions.parse_time(text) == NOON


@given(st.text(max_size=40))
def test_nonsense_is_no_time(text: str) -> None:
    parsed = conditions.parse_time(text)
    assert parsed is None or isinstance(parsed, int)


def test_writes_may_require_an_object_its_absence_or_its_tag() -> None:
    assert conditions.for_write({}) is ANYHOW
    assert conditions.for_write({"if-none-match": "*"}) == Conditions(if_absent=True)
    assert conditions.for_write({"if-match": '"a"'}) == Conditions(if_match="a")
    assert conditions.for_write({"if-match": "*"}) == Conditions(if_match="*")
    assert conditions.for_write({"if-none-match": '"a"'}) == Conditions(if_none_match="a")


def test_deletes_may_require_tag_size_and_time() -> None:
    headers = {
        "if-match": '"a"',
        "x-amz-if-match-size": "7",
        "x-amz-if-match-last-modified-time": "Sun, 15 Jun 2025 15:06:40 GMT",
    }
    assert conditions.for_delete(headers) == Conditions(if_match="a", size=7, modified=NOON)
    assert conditions.for_delete({}) is ANYHOW
    for name in ("x-amz-if-match-size", "x-amz-if-match-last-modified-time"):
        with pytest.raises(S3Error, match="InvalidArgument"):
            conditions.for_delete({name: "soon"})
