from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.chunks.kernels import content

from holdfast.chunks import checksum, keys, layout, manifest
from holdfast.chunks.erasure import best_erasure
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.manifest import Manifest, ManifestChunk, ManifestNode
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Opener, Sealer
from holdfast.world.errors import Refusal

REDUNDANCY = Redundancy(2, 4, 3)
KEY = TenantKey(content(32, b"root"))
DATA_KEY = content(32, b"data key")
CHUNK_SIZE = 5000
PLAIN = content(12_345)


def stored() -> tuple[Manifest, dict[tuple[int, int], bytes]]:
    """A manifest of PLAIN, and its shards by chunk number and index."""
    nodes = [ManifestNode(node_id=bytes([i]) * 32, addresses=[f"127.0.0.1:{7000 + i}"]) for i in range(5)]
    chunks, shards, crc = [], {}, 0
    for number, start in enumerate(range(0, len(PLAIN), CHUNK_SIZE)):
        plain = PLAIN[start : start + CHUNK_SIZE]
        sealed = Sealer(best_erasure(), compress=False).seal(
            memoryview(plain),
            data_key=DATA_KEY,
            chunk_id=content(16, bytes([number])),
            number=number,
            redundancy=REDUNDANCY,
            slot=memoryview(bytearray(layout.slot_length(len(plain), REDUNDANCY))),
        )
        crc = checksum.combine(crc, sealed.record.checksum, len(plain))
        shards |= {(number, index): bytes(shard) for index, shard in enumerate(sealed.shards)}
        places: list[int | None] = [(number + index) % 5 for index in range(4)]
        places[number] = None
        chunks.append(ManifestChunk(record=sealed.record, roots=sealed.roots, places=places))
    ids = b"".join(chunk.record.chunk_id for chunk in chunks)
    return Manifest(
        tenant_id="tenant-1",
        bucket="photos",
        key="Zürich/See.jpg",
        version_id="v1",
        size=len(PLAIN),
        created=1_700_000_000_000_000,
        storage_class="standard",
        checksum=checksum.text(crc),
        chunk_size=CHUNK_SIZE,
        k=2,
        n=4,
        repair_at=3,
        envelope=keys.new_envelope(KEY, DATA_KEY, content(16, b"e")),
        closing=keys.close(
            DATA_KEY, keys.Whole("photos", "Zürich/See.jpg", len(PLAIN), ids, crc), nonce=content(16, b"c")
        ),
        nodes=nodes,
        chunks=chunks,
        metadata={"content-type": "image/jpeg", "a": "b"},
    ), shards


def test_a_manifest_is_read_back_as_it_was_written():
    written, _ = stored()
    data = manifest.encode(written)
    assert manifest.decode(data) == written
    assert manifest.encode(manifest.decode(data)) == data


def test_an_object_reopens_from_manifest_shards_and_key_alone():
    written, shards = stored()
    read = manifest.decode(manifest.encode(written))
    data_key = keys.open_envelope(KEY, read.envelope)
    crc = checksum.parse(read.checksum)
    whole = keys.Whole(read.bucket, read.key, read.size, read.chunk_ids, crc)
    keys.check_closing(read.closing, whole, data_key=data_key)
    plain = b""
    for chunk in read.chunks:
        held = {
            index: memoryview(shards[chunk.record.number, index])
            for index, place in enumerate(chunk.places)
            if place is not None
        }
        into = memoryview(bytearray(chunk.record.plain_length))
        Opener(best_erasure()).open(chunk.record, read.redundancy, held, data_key=data_key, into=into)
        plain += into
    assert plain == PLAIN


def test_an_empty_object_has_a_manifest_without_chunks():
    written, _ = stored()
    empty = msgspec.structs.replace(written, size=0, chunks=[], checksum=checksum.text(0))
    assert manifest.decode(manifest.encode(empty)) == empty


GOOD, _ = stored()
DATA = manifest.encode(GOOD)


@given(st.integers(0, len(DATA) - 1), st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_found(at: int, bit: int):
    damaged = bytearray(DATA)
    damaged[at] ^= 1 << bit
    with pytest.raises(Refusal) as refusal:
        manifest.decode(bytes(damaged))
    assert refusal.value.code == ("format.newer" if at == 4 and damaged[4] > 1 else "format.invalid")


@given(st.integers(0, len(DATA) - 1))
def test_a_manifest_cut_short_or_extended_is_refused(length: int):
    for data in (DATA[:length], DATA + DATA[:length] + b"\0"):
        with pytest.raises(Refusal) as refusal:
            manifest.decode(data)
        assert refusal.value.code == "format.invalid"


def test_a_manifest_of_a_later_version_is_refused_clearly():
    with pytest.raises(Refusal) as refusal:
        manifest.decode(DATA[:4] + b"\2" + b"whatever that version says behind a head as long as ours")
    assert refusal.value.code == "format.newer"
    assert refusal.value.facts == {"format": 2, "known": 1}


def test_fields_that_a_later_program_added_are_ignored():
    body = msgspec.msgpack.encode(msgspec.to_builtins(GOOD, builtin_types=(bytes,)) | {"mood": "good"})
    head = manifest._HEAD.pack(b"HFMF", 1, len(body), manifest.blake3(body).digest())
    assert manifest.decode(head + body) == GOOD


def changed_chunk(number: int, **change: object) -> list[ManifestChunk]:
    return [
        msgspec.structs.replace(chunk, **change) if chunk.record.number == number else chunk
        for chunk in GOOD.chunks
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"size": 12_344},
        {"chunk_size": 5001},
        {"checksum": "md5:x"},
        {"chunks": GOOD.chunks[:-1]},
        {"chunks": GOOD.chunks[::-1]},
        {"chunks": changed_chunk(1, roots=GOOD.chunks[0].roots)},
        {"chunks": changed_chunk(1, places=[0, 1, 2])},
        {"chunks": changed_chunk(1, places=[0, 1, 2, 5])},
        {"chunks": changed_chunk(1, places=[0, 1, 2, -1])},
        {"nodes": [ManifestNode(node_id=b"short", addresses=[]), *GOOD.nodes[1:]]},
        {"k": 3},
        {"repair_at": 5},
    ],
)
def test_a_manifest_whose_parts_contradict_one_another_is_neither_written_nor_read(
    change: dict[str, object],
):
    wrong = msgspec.structs.replace(GOOD, **change)
    with pytest.raises(Refusal) as refusal:
        manifest.encode(wrong)
    assert refusal.value.code == "format.invalid"
    body = msgspec.msgpack.encode(wrong)
    with pytest.raises(Refusal):
        manifest.decode(manifest._HEAD.pack(b"HFMF", 1, len(body), manifest.blake3(body).digest()) + body)
