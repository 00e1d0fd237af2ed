"""Digests compared with slow and obvious twins: one bit at a time, all bytes at once."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.gateway import digests
from holdfast.gateway.digests import ALGORITHMS, CRC_BYTES, INLINE_BYTES, Digests
from holdfast.world.errors import Refusal
from holdfast.world.offload import InlineOffload, ThreadOffload

POLYNOMIALS = {
    # Reflected: the lowest bit stands for the highest power.
    "CRC32": (32, 0xEDB88320),
    "CRC32C": (32, 0x82F63B78),
    "CRC64NVME": (64, 0x9A6C9329AC4BC9B5),
}


def obvious(algorithm: str, data: bytes) -> bytes:
    """One bit after another."""
    if algorithm not in POLYNOMIALS:
        return hashlib.new(algorithm.lower(), data).digest()
    bits, polynomial = POLYNOMIALS[algorithm]
    crc = (1 << bits) - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
    return (crc ^ ((1 << bits) - 1)).to_bytes(bits // 8, "big")


@given(st.binary(max_size=300), st.sampled_from(ALGORITHMS))
def test_every_digest_is_what_its_definition_says(data: bytes, algorithm: str) -> None:
    assert digests.digest_of(algorithm, data) == obvious(algorithm, data)


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        # Of "123456789", as published with each algorithm.
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        ("MD5", "25f9e794323b453885f5181f1b624d0b"),
        ("SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("SHA256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    ],
)
def test_published_check_values(algorithm: str, value: str) -> None:
    assert digests.digest_of(algorithm, b"123456789").hex() == value


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_a_digest_goes_on_where_it_stopped(parts: list[bytes]) -> None:
    taken = Digests(ALGORITHMS)
    for part in parts:
        taken.update(part)
    assert taken.known() == {name: obvious(name, b"".join(parts)) for name in ALGORITHMS}


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.sampled_from(sorted(CRC_BYTES)))
def test_crcs_of_parts_combine_to_that_of_the_whole(parts: list[bytes], algorithm: str) -> None:
    written = [(digests.base64_of(obvious(algorithm, part)), len(part)) for part in parts]
    whole = digests.base64_of(obvious(algorithm, b"".join(parts)))
    assert digests.combine_all(algorithm, written) == whole
    folded = written[0][0]
    for value, length in written[1:]:
        folded = digests.combine(algorithm, folded, value, length)
    assert folded == whole


def test_a_composite_is_the_digest_of_the_digests() -> None:
    parts = [b"one", b"two"]
    values = [digests.base64_of(hashlib.sha256(part).digest()) for part in parts]
    joined = b"".join(hashlib.sha256(part).digest() for part in parts)
    assert digests.composite("SHA256", values) == base64.b64encode(hashlib.sha256(joined).digest()).decode()


@pytest.mark.parametrize("offload", [InlineOffload, lambda: ThreadOffload(3, "digest")])
async def test_pieces_are_digested_in_threads_in_their_order(offload) -> None:  # type: ignore[no-untyped-def]
    pool = offload()
    parts = [bytes([number]) * (INLINE_BYTES + number * 1000) for number in range(4)]
    taken = Digests(ALGORITHMS)
    for part in parts:
        await taken.feed(memoryview(part), pool)
    pool.close()
    data = b"".join(parts)
    assert taken.known() == {name: digests.digest_of(name, data) for name in ALGORITHMS}


async def test_a_cancelled_feed_returns_when_no_thread_reads_the_bytes_any_more() -> None:
    pool = ThreadOffload(2, "digest")
    buffer = bytearray(8 << 20)
    taken = Digests({"SHA256", "MD5"})
    feeding = asyncio.create_task(taken.feed(memoryview(buffer), pool))
    await asyncio.sleep(0)
    feeding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await feeding
    assert taken.known() == {name: digests.digest_of(name, buffer) for name in ("MD5", "SHA256")}
    pool.close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_was_announced_is_compared_in_either_form(algorithm: str) -> None:
    found = {algorithm: digests.digest_of(algorithm, b"bytes")}
    digests.check(found, {algorithm: found[algorithm].hex()})
    digests.check(found, {algorithm: digests.base64_of(found[algorithm])})
    for wrong in ("", "=", "zz", "AAAA", digests.base64_of(b"\0" * len(found[algorithm]))):
        with pytest.raises(Refusal) as refused:
            digests.check(found, {algorithm: wrong})
        assert (refused.value.code, refused.value.facts["algorithm"]) == ("digest.wrong", algorithm)


def test_a_digest_that_nobody_announced_and_one_without_a_name_are_refused() -> None:
    with pytest.raises(Refusal, match="nobody had announced"):
        digests.check({}, {"SHA1": "AAAA"})
    with pytest.raises(Refusal, match="no digest called CRC16"):
        Digests({"CRC16", "MD5"})


def test_the_crc_that_sealing_knows_is_among_the_others() -> None:
    crc = int.from_bytes(digests.digest_of("CRC64NVME", b"bytes"), "big")
    assert Digests(()).known(crc) == {"CRC64NVME": obvious("CRC64NVME", b"bytes")}
    assert not Digests(())
