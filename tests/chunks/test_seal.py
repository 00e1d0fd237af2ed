from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chunks import obvious
from tests.chunks.kernels import ERASURES, content, on_every_kernel

from holdfast.chunks import layout, packing, tree
from holdfast.chunks.erasure import Erasure, best_erasure
from holdfast.chunks.metadata import ChunkRecord
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Opener, Piece, SealedChunk, Sealer
from holdfast.world.errors import Refusal, Trouble

DATA_KEY = content(32, b"data key")
CHUNK_ID = content(16, b"chunk id")
THREE_OF_FIVE = Redundancy(3, 5, 4)
TEN_OF_FOURTEEN = Redundancy(10, 14, 12)
WORDS = b"The holdfast is the root by which kelp grips the sea floor while everything around it moves. "


def words(length: int) -> bytes:
    return (WORDS * (length // len(WORDS) + 1))[:length]


def seal(
    plain: bytes,
    redundancy: Redundancy = THREE_OF_FIVE,
    erasure: Erasure | None = None,
    *,
    compress: bool = True,
    dirt: int = 0xAA,
) -> SealedChunk:
    slot = memoryview(bytearray([dirt]) * layout.slot_length(len(plain), redundancy))
    return Sealer(erasure or best_erasure(), compress=compress).seal(
        memoryview(plain), data_key=DATA_KEY, chunk_id=CHUNK_ID, number=6, redundancy=redundancy, slot=slot
    )


def open_whole(
    chunk: SealedChunk, have: list[int], redundancy: Redundancy = THREE_OF_FIVE, **changes
) -> bytes:
    record = msgspec.structs.replace(chunk.record, **changes)
    into = memoryview(bytearray(record.plain_length + 3))
    shards = {index: chunk.shards[index] for index in have}
    length = Opener(best_erasure()).open(record, redundancy, shards, data_key=DATA_KEY, into=into)
    assert bytes(into[length:]) == bytes(3), "nothing is written behind the chunk"
    return bytes(into[:length])


PLAINS = {
    "one byte": b"x",
    "some words": words(1000),
    "a record": content(65_536),
    "a record and a byte": content(65_537),
    "many records": content(300_001),
    "many words": words(2_000_000),
}


@pytest.mark.parametrize("plain", PLAINS.values(), ids=PLAINS)
@pytest.mark.parametrize("text", ["1of1r1", "1of3r2", "2of3r2", "3of5r4", "10of14r12", "29of80r52"])
def test_a_chunk_reopens_from_its_first_and_from_its_last_k_shards(plain: bytes, text: str):
    redundancy = Redundancy.parse(text)
    chunk = seal(plain, redundancy)
    k, n = redundancy.k, redundancy.n
    for have in (list(range(k)), list(range(n - k, n))):
        for index in have:
            tree.verify_shard(
                chunk.shards[index], index, roots=chunk.roots, record=chunk.record, redundancy=redundancy
            )
        assert open_whole(chunk, have, redundancy) == plain


@given(st.binary(min_size=1, max_size=3000), st.data())
def test_any_k_of_n_shards_reopen_any_chunk(plain: bytes, data: st.DataObject):
    n = data.draw(st.integers(1, 20))
    k = data.draw(st.integers(1, n))
    redundancy = Redundancy(k, n, k)
    chunk = seal(plain, redundancy)
    assert open_whole(chunk, data.draw(st.permutations(range(n)))[:k], redundancy) == plain


def test_every_choice_of_three_of_five_shards_reopens_a_chunk():
    plain = content(200_000)
    chunk = seal(plain)
    for have in itertools.combinations(range(5), 3):
        assert open_whole(chunk, list(have)) == plain


@on_every_kernel
@pytest.mark.parametrize("length", [1, 64, 5000, 65_536, 66_000])
@pytest.mark.parametrize("k", [1, 3])
def test_sealing_is_what_the_written_format_says(erasure: Erasure, length: int, k: int):
    for plain in (content(length), words(length)):
        chunk = seal(plain, Redundancy(k, k + 2, k), erasure)
        packed = zstandard.ZstdCompressor(level=1).compress(plain) if chunk.record.compressed else plain
        twin = obvious.seal(plain, packed, data_key=DATA_KEY, chunk_id=CHUNK_ID, number=6, k=k, n=k + 2)
        assert [bytes(shard) for shard in chunk.shards] == twin.shards
        assert chunk.roots == twin.roots
        assert chunk.record == ChunkRecord(
            number=6,
            chunk_id=CHUNK_ID,
            plain_length=length,
            packed_length=len(packed),
            compressed=packed != plain,
            sealed_length=len(twin.sealed),
            shard_length=twin.shard_length,
            root=twin.root,
            checksum=twin.checksum,
        )


@given(st.binary(min_size=1, max_size=500), st.binary(min_size=1, max_size=16), st.integers(1, 3))
def test_all_kernels_seal_alike(head: bytes, unit: bytes, k: int):
    plain = head + unit * 3000
    first, *others = [seal(plain, Redundancy(k, k + 3, k), erasure) for erasure in ERASURES]
    assert all(other == first for other in others)


def test_the_last_users_bytes_never_reach_a_shard():
    for redundancy in (Redundancy(1, 2, 1), THREE_OF_FIVE, Redundancy(40, 50, 45)):
        for length in (1, 63, 1000, 70_000):
            clean = seal(content(length), redundancy, dirt=0)
            dirty = seal(content(length), redundancy, dirt=0xFF)
            assert dirty == clean


def test_what_does_not_shrink_is_left_alone():
    assert not seal(content(200_000)).record.compressed
    assert not seal(content(65_536) + words(500_000)).record.compressed, "the probe decides"
    assert seal(words(200_000)).record.compressed
    assert not seal(words(200_000), compress=False).record.compressed
    assert not seal(words(65_536) + content(900_000)).record.compressed, "an eighth must be saved in all"
    assert seal(words(100)).record.packed_length <= 100


# --- ranges ----------------------------------------------------------------------------------------------

RANGED = {
    (kind, text): (plain, seal(plain, Redundancy.parse(text)), Redundancy.parse(text))
    for kind, plain in (("plain", content(700_000)), ("compressed", words(400_000) + content(50_000)))
    for text in ("1of2r1", "3of5r4", "20of24r22")
}


def pieces_for(
    record: ChunkRecord, chunk: SealedChunk, redundancy: Redundancy, start: int, stop: int, lost: set[int]
) -> dict[int, Piece]:
    """What a reader fetches: the slices of the range; for a lost one, the same slice of k others."""
    pieces: dict[int, Piece] = {}
    for part in layout.slices_for_range(record, start, stop):
        ends = part.offset, part.offset + part.length
        alive = [i for i in range(redundancy.n) if i not in lost]
        for index in alive[: redundancy.k] if part.index in lost else [part.index]:
            old = pieces.get(index)
            low = min(ends[0], old.offset) if old else ends[0]
            high = max(ends[1], old.offset + len(old.data)) if old else ends[1]
            pieces[index] = Piece(low, chunk.shards[index][low:high])
    return pieces


@pytest.mark.parametrize("case", RANGED, ids=" ".join)
@settings(max_examples=60)
@given(data=st.data())
def test_every_range_is_that_slice_of_the_plain_bytes(case: tuple[str, str], data: st.DataObject):
    plain, chunk, redundancy = RANGED[case]
    assert chunk.record.compressed == (case[0] == "compressed")
    start = data.draw(st.integers(0, len(plain) - 1))
    stop = data.draw(
        st.integers(start + 1, min(len(plain), start + data.draw(st.sampled_from([1, 9000, 10**6]))))
    )
    lost = data.draw(st.sets(st.integers(0, redundancy.n - 1), max_size=redundancy.parity))
    pieces = pieces_for(chunk.record, chunk, redundancy, start, stop, lost)
    into = memoryview(bytearray(stop - start))
    length = Opener(best_erasure()).open_range(
        chunk.record, redundancy, pieces, start=start, stop=stop, data_key=DATA_KEY, into=into
    )
    assert length == stop - start
    assert bytes(into) == plain[start:stop]


def test_the_start_of_a_compressed_chunk_needs_only_its_start_to_be_sound():
    plain = content(400_000).hex().encode()
    chunk = seal(plain)
    assert chunk.record.compressed
    chunk.shards[2][-20_000:] = bytes(20_000)
    pieces = {i: Piece(0, shard) for i, shard in enumerate(chunk.shards[:3])}
    into = memoryview(bytearray(1000))
    Opener(best_erasure()).open_range(
        chunk.record, THREE_OF_FIVE, pieces, start=500, stop=1500, data_key=DATA_KEY, into=into
    )
    assert bytes(into) == plain[500:1500]


# --- faults ----------------------------------------------------------------------------------------------


@given(st.integers(0, 2), st.integers(0), st.integers(0, 7))
@settings(max_examples=60)
def test_a_flipped_bit_in_any_byte_is_found_by_the_tree_and_by_the_cipher(index: int, at: int, bit: int):
    plain = content(70_000)
    chunk = seal(plain)
    shard = chunk.shards[index]
    at %= len(shard)
    shard[at] ^= 1 << bit
    with pytest.raises(Trouble) as trouble:
        tree.verify_shard(shard, index, roots=chunk.roots, record=chunk.record, redundancy=THREE_OF_FIVE)
    assert trouble.value.code == "node.corrupt"
    padding = index * len(shard) + at >= chunk.record.sealed_length
    if padding:
        assert open_whole(chunk, [0, 1, 2]) == plain
    else:
        with pytest.raises(Trouble) as trouble:
            open_whole(chunk, [0, 1, 2])
        assert (trouble.value.code, trouble.value.retry) == ("metadata.forged", False)


def test_unauthenticated_bytes_are_never_left_with_the_reader():
    chunk = seal(content(70_000))
    chunk.shards[0][100] ^= 1
    into = memoryview(bytearray(b"\x11" * 70_000))
    shards = dict(enumerate(chunk.shards[:3]))
    with pytest.raises(Trouble):
        Opener(best_erasure()).open(chunk.record, THREE_OF_FIVE, shards, data_key=DATA_KEY, into=into)
    assert bytes(into) == bytes(65_536) + b"\x11" * (70_000 - 65_536)


@pytest.mark.parametrize(
    ("change", "lie"),
    [
        ({"number": 5}, "chunks exchanged"),
        ({"chunk_id": content(16, b"other")}, "another chunk of the object"),
        ({"checksum": 1}, "another checksum"),
        ({"plain_length": 70_001, "compressed": True}, "said to be compressed"),
    ],
)
def test_a_coordinator_that_lies_about_a_chunk_is_found_out(change: dict[str, object], lie: str):
    with pytest.raises(Trouble) as trouble:
        open_whole(seal(content(70_000)), [0, 1, 2], **change)
    assert trouble.value.code == "metadata.forged", lie


def test_another_data_key_opens_nothing():
    chunk = seal(content(70_000))
    into = memoryview(bytearray(70_000))
    with pytest.raises(Trouble) as trouble:
        Opener(best_erasure()).open(
            chunk.record, THREE_OF_FIVE, dict(enumerate(chunk.shards)), data_key=bytes(32), into=into
        )
    assert trouble.value.code == "metadata.forged"


def test_too_few_shards_are_a_lost_chunk_with_the_numbers():
    with pytest.raises(Trouble) as trouble:
        open_whole(seal(content(70_000)), [1, 4])
    assert trouble.value.code == "chunk.lost"
    assert trouble.value.facts == {"have": 2, "need": 3}


def test_a_chunk_of_a_later_format_is_refused_clearly():
    with pytest.raises(Refusal) as refusal:
        open_whole(seal(b"x"), [0, 1, 2], format=2)
    assert refusal.value.code == "format.newer"


def test_the_same_chunk_under_another_id_shares_no_ciphertext():
    plain = memoryview(content(70_000))
    slots = [memoryview(bytearray(layout.slot_length(70_000, THREE_OF_FIVE))) for _ in range(2)]
    sealer = Sealer(best_erasure())
    for slot, chunk_id in zip(slots, (bytes(16), bytes(15) + b"\1"), strict=True):
        sealer.seal(
            plain, data_key=DATA_KEY, chunk_id=chunk_id, number=0, redundancy=THREE_OF_FIVE, slot=slot
        )
    blocks = [{bytes(slot[at : at + 16]) for at in range(0, 65_536, 16)} for slot in slots]
    assert not blocks[0] & blocks[1]


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (zstandard.ZstdCompressor().compress(words(99)), "too short"),
        (zstandard.ZstdCompressor().compress(words(101)), "too long"),
        (zstandard.ZstdCompressor().compress(words(100))[:-4], "cut"),
        (b"not zstd at all", "no frame"),
    ],
)
def test_a_frame_that_is_not_the_promised_chunk_is_refused(packed: bytes, reason: str):
    class Source:
        rest = memoryview(packed)

        def read(self, size: int, /) -> memoryview:
            part, self.rest = self.rest[:size], self.rest[size:]
            return part

    with pytest.raises(Refusal) as refusal:
        packing.unpack(Source(), memoryview(bytearray(100)), skip=0, last=True)
    assert refusal.value.code == "format.invalid", reason


# --- limits and sharing ----------------------------------------------------------------------------------


def test_a_chunk_of_the_largest_size_goes_through_in_ten_of_fourteen():
    plain = bytearray(layout.CHUNK_BYTES_MAX)
    plain[:: 1 << 12] = b"\x07" * (len(plain) >> 12)
    chunk = seal(bytes(plain), TEN_OF_FOURTEEN, compress=False)
    assert open_whole(chunk, [0, 2, 3, 4, 5, 6, 8, 9, 10, 13], TEN_OF_FOURTEEN) == plain


def test_one_sealer_and_one_opener_serve_many_threads():
    sealer, opener = Sealer(best_erasure()), Opener(best_erasure())

    def work(seed: int) -> None:
        for turn in range(8):
            plain = content(150_000, bytes([seed, turn])) if turn % 2 else words(200_000 + seed)
            slot = memoryview(bytearray(layout.slot_length(len(plain), THREE_OF_FIVE)))
            chunk = sealer.seal(
                memoryview(plain),
                data_key=DATA_KEY,
                chunk_id=CHUNK_ID,
                number=turn,
                redundancy=THREE_OF_FIVE,
                slot=slot,
            )
            into = memoryview(bytearray(len(plain)))
            shards = {i: chunk.shards[i] for i in (1, 3, 4)}
            opener.open(chunk.record, THREE_OF_FIVE, shards, data_key=DATA_KEY, into=into)
            assert into == plain

    with ThreadPoolExecutor(4) as pool:
        for outcome in [pool.submit(work, seed) for seed in range(4)]:
            outcome.result()


def test_a_released_chunk_lets_go_of_its_slot():
    memory = bytearray(layout.slot_length(1000, THREE_OF_FIVE))
    with memoryview(memory) as slot:
        chunk = Sealer(best_erasure()).seal(
            memoryview(words(1000)),
            data_key=DATA_KEY,
            chunk_id=CHUNK_ID,
            number=0,
            redundancy=THREE_OF_FIVE,
            slot=slot,
        )
        chunk.release()
    memory.extend(b"resizing a buffer that somebody still looks at raises BufferError")
