"""Finding the records of a volume, whatever bits of it have turned over."""

import pytest
from tests.agent.vault.conftest import body, root, shard
from tests.agent.vault.sabotaged_disk import SabotagedDisk, SabotagedFile

from holdfast.agent import record
from holdfast.agent.record import Header, Kind
from holdfast.agent.volume import (
    OPENING_BYTES,
    Opening,
    Walk,
    content_is_good,
    encode_opening,
    name_of,
    number_of,
    read_header,
    read_opening,
)

KEY = b"k" * 16


def put_record(number: int, length: int, *, key: bytes = KEY, synced: int = 0) -> bytes:
    meta, content = b"meta%d" % number, body(number, length)
    check = record.content_check(meta, [content])
    header = Header(Kind.PUT, shard(number), len(meta), length, number, 5, synced, check, root(number))
    head, tail = record.encode(header, key)
    return head + meta + content + tail


def volume(*records: bytes) -> SabotagedFile:
    file = SabotagedDisk().open("volume", create=True)
    file.append([encode_opening(Opening(1, 0, KEY)), *records])
    return file


def met(file: SabotagedFile) -> list[bytes]:
    return [found.header.shard_id for found in Walk(file, KEY)]


def test_names_and_numbers_of_volumes():
    assert number_of(name_of(7)) == 7
    assert [number_of(name) for name in ("vault.key", "volume-1.holdfast", "volume-00000001.holdfast.x")] == [
        None
    ] * 3


def test_a_walk_meets_every_record_in_order():
    lengths = [0, 1, 100_000, 300_000, 5, 5, 5]
    file = volume(*(put_record(number, length) for number, length in enumerate(lengths)))
    walk = Walk(file, KEY)
    found = list(walk)
    assert [one.header.shard_id for one in found] == [shard(number) for number in range(7)]
    assert [one.header.body_length for one in found] == lengths
    assert (walk.end, walk.gaps, walk.mended) == (file.size(), [], 0)
    assert all(content_is_good(file, one.offset, one.header) for one in found)


def test_whichever_single_bit_turns_over_no_record_is_missed_and_damage_to_content_is_noticed():
    records = [put_record(number, 30) for number in range(3)]
    clean = volume(*records)
    found = list(Walk(clean, KEY))
    for bit in range(OPENING_BYTES * 8, clean.size() * 8):
        disk = SabotagedDisk()
        file = disk.open("volume", create=True)
        file.append([encode_opening(Opening(1, 0, KEY)), *records])
        disk.flip("volume", bit)
        assert list(Walk(file, KEY)) == found
        for header, offset in found:
            inside = bit // 8 - offset
            in_content = record.HEAD_BYTES <= inside < header.record_bytes - record.HEAD_BYTES
            assert content_is_good(file, offset, header) is not in_content
            assert read_header(file, offset, header.record_bytes, KEY) == header


def test_a_flipped_bit_in_the_opening_is_noticed():
    for bit in range(OPENING_BYTES * 8):
        disk = SabotagedDisk()
        file = disk.open("volume", create=True)
        file.append([encode_opening(Opening(1, 0, KEY))])
        disk.flip("volume", bit)
        assert read_opening(file) is None


@pytest.mark.parametrize("cut", range(1, 210))
def test_a_torn_last_record_is_left_out_and_the_others_stay(cut):
    file = volume(put_record(1, 10), put_record(2, 10))
    whole = len(put_record(1, 10))
    file.truncate(file.size() - cut)
    walk = Walk(file, KEY)
    assert [found.header.shard_id for found in walk] == [shard(1)]
    assert walk.end == OPENING_BYTES + whole


def test_records_behind_a_wiped_one_are_found_and_the_gap_is_told():
    first, second, third = (put_record(number, 3_000_000) for number in range(3))
    file = volume(first, bytes(len(second)), third)
    walk = Walk(file, KEY)
    assert [found.header.shard_id for found in walk] == [shard(0), shard(2)]
    assert walk.gaps == [(OPENING_BYTES + len(first), OPENING_BYTES + len(first) + len(second))]


def test_a_record_known_by_its_tail_alone_is_found_behind_a_wiped_one():
    first, second = put_record(0, 500), bytearray(put_record(1, 500))
    second[:104] = bytes(104)
    file = volume(bytes(len(first)), second, put_record(2, 500))
    walk = Walk(file, KEY)
    assert [found.header.shard_id for found in walk] == [shard(1), shard(2)]
    assert (walk.mended, walk.gaps) == (1, [(OPENING_BYTES, OPENING_BYTES + len(first))])


def test_records_hidden_in_a_body_are_not_believed_when_its_head_is_damaged():
    forged = put_record(66, 40, key=b"guessed key here")
    content = forged + record.HEAD_MAGIC * 50 + record.TAIL_MAGIC * 50
    header = Header(Kind.PUT, shard(1), 0, len(content), 1, 5, 0, record.content_check(content, []), root(1))
    _, tail = record.encode(header, KEY)
    file = volume(bytes(104), content, tail, put_record(2, 1))
    assert met(file) == [shard(1), shard(2)]
    assert met(volume(bytes(104), content, bytes(104), put_record(2, 1))) == [shard(2)]


def test_a_magic_across_the_edge_of_a_search_piece_is_found():
    for shift in range(-6, 7):
        gap = bytes((1 << 20) + shift)
        assert met(volume(gap, put_record(1, 10))) == [shard(1)]
