from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.chunks import obvious
from tests.chunks.kernels import ERASURES, content, on_every_kernel

from holdfast.chunks import field, isal
from holdfast.chunks.erasure import Erasure, best_erasure
from holdfast.chunks.field import Matrix
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.slow import SlowKernel
from holdfast.world.errors import Trouble

S = 128


def encoded(erasure: Erasure, redundancy: Redundancy, seed: bytes = b"", length: int = S) -> list[memoryview]:
    k, n = redundancy.k, redundancy.n
    slot = memoryview(bytearray(content(k * length, seed) + b"\xaa" * ((n - k) * length)))
    erasure.encode(slot, redundancy, length)
    return [slot[i * length : (i + 1) * length] for i in range(n)]


def test_the_field_is_that_of_shift_and_add():
    for a, b in itertools.product(range(256), range(256)):
        assert field.times(a, b) == obvious.multiply(a, b)


@given(st.data())
def test_making_shards_of_others_and_back_again_changes_nothing(data: st.DataObject):
    k = data.draw(st.integers(1, 20))
    order = data.draw(st.permutations(range(40)))
    first, second = tuple(sorted(order[:k])), tuple(sorted(order[k : 2 * k]))
    there, back = field.recovery_rows(k, first, second), field.recovery_rows(k, second, first)
    for i, j in itertools.product(range(k), repeat=2):
        products = [obvious.multiply(back[i][m], there[m][j]) for m in range(k)]
        assert functools.reduce(operator.xor, products) == (i == j)


def test_parity_made_of_the_data_shards_is_what_encoding_makes():
    for k, n in ((1, 5), (10, 14), (29, 80)):
        assert field.recovery_rows(k, tuple(range(k)), tuple(range(k, n))) == field.parity_rows(
            k, range(k, n)
        )


@on_every_kernel
@pytest.mark.parametrize(("k", "n"), [(1, 3), (2, 3), (3, 6), (10, 14)])
def test_parity_is_that_of_the_slow_twin(erasure: Erasure, k: int, n: int):
    shards = encoded(erasure, Redundancy(k, n, k))
    data = [bytes(shard) for shard in shards[:k]]
    assert [bytes(shard) for shard in shards[k:]] == [obvious.parity(data, i, k) for i in range(k, n)]


@on_every_kernel
@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 4), (2, 4), (3, 6), (4, 7), (5, 5)])
def test_every_choice_of_k_shards_rebuilds_all_the_others(erasure: Erasure, k: int, n: int):
    redundancy = Redundancy(k, n, k)
    shards = encoded(erasure, redundancy)
    for have in itertools.combinations(range(n), k):
        wanted = {i: memoryview(bytearray(S)) for i in range(n) if i not in have}
        erasure.rebuild(redundancy, {i: shards[i] for i in have}, wanted)
        assert wanted == {i: shards[i] for i in wanted}, have


@given(st.data())
@settings(max_examples=40)
def test_any_k_of_up_to_255_shards_rebuild_any_others_alike_on_every_kernel(data: st.DataObject):
    n = data.draw(st.integers(1, 255))
    k = data.draw(st.integers(1, n))
    redundancy = Redundancy(k, n, k)
    order = data.draw(st.permutations(range(n)))
    have, want = order[:k], order[k : k + 5]
    for erasure in ERASURES:
        shards = encoded(erasure, redundancy, length=64)
        wanted = {i: memoryview(bytearray(64)) for i in want}
        erasure.rebuild(redundancy, {i: shards[i] for i in have}, wanted)
        assert wanted == {i: shards[i] for i in want}


def test_all_kernels_make_the_same_shards():
    redundancy = Redundancy(20, 40, 30)
    first, *others = [encoded(erasure, redundancy, length=64 * 65) for erasure in ERASURES]
    assert all(other == first for other in others)


@on_every_kernel
def test_replicas_are_copies(erasure: Erasure):
    shards = encoded(erasure, Redundancy(1, 5, 2))
    assert len({bytes(shard) for shard in shards}) == 1


@on_every_kernel
def test_more_shards_can_be_added_later_without_changing_the_old(erasure: Erasure):
    narrow = encoded(erasure, Redundancy(3, 5, 4))
    wide = encoded(erasure, Redundancy(3, 9, 4))
    assert wide[:5] == narrow


@on_every_kernel
def test_equal_slices_of_shards_rebuild_the_same_slice(erasure: Erasure):
    redundancy = Redundancy(3, 6, 4)
    shards = encoded(erasure, redundancy)
    wanted = {0: memoryview(bytearray(64))}
    erasure.rebuild(redundancy, {i: shards[i][64:128] for i in (1, 4, 5)}, wanted)
    assert wanted[0] == shards[0][64:128]


@on_every_kernel
def test_fewer_than_k_shards_are_a_lost_chunk(erasure: Erasure):
    redundancy = Redundancy(3, 6, 4)
    shards = encoded(erasure, redundancy)
    with pytest.raises(Trouble) as trouble:
        erasure.rebuild(redundancy, {0: shards[0], 5: shards[5]}, {1: memoryview(bytearray(S))})
    assert trouble.value.code == "chunk.lost"
    assert trouble.value.facts == {"have": 2, "need": 3}


@on_every_kernel
def test_rows_of_unequal_length_stop_before_memory_is_touched(erasure: Erasure):
    shards = encoded(erasure, Redundancy(2, 3, 2))
    with pytest.raises((AssertionError, ValueError)):
        erasure.rebuild(Redundancy(2, 3, 2), {0: shards[0], 1: shards[1][:64]}, {2: shards[2]})


@on_every_kernel
def test_memory_can_be_released_as_soon_as_the_work_is_done(erasure: Erasure):
    memory = bytearray(content(3 * S))
    with memoryview(memory) as slot:
        erasure.encode(slot, Redundancy(2, 3, 2), S)
    memory.extend(b"resizing a buffer that somebody still looks at raises BufferError")


def test_the_fast_kernel_is_used_where_it_loads():
    fast = isal.load()
    assert best_erasure().kernel.name == ("isal" if fast else "slow")


def test_a_library_that_multiplies_wrongly_is_not_used():
    class OneBitOff(SlowKernel):
        def multiply(
            self, matrix: Matrix, sources: Sequence[memoryview], targets: Sequence[memoryview]
        ) -> None:
            super().multiply(matrix, sources, targets)
            targets[-1][-1] ^= 1

    assert isal._multiplies_rightly(SlowKernel())
    assert not isal._multiplies_rightly(OneBitOff())
