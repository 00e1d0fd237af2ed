"""A listing, page by page, against a slow twin that looks at every key of the bucket."""

from __future__ import annotations

import bisect
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.files.listing import Page, after_all, rolled_up


class Row(NamedTuple):
    key: bytes


class Shown(NamedTuple):
    keys: list[bytes]
    prefixes: list[bytes]
    after: bytes | None


class Bucket:
    """Sorted keys that count how many rows were read from them."""

    def __init__(self, keys: set[bytes]) -> None:
        self.keys = sorted(keys)
        self.rows_read = 0
        self.reads = 0

    def page(self, *, prefix: bytes, delimiter: bytes, after: bytes | None, limit: int) -> Shown:
        page = Page[Row](prefix=prefix, delimiter=delimiter, after=after, limit=limit)
        while (wanted := page.want()) is not None:
            start = bisect.bisect_left(self.keys, wanted.start)
            end = len(self.keys) if wanted.end is None else bisect.bisect_left(self.keys, wanted.end)
            rows = [Row(key) for key in self.keys[start : min(end, start + wanted.rows)]]
            self.rows_read += len(rows)
            self.reads += 1
            page.feed(rows)
        return Shown([row.key for row in page.rows], page.prefixes, page.after)


def slow_page(keys: set[bytes], *, prefix: bytes, delimiter: bytes, after: bytes | None, limit: int) -> Shown:
    """Rolls up every key, throws away what lies at or before the marker, and cuts."""

    def entry(key: bytes) -> tuple[bytes, bool]:
        common = rolled_up(key, prefix, delimiter)
        return (key, False) if common is None else (common, True)

    entries = sorted({entry(key) for key in keys if key.startswith(prefix)})
    if after is not None:
        entries = [each for each in entries if each[0] > entry(after)[0]]
    shown = entries[:limit]
    return Shown(
        keys=[name for name, is_prefix in shown if not is_prefix],
        prefixes=[name for name, is_prefix in shown if is_prefix],
        after=shown[-1][0] if len(entries) > len(shown) > 0 else None,
    )


texts = st.text(alphabet="ab/é\U0010ffff", max_size=6).map(str.encode)
keys_of_bucket = st.sets(texts.filter(bool), max_size=40)


@given(
    keys=keys_of_bucket,
    prefix=texts | st.just(b""),
    delimiter=st.sampled_from([b"", b"/", b"a", b"ab", "é".encode()]),
    after=st.none() | texts,
    limit=st.integers(0, 7),
)
def test_a_page_shows_what_the_slow_twin_shows(
    keys: set[bytes], prefix: bytes, delimiter: bytes, after: bytes | None, limit: int
) -> None:
    asked = {"prefix": prefix, "delimiter": delimiter, "after": after, "limit": limit}
    assert Bucket(keys).page(**asked) == slow_page(keys, **asked)


@given(keys=keys_of_bucket, delimiter=st.sampled_from([b"", b"/", b"b/"]), limit=st.integers(1, 5))
def test_pages_in_a_row_show_every_entry_once(keys: set[bytes], delimiter: bytes, limit: int) -> None:
    bucket = Bucket(keys)
    whole = bucket.page(prefix=b"", delimiter=delimiter, after=None, limit=1000)
    seen_keys, seen_prefixes, after = [], [], None
    while True:
        page = bucket.page(prefix=b"", delimiter=delimiter, after=after, limit=limit)
        assert len(page.keys) + len(page.prefixes) <= limit
        seen_keys += page.keys
        seen_prefixes += page.prefixes
        after = page.after
        if after is None:
            break
    assert (seen_keys, seen_prefixes) == (whole.keys, whole.prefixes)


@pytest.mark.parametrize("crowd", [100, 10_000])
def test_the_work_depends_on_the_page_and_not_on_what_lies_under_a_prefix(crowd: int) -> None:
    keys = {b"%02d/%05d" % (folder, file) for folder in range(20) for file in range(crowd // 20)}
    bucket = Bucket(keys)
    page = bucket.page(prefix=b"", delimiter=b"/", after=None, limit=10)
    assert page == Shown([], [b"%02d/" % folder for folder in range(10)], b"09/")
    assert bucket.rows_read <= 11 + 10 * 8
    assert bucket.reads <= 11


def test_without_a_delimiter_a_page_is_read_in_one_sweep() -> None:
    bucket = Bucket({b"%05d" % number for number in range(5000)})
    page = bucket.page(prefix=b"", delimiter=b"", after=b"00099", limit=1000)
    assert (page.keys[0], page.keys[-1], page.after) == (b"00100", b"01099", b"01099")
    assert (bucket.reads, bucket.rows_read) == (1, 1001)


def test_a_marker_inside_a_common_prefix_skips_all_of_it() -> None:
    bucket = Bucket({b"a/1", b"a/2", b"a/3", b"b"})
    assert bucket.page(prefix=b"", delimiter=b"/", after=b"a/1", limit=9) == Shown([b"b"], [], None)


def test_a_page_of_no_entries_does_not_claim_that_there_is_more() -> None:
    assert Bucket({b"a"}).page(prefix=b"", delimiter=b"", after=None, limit=0) == Shown([], [], None)


@pytest.mark.parametrize(
    ("prefix", "following"),
    [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", None), (b"", None), (b"a\xfe", b"a\xff")],
)
def test_what_follows_all_strings_of_a_prefix(prefix: bytes, following: bytes | None) -> None:
    assert after_all(prefix) == following
