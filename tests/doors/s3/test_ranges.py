"""Ranges as S3 reads them, compared with a slow reading of the same rules."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.contents.ranges import Span, asked_span, part_number, part_span, source_span
from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import PartInfo

NUMBERS = st.one_of(st.integers(0, 12), st.just(10**18)).map(str)
HEADERS = st.one_of(
    st.builds("bytes={}-{}".format, NUMBERS, NUMBERS),
    st.builds("bytes={}-".format, NUMBERS),
    st.builds("bytes=-{}".format, NUMBERS),
    st.text("bytes=0123456789-, +x", max_size=16),
    st.builds("bytes={}".format, st.text("0123-,+ x", max_size=8)),
)


def obvious(header: str, size: int) -> list[int] | str | None:
    """The positions of the bytes that are asked for, one by one; None: the header says nothing."""
    match = re.fullmatch(r"(?i:bytes=)\s*(\d*)-(\d*)\s*", header, re.ASCII)
    if match is None or not (match[1] or match[2]) or len(match[1]) > 19 or len(match[2]) > 19:
        return None
    everything = range(size)
    if not match[1]:
        wanted = list(everything)[-int(match[2]) :] if int(match[2]) else []
    else:
        last = int(match[2]) if match[2] else size
        if match[2] and last < int(match[1]):
            return None
        wanted = [position for position in everything if int(match[1]) <= position <= last]
    return wanted or "nothing"


@given(HEADERS, st.integers(0, 10))
def test_a_range_asks_for_what_the_rules_say(header: str, size: int) -> None:
    expected = obvious(header, size)
    if expected == "nothing":
        with pytest.raises(S3Error) as caught:
            asked_span(header, size)
        assert (caught.value.code, caught.value.status) == ("InvalidRange", 416)
        assert caught.value.fields == {"RangeRequested": header, "ActualObjectSize": size}
        assert dict(caught.value.headers) == {"Content-Range": f"bytes */{size}"}
        return
    span = asked_span(header, size)
    assert (None if span is None else list(range(*span))) == expected


@pytest.mark.parametrize(
    ("header", "size", "span"),
    [
        ("bytes=0-4", 10, Span(0, 5)),
        ("bytes=5-", 10, Span(5, 10)),
        ("bytes=-3", 10, Span(7, 10)),
        ("bytes=-30", 10, Span(0, 10)),
        ("bytes=8-30", 10, Span(8, 10)),
        ("bytes=0-1,3-4", 10, None),
        ("bytes=4-2", 10, None),
        ("octets=0-1", 10, None),
        ("bytes=-", 10, None),
        ("", 10, None),
    ],
)
def test_ranges_by_example(header: str, size: int, span: Span | None) -> None:
    assert asked_span(header, size) == span


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"])
def test_an_empty_object_satisfies_no_range(header: str) -> None:
    with pytest.raises(S3Error, match="InvalidRange"):
        asked_span(header, 0)


@pytest.mark.parametrize(
    "header", ["0-4", "bytes=0-", "bytes=-4", "bytes=4-2", "bytes=0-10", "bytes=a-b", ""]
)
def test_a_copied_range_names_both_ends_inside_the_source(header: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        source_span(header, 10)
    assert source_span("bytes=0-9", 10) == Span(0, 10)


@given(st.lists(st.integers(1, 9), max_size=5), st.integers(1, 7))
def test_parts_lie_one_after_another(sizes: list[int], wanted: int) -> None:
    parts = tuple(PartInfo(number, size) for number, size in enumerate(sizes, 1))
    pieces = [[number] * size for number, size in enumerate(sizes, 1)]
    whole = [one for piece in pieces for one in piece]
    if wanted > max(1, len(parts)):
        with pytest.raises(S3Error, match="InvalidPartNumber"):
            part_span(parts, wanted, len(whole))
        return
    span = part_span(parts, wanted, len(whole))
    assert whole[span.start : span.stop] == (pieces[wanted - 1] if pieces else [])


@pytest.mark.parametrize("text", ["", "0", "10001", "-1", "1.5", "one", "\u0661", "9" * 40])
def test_part_numbers_run_from_1_to_10000(text: str) -> None:
    with pytest.raises(S3Error, match="InvalidArgument"):
        part_number(text)
    assert (part_number("1"), part_number("10000")) == (1, 10_000)
