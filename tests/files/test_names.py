"""Which names buckets and objects may have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.files.names import (
    METADATA_BYTES_MAX,
    check_bucket_name,
    check_metadata,
    decode_key,
    encode_key,
    encode_text,
)
from holdfast.world.errors import Refusal


@pytest.mark.parametrize("name", ["abc", "a-b", "my.data.2026", "0" * 63, "1.2.3"])
def test_a_bucket_may_have_a_name_that_s3_takes(name: str) -> None:
    check_bucket_name(name)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("ab", "3 to 63"),
        ("", "3 to 63"),
        ("a" * 64, "3 to 63"),
        ("Photos", "lower-case"),
        ("my_data", "lower-case"),
        ("schön", "lower-case"),
        ("a/b", "lower-case"),
        ("abc\n", "lower-case"),
        ("-abc", "begin"),
        (".abc", "begin"),
        ("abc-", "end"),
        ("a..b", "two dots"),
        ("abc.-d", "dot and a hyphen"),
        ("abc-.d", "dot and a hyphen"),
        ("192.168.5.4", "IP address"),
        ("999.1.1.1", "IP address"),
        ("xn--abc", "beginning is reserved"),
        ("sthree-configurator", "beginning is reserved"),
        ("abc-s3alias", "ending is reserved"),
        ("abc--x-s3", "ending is reserved"),
    ],
)
def test_a_bucket_name_is_refused_with_the_rule_it_breaks(name: str, rule: str) -> None:
    with pytest.raises(Refusal, match=rule) as caught:
        check_bucket_name(name)
    assert caught.value.code == "bucket.invalid"
    assert caught.value.advice


@given(st.text(min_size=1, max_size=300).filter(lambda key: "\0" not in key))
def test_a_key_comes_back_as_it_was_given(key: str) -> None:
    assert decode_key(encode_key(key)) == key


@pytest.mark.parametrize("key", ["", "a" * 1025, "é" * 513, "a\0b", "a\ud800"])
def test_a_key_is_refused_that_is_empty_too_long_or_not_unicode(key: str) -> None:
    with pytest.raises(Refusal) as caught:
        encode_key(key)
    assert caught.value.code == "name.invalid"


@pytest.mark.parametrize("key", ["a" * 1024, "é" * 512, "../../etc/passwd", "a//b", "/", "\n", "\U0010ffff"])
def test_a_key_may_be_anything_else(key: str) -> None:
    assert encode_key(key) == key.encode()


def test_part_of_a_key_may_be_empty() -> None:
    assert encode_text("") == b""


def test_metadata_is_bounded() -> None:
    check_metadata({"a": "b" * (METADATA_BYTES_MAX - 1)})
    with pytest.raises(Refusal) as caught:
        check_metadata({"a": "b" * METADATA_BYTES_MAX})
    assert caught.value.code == "request.too_large"
