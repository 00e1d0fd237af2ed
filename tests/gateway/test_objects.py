"""Objects through the gateway, over a whole simulated cluster."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from typing import Any

import pytest
from tests.gateway.cloud import AnyBody, GatewayCloud, joined, told

from holdfast.files.attributes import Attributes, Conditions
from holdfast.gateway import digests
from holdfast.gateway.small import SMALL_BYTES_MAX
from holdfast.gateway.wish import PutWish
from holdfast.world.errors import Refusal
from holdfast.world.simulated.chance import SimulatedChance

MB = 1 << 20
SIZES = (0, 1, 4096, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, 3 * MB + 7)
chance = SimulatedChance("contents")


def crc64(content: bytes) -> str:
    return digests.base64_of(digests.digest_of("CRC64NVME", content))


async def refused(work: Any, code: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await work
    assert caught.value.code == code, repr(caught.value)
    return caught.value


def test_what_is_put_comes_back_whole_with_its_etag_and_checksum() -> None:
    async def story(cloud: GatewayCloud) -> None:
        for size in SIZES:
            for sized in (True, False):
                content = chance.bytes(size)
                body = AnyBody(content, sized=sized)
                wish = PutWish(attributes=Attributes(metadata={"a": "b"}))
                made = await cloud.gateway.put(cloud.bucket, f"{size}/{sized}", body, wish)
                version = await cloud.histories.find(cloud.bucket, f"{size}/{sized}")
                assert version == made
                assert (version.size, version.etag) == (size, hashlib.md5(content).hexdigest())
                assert (version.stream is None, version.small is None) == (
                    size <= SMALL_BYTES_MAX,
                    not 0 < size <= SMALL_BYTES_MAX,
                )
                shown = version.parsed
                assert (shown.checksum_algorithm, shown.checksum_value) == ("CRC64NVME", crc64(content))
                assert (shown.checksum_type, shown.metadata) == ("FULL_OBJECT", {"a": "b"})
                assert await cloud.get(version) == content

    told(story)


def test_ranges_are_slices_of_the_bytes() -> None:
    async def story(cloud: GatewayCloud) -> None:
        draw = SimulatedChance("ranges")
        for size in SIZES[1:]:
            # Half of it shrinks: ranges of compressed chunks are read otherwise.
            content = draw.bytes(size // 2) + bytes(size - size // 2)
            version = await cloud.put(f"{size}", content)
            edges = [0, 1, 65_535, 65_536, 65_537, 1 << 20, size // 2, size - 1, size]
            for _ in range(12):
                one, other = (
                    edges[draw.below(len(edges))] if draw.happens(0.5) else draw.below(size + 1)
                    for _ in range(2)
                )
                start, stop = sorted((min(one, size), min(other, size)))
                assert await cloud.get(version, start, stop) == content[start:stop], (size, start, stop)

    told(story)


def test_a_small_range_of_a_large_object_moves_little() -> None:
    async def story(cloud: GatewayCloud) -> None:
        content = chance.bytes(12 * MB)
        version = await cloud.put("large", content)
        peak = [0]

        async with asyncio.timeout(60):
            pieces = cloud.gateway.read(version, 7 * MB, 7 * MB + 10)
            async for piece in pieces:
                peak[0] = max(peak[0], cloud.gateway.kit.budget.slots.used)
                assert bytes(piece) == content[7 * MB : 7 * MB + 10]
        assert peak[0] < 3 * MB

    told(story)


@pytest.mark.parametrize("size", [1000, 2 * MB])
def test_a_customers_key_is_needed_again_and_never_kept(size: int) -> None:
    async def story(cloud: GatewayCloud) -> None:
        content, key = chance.bytes(size), chance.bytes(32)
        version = await cloud.put("secret", content, customer_key=key, etag="opaque")
        assert version.envelope_mode == "customer"
        assert version.etag.endswith("-1")
        assert await cloud.get(version, customer_key=key) == content
        cloud.gateway.check_customer_key(version, key)
        for wrong, code in ((None, "key.unknown"), (bytes(32), "key.wrong"), (b"short", "key.wrong")):
            await refused(cloud.get(version, customer_key=wrong), code)
            with pytest.raises(Refusal):
                cloud.gateway.check_customer_key(version, wrong)
        plain = await cloud.put("plain", content)
        await refused(cloud.get(plain, customer_key=key), "key.wrong")
        image = await cloud.cluster.database.read(lambda c: c.connection.driver_connection.serialize())
        assert key not in image
        assert content not in image

    told(story)


def test_an_object_sealed_by_its_owner_is_refused_in_plain_words() -> None:
    async def story(cloud: GatewayCloud) -> None:
        await cloud.cluster.session.put(b"mine alone", "photos", "sealed")
        version = await cloud.histories.find(cloud.bucket, "sealed")
        refusal = await refused(cloud.get(version), "key.unknown")
        assert "SDK" in refusal.advice

    told(story)


def test_what_the_gateway_sealed_is_refused_to_clients_in_plain_words() -> None:
    async def story(cloud: GatewayCloud) -> None:
        for size in (0, 1000, 2 * MB):
            await cloud.put("key", chance.bytes(size))
            refusal = await refused(cloud.cluster.session.read("photos", "key"), "key.unknown")
            assert "S3" in refusal.advice, size

    told(story)


def test_wrong_digests_leave_nothing_and_right_ones_are_kept() -> None:
    async def attempt(cloud: GatewayCloud, key: str, content: bytes, algorithm: str) -> None:
        right = digests.base64_of(digests.digest_of(algorithm, content))
        wrong = digests.base64_of(digests.digest_of(algorithm, b"something else"))
        refusal = await refused(cloud.put(key, content, expected={algorithm: wrong}), "digest.wrong")
        assert refusal.facts["algorithm"] == algorithm
        wish = PutWish(checksum="" if algorithm == "MD5" else algorithm, digests=frozenset({algorithm}))
        behind = AnyBody(content, trailer={algorithm: wrong})
        await refused(cloud.gateway.put(cloud.bucket, key, behind, wish), "digest.wrong")
        await refused(cloud.histories.find(cloud.bucket, key), "object.unknown")
        behind = AnyBody(content, trailer={algorithm: right})
        version = await cloud.gateway.put(cloud.bucket, key, behind, wish)
        if algorithm != "MD5":
            shown = version.parsed
            assert (shown.checksum_algorithm, shown.checksum_value) == (algorithm, right)
        assert await cloud.get(version) == content

    async def story(cloud: GatewayCloud) -> int:
        for algorithm in digests.ALGORITHMS:
            for size in (0, 1000, MB):
                await attempt(cloud, f"{algorithm}/{size}", chance.bytes(size), algorithm)
        return await cloud.shards()

    assert told(story) == 12 * len(digests.ALGORITHMS)


@pytest.mark.parametrize("cut", [0, 9 * MB])
@pytest.mark.parametrize("dies", [False, True])
def test_a_body_that_is_cut_or_whose_writer_dies_leaves_nothing(cut: int, dies: bool) -> None:
    async def story(cloud: GatewayCloud) -> int:
        content = chance.bytes(12 * MB)
        put = cloud.gateway.put(
            cloud.bucket, "key", AnyBody(content, cut=cut, pause=0.5 if dies else 0.0), PutWish()
        )
        if dies:
            writing = asyncio.create_task(put)
            await asyncio.sleep(0.1 + cut / MB * 0.5)
            writing.cancel()
            await asyncio.wait([writing])
            assert writing.cancelled()
        else:
            await refused(put, "request.incomplete")
        await refused(cloud.histories.find(cloud.bucket, "key"), "object.unknown")
        budget = cloud.gateway.kit.budget
        await cloud.gateway.writer.close()
        assert (budget.plains.used, budget.slots.used, budget.reserved) == (0, 0, 0)
        return await cloud.shards()

    assert told(story, memory_bytes=24 * MB) == 0


@pytest.mark.parametrize("when", [0.007 * step for step in range(1, 19)])
def test_whenever_a_writer_is_stopped_nothing_of_it_is_left_on_the_nodes(when: float) -> None:
    async def story(cloud: GatewayCloud) -> tuple[bool, int]:
        content = chance.bytes(12 * MB)
        writing = asyncio.ensure_future(
            cloud.gateway.put(cloud.bucket, "key", AnyBody(content, pause=0.01), PutWish())
        )
        await asyncio.sleep(when)
        writing.cancel()
        await asyncio.wait([writing])
        return writing.cancelled(), await cloud.shards()

    # Stopped when it was done, it is there, in two chunks of twelve shards.
    assert told(story) in {(True, 0), (False, 24)}


def test_a_short_small_body_is_refused() -> None:
    async def story(cloud: GatewayCloud) -> None:
        body = AnyBody(b"all that came")
        body.size = 100
        await refused(cloud.gateway.put(cloud.bucket, "key", body, PutWish()), "request.incomplete")

    told(story)


def test_of_many_that_must_be_the_first_one_is() -> None:
    async def story(cloud: GatewayCloud) -> None:
        wish = PutWish(conditions=Conditions(if_absent=True))
        bodies = [chance.bytes(100 if number % 2 else 100_000) for number in range(12)]
        done = await asyncio.gather(
            *(cloud.gateway.put(cloud.bucket, "lock", AnyBody(body), wish) for body in bodies),
            return_exceptions=True,
        )
        won = [number for number, one in enumerate(done) if not isinstance(one, BaseException)]
        assert len(won) == 1
        assert {one.code for one in done if isinstance(one, Refusal)} <= {
            "precondition.failed",
            "precondition.conflict",
        }
        version = await cloud.histories.find(cloud.bucket, "lock")
        assert await cloud.get(version) == bodies[won[0]]

    told(story)


def test_a_condition_that_cannot_hold_refuses_before_the_body_is_asked_for() -> None:
    async def story(cloud: GatewayCloud) -> None:
        await cloud.put("there", b"already")
        body = AnyBody(chance.bytes(5 * MB), cut=0)
        wish = PutWish(conditions=Conditions(if_absent=True))
        await refused(cloud.gateway.put(cloud.bucket, "there", body, wish), "precondition.failed")
        wish = PutWish(conditions=Conditions(if_match="other"))
        await refused(cloud.gateway.put(cloud.bucket, "not there", body, wish), "object.unknown")

    told(story)


@pytest.mark.slow
def test_two_hundred_slow_writers_hold_bounded_memory_and_starve_nobody() -> None:
    async def story(cloud: GatewayCloud) -> None:
        budget, most = cloud.gateway.kit.budget, [0]
        content = chance.bytes(2 * MB)
        # One copy each: it is not the nodes that are asked about here.
        wish = PutWish(etag="opaque", storage_class="single")

        async def put(number: int, pause: float) -> None:
            body = AnyBody(content, pause=pause, piece=64 << 10)
            await cloud.gateway.put(cloud.bucket, f"slow-{number}", body, wish)

        async def watch() -> None:
            while True:
                most[0] = max(most[0], budget.made)
                await asyncio.sleep(0.5)

        watching = asyncio.create_task(watch())
        slow = [asyncio.create_task(put(number, 10.0)) for number in range(200)]
        await asyncio.sleep(60)
        async with asyncio.timeout(60):
            await put(1000, 0.0)
        assert not any(task.done() for task in slow)
        assert most[0] < 64 * MB + 200 * (512 << 10) + 16 * MB
        await asyncio.gather(*slow)
        watching.cancel()
        version = await cloud.histories.find(cloud.bucket, "slow-17")
        assert await cloud.get(version) == content

    told(story, memory_bytes=64 * MB)


def test_slow_readers_hold_bounded_memory_and_starve_nobody() -> None:
    async def story(cloud: GatewayCloud) -> None:
        content = chance.bytes(8 * MB)
        version = await cloud.put("large", content)
        budget, most = cloud.gateway.kit.budget, [0]

        async def read(pause: float) -> bytes:
            into = bytearray()
            async with aclosing(cloud.gateway.read(version, 0, version.size)) as pieces:
                async for piece in pieces:
                    into += piece
                    most[0] = max(most[0], budget.made)
                    await asyncio.sleep(pause)
            return bytes(into)

        slow = [asyncio.create_task(read(300.0)) for _ in range(40)]
        await asyncio.sleep(100)
        async with asyncio.timeout(60):
            assert await read(0.0) == content
        assert not any(task.done() for task in slow)
        assert most[0] < 64 * MB + 40 * (2 * MB) + 16 * MB
        for task in slow:
            task.cancel()
        await asyncio.wait(slow)
        assert (budget.plains.used, budget.slots.used, budget.reserved) == (0, 0, 0)

    told(story, memory_bytes=64 * MB)


def test_a_reader_that_leaves_early_gives_everything_back() -> None:
    async def story(cloud: GatewayCloud) -> None:
        version = await cloud.put("large", chance.bytes(20 * MB))
        pieces = cloud.gateway.read(version, 0, version.size)
        await anext(pieces)
        await pieces.aclose()
        budget = cloud.gateway.kit.budget
        assert (budget.plains.used, budget.slots.used, budget.reserved) == (0, 0, 0)
        assert len(await joined(cloud.gateway.read(version, 5, 5))) == 0

    told(story)
