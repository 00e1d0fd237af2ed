"""Small objects sealed by themselves: they open under their own name and key, and not otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.gateway import small
from holdfast.world.errors import Failure

KEY = bytes(range(32))
FROZEN = "0166d3d9bad34df0c99d0325d1337bb06aca3b02055da1a820"


@given(st.binary(max_size=2000), st.text(max_size=10), st.text(max_size=10))
def test_what_was_sealed_opens(plain: bytes, tenant: str, name: str) -> None:
    sealed = small.seal(plain, KEY, tenant, name)
    assert len(sealed) == len(plain) + small.OVERHEAD_BYTES
    assert small.unseal(sealed, KEY, tenant, name) == plain


def test_the_format_stays_as_it_is() -> None:
    # Frozen: what is stored today must open in every later release.
    sealed = small.seal(b"holdfast", KEY, "t-1", "bucket/key")
    assert sealed.hex() == FROZEN


@pytest.mark.parametrize("at", range(0, 8 + small.OVERHEAD_BYTES, 3))
def test_a_changed_byte_is_noticed(at: int) -> None:
    sealed = bytearray(small.seal(b"holdfast", KEY, "t", "b/k"))
    sealed[at] ^= 1
    with pytest.raises(Failure) as failed:
        small.unseal(sealed, KEY, "t", "b/k")
    assert failed.value.code in {"metadata.forged", "format.invalid", "format.newer"}


@pytest.mark.parametrize(
    ("key", "tenant", "name"),
    [(bytes(32), "t", "b/k"), (KEY, "u", "b/k"), (KEY, "t", "b/l"), (KEY, "t", "c/k")],
)
def test_another_key_tenant_bucket_or_name_does_not_open_it(key: bytes, tenant: str, name: str) -> None:
    sealed = small.seal(b"holdfast", KEY, "t", "b/k")
    with pytest.raises(Failure) as failed:
        small.unseal(sealed, key, tenant, name)
    assert failed.value.code == "metadata.forged"


@pytest.mark.parametrize(
    ("sealed", "code"),
    [
        (b"", "format.invalid"),
        (b"\x01" * 16, "format.invalid"),
        (b"\x00" * 40, "format.invalid"),
        (b"\x02" * 40, "format.newer"),
    ],
)
def test_what_is_no_small_object_is_refused(sealed: bytes, code: str) -> None:
    with pytest.raises(Failure) as failed:
        small.unseal(sealed, KEY, "t", "b/k")
    assert failed.value.code == code
