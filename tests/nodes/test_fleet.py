from __future__ import annotations

import pytest
from tests.nodes.stand_in import Machine, Time

from holdfast.nodes.classes import BUILT_IN
from holdfast.nodes.fleet import SMALL_FLEET, TRICKLE, TRICKLE_SECONDS, Fleet
from holdfast.nodes.placement import PlacementRequest, choose
from holdfast.nodes.roster import Roster
from holdfast.nodes.states import Event, State
from holdfast.nodes.store import NodeRow
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.database import Database
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.sqlite import MemoryDatabase


def row(alias: int, now: int, **fields: object) -> NodeRow:
    told = NodeRow(
        alias=alias,
        node_id=alias.to_bytes(32, "big"),
        provider="p",
        state="active",
        node_name=f"n{alias}",
        version="1",
        zone="",
        addresses=(f"tls://10.0.{alias % 250}.1:7420",),
        allocated=100,
        used=0,
        free=100,
        shard_count=0,
        stopping=False,
        sequence=1,
        last_heartbeat=now,
        registered=0,
        changed=now,
    )
    return told._replace(**fields)


@pytest.fixture
def quiet(clock: SimulatedClock) -> Fleet:
    """A fleet that is told of nodes, without any database behind it."""
    return Fleet(MemoryDatabase(), clock)


async def join(roster: Roster, machine: Machine) -> None:
    await roster.register(machine.registration((await roster.invite("t-p")).token))


async def test_a_fleet_is_the_same_after_a_restart(
    roster: Roster, fleet: Fleet, database: Database, clock: Clock, time: Time
) -> None:
    machines = [Machine(number, clock, zone=f"fra/z{number}") for number in range(1, 4)]
    for machine in machines:
        await join(roster, machine)
    time.seconds = 30
    await roster.heartbeat(machines[1].heartbeat(free=77))
    await roster.steer(machines[2].node_id, Event.DRAIN)
    again = Fleet(database, clock)
    await again.load()
    assert [again.member(alias) for alias in (1, 2, 3)] == [fleet.member(alias) for alias in (1, 2, 3)]
    one, other = fleet.snapshot(), again.snapshot()
    assert (one.free.tolist(), one.weight.tolist()) == (other.free.tolist(), other.weight.tolist())
    assert one.names == other.names


async def test_what_another_process_changed_is_seen_after_a_refresh(
    roster: Roster, database: Database, clock: Clock, time: Time
) -> None:
    other = Fleet(database, clock)
    await other.load()
    machine = Machine(1, clock)
    await join(roster, machine)
    assert other.alias_of(machine.node_id) is None
    await other.refresh()
    assert other.alias_of(machine.node_id) == 1
    time.seconds = 300
    await other.refresh()
    await roster.heartbeat(machine.heartbeat(free=5))
    await other.refresh()
    assert other.snapshot().free[1] == 5


def test_news_that_is_older_than_what_is_known_is_passed_over(quiet: Fleet, clock: Clock) -> None:
    now = clock.now()
    quiet.note([row(1, now, free=2)])
    quiet.note([row(1, now - 1, free=1)])
    assert quiet.snapshot().free[1] == 2


def test_new_nodes_weigh_a_trickle_until_they_have_proven_themselves(
    quiet: Fleet, clock: SimulatedClock, time: Time
) -> None:
    start = clock.now()
    quiet.note([row(1, start, registered=start), row(2, start, registered=0)])
    weights = quiet.snapshot().weight.tolist()
    assert weights[1:] == [pytest.approx(100 * TRICKLE), 100]
    time.seconds = TRICKLE_SECONDS
    quiet.note([row(alias, clock.now(), registered=start) for alias in (1, 2)])
    assert quiet.snapshot().weight.tolist()[1:] == [100, 100]


def test_a_node_that_is_rated_worse_is_drawn_less(quiet: Fleet, clock: Clock) -> None:
    quiet.note([row(1, clock.now()), row(2, clock.now())])
    quiet.rate(2, 0.25)
    assert quiet.snapshot().weight.tolist()[1:] == [100, 25]


@pytest.mark.parametrize(
    "fields", [{"free": 0}, {"state": "suspended"}, {"stopping": True}, {"last_heartbeat": 0}], ids=repr
)
def test_a_node_that_can_take_nothing_has_no_weight(
    quiet: Fleet, clock: Clock, fields: dict[str, object]
) -> None:
    quiet.note([row(1, clock.now(), **fields)])
    assert quiet.snapshot().weight.tolist() == [0, 0]


def test_a_small_fleet_shows_every_turn_at_once_and_a_large_one_within_a_second(
    quiet: Fleet, clock: Clock, time: Time
) -> None:
    quiet.note([row(1, clock.now())])
    assert len(quiet.snapshot().view(1)) == 1
    quiet.note([row(alias, clock.now()) for alias in range(2, SMALL_FLEET + 1)])
    assert len(quiet.snapshot().view(1)) == SMALL_FLEET
    quiet.note([row(SMALL_FLEET + 1, clock.now())])
    assert len(quiet.snapshot().view(1)) == SMALL_FLEET
    time.seconds = 1.0
    assert len(quiet.snapshot().view(1)) == SMALL_FLEET + 1


def test_a_clock_that_is_set_back_does_not_freeze_the_snapshot(quiet: Fleet, clock: SimulatedClock) -> None:
    quiet.note([row(1, clock.now(), free=5)])
    first = quiet.snapshot()
    clock.jump(-3600)
    assert quiet.snapshot() is not first


def test_nodes_share_a_subnet_by_the_first_address_they_tell(quiet: Fleet, clock: Clock) -> None:
    now = clock.now()
    addresses = ["tls://10.0.7.1:1", "tls://10.0.7.9:1", "tls://[2001:db8::1]:1", "tls://attic.example:1"]
    quiet.note([row(alias, now, addresses=(address,)) for alias, address in enumerate(addresses, 1)])
    quiet.note([row(5, now, addresses=())])
    snapshot = quiet.snapshot()
    assert snapshot.domains[1].tolist() == [-1, 0, 0, 1, 2, -1]
    assert snapshot.names[1] == ["10.0.7.0/24", "2001:db8::/64", "attic.example"]


def test_the_region_is_what_stands_before_the_slash_of_the_zone(quiet: Fleet, clock: Clock) -> None:
    for alias, zone in enumerate(["fra/r1", "fra/r2", "attic", ""], 1):
        quiet.note([row(alias, clock.now(), zone=zone)])
    snapshot = quiet.snapshot()
    assert snapshot.view(1, "fra").members.tolist() == [1, 2]
    assert snapshot.domains[2].tolist() == [-1, 0, 1, 2, -1]


def test_a_class_says_how_many_nodes_it_lacks(quiet: Fleet, clock: Clock) -> None:
    quiet.note([row(alias, clock.now(), free=1 << 30) for alias in range(1, 9)])
    lacking = {known.class_name: quiet.class_info(known).missing_nodes for known in BUILT_IN}
    assert lacking == {"standard": 6, "wide": 22, "small": 4, "tiny": 0, "replicated": 0, "single": 0}
    assert [known.class_name for known in BUILT_IN if quiet.class_info(known).usable] == [
        "tiny",
        "replicated",
        "single",
    ]


def test_aliases_far_apart_are_found_and_the_gaps_are_nobody(quiet: Fleet, clock: Clock) -> None:
    quiet.note([row(3000, clock.now()), row(2, clock.now())])
    assert [quiet.member(alias) for alias in (0, 1, 2999, 3001, 10**9)] == [None] * 5
    member = quiet.member(3000)
    assert member is not None
    assert (member.node_name, member.state, member.online) == ("n3000", State.ACTIVE, True)
    assert len(quiet) == 2
    placed = choose(quiet.snapshot(), PlacementRequest(n=2, k=1, shard_length=1), SimulatedChance(0)).aliases
    assert sorted(placed) == [2, 3000]


def test_an_hour_of_silence_takes_nodes_out_of_placement_but_not_out_of_the_fleet(
    quiet: Fleet, clock: Clock, time: Time
) -> None:
    quiet.note([row(alias, clock.now() - alias * MICROSECONDS) for alias in range(1, 200)])
    assert quiet.count() == (199, 90)
    time.seconds = 3600
    assert quiet.count() == (199, 0)
    assert len(quiet.snapshot().view(1)) == 0
