"""What a client does with a whole cloud, in simulated time: store, lose nodes, read back, be lied to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from tests.client.party import Party

from holdfast.chunks.keys import TenantKey
from holdfast.chunks.redundancy import Redundancy
from holdfast.links.serving import Incoming, Outgoing
from holdfast.protocol import control
from holdfast.protocol.messages import Fetched, GetShard, PutShard, Stored
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.simulated.world import World, simulate

CHUNK = 64 << 10
RULE = Redundancy(4, 7, 5)
Story = Callable[[World, Party], Awaitable[None]]


def tell(
    story: Story, *, nodes: int = 10, rule: Redundancy = RULE, ack_at: int | None = None, seed: int = 1
) -> None:
    """Runs a story with a party of its own, with the bucket `b`."""

    async def whole(world: World) -> None:
        party = await Party(world, rule, ack_at or rule.repair_at, CHUNK).open(nodes)
        party.buckets["b"] = {}
        await story(world, party)

    simulate(whole, seed, seconds_max=4 * 3600)


async def hang(_: Incoming) -> None:
    await asyncio.sleep(3000)


SIZES = [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7]


@pytest.mark.parametrize(
    "rule", [RULE, Redundancy(1, 3, 2), Redundancy(2, 2, 2), Redundancy(10, 14, 12)], ids=str
)
def test_what_was_put_comes_back_whole_in_ranges_and_as_a_stream(rule: Redundancy) -> None:
    async def story(world: World, party: Party) -> None:
        async with party.session() as session:
            for size in SIZES:
                content = world.chance.bytes(size)
                info = await session.put(content, "b", "k")
                assert (info.size, info.chunk_count) == (size, -(-size // CHUNK))
                assert await session.read("b", "k") == content
                for _ in range(5):
                    start = world.chance.below(size + 1)
                    stop = start + world.chance.below(size - start + 1)
                    assert await session.read("b", "k", range=(start, stop)) == content[start:stop]
                async with aclosing(session.stream("b", "k")) as pieces:
                    assert b"".join([bytes(piece) async for piece in pieces]) == content

    tell(story, rule=rule, nodes=16)


def test_a_small_object_costs_two_requests_to_store_and_one_to_read() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(4096)
        async with party.session() as session:
            await session.put(b"the first brings the key", "b", "first")
            for call, expected in (
                (lambda: session.put(content, "b", "k"), ["upload-begin", "upload-commit"]),
                (lambda: session.read("b", "k"), ["read-open"]),
            ):
                party.calls.clear()
                await call()
                assert party.calls == expected

    tell(story)


def test_a_coordinator_that_plans_nothing_at_once_is_asked_for_plans() -> None:
    async def story(world: World, party: Party) -> None:
        party.plans_at_once = False
        content = world.chance.bytes(3 * CHUNK + 1)
        async with party.session() as session:
            await session.put(content, "b", "k")
            assert await session.read("b", "k") == content
        assert party.calls.count("upload-plan") > 0 < party.calls.count("read-plan")

    tell(story)


def test_what_a_refused_commit_leaves_behind_is_told_before_the_upload_is_given_up() -> None:
    async def story(world: World, party: Party) -> None:
        def refuse(request: control.Operation) -> None:
            if isinstance(request, control.UploadCommit):
                raise Refusal("precondition.failed", "another was faster")

        party.before = refuse
        async with party.session() as session:
            with pytest.raises(Refusal, match="another was faster"):
                await session.put(world.chance.bytes(100), "b", "k")
        assert party.calls[-3:] == ["upload-commit", "upload-record", "upload-abort"]

    tell(story)


def test_compressible_bytes_come_back_in_ranges_too() -> None:
    async def story(world: World, party: Party) -> None:
        content = b"".join(b"line %d of many that look alike\n" % n for n in range(9000))
        async with party.session() as session:
            await session.put(content, "b", "k")
            record = party.buckets["b"]["k"].chunks[0][0]
            assert record.compressed
            for start, stop in ((0, 10), (CHUNK - 5, CHUNK + 5), (len(content) - 3, len(content))):
                assert await session.read("b", "k", range=(start, stop)) == content[start:stop]

    tell(story)


def test_on_a_healthy_fleet_every_shard_is_stored() -> None:
    async def story(world: World, party: Party) -> None:
        async with party.session() as session:
            await session.put(world.chance.bytes(4 * CHUNK), "b", "k")
        assert [len(party.holders("b", "k", number)) for number in range(4)] == [RULE.n] * 4

    tell(story)


def test_an_object_survives_the_loss_of_as_many_nodes_as_its_class_allows() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(3 * CHUNK + 11)
        async with party.session() as session:
            await session.put(content, "b", "k")
        for node in list(party.nodes.values())[: RULE.parity]:
            world.network.crash(node.name, silently=True)
        async with party.session() as session:
            assert await session.read("b", "k") == content
            for start in range(0, len(content), 30_011):
                part = (start, min(start + 1000, len(content)))
                assert await session.read("b", "k", range=part) == content[slice(*part)]

    tell(story)


def test_one_loss_too_many_is_said_with_what_was_tried() -> None:
    async def story(world: World, party: Party) -> None:
        async with party.session() as session:
            await session.put(world.chance.bytes(CHUNK), "b", "k")
            for node in list(party.holders("b", "k").values())[: RULE.parity + 1]:
                world.network.crash(node.name)
                del party.nodes[node.key.public]
                party.nodes[node.key.public] = node
            with pytest.raises(Trouble) as caught:
                await session.read("b", "k")
        assert caught.value.code == "chunk.lost"
        assert caught.value.facts == {"number": 0, "have": RULE.k - 1, "need": RULE.k}
        assert "node" in caught.value.message

    tell(story)


@pytest.mark.parametrize("part", [None, (10, 500)], ids=["whole", "range"])
def test_a_wrong_byte_never_reaches_the_reader_and_is_reported(part: tuple[int, int] | None) -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(CHUNK)
        async with party.session() as session:
            await session.put(content, "b", "k")
            liar = party.holders("b", "k")[0]

            async def lie(incoming: Incoming) -> Outgoing | None:
                if not isinstance(incoming.request, GetShard):
                    return None
                liar.order = None
                node = liar.vault
                held = await node.get(shard, 0, None, into=memoryview(bytearray(CHUNK)))
                wrong = bytearray(held.body)
                wrong[len(wrong) // 2] ^= 1
                request = incoming.request
                body = wrong[request.offset : request.offset + (request.length or len(wrong))]
                body[0] ^= 1
                split = RULE.n * 32
                fetched = Fetched(
                    shard_length=len(wrong), roots=bytes(held.meta[:split]), leaves=bytes(held.meta[split:])
                )
                return Outgoing(fetched, [body])

            record, _ = party.buckets["b"]["k"].chunks[0]
            shard = record.chunk_id + b"\0\0"
            liar.order = lie
            assert await session.read("b", "k", range=part) == content[slice(*(part or (0, CHUNK)))]
            assert liar.order is None, "the liar was asked"
        assert [(r.number, r.index, r.node_id, r.fault) for r in party.reports] == [
            (0, 0, liar.key.public, "corrupt")
        ]

    tell(story)


def test_a_missing_shard_is_read_elsewhere_and_reported() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(CHUNK)
        async with party.session() as session:
            await session.put(content, "b", "k")
            record, _ = party.buckets["b"]["k"].chunks[0]
            await party.holders("b", "k")[1].vault.delete(record.chunk_id + b"\0\1")
            assert await session.read("b", "k") == content
        assert [(report.index, report.fault) for report in party.reports] == [(1, "missing")]

    tell(story)


def test_a_node_that_hangs_in_an_upload_is_replaced_and_not_asked_again_at_once() -> None:
    async def story(world: World, party: Party) -> None:
        asked: list[bytes] = []

        async def hang_and_count(incoming: Incoming) -> None:
            asked.append(incoming.session_key)
            await hang(incoming)

        for number in range(3):
            party.of(number).order = hang_and_count
        async with party.session() as session:
            before = world.loop.time()
            await session.put(world.chance.bytes(20 * CHUNK), "b", "k")
            assert world.loop.time() - before < 60
        hung = {party.of(number).key.public for number in range(3)}
        for number in range(20):
            places = party.holders("b", "k", number)
            assert len(places) == RULE.n
            assert not hung & {node.key.public for node in places.values()}
        assert len(asked) < 3 * 20

    tell(story)


def test_dead_nodes_are_replaced_in_the_middle_of_an_upload() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(20 * CHUNK)
        async with party.session() as session:

            def kill_two(request: control.Operation) -> None:
                if isinstance(request, control.UploadRecord):
                    party.before = None
                    world.network.crash("node-3")
                    world.network.crash("node-4", silently=True)

            party.before = kill_two
            await session.put(content, "b", "k")
            assert await session.read("b", "k") == content

    tell(story)


def test_with_too_few_nodes_an_upload_fails_and_nothing_of_it_is_visible() -> None:
    async def story(world: World, party: Party) -> None:
        for number in range(6):
            world.network.crash(f"node-{number}")
        async with party.session() as session:
            with pytest.raises(Trouble) as caught:
                await session.put(world.chance.bytes(3 * CHUNK), "b", "k")
            assert caught.value.code == "node.unreachable"
            assert (caught.value.facts["stored"], caught.value.facts["needed"]) == (4, 5)
            assert "upload-abort" in party.calls
            assert party.buckets["b"] == {}
            assert not party.uploads
            assert session._memory.used == 0

    tell(story)


def test_a_slow_node_does_not_slow_a_read() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(8 * CHUNK)
        async with party.session() as session:
            await session.put(content, "b", "k")
            party.of(0).order = hang
            before = world.loop.time()
            assert await session.read("b", "k") == content
            assert world.loop.time() - before < 5

    tell(story)


def test_a_node_with_a_worthless_receipt_costs_a_shard_and_not_the_upload() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(CHUNK)
        liar = party.of(0)

        async def worthless(incoming: Incoming) -> Outgoing | None:
            return Outgoing(Stored(receipt=bytes(184))) if isinstance(incoming.request, PutShard) else None

        liar.order = worthless
        async with party.session() as session:
            for number in range(5):
                await session.put(content, "b", f"k{number}")
                places = party.holders("b", f"k{number}")
                assert liar not in places.values()
                assert len(places) >= RULE.n - 1
                assert await session.read("b", f"k{number}") == content

    tell(story)


def forge_order(party: Party) -> None:
    chunks = party.buckets["b"]["k"].chunks
    first, second = chunks[0], chunks[1]
    swap: Any = lambda entry, number: (control.msgspec.structs.replace(entry[0], number=number), entry[1])  # noqa: E731
    chunks[0], chunks[1] = swap(second, 0), swap(first, 1)


def forge_size(party: Party) -> None:
    stored = party.buckets["b"]["k"]
    assert stored.info is not None
    del stored.chunks[11]
    stored.info = control.msgspec.structs.replace(stored.info, size=11 * CHUNK, chunk_count=11)


def forge_name(party: Party) -> None:
    """Answers with another whole object of the same tenant, and says so."""
    party.buckets["b"]["k"] = party.buckets["b"]["other"]


def forge_name_and_info(party: Party) -> None:
    """The same, under the name that was asked for."""
    forge_name(party)
    stored = party.buckets["b"]["k"]
    stored.info = control.msgspec.structs.replace(stored.info, key="k")


@pytest.mark.parametrize("forge", [forge_order, forge_size, forge_name, forge_name_and_info])
def test_a_coordinator_that_exchanges_or_drops_chunks_is_found_out(forge: Callable[[Party], None]) -> None:
    async def story(world: World, party: Party) -> None:
        async with party.session() as session:
            await session.put(world.chance.bytes(12 * CHUNK), "b", "k")
            await session.put(world.chance.bytes(12 * CHUNK), "b", "other")
            forge(party)
            with pytest.raises(Trouble) as caught:
                await session.read("b", "k")
        assert caught.value.code == "metadata.forged"

    tell(story)


def test_another_key_is_refused_before_any_byte_is_sent() -> None:
    async def story(world: World, party: Party) -> None:
        async with party.session() as session:
            await session.put(b"x", "b", "k")
        party.calls.clear()
        async with party.session(key=TenantKey(b"o" * 32)) as session:
            for attempt in (session.put(b"y", "b", "k"), session.read("b", "k")):
                with pytest.raises(Refusal) as caught:
                    await attempt
                assert caught.value.code == "key.mismatch"
        async with party.session(key=TenantKey(b"o" * 32, from_passphrase=True)) as session:
            with pytest.raises(Refusal) as caught:
                await session.put(b"y", "b", "k")
            assert caught.value.code == "key.wrong"
        assert set(party.calls) == {"tenant-show"}
        async with party.session(key=TenantKey(b"o" * 32)) as session:
            await session.register_key()
            await session.put(b"y", "b", "k2")
            with pytest.raises(Refusal) as caught:
                await session.read("b", "k")
            assert caught.value.code == "key.unknown"

    tell(story)


def test_a_coordinator_that_restarts_is_waited_for() -> None:
    async def story(world: World, party: Party) -> None:
        async with party.session() as session:
            await session.put(b"x", "b", "warm")
            away_until = world.loop.time() + 8

            def away(_: control.Operation) -> None:
                if world.loop.time() < away_until:
                    raise Trouble("endpoint.unreachable", "restarting", sent=False)

            party.before = away
            await session.put(b"y", "b", "k")
            assert await session.read("b", "k") == b"y"

    tell(story)


def test_memory_is_bounded_by_the_budget_also_when_the_consumer_is_slow() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(40 * CHUNK)
        budget = 6 * CHUNK * 3
        async with party.session(memory_bytes=budget) as session:
            highest = 0

            async def watch() -> None:
                nonlocal highest
                while True:
                    highest = max(highest, session._memory.used)
                    await asyncio.sleep(0.0005)

            watching = asyncio.create_task(watch())
            await session.put(content, "b", "k")
            got = bytearray()
            async with aclosing(session.stream("b", "k")) as pieces:
                async for piece in pieces:
                    await asyncio.sleep(0.05)
                    got += piece
            watching.cancel()
            assert got == content
            assert 0 < highest <= budget

    tell(story)


def test_a_cancelled_transfer_gives_everything_back_and_ends_its_upload() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(30 * CHUNK)
        async with party.session() as session:
            await session.put(content, "b", "k")
            for seconds in (0.0, 0.001, 0.004, 0.009, 0.02):
                for work in (session.put(content, "b", "other"), session.read("b", "k")):
                    task = asyncio.create_task(work)
                    await asyncio.sleep(seconds)
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    assert session._memory.used == 0
            assert len(party.uploads) == 1
            assert await session.read("b", "k") == content

    tell(story)


def test_two_readers_that_wait_for_each_other_still_get_memory() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(20 * CHUNK)
        async with party.session(memory_bytes=4 * CHUNK) as session:
            await session.put(content, "b", "k")
            async with aclosing(session.stream("b", "k")) as one, aclosing(session.stream("b", "k")) as other:
                await anext(one)
                assert b"".join([bytes(piece) async for piece in other]) == content

    tell(story)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_tells_the_same_story(seed: int) -> None:
    async def once(world: World) -> tuple[int, list[str]]:
        party = await Party(world, RULE, 5, CHUNK).open(10)
        party.buckets["b"] = {}
        party.of(1).order = hang
        world.network.crash("node-2")
        async with party.session() as session:
            content = world.chance.bytes(10 * CHUNK)
            await session.put(content, "b", "k")
            world.network.crash("node-5", silently=True)
            assert await session.read("b", "k") == content
        return world.loop.history, party.calls

    assert simulate(once, seed) == simulate(once, seed)


def test_a_fleet_that_is_away_for_a_moment_is_waited_for() -> None:
    async def story(world: World, party: Party) -> None:
        content = world.chance.bytes(3 * CHUNK)
        async with party.session() as session:
            await session.put(content, "b", "k")

            async def outage(seconds: float) -> None:
                for node in party.nodes.values():
                    world.network.refuse(node.name)
                    world.network.drop(node.name)
                await asyncio.sleep(seconds)
                for node in party.nodes.values():
                    world.network.refuse(node.name, refusing=False)

            for work in (session.put(content, "b", "k"), session.read("b", "k")):
                away = asyncio.create_task(outage(1.5))
                await asyncio.sleep(0)
                await work
                await away
            assert await session.read("b", "k") == content

    tell(story)
