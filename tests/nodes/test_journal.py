from __future__ import annotations

import asyncio

from sqlalchemy import Connection
from tests.nodes.stand_in import Machine, believed

from holdfast.nodes import store
from holdfast.nodes.journal import ENTRIES_TOLD_MAX, ENTRY_SHARDS_MAX, Loss, Losses, journal_deletions
from holdfast.nodes.roster import Roster
from holdfast.nodes.store import LossRow
from holdfast.protocol.fleet import Deletion
from holdfast.protocol.messages import shard_id
from holdfast.world.clock import Clock
from holdfast.world.database import Database


def shard(number: int) -> bytes:
    return shard_id(number.to_bytes(16, "big"), 3)


async def join(roster: Roster, *machines: Machine) -> None:
    for machine in machines:
        await roster.register(machine.registration((await roster.invite("t-p")).token))


async def test_a_deletion_is_told_until_it_is_confirmed(
    roster: Roster, database: Database, clock: Clock
) -> None:
    machine, other = Machine(1, clock), Machine(2, clock)
    await join(roster, machine, other)
    await database.transact(journal_deletions, [(1, shard(1)), (2, shard(9)), (1, shard(2))], clock.now())
    await database.transact(journal_deletions, [(1, shard(3))], clock.now())
    told = [
        Deletion(sequence=1, shard_ids=[shard(1), shard(2)]),
        Deletion(sequence=2, shard_ids=[shard(3)]),
    ]
    for _ in range(2):
        assert believed(await roster.heartbeat(machine.heartbeat())).deletions == told
    assert believed(await roster.heartbeat(machine.heartbeat(deletions_done=1))).deletions == told[1:]
    assert believed(await roster.heartbeat(machine.heartbeat(deletions_done=2))).deletions == []
    # A node that forgets what it did is not told what was dropped, nor taken back.
    assert believed(await roster.heartbeat(machine.heartbeat(deletions_done=0))).deletions == []
    assert believed(await roster.heartbeat(other.heartbeat())).deletions == [
        Deletion(sequence=1, shard_ids=[shard(9)])
    ]


async def test_sequences_go_on_after_everything_was_confirmed(
    roster: Roster, database: Database, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    for sequence in (1, 2, 3):
        await database.transact(journal_deletions, [(1, shard(sequence))], clock.now())
        welcome = believed(await roster.heartbeat(machine.heartbeat(deletions_done=sequence - 1)))
        assert welcome.deletions == [Deletion(sequence=sequence, shard_ids=[shard(sequence)])]


async def test_many_deletions_are_told_in_bounded_answers(
    roster: Roster, database: Database, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    doomed = [shard(number) for number in range(ENTRY_SHARDS_MAX * 2 + 1)]
    await database.transact(journal_deletions, [(1, shard_id) for shard_id in doomed], clock.now())
    for number in range(ENTRIES_TOLD_MAX):
        await database.transact(journal_deletions, [(1, shard(number))], clock.now())
    welcome = believed(await roster.heartbeat(machine.heartbeat()))
    assert len(welcome.deletions) == ENTRIES_TOLD_MAX
    assert [len(deletion.shard_ids) for deletion in welcome.deletions[:4]] == [1000, 1000, 1, 1]
    assert [shard_id for told in welcome.deletions[:3] for shard_id in told.shard_ids] == doomed
    done = welcome.deletions[-1].sequence
    rest = believed(await roster.heartbeat(machine.heartbeat(deletions_done=done)))
    assert [deletion.sequence for deletion in rest.deletions] == [17, 18, 19]


async def test_deletions_belong_to_the_transaction_that_notes_them(
    roster: Roster, database: Database, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)

    def give_up(connection: Connection) -> None:
        journal_deletions(connection, [(1, shard(1))], clock.now())
        raise LookupError

    outcome = await asyncio.gather(database.transact(give_up), return_exceptions=True)
    assert isinstance(outcome[0], LookupError)
    assert believed(await roster.heartbeat(machine.heartbeat())).deletions == []


async def test_deletions_noted_at_once_all_get_a_place(
    roster: Roster, database: Database, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    await asyncio.gather(
        *(database.transact(journal_deletions, [(1, shard(number))], clock.now()) for number in range(6))
    )
    welcome = believed(await roster.heartbeat(machine.heartbeat()))
    assert [deletion.sequence for deletion in welcome.deletions] == [1, 2, 3, 4, 5, 6]
    assert sorted(shard_id for told in welcome.deletions for shard_id in told.shard_ids) == [
        shard(number) for number in range(6)
    ]


async def test_deletions_for_nobody_are_passed_over(roster: Roster, database: Database, clock: Clock) -> None:
    await database.transact(journal_deletions, [(7, shard(1))], clock.now())
    await database.transact(journal_deletions, [], clock.now())
    assert (await roster.page()).nodes == []


async def test_a_coordinator_put_back_from_an_older_copy_numbers_on_from_what_the_node_did(
    roster: Roster, database: Database, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    await roster.heartbeat(machine.heartbeat(deletions_done=40))
    await database.transact(journal_deletions, [(1, shard(1))], clock.now())
    welcome = believed(await roster.heartbeat(machine.heartbeat(deletions_done=40)))
    assert welcome.deletions == [Deletion(sequence=41, shard_ids=[shard(1)])]


async def test_losses_that_nodes_report_are_kept_until_they_are_settled(
    roster: Roster, database: Database, clock: Clock
) -> None:
    first, second = Machine(1, clock), Machine(2, clock)
    await join(roster, first, second)
    losses, now = Losses(database), clock.now()
    await roster.heartbeat(second.heartbeat(lost=[shard(5)]))
    for _ in range(2):
        await roster.heartbeat(first.heartbeat(lost=[shard(2), shard(1), shard(2)]))
    reported = [Loss(1, shard(1), now), Loss(1, shard(2), now), Loss(2, shard(5), now)]
    assert await losses.page() == reported
    assert await losses.page(after=reported[0], limit=1) == [reported[1]]
    assert await losses.page(after=reported[2]) == []
    await database.transact(Losses.settle, reported[1])
    assert await losses.page() == [reported[0], reported[2]]


async def test_a_loss_that_is_reported_again_is_not_a_new_one(database: Database) -> None:
    def rows(*numbers: int) -> list[LossRow]:
        return [LossRow(1, shard(number), 7) for number in numbers]

    assert await database.transact(store.add_losses, rows(1, 2)) == 2
    assert await database.transact(store.add_losses, rows(2, 3)) == 1
    assert await database.transact(store.add_losses, rows(1, 2, 3)) == 0
    assert await database.transact(store.add_losses, []) == 0
    assert await database.read(store.list_losses, (0, b""), 10) == sorted(rows(1, 2, 3))
