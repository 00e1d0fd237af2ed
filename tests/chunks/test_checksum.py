from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chunks import obvious

from holdfast.chunks import checksum
from holdfast.world.errors import Refusal


def test_the_check_value_of_the_standard_is_met():
    assert checksum.text(checksum.crc64(b"123456789")) == "crc64nvme:ae8b14860a799888"
    assert checksum.text(checksum.crc64(b"")) == "crc64nvme:0000000000000000"


@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_the_slow_twin(data: bytes):
    assert checksum.crc64(data) == obvious.crc64(data)
    assert checksum.crc64(memoryview(bytearray(data))) == obvious.crc64(data)


@given(st.lists(st.binary(max_size=100_000), max_size=5))
def test_checksums_of_parts_combine_to_the_checksum_of_the_whole(parts: list[bytes]):
    combined = going_on = 0
    for part in parts:
        combined = checksum.combine(combined, checksum.crc64(part), len(part))
        going_on = checksum.crc64(part, going_on)
    assert combined == going_on == checksum.crc64(b"".join(parts))


def test_checksums_combine_over_lengths_beyond_32_bits():
    gibibyte_of_zeros = checksum.crc64(bytes(1 << 20))
    length = 1 << 20
    for _ in range(14):
        gibibyte_of_zeros = checksum.combine(gibibyte_of_zeros, gibibyte_of_zeros, length)
        length *= 2
    one_at_the_end = checksum.combine(gibibyte_of_zeros, checksum.crc64(b"\x01"), 1)
    split_elsewhere = checksum.crc64(b"\x01", gibibyte_of_zeros)
    assert length == 16 << 30
    assert one_at_the_end == split_elsewhere


@given(st.integers(0, 2**64 - 1))
def test_a_checksum_is_read_back_as_it_was_written(crc: int):
    assert checksum.parse(checksum.text(crc)) == crc


@pytest.mark.parametrize(
    "written", ["", "crc64nvme:", "crc64nvme:12", "md5:ae8b14860a799888", "crc64nvme:AE8B14860A799888"]
)
def test_what_is_no_checksum_is_refused(written: str):
    with pytest.raises(Refusal) as refusal:
        checksum.parse(written)
    assert refusal.value.code == "format.invalid"
