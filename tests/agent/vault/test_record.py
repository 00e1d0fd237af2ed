"""A record's head and tail, byte by byte."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.agent import record
from holdfast.agent.record import Header, Kind
from holdfast.agent.volume import Opening, decode_opening, encode_opening
from holdfast.world.errors import Refusal

KEY = bytes(range(16))
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)

headers = st.builds(
    Header,
    st.sampled_from(Kind),
    st.binary(min_size=18, max_size=18),
    U32,
    U32,
    U64,
    U64,
    U64,
    U64,
    st.binary(min_size=32, max_size=32),
)
FROZEN = Header(
    Kind.PUT,
    bytes(range(100, 118)),
    1472,
    524_352,
    7,
    1_750_000_000_000_000,
    64,
    0xAE8B14860A799888,
    b"\x11" * 32,
)


@given(headers, st.binary(min_size=16, max_size=16))
def test_head_and_tail_say_what_was_written(header: Header, key: bytes):
    head, tail = record.encode(header, key)
    assert record.decode_head(head, key) == header == record.decode_tail(tail, key)
    assert record.decode_head(tail, key) is None
    assert record.decode_tail(head, key) is None


def test_no_flipped_bit_goes_unnoticed():
    head, _ = record.encode(FROZEN, KEY)
    for bit in range(len(head) * 8):
        damaged = bytearray(head)
        damaged[bit // 8] ^= 1 << bit % 8
        assert record.decode_head(damaged, KEY) is None


def test_a_record_under_another_key_is_not_believed():
    head, tail = record.encode(FROZEN, KEY)
    assert record.decode_head(head, bytes(16)) is None
    assert record.decode_tail(tail, bytes(16)) is None


def test_a_record_of_a_newer_format_is_refused_by_name():
    head = bytearray(record.encode(FROZEN, KEY)[0][:-8])
    head[4] = 2
    head += hashlib.blake2b(head, digest_size=8, key=KEY).digest()
    with pytest.raises(Refusal) as refused:
        record.decode_head(head, KEY)
    assert refused.value.code == "format.newer"


def test_the_checksum_over_content_is_crc64_nvme_of_meta_and_parts_in_a_row():
    assert record.content_check(b"123", [b"45", memoryview(b"6789")]) == 0xAE8B14860A799888
    assert record.content_check(b"", []) == 0


def test_the_format_is_frozen():
    """The vectors of docs/formats/volume.md."""
    head, tail = record.encode(FROZEN, KEY)
    facts = (
        "0101" + bytes(range(100, 118)).hex() + "000005c0" + "00080040" + "0000000000000007"
        "0006379da05b6000" + "0000000000000040" + "ae8b14860a799888" + "11" * 32
    )  # fmt: skip
    assert head.hex() == "8948465b" + facts + "dda10b5142880cee"
    assert tail.hex() == "8948465d" + facts + "044cc16023ed8ab8"
    assert FROZEN.record_bytes == 208 + 1472 + 524_352
    opening = Opening(3, 1_750_000_000_000_000, KEY)
    assert encode_opening(opening).hex() == (
        "4846564f4c554d45" + "0001" + "00000003" + "0006379da05b6000" + KEY.hex() + "00" * 18
        + "703638d095898193"
    )  # fmt: skip
    assert decode_opening(encode_opening(opening)) == opening
