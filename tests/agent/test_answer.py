"""A node over a real loopback connection, with a real vault in a folder: what it gives, takes and refuses."""

import asyncio
import contextlib

import pytest

from holdfast.agent.answer import Answer
from holdfast.agent.vault import Vault
from holdfast.chunks import tree
from holdfast.chunks.layout import LEAF_BYTES
from holdfast.links.peer import dial
from holdfast.links.serving import serve
from holdfast.protocol import grants
from holdfast.protocol.grants import LIFE_MAX, SKEW, Action
from holdfast.protocol.messages import DeleteShard, Finished, GetShard, Ping, PutShard, Stored, shard_id
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.receipts import check_receipt
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Refusal
from holdfast.world.network import SystemNetwork, parse_address
from holdfast.world.offload import ThreadOffload
from holdfast.world.system_disk import SystemDisk

ISSUER = SigningKey(b"\1" * 32)
STRANGER = SigningKey(b"\2" * 32)
NODE = SigningKey(b"\3" * 32)
SESSION = SigningKey(b"\4" * 32)
CHUNK = b"c" * 16
INDEX = 3
SHARD = shard_id(CHUNK, INDEX)
BODY = bytes(range(256)) * 14 * (LEAF_BYTES // 1024)  # three leaves and a half
ROOTS = b"0" * 32 * INDEX + tree.root_of(BODY) + b"4" * 32
SMALL, BIG = (77).to_bytes(8, "big"), (1 << 40).to_bytes(8, "big")


class Bench:
    """A node that answers, a client that asks, and grants of every kind."""

    def __init__(self):
        self.clock = SystemClock()
        self.serial = 0

    def grant(self, action=Action.PUT, *, issuer=ISSUER, now=None, life=LIFE_MAX, **changes):
        self.serial += 1
        now = now or self.clock.now()
        named = {
            "action": action,
            "serial": self.serial.to_bytes(16, "big"),
            "node_id": NODE.public,
            "session_key": SESSION.public,
            "shard_id": SHARD,
            "max_bytes": len(BODY),
            "created": now,
            "expires": now + life,
            "account": bytes(32),
        }
        return grants.issue(issuer, **(named | changes))

    async def put(self, grant=None, body=BODY, *, roots=ROOTS, length=None):
        request = PutShard(
            grant=grant or self.grant(), length=len(body) if length is None else length, roots=roots
        )
        reply, _ = await self.peer.call(request, body=[body])
        assert isinstance(reply, Stored)
        return reply.receipt

    async def get(self, grant=None, *, offset=0, length=0, into=None):
        request = GetShard(grant=grant or self.grant(Action.GET), offset=offset, length=length)
        return await self.peer.call(request, into=into)

    async def delete(self, grant=None):
        reply, _ = await self.peer.call(DeleteShard(grant=grant or self.grant(Action.DELETE)))
        return reply


@contextlib.asynccontextmanager
async def answering(folder, *, allocated=1 << 30, reserve=0, scheme="tcp"):
    bench = Bench()
    offload = ThreadOffload(2, "test")
    bench.vault = await Vault.open(
        SystemDisk(folder / "vault"),
        allocated=allocated,
        reserve=reserve,
        offload=offload,
        clock=bench.clock,
        chance=SystemChance(),
    )
    bench.answer = Answer(bench.vault, NODE, bench.clock, offload)
    bench.answer.learn([ISSUER.public])
    listener = await serve(
        SystemNetwork(),
        parse_address(f"{scheme}://127.0.0.1:0"),
        node_key=NODE,
        handler=bench.answer,
        clock=bench.clock,
        chance=SystemChance(),
    )
    bench.peer = await dial(
        SystemNetwork(),
        NodeAddress(node_id=NODE.public, addresses=[str(listener.address)]),
        session_key=SESSION,
        clock=bench.clock,
        chance=SystemChance(),
    )
    try:
        yield bench
    finally:
        await bench.peer.close()
        await listener.close()
        await bench.vault.close()
        offload.close()


@pytest.fixture
async def bench(tmp_path):
    async with answering(tmp_path) as made:
        yield made


async def test_a_shard_is_stored_read_back_whole_and_forgotten(bench):
    await bench.put()
    fetched, body = await bench.get()
    assert bytes(body) == BODY
    assert (fetched.shard_length, fetched.roots, fetched.leaves) == (len(BODY), ROOTS, tree.leaf_hashes(BODY))
    assert isinstance(await bench.delete(), Finished)
    with pytest.raises(Refusal, match="does not hold") as caught:
        await bench.get()
    assert caught.value.code == "shard.unknown"


async def test_the_same_holds_over_tls(tmp_path):
    async with answering(tmp_path, scheme="tls") as bench:
        await bench.put()
        _, body = await bench.get()
        assert bytes(body) == BODY


async def test_a_receipt_says_what_was_stored_under_which_grant(bench):
    grant = bench.grant()
    receipt = check_receipt(
        await bench.put(grant),
        node_id=NODE.public,
        shard_id=SHARD,
        roots=ROOTS,
        size=len(BODY),
        now=bench.clock.now(),
        serial=grants.read(grant).serial,
    )
    assert abs(receipt.time - bench.clock.now()) < 60_000_000


async def test_a_slice_comes_with_all_that_proves_it(bench):
    await bench.put()
    into = bytearray(2 * LEAF_BYTES)
    fetched, body = await bench.get(offset=LEAF_BYTES, length=len(into), into=memoryview(into))
    assert bytes(body) == bytes(into) == BODY[LEAF_BYTES : 3 * LEAF_BYTES]
    assert tree.slice_matches(
        body, LEAF_BYTES, leaves=fetched.leaves, root=tree.root_of(BODY), shard_length=len(BODY)
    )


async def test_storing_the_same_shard_again_answers_as_the_first_time(bench):
    grant = bench.grant()
    first, second = await bench.put(grant), await bench.put(grant)
    assert first == second
    assert bench.vault.shard_count == 1


async def test_another_shard_under_the_same_id_is_refused(bench):
    await bench.put()
    other = BODY[:-1] + b"!"
    roots = ROOTS[: INDEX * 32] + tree.root_of(other) + ROOTS[(INDEX + 1) * 32 :]
    with pytest.raises(Refusal) as caught:
        await bench.put(body=other, roots=roots)
    assert caught.value.code == "shard.exists"


async def test_a_read_grant_serves_many_reads(bench):
    await bench.put()
    grant = bench.grant(Action.GET)
    for _ in range(20):
        await bench.get(grant)


async def test_forgetting_what_is_not_there_is_fine(bench):
    assert isinstance(await bench.delete(), Finished)


async def test_a_ping_is_answered_without_a_grant(bench):
    reply, _ = await bench.peer.call(Ping())
    assert isinstance(reply, Finished)


HOUR = 3600 * 1_000_000

REFUSED = {
    "unsigned": (lambda bench: bench.grant()[:-64] + bytes(64), "grant.unsigned"),
    "signed by a stranger": (lambda bench: bench.grant(issuer=STRANGER), "grant.unsigned"),
    "changed after signing": (
        lambda bench: bench.grant(max_bytes=77).replace(SMALL, BIG),
        "grant.unsigned",
    ),
    "expired": (lambda bench: bench.grant(now=bench.clock.now() - HOUR - SKEW - 1_000_000), "grant.expired"),
    "from the future": (lambda bench: bench.grant(now=bench.clock.now() + 2 * SKEW), "clock.skewed"),
    "for another node": (lambda bench: bench.grant(node_id=STRANGER.public), "grant.foreign"),
    "for another session": (lambda bench: bench.grant(session_key=STRANGER.public), "grant.foreign"),
    "for another action": (lambda bench: bench.grant(Action.GET), "grant.foreign"),
    "too small": (lambda bench: bench.grant(max_bytes=len(BODY) - 1), "grant.oversized"),
    "no grant at all": (lambda bench: b"let me in", "format.invalid"),
    "of a newer format": (lambda bench: b"HFgr\x09" + bench.grant()[5:], "format.newer"),
}


@pytest.mark.parametrize(("make", "code"), REFUSED.values(), ids=REFUSED)
async def test_a_put_without_a_good_grant_is_refused_and_nothing_is_kept(bench, make, code):
    with pytest.raises(Refusal) as caught:
        await bench.put(make(bench))
    assert caught.value.code == code
    assert bench.vault.shard_count == 0


@pytest.mark.parametrize("action", [Action.GET, Action.DELETE])
async def test_reading_and_deleting_need_a_good_grant_as_well(bench, action):
    await bench.put()
    ask = bench.get if action is Action.GET else bench.delete
    for changes, code in [
        ({"issuer": STRANGER}, "grant.unsigned"),
        ({"now": bench.clock.now() - 2 * HOUR}, "grant.expired"),
        ({"session_key": STRANGER.public}, "grant.foreign"),
        ({"node_id": STRANGER.public}, "grant.foreign"),
    ]:
        with pytest.raises(Refusal) as caught:
            await ask(bench.grant(action, **changes))
        assert caught.value.code == code
    assert bench.vault.holds(SHARD)


async def test_a_read_grant_for_fewer_bytes_reads_no_more(bench):
    await bench.put()
    small = bench.grant(Action.GET, max_bytes=LEAF_BYTES)
    _, body = await bench.get(small, length=LEAF_BYTES)
    assert len(body) == LEAF_BYTES
    for length in (LEAF_BYTES + 1, 0):
        with pytest.raises(Refusal) as caught:
            await bench.get(small, length=length)
        assert caught.value.code == "grant.oversized"


async def test_a_put_grant_is_good_for_a_few_tries_and_then_used_up(bench):
    grant = bench.grant()
    for _ in range(grants.TRIES_MAX):
        await bench.put(grant)
    with pytest.raises(Refusal) as caught:
        await bench.put(grant)
    assert caught.value.code == "grant.used"


async def test_grants_of_an_issuer_that_was_withdrawn_are_refused(bench):
    bench.answer.learn([STRANGER.public])
    with pytest.raises(Refusal) as caught:
        await bench.put()
    assert caught.value.code == "grant.unsigned"
    await bench.put(bench.grant(issuer=STRANGER))


@pytest.mark.parametrize(
    ("body", "changes", "code"),
    [
        (BODY[:-1] + b"!", {}, "request.invalid"),
        (BODY, {"length": len(BODY) - 1}, "request.invalid"),
        (BODY, {"roots": ROOTS[:-1]}, "request.invalid"),
        (BODY, {"roots": ROOTS[: INDEX * 32]}, "request.invalid"),
        (BODY, {"roots": b""}, "request.invalid"),
        (BODY, {"roots": bytes(32 * 256)}, "request.invalid"),
        (b"", {}, "request.too_large"),
    ],
    ids=["damaged", "length", "torn roots", "too few roots", "no roots", "too many roots", "empty"],
)
async def test_a_put_that_does_not_add_up_is_refused_and_nothing_is_kept(bench, body, changes, code):
    with pytest.raises(Refusal) as caught:
        await bench.put(body=body, **changes)
    assert caught.value.code == code
    assert bench.vault.shard_count == 0


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -5), (len(BODY), LEAF_BYTES), (1 << 40, 0)])
async def test_a_slice_outside_the_shard_is_refused(bench, offset, length):
    await bench.put()
    with pytest.raises(Refusal) as caught:
        await bench.get(offset=offset, length=length)
    assert caught.value.code == "request.invalid"


async def test_many_reads_and_writes_at_a_time_all_end_well(bench):
    bodies = {index: bytes([index]) * (70_000 + index) for index in range(64)}

    async def one(index):
        shard = shard_id(bytes([index]) * 16, 0)
        body, roots = bodies[index], tree.root_of(bodies[index])
        await bench.put(bench.grant(shard_id=shard), body, roots=roots)
        _, got = await bench.get(bench.grant(Action.GET, shard_id=shard))
        assert bytes(got) == body

    await asyncio.gather(*map(one, bodies))


async def test_no_more_is_stored_than_was_allocated(tmp_path):
    roots = tree.root_of(BODY)
    async with answering(tmp_path, allocated=4 << 20) as bench:
        codes = []
        for number in range(100):
            shard = shard_id(number.to_bytes(16, "big"), 0)
            try:
                await bench.put(bench.grant(shard_id=shard), roots=roots)
            except Refusal as refusal:
                codes.append(refusal.code)
        assert set(codes) == {"node.full"}
        assert bench.vault.shard_count == 100 - len(codes) > (2 << 20) // len(BODY)
        assert bench.vault.used <= 4 << 20
        assert sum(path.stat().st_size for path in (tmp_path / "vault").iterdir()) <= 4 << 20
        await bench.get(bench.grant(Action.GET, shard_id=shard_id(bytes(16), 0)))


async def test_the_reserve_of_the_disk_stays_free_whatever_was_allocated(tmp_path):
    reserve = SystemDisk(tmp_path).free() + (1 << 30)
    async with answering(tmp_path, allocated=1 << 50, reserve=reserve) as bench:
        assert bench.vault.free == 0
        with pytest.raises(Refusal) as caught:
            await bench.put()
        assert caught.value.code == "node.full"
        assert bench.vault.shard_count == 0


async def test_damage_on_the_disk_shows_in_the_hashes_that_come_along(bench, tmp_path):
    await bench.put()
    for volume in (tmp_path / "vault").iterdir():
        content = bytearray(volume.read_bytes())
        at = content.find(BODY[:LEAF_BYTES])
        if at >= 0:
            content[at + 5] ^= 1
            volume.write_bytes(content)
    fetched, body = await bench.get()
    assert not tree.slice_matches(
        body, 0, leaves=fetched.leaves, root=tree.root_of(BODY), shard_length=len(BODY)
    )
    scrubbed = await bench.vault.scrub()
    assert scrubbed.lost == [SHARD]
    with pytest.raises(Refusal) as caught:
        await bench.get()
    assert caught.value.code == "shard.unknown"
