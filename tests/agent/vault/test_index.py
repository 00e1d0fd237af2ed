"""The sorted index against a plain dict."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.agent.vault.conftest import shard

from holdfast.agent.index import Index, Place

# Few ids, so that they meet again; the last bytes are zero in some, which a careless comparison would strip.
ids = st.one_of(
    st.integers(0, 40).map(shard),
    st.integers(0, 5).map(lambda number: bytes([number]) + bytes(17)),
    st.just(b"\xff" * 18),
)
places = st.builds(
    Place,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
)


@given(st.lists(st.tuples(ids, st.none() | places), max_size=80), ids, st.integers(0, 50))
def test_it_answers_as_a_dict_would(steps, after, limit):
    index, twin = Index(), {}
    for shard_id, place in steps:
        if place is not None:
            index.put(shard_id, place)
            twin[shard_id] = place
        elif shard_id in twin:
            index.remove(shard_id)
            del twin[shard_id]
        assert index.get(shard_id) == twin.get(shard_id)
    assert len(index) == len(twin)
    assert {one: index.get(one) for one, _ in steps if index.get(one)} == twin
    assert index.after(b"", 1000) == sorted(twin)
    assert index.after(after, limit) == [one for one in sorted(twin) if one > after][:limit]


@pytest.mark.parametrize("ascending", [True, False])
def test_it_stays_sorted_and_small_with_many_shards(ascending):
    index, twin, random = Index(), {}, Random(1)
    for number in range(5000):
        shard_id = number.to_bytes(18, "big") if ascending else shard(number)
        twin[shard_id] = Place(1, number, 2, 3, number)
        index.put(shard_id, twin[shard_id])
    assert index.after(b"", 10_000) == sorted(twin)
    assert index.memory_bytes() < 64 * len(twin)
    for shard_id in random.sample(sorted(twin), 4000):
        index.remove(shard_id)
        del twin[shard_id]
    assert {shard_id: index.get(shard_id) for shard_id in index.after(b"", 10_000)} == twin
