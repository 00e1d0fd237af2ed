import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.agent.sizes import parse_size, size_text
from holdfast.world.errors import Refusal


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("512B", 512),
        ("100GB", 100 * 10**9),
        ("100 gb", 100 * 10**9),
        ("1.5TiB", 3 << 39),
        (" 2kib ", 2048),
        ("0.1kB", 100),
        ("1.9999B", 1),
    ],
)
def test_a_size_reads_as_people_write_it(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "1,5GB", "1e9", "10 furlongs", "1GBB", "nan", "٣GB", "9999999PB"]
)
def test_what_is_no_size_is_refused_with_advice(text):
    with pytest.raises(Refusal) as caught:
        parse_size(text)
    assert caught.value.code == "config.invalid"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_500_000_000, "1.5 GB"),
        (10**11, "100 GB"),
        (10**12, "1 TB"),
    ],
)
def test_a_size_is_shown_in_three_digits(size, text):
    assert size_text(size) == text


@given(st.integers(0, 10**17))
def test_a_size_shown_is_a_size_that_reads_back_within_a_twentieth(size):
    assert abs(parse_size(size_text(size)) - size) <= size / 20
