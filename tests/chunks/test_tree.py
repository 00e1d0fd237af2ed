from __future__ import annotations

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from tests.chunks import obvious
from tests.chunks.kernels import content

from holdfast.chunks import layout, tree
from holdfast.chunks.metadata import ChunkRecord
from holdfast.chunks.redundancy import Redundancy
from holdfast.world.errors import Trouble

LEAF = layout.LEAF_BYTES
REDUNDANCY = Redundancy(2, 3, 2)
LENGTHS = [1, 64, LEAF - 64, LEAF, LEAF + 64, 3 * LEAF, 3 * LEAF + 64]


def chunk_of(shards: list[bytes]) -> tuple[ChunkRecord, bytes]:
    roots = tree.roots_of(shards)
    length = len(shards[0])
    record = ChunkRecord(
        number=7,
        chunk_id=bytes(16),
        plain_length=1,
        packed_length=1,
        compressed=False,
        sealed_length=2 * length,
        shard_length=length,
        root=tree.chunk_root(roots, REDUNDANCY, shard_length=length, sealed_length=2 * length),
        checksum=0,
    )
    return record, roots


@pytest.mark.parametrize("length", LENGTHS)
def test_a_shard_root_is_that_of_the_slow_twin(length: int):
    shard = content(length)
    assert tree.root_of(shard) == tree.root_of(memoryview(shard)) == obvious.shard_root(shard)


def test_a_shard_root_is_not_a_plain_hash_of_anything_stored():
    shard = content(LEAF)
    assert tree.root_of(shard) not in (blake3(shard).digest(), blake3(tree.leaf_hashes(shard)).digest())


@given(st.integers(1, 5), st.integers(0, 4 * LEAF + 63), st.data())
def test_any_leaf_aligned_slice_is_believed_and_no_other_byte(blocks: int, flip: int, data: st.DataObject):
    length = blocks * LEAF - 64 * data.draw(st.integers(0, 3))
    shard = bytearray(content(length))
    leaves = tree.leaf_hashes(shard)
    root = tree.shard_root(leaves, length)
    first = data.draw(st.integers(0, layout.leaf_count(length) - 1))
    last = data.draw(st.integers(first, layout.leaf_count(length) - 1))
    low, high = first * LEAF, min((last + 1) * LEAF, length)

    def believed() -> bool:
        return tree.slice_matches(shard[low:high], low, leaves=leaves, root=root, shard_length=length)

    assert believed()
    flip %= length
    shard[flip] ^= 1 << flip % 8
    assert believed() == (not low <= flip < high)


@pytest.mark.parametrize(
    ("offset", "length", "reason"),
    [
        (64, LEAF, "does not begin at a leaf"),
        (0, LEAF - 64, "ends inside a leaf"),
        (0, 0, "is empty"),
        (3 * LEAF, LEAF, "runs over the end"),
        (-LEAF, LEAF, "begins before the start"),
    ],
)
def test_a_slice_that_is_not_made_of_leaves_is_not_believed(offset: int, length: int, reason: str):
    shard = content(3 * LEAF)
    leaves = tree.leaf_hashes(shard)
    part = shard[max(offset, 0) :][:length]
    assert not tree.slice_matches(
        part, offset, leaves=leaves, root=tree.root_of(shard), shard_length=len(shard)
    ), reason


def test_a_node_may_not_choose_its_own_leaves_or_roots():
    shards = [content(2 * LEAF, bytes([i])) for i in range(3)]
    record, roots = chunk_of(shards)
    false = content(2 * LEAF, b"false")
    false_leaves = tree.leaf_hashes(false)
    false_roots = roots[:32] + tree.root_of(false) + roots[64:]
    cases = [
        (false[:LEAF], false_leaves, roots),
        (false[:LEAF], false_leaves, false_roots),
        (false[:LEAF], tree.leaf_hashes(shards[1]), roots),
        (shards[1][:LEAF], false_leaves, roots),
        (shards[1][:LEAF], tree.leaf_hashes(shards[1])[:32], roots),
        (shards[1][:LEAF], tree.leaf_hashes(shards[1]), roots[:64]),
        (shards[2][:LEAF], tree.leaf_hashes(shards[2]), roots),
    ]
    for data, leaves, sent_roots in cases:
        with pytest.raises(Trouble) as trouble:
            tree.verify_slice(
                data, 1, 0, leaves=leaves, roots=sent_roots, record=record, redundancy=REDUNDANCY
            )
        assert trouble.value.code == "node.corrupt"
        assert trouble.value.facts == {"number": 7, "index": 1}
    good = tree.leaf_hashes(shards[1])
    tree.verify_slice(
        shards[1][LEAF:], 1, LEAF, leaves=good, roots=roots, record=record, redundancy=REDUNDANCY
    )


def test_a_whole_shard_is_believed_only_in_its_place_and_length():
    shards = [content(100, bytes([i])) for i in range(3)]
    record, roots = chunk_of(shards)
    for index, shard in enumerate(shards):
        tree.verify_shard(shard, index, roots=roots, record=record, redundancy=REDUNDANCY)
    for data, index in ((shards[0], 1), (shards[0] + b"\0", 0), (shards[0][:-1], 0), (b"", 0)):
        with pytest.raises(Trouble) as trouble:
            tree.verify_shard(data, index, roots=roots, record=record, redundancy=REDUNDANCY)
        assert trouble.value.code == "node.corrupt"


def test_the_chunk_root_binds_the_redundancy_and_the_lengths():
    shards = [content(100, bytes([i])) for i in range(3)]
    record, roots = chunk_of(shards)
    assert tree.roots_match(roots, record, REDUNDANCY)
    assert not tree.roots_match(roots, record, Redundancy(1, 3, 2))
    for change in ({"shard_length": 101}, {"sealed_length": 199}, {"root": bytes(32)}):
        assert not tree.roots_match(roots, msgspec.structs.replace(record, **change), REDUNDANCY)
