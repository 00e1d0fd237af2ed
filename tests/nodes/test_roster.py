from __future__ import annotations

import asyncio

import pytest
from tests.nodes.stand_in import Machine, Time, believed

from holdfast.nodes.beats import BATCH_MAX
from holdfast.nodes.fleet import Fleet
from holdfast.nodes.grants import Issuer
from holdfast.nodes.roster import INVITATION_SECONDS_MAX, Roster
from holdfast.nodes.states import Event
from holdfast.protocol.control import NodeInfo
from holdfast.protocol.fleet import Signed, SignedWelcome, Welcome
from holdfast.protocol.invitations import read_invitation
from holdfast.world.chance import Chance
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.simulated.database import SimulatedDatabase

PROVIDER = "t-provider"


async def join(roster: Roster, machine: Machine, provider: str = PROVIDER, **facts: object) -> SignedWelcome:
    token = (await roster.invite(provider)).token
    return await roster.register(machine.registration(token, **facts))


def code_of(outcome: object) -> str | None:
    return outcome.code if isinstance(outcome, Refusal) else None


# --- joining ---------------------------------------------------------------------------------------------


async def test_an_invited_node_is_welcomed_and_listed(
    roster: Roster, fleet: Fleet, issuer: Issuer, clock: Clock
) -> None:
    machine = Machine(1, clock, zone="fra/r1")
    answer = await join(roster, machine)
    assert believed(answer) == Welcome(
        time=clock.now(),
        issuer_keys=issuer.publics(),
        heartbeat_seconds=30,
        node_id=machine.node_id,
        sequence=1,
    )
    page = await roster.page()
    assert page.nodes == [
        NodeInfo(
            node_id=machine.node_id,
            node_name="machine-1",
            state="active",
            zone="fra/r1",
            addresses=["tcp://127.0.0.1:10001"],
            allocated=1 << 40,
            used=0,
            free=1 << 40,
            shard_count=0,
            last_heartbeat=clock.now(),
            online=True,
            version="0.1.0",
        )
    ]
    assert page.after is None
    assert fleet.alias_of(machine.node_id) == 1
    assert fleet.count() == (1, 1)


async def test_an_invitation_names_the_coordinator_that_made_it(roster: Roster, issuer: Issuer) -> None:
    invitation = await roster.invite(PROVIDER)
    assert invitation.token.startswith("hf1-")
    assert read_invitation(invitation.token).made_by(issuer.publics()[0])


async def test_only_the_hash_of_an_invitation_is_stored(roster: Roster, database: Database) -> None:
    from sqlalchemy import Connection, select

    from holdfast.nodes import store

    def stored(connection: Connection) -> str:
        return repr(connection.execute(select(store.invitations)).all())

    secret = read_invitation((await roster.invite(PROVIDER)).token).secret
    assert repr(secret)[2:-1] not in await database.read(stored)


async def test_an_invitation_admits_one_node_which_may_ask_again(
    roster: Roster, clock: Clock, time: Time
) -> None:
    token = (await roster.invite(PROVIDER, lifetime_seconds=60)).token
    machine = Machine(1, clock)
    await roster.register(machine.registration(token))
    # The answer was lost on the way, and the second try comes late.
    time.seconds = 3600
    await roster.register(machine.registration(token))
    with pytest.raises(Refusal, match="used by another node") as refused:
        await roster.register(Machine(2, clock).registration(token))
    assert refused.value.code == "invitation.invalid"
    assert len((await roster.page()).nodes) == 1


async def test_of_many_nodes_with_one_invitation_one_gets_in(
    roster: Roster, fleet: Fleet, clock: Clock
) -> None:
    token = (await roster.invite(PROVIDER)).token
    outcomes = await asyncio.gather(
        *(roster.register(Machine(number, clock).registration(token)) for number in range(1, 9)),
        return_exceptions=True,
    )
    assert sorted(map(str, map(code_of, outcomes))) == ["None"] + ["invitation.invalid"] * 7
    assert fleet.count().known == 1


async def test_a_node_that_registers_many_times_at_once_is_one_node(
    roster: Roster, fleet: Fleet, clock: Clock
) -> None:
    machine = Machine(1, clock)
    tokens = [(await roster.invite(PROVIDER)).token for _ in range(4)]
    await asyncio.gather(*(roster.register(machine.registration(token)) for token in (*tokens, *tokens)))
    assert len((await roster.page()).nodes) == 1
    assert fleet.count().known == 1


async def test_nodes_that_register_at_once_get_aliases_of_their_own(
    roster: Roster, fleet: Fleet, clock: Clock
) -> None:
    machines = [Machine(number, clock) for number in range(1, 9)]
    await asyncio.gather(*(join(roster, machine) for machine in machines))
    aliases = {fleet.alias_of(machine.node_id) for machine in machines}
    assert len(aliases) == 8
    assert all(alias is not None and alias >= 1 for alias in aliases)


async def test_an_invitation_that_is_expired_unknown_or_none_is_refused(
    roster: Roster, clock: Clock, time: Time, issuer: Issuer
) -> None:
    from holdfast.protocol.invitations import write_invitation

    token = (await roster.invite(PROVIDER, lifetime_seconds=60)).token
    time.seconds = 60
    for said in (token, write_invitation(b"x" * 20, issuer.publics()[0]), "hf1-", "hf1-@", "", token[:-1]):
        with pytest.raises(Refusal) as refused:
            await roster.register(Machine(1, clock).registration(said))
        assert refused.value.code == "invitation.invalid"


async def test_an_invitation_lasts_a_month_at_most(roster: Roster) -> None:
    for seconds in (0, -1, INVITATION_SECONDS_MAX + 1):
        with pytest.raises(Refusal) as refused:
            await roster.invite(PROVIDER, lifetime_seconds=seconds)
        assert refused.value.code == "request.invalid"


async def test_a_node_cannot_be_taken_over_by_another_account(roster: Roster, clock: Clock) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    with pytest.raises(Refusal, match="another account's") as refused:
        await join(roster, machine, provider="t-thief")
    assert refused.value.code == "invitation.invalid"


async def test_a_recorded_registration_changes_nothing(roster: Roster, clock: Clock) -> None:
    machine = Machine(1, clock)
    token = (await roster.invite(PROVIDER)).token
    recording = machine.registration(token, node_name="old")
    await roster.register(recording)
    await roster.heartbeat(machine.heartbeat(node_name="new"))
    await roster.register(recording)
    assert (await roster.find(machine.node_id)).node_name == "new"


# --- what is refused of either ---------------------------------------------------------------------------


async def test_a_message_with_anothers_signature_is_refused(roster: Roster, clock: Clock) -> None:
    machine, other = Machine(1, clock), Machine(2, clock)
    await join(roster, machine)
    said, forged = machine.heartbeat(), other.heartbeat(node_id=machine.node_id)
    for signed in (
        Signed(node_id=machine.node_id, payload=said.payload, signature=bytes(64)),
        Signed(node_id=machine.node_id, payload=said.payload + b"x", signature=said.signature),
        Signed(node_id=other.node_id, payload=said.payload, signature=said.signature),
        Signed(node_id=b"", payload=said.payload, signature=said.signature),
        forged,
        machine.registration("hf1-"),  # signed, but for another purpose
    ):
        with pytest.raises(Refusal) as refused:
            await roster.heartbeat(signed)
        assert refused.value.code == "signature.invalid"


async def test_a_clock_too_far_off_is_refused_with_both_times(roster: Roster, clock: Clock) -> None:
    token = (await roster.invite(PROVIDER)).token
    for seconds in (-61, 61, 10**9, -(10**9), 10**12):
        told = clock.now() + seconds * MICROSECONDS
        with pytest.raises(Refusal, match="Set the node's clock") as refused:
            await roster.register(Machine(1, clock).registration(token, time=told))
        assert refused.value.code == "clock.skewed"
        assert refused.value.facts == {"node_time": told, "coordinator_time": clock.now()}


async def test_a_clock_a_minute_off_is_fine(roster: Roster, clock: Clock) -> None:
    for number, seconds in enumerate((-60, 60), 1):
        await join(roster, Machine(number, clock), time=clock.now() + seconds * MICROSECONDS)


IMPOSSIBLE: list[dict[str, object]] = [
    {"free": -1},
    {"allocated": 1 << 63},
    {"free": (1 << 53) + 1},
    {"addresses": ["tls://169.254.169.254:80"]},
    {"addresses": ["tls://[fe80::1]:7420"]},
    {"addresses": ["tls://[::ffff:169.254.169.254]:80"]},
    {"sequence": 1 << 63},
    {"node_name": "x" * 201},
    {"zone": "a\0b"},
    {"lost": [b"short"]},
    {"lost": [bytes(18)] * 1001},
    {"addresses": ["nonsense"]},
    {"addresses": ["tcp://203.0.113.7:7420"]},
    {"addresses": ["tls://0.0.0.0:7420"]},
    {"addresses": ["tls://203.0.113.7:0"]},
    {"addresses": ["tls://203.0.113.7:7420"] * 9},
]


async def test_facts_that_cannot_be_are_refused(roster: Roster, clock: Clock) -> None:
    for facts in IMPOSSIBLE:
        with pytest.raises(Refusal) as refused:
            await join(roster, Machine(1, clock), **facts)
        assert refused.value.code == "request.invalid", facts
    assert (await roster.page()).nodes == []


# --- beating ---------------------------------------------------------------------------------------------


async def test_a_heartbeat_tells_how_the_node_fares(
    roster: Roster, fleet: Fleet, clock: Clock, time: Time
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    time.seconds = 30
    told = {"free": 7, "used": 5, "shard_count": 3, "zone": "z", "addresses": ["tls://203.0.113.9:1"]}
    assert believed(await roster.heartbeat(machine.heartbeat(**told))).time == clock.now()
    found = await roster.find(machine.node_id)
    assert {field: getattr(found, field) for field in told} == told
    assert found.last_heartbeat == clock.now()
    member = fleet.member(1)
    assert member is not None
    assert member.addresses == ("tls://203.0.113.9:1",)
    assert fleet.snapshot().free[1] == 7


async def test_a_heartbeat_of_an_unknown_node_is_refused(roster: Roster, clock: Clock) -> None:
    with pytest.raises(Refusal, match="Register it") as refused:
        await roster.heartbeat(Machine(1, clock).heartbeat())
    assert refused.value.code == "node.unknown"


async def test_a_replayed_heartbeat_is_refused_even_after_a_restart(
    roster: Roster, database: Database, clock: Clock, chance: Chance, issuer: Issuer
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    recording = machine.heartbeat(free=1)
    await roster.heartbeat(recording)
    await roster.heartbeat(machine.heartbeat(free=2))
    fleet = Fleet(database, clock)
    await fleet.load()
    again = Roster(database=database, fleet=fleet, clock=clock, chance=chance, issuer=issuer)
    for known in (roster, again):
        with pytest.raises(Refusal, match="a replay") as refused:
            await known.heartbeat(recording)
        assert refused.value.code == "request.invalid"
    assert (await again.find(machine.node_id)).free == 2


async def test_heartbeats_of_many_nodes_share_transactions_and_are_all_answered(
    roster: Roster, fleet: Fleet, clock: Clock, time: Time
) -> None:
    machines = [Machine(number, clock) for number in range(1, 41)]
    for machine in machines:
        await join(roster, machine)
    time.seconds = 25
    stranger = Machine(99, clock)
    beats = [roster.heartbeat(machine.heartbeat(free=number)) for number, machine in enumerate(machines)]
    *welcomes, refused = await asyncio.gather(
        *beats, roster.heartbeat(stranger.heartbeat()), return_exceptions=True
    )
    assert code_of(refused) == "node.unknown"
    assert all(isinstance(welcome, SignedWelcome) for welcome in welcomes)
    assert [node.free for node in (await roster.page()).nodes] == [
        number for _, number in sorted((machine.node_id, number) for number, machine in enumerate(machines))
    ]
    assert len(machines) < BATCH_MAX


async def test_two_heartbeats_of_a_node_in_one_transaction_count_in_their_order(
    roster: Roster, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    first, second = machine.heartbeat(free=1), machine.heartbeat(free=2)
    outcomes = await asyncio.gather(
        roster.heartbeat(first),
        roster.heartbeat(second),
        roster.heartbeat(first),
        return_exceptions=True,
    )
    assert [code_of(outcome) for outcome in outcomes] == [None, None, "request.invalid"]
    assert (await roster.find(machine.node_id)).free == 2


async def test_a_caller_that_hangs_up_takes_no_other_heartbeat_along(roster: Roster, clock: Clock) -> None:
    machines = [Machine(number, clock) for number in (1, 2)]
    for machine in machines:
        await join(roster, machine)
    leaver = asyncio.create_task(roster.heartbeat(machines[0].heartbeat()))
    stayer = asyncio.create_task(roster.heartbeat(machines[1].heartbeat(free=5)))
    await asyncio.sleep(0)
    leaver.cancel()
    await stayer
    await roster.close()
    assert (await roster.find(machines[1].node_id)).free == 5


async def test_a_database_that_is_gone_is_trouble_for_every_heartbeat_and_the_next_ones_go_on(
    clock: SimulatedClock, chance: SimulatedChance, issuer: Issuer
) -> None:
    database = SimulatedDatabase(chance, seconds_max=0.0)
    fleet = Fleet(database, clock)
    roster = Roster(database=database, fleet=fleet, clock=clock, chance=chance, issuer=issuer)
    machines = [Machine(number, clock) for number in (1, 2)]
    for machine in machines:
        await join(roster, machine)
    database.gone = True
    outcomes = await asyncio.gather(
        *(roster.heartbeat(machine.heartbeat()) for machine in machines), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Trouble, Trouble]
    database.gone = False
    await asyncio.gather(*(roster.heartbeat(machine.heartbeat()) for machine in machines))
    await database.close()


# --- looking and steering --------------------------------------------------------------------------------


async def test_nodes_are_listed_by_id_page_by_page_and_by_provider(roster: Roster, clock: Clock) -> None:
    machines = [Machine(number, clock) for number in range(1, 6)]
    for number, machine in enumerate(machines):
        await join(roster, machine, provider=f"t-{number % 2}")
    seen, after = [], None
    while True:
        page = await roster.page(after=after, limit=2)
        seen += [node.node_id for node in page.nodes]
        after = page.after
        if after is None:
            break
    assert seen == sorted(machine.node_id for machine in machines)
    odd = await roster.page(provider="t-1")
    assert [node.node_id for node in odd.nodes] == sorted(machine.node_id for machine in machines[1::2])


async def test_a_silent_node_is_offline_and_given_no_new_shards(
    roster: Roster, fleet: Fleet, clock: Clock, time: Time
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    time.seconds = 90
    assert (await roster.find(machine.node_id)).online
    assert len(fleet.snapshot().view(1)) == 1
    time.seconds = 91.5
    assert not (await roster.find(machine.node_id)).online
    assert len(fleet.snapshot().view(1)) == 0
    assert fleet.count() == (1, 0)


STEERED: list[tuple[list[Event], str, bool, bool]] = [
    # events, state, given new shards, belongs to the fleet
    ([Event.SUSPEND], "suspended", False, True),
    ([Event.SUSPEND, Event.RESUME], "active", True, True),
    ([Event.DRAIN], "draining", False, True),
    ([Event.DRAIN, Event.EXIT], "exited", False, False),
    ([Event.LOSE], "lost", False, True),
    ([Event.SUSPEND, Event.LOSE], "exited", False, False),
]


async def test_a_node_moves_between_states_as_it_is_steered(
    roster: Roster, fleet: Fleet, clock: Clock
) -> None:
    for number, (events, state, placeable, belongs) in enumerate(STEERED, 1):
        machine = Machine(number, clock)
        await join(roster, machine)
        for event in events:
            await roster.steer(machine.node_id, event)
        assert (await roster.find(machine.node_id)).state == state
        assert fleet.snapshot().view(1).has(number) == placeable
        assert (fleet.alias_of(machine.node_id) == number) == belongs
        assert (fleet.member(number) is not None) == belongs


async def test_a_lost_node_that_beats_again_is_back(roster: Roster, fleet: Fleet, clock: Clock) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    await roster.steer(machine.node_id, Event.LOSE)
    await roster.heartbeat(machine.heartbeat())
    assert (await roster.find(machine.node_id)).state == "active"
    assert len(fleet.snapshot().view(1)) == 1


async def test_a_node_that_left_needs_a_new_invitation_and_keeps_its_alias(
    roster: Roster, fleet: Fleet, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    await roster.steer(machine.node_id, Event.DRAIN)
    await roster.steer(machine.node_id, Event.EXIT)
    with pytest.raises(Refusal, match="has left this fleet") as refused:
        await roster.heartbeat(machine.heartbeat())
    assert refused.value.code == "node.unknown"
    await join(roster, machine)
    assert fleet.alias_of(machine.node_id) == 1
    await roster.heartbeat(machine.heartbeat())


async def test_what_cannot_happen_to_a_node_is_refused(roster: Roster, clock: Clock) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    with pytest.raises(Refusal, match="A node that is active cannot resume") as refused:
        await roster.steer(machine.node_id, Event.RESUME)
    assert refused.value.code == "node.state"
    with pytest.raises(Refusal) as refused:
        await roster.steer(b"x" * 32, Event.DRAIN)
    assert refused.value.code == "node.unknown"


async def test_a_node_is_told_that_it_is_suspended_or_cannot_be_reached(roster: Roster, clock: Clock) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    await roster.steer(machine.node_id, Event.SUSPEND)
    welcome = believed(await roster.heartbeat(machine.heartbeat(addresses=[])))
    assert [notice.split(":")[0] for notice in welcome.notices] == [
        "This node is suspended",
        "This node told no address",
    ]


async def test_a_stopping_node_is_given_no_new_shards_until_it_beats_again(
    roster: Roster, fleet: Fleet, clock: Clock
) -> None:
    machine = Machine(1, clock)
    await join(roster, machine)
    await roster.heartbeat(machine.heartbeat(stopping=True))
    assert len(fleet.snapshot().view(1)) == 0
    await roster.heartbeat(machine.heartbeat())
    assert len(fleet.snapshot().view(1)) == 1
