from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.chunks.redundancy import SHARDS_MAX, Redundancy
from holdfast.world.errors import Refusal


@st.composite
def redundancies(draw: st.DrawFn, n_max: int = SHARDS_MAX) -> Redundancy:
    n = draw(st.integers(1, n_max))
    k = draw(st.integers(1, n))
    return Redundancy(k=k, n=n, repair_at=draw(st.integers(k, n)))


@given(redundancies())
def test_a_redundancy_is_read_back_as_it_was_written(redundancy: Redundancy):
    assert Redundancy.parse(str(redundancy)) == redundancy


def test_ten_of_fourteen_repaired_at_twelve_is_written_10of14r12():
    redundancy = Redundancy.parse("10of14r12")
    assert (redundancy.k, redundancy.n, redundancy.repair_at) == (10, 14, 12)
    assert redundancy.parity == 4
    assert redundancy.expansion == 1.4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "nothing"),
        ("10of14", "no repair threshold"),
        ("0of3r1", "no shard opens a chunk"),
        ("010of14r12", "leading zero"),
        ("4of3r3", "k above n"),
        ("3of5r2", "repair below k: it would be lost by then"),
        ("3of5r6", "repair above n: always"),
        ("1of256r1", "more shards than the field has room for"),
        ("10of14r12 ", "space"),
        ("x10of14r12", "noise"),
    ],
)
def test_a_redundancy_that_cannot_work_is_refused(text: str, reason: str):
    with pytest.raises(Refusal) as refusal:
        Redundancy.parse(text)
    assert refusal.value.code == "config.invalid", reason
    assert refusal.value.advice
