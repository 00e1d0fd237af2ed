"""What a receipt proves, and what it does not; and that placements are added to, never mixed up."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection
from tests.files.cloud import CHUNK, REDUNDANCY, Cloud, finished, shard_roots

from holdfast.chunks import tree
from holdfast.chunks.redundancy import Redundancy
from holdfast.files import placed
from holdfast.files.recording import check_chunk
from holdfast.files.stores import store
from holdfast.files.tending.faults import Report
from holdfast.files.tending.mending import Mending
from holdfast.nodes.journal import settle_deletions
from holdfast.protocol import control, grants
from holdfast.protocol.messages import shard_id
from holdfast.protocol.nouns import ChunkDone, StoredShard
from holdfast.protocol.receipts import sign_receipt
from holdfast.protocol.signing import SigningKey
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

STRANGER = SigningKey(b"?" * 32)


def changed(record, **changes):
    return type(record)(**({name: getattr(record, name) for name in record.__struct_fields__} | changes))


async def test_the_migrations_make_the_tables_that_the_store_describes(database: Database) -> None:
    def differences(connection: Connection) -> list:
        names = set(store.metadata.tables)
        # Alembic cannot tell on SQLite which way an index goes; another test has an eye on this one.
        unclear = ("index", "versions_hidden")
        options = {
            "include_object": lambda _o, name, kind, _r, _c: (
                (kind != "table" or name in names) and (kind, name) != unclear
            )
        }
        context = MigrationContext.configure(connection, opts=options | {"compare_type": True})
        return compare_metadata(context, store.metadata)

    assert await database.read(differences) == []


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (lambda good, _: b"", "format.invalid"),
        (lambda good, _: good[:-1], "format.invalid"),
        (lambda good, _: good[:-1] + bytes([good[-1] ^ 1]), "signature.invalid"),
        (lambda good, other: other, "signature.invalid"),
    ],
    ids=["empty", "cut", "forged", "of another shard"],
)
async def test_a_receipt_that_proves_nothing_refuses_the_request(cloud: Cloud, forge, code: str) -> None:
    upload_id = await cloud.begin()
    [done] = await cloud.send(upload_id, [cloud.chunk()])
    first, second = done.stored[:2]
    bad = StoredShard(index=0, node_id=first.node_id, receipt=forge(first.receipt, second.receipt))
    asked = control.UploadRecord(upload_id=upload_id, chunks=[finished(done.chunk, [bad, *done.stored[1:]])])
    with pytest.raises(Refusal) as caught:
        await cloud.ask(asked)
    assert caught.value.code == code
    assert (await cloud.ask(control.UploadShow(upload_id=upload_id))).chunks == []


async def test_a_receipt_of_a_node_outside_the_fleet_is_refused(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    [done] = await cloud.send(upload_id, [record])
    receipt = sign_receipt(
        STRANGER,
        serial=b"s" * grants.SERIAL_BYTES,
        shard_id=shard_id(record.chunk_id, 4),
        roots=shard_roots(record.chunk_id),
        size=record.shard_length,
        time=cloud.clock.now(),
    )
    stored = [*done.stored[:4], StoredShard(index=4, node_id=STRANGER.public, receipt=receipt)]
    asked = control.UploadRecord(upload_id=upload_id, chunks=[finished(record, stored)])
    with pytest.raises(Refusal) as caught:
        await cloud.ask(asked)
    assert caught.value.code == "node.unknown"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"plain_length": 0, "packed_length": 0}, "format.invalid"),
        ({"shard_length": 64}, "format.invalid"),
        ({"root": b""}, "format.invalid"),
        ({"chunk_id": b"short"}, "format.invalid"),
        ({"number": -1}, "format.invalid"),
        ({"number": 1 << 31}, "request.invalid"),
        ({"checksum": 1 << 64}, "request.invalid"),
        ({"format": 2}, "format.newer"),
    ],
)
async def test_a_record_that_cannot_be_is_refused(cloud: Cloud, changes: dict, code: str) -> None:
    done = finished(changed(cloud.chunk(), **changes), [])
    with pytest.raises(Refusal) as caught:
        check_chunk(done, Redundancy(2, 5, 4), CHUNK)
    assert caught.value.code == code


async def test_a_chunk_longer_than_the_upload_is_cut_is_refused(cloud: Cloud) -> None:
    with pytest.raises(Refusal, match="the upload's chunks have"):
        check_chunk(finished(cloud.chunk(), []), Redundancy(2, 5, 4), CHUNK - 1)


async def test_another_contents_under_a_recorded_id_is_refused(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    [done] = await cloud.send(upload_id, [cloud.chunk()])
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[done]))
    for chunk, number in ((changed(done.chunk, checksum=7), 0), (changed(done.chunk, number=1), 1)):
        asked = control.UploadRecord(upload_id=upload_id, chunks=[finished(chunk, done.stored)])
        with pytest.raises(Refusal) as caught:
            await cloud.ask(asked)
        assert (caught.value.code, caught.value.facts["number"]) == ("request.invalid", number)


async def test_a_chunk_root_that_does_not_stand_over_its_shard_roots_is_refused(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    [done] = await cloud.send(upload_id, [cloud.chunk()])
    good = shard_roots(done.chunk.chunk_id)
    for chunk, roots in (
        (changed(done.chunk, root=b"R" * 32), good),
        (done.chunk, b""),
        (done.chunk, good[:-32]),
        (done.chunk, good + good[:32]),
        (done.chunk, good[:-1] + bytes([good[-1] ^ 1])),
    ):
        asked = control.UploadRecord(
            upload_id=upload_id, chunks=[ChunkDone(chunk=chunk, stored=done.stored, roots=roots)]
        )
        with pytest.raises(Refusal, match="does not stand over") as caught:
            await cloud.ask(asked)
        assert caught.value.code == "request.invalid"
    assert (await cloud.ask(control.UploadShow(upload_id=upload_id))).chunks == []


async def test_a_shard_kept_beside_other_roots_than_the_recorded_ones_does_not_count(cloud: Cloud) -> None:
    """Readers would be shown those roots, and blame the node for them."""
    upload_id = await cloud.begin()
    record = cloud.chunk()
    [plan] = await cloud.plan(upload_id, record)
    good = shard_roots(record.chunk_id)
    other = good[:64] + bytes(32) + good[96:]
    for stored in (range(4), range(4, 5)):
        # The first time around the chunk is new, the second time a late shard is added to it.
        honest = [cloud.store(plan.targets[index]) for index in stored]
        false = cloud.store(plan.targets[4], roots=other)
        asked = control.UploadRecord(upload_id=upload_id, chunks=[finished(record, [*honest[:-1], false])])
        with pytest.raises(Refusal) as caught:
            await cloud.ask(asked)
        assert caught.value.code == "signature.invalid"
        assert (caught.value.facts["number"], caught.value.facts["index"]) == (0, 4)
        await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[finished(record, honest)]))
    version = await cloud.commit(upload_id, [record])
    asked = control.UploadRecord(upload_id=upload_id, chunks=[finished(record, [false])])
    with pytest.raises(Refusal):
        await cloud.ask(asked)
    assert version.chunk_count == 1


async def test_a_receipt_for_a_shard_that_was_proven_lost_since_proves_nothing(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    [done] = await cloud.send(upload_id, [cloud.chunk()])
    asked = control.UploadRecord(upload_id=upload_id, chunks=[done])
    await cloud.ask(asked)
    mending = Mending(database=cloud.database, journal=cloud.journal, clock=cloud.clock)
    [state], _ = await mending.page((0, -1), 10)
    await mending.confirm(state, [Report(2, state.aliases[2], "missing", "it said so")])
    await cloud.ask(asked)
    [after], _ = await mending.page((0, -1), 10)
    assert after.aliases == (*state.aliases[:2], 0, *state.aliases[3:])


async def test_a_late_shard_does_not_count_where_its_deletion_is_still_to_be_carried_out(
    cloud: Cloud,
) -> None:
    upload_id = await cloud.begin()
    [done] = await cloud.send(upload_id, [cloud.chunk()])
    early = finished(done.chunk, done.stored[:4])
    await cloud.ask(control.UploadRecord(upload_id=upload_id, chunks=[early]))
    mending = Mending(database=cloud.database, journal=cloud.journal, clock=cloud.clock)
    [state], _ = await mending.page((0, -1), 10)
    last = cloud.places.alias_of(done.stored[4].node_id)
    doomed = [(last, shard_id(done.chunk.chunk_id, 4))]
    await cloud.database.transact(cloud.journal, doomed, cloud.clock.now())
    late = control.UploadRecord(upload_id=upload_id, chunks=[finished(done.chunk, done.stored[4:])])
    await cloud.ask(late)
    assert (await mending.page((0, -1), 10))[0] == [state]
    await cloud.database.transact(settle_deletions, {last: 10})
    await cloud.ask(late)
    [after], _ = await mending.page((0, -1), 10)
    assert after.aliases == (*state.aliases[:4], last)


async def test_a_shard_named_twice_is_refused(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    [done] = await cloud.send(upload_id, [cloud.chunk()])
    asked = control.UploadRecord(
        upload_id=upload_id, chunks=[finished(done.chunk, [*done.stored, done.stored[0]])]
    )
    with pytest.raises(Refusal, match="twice") as caught:
        await cloud.ask(asked)
    assert caught.value.code == "request.invalid"


def test_what_a_receipt_names_stands_for_every_shard_root() -> None:
    roots = shard_roots(bytes(16))
    digests = {tree.roots_digest(roots[:at] + b"?" + roots[at + 1 :]) for at in range(len(roots))}
    assert len(digests | {tree.roots_digest(roots)}) == 32 * REDUNDANCY.n + 1


@given(
    aliases=st.lists(st.integers(0, 9), min_size=1, max_size=8),
    stored=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 9)), max_size=12),
)
def test_a_placement_is_only_ever_added_to_and_never_names_a_node_twice(
    aliases: list[int], stored: list[tuple[int, int]]
) -> None:
    once = [alias if aliases.index(alias) == at else 0 for at, alias in enumerate(aliases)]
    wanted = [(index, alias) for index, alias in stored if index < len(once)]
    packed, added, surplus = placed.merge(placed.pack(once), wanted)
    after = placed.unpack(packed)
    held = [alias for alias in after if alias]
    assert len(held) == len(set(held))
    assert all(new == old for new, old in zip(after, once, strict=True) if old)
    assert {(i, a) for i, a in enumerate(after) if a} == {(i, a) for i, a in enumerate(once) if a} | set(
        added
    )
    assert not set(surplus) & set(enumerate(after))


def test_a_placement_is_packed_little_endian() -> None:
    assert placed.pack([1, 0, 258]) == bytes.fromhex("010000000000000002010000")
