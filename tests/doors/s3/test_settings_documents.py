"""Texts of documents: numbers, truths, times; and that whatever time is taken can be shown again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import settings_documents as documents
from holdfast.doors.s3.wire.xml_reading import parse
from holdfast.doors.s3.wire.xml_writing import time_text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = (datetime.fromisoformat(f"{year}-01-01") for year in (1001, 9998))
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(FIRST, LAST, timezones=ZONES))
def test_a_time_of_any_zone_is_the_moment_it_names(when: datetime) -> None:
    found = documents.parse_moment(when.isoformat())
    assert found is not None
    assert EPOCH + timedelta(microseconds=found) == when
    shown = documents.parse_moment(documents.exact_time_text(found))
    assert shown == found // 1000 * 1000


@given(st.from_regex(r"\A\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?\Z"))
def test_whatever_time_is_taken_can_be_shown_again(text: str) -> None:
    found = documents.parse_moment(text)
    if found is not None:
        assert documents.parse_moment(documents.exact_time_text(found)) == found // 1000 * 1000
        assert documents.parse_moment(time_text(found)) == found // 1_000_000 * 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "20260101",
        "2026-01-01 00:00:00",
        "2026-02-30",
        "2026-01-01T24:30:00Z",
        "0000-01-01T00:00:00Z",
        "0999-01-01T00:00:00Z",
        "9999-12-31T12:00:00-12:00",
        "٢٠٢٦-01-01",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_what_is_no_time_is_malformed(text: str) -> None:
    assert documents.parse_moment(text) is None
    with pytest.raises(S3Error):
        documents.moment(f"x{text}")


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), (" 5\n", 5), ("+5", 5), ("-5", -5), ("007", 7), (str(2**31 - 1), 2**31 - 1), (None, None)],
)
def test_whole_numbers_are_read(text: str | None, number: int | None) -> None:
    assert documents.whole(text) == number


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "0x1", "٣", "1_000", "--1", str(2**31), "9" * 5000])
def test_what_is_no_whole_number_is_malformed(text: str) -> None:
    with pytest.raises(S3Error) as caught:
        documents.whole(text)
    assert caught.value.code == "MalformedXML"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("FALSE", False), (" 1 ", True), ("0", False), (None, None)]
)
def test_truths_are_read(text: str | None, value: bool | None) -> None:
    assert documents.truth(text) is value


@pytest.mark.parametrize("text", ["", "yes", "2", "truefalse"])
def test_what_is_neither_true_nor_false_is_malformed(text: str) -> None:
    with pytest.raises(S3Error):
        documents.truth(text)


@pytest.mark.parametrize(
    ("document", "fine"),
    [
        ("<a/>", True),
        ("<a> \n </a>", True),
        ("<a><b/><c/><c/></a>", True),
        ("<a><b/><b/></a>", False),
        ("<a><d/></a>", False),
        ("<a>text</a>", False),
    ],
)
def test_only_known_elements_stand_where_they_may(document: str, fine: bool) -> None:
    node = parse(document.encode())
    if fine:
        documents.expect(node, one="b", many="c")
        return
    with pytest.raises(S3Error) as caught:
        documents.expect(node, one="b", many="c")
    assert caught.value.code == "MalformedXML"
