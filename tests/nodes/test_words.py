"""The small pure parts: classes, states, addresses, grants, the schema."""

from __future__ import annotations

import itertools

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Table
from tests.nodes.stand_in import Time

from holdfast.chunks.redundancy import Redundancy
from holdfast.nodes import states, store
from holdfast.nodes.addresses import check_addresses, subnet_of
from holdfast.nodes.classes import BUILT_IN, Classes, StorageClass
from holdfast.nodes.grants import Issuer
from holdfast.nodes.states import READABLE, TRANSITIONS, Event, State
from holdfast.protocol.grants import Action, Serials, check, issuers_by_id
from holdfast.protocol.invitations import read_invitation, write_invitation
from holdfast.protocol.messages import shard_id
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import Chance
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

# --- classes ---------------------------------------------------------------------------------------------


def test_the_classes_are_these() -> None:
    assert [(known.class_name, str(known.redundancy), known.ack_at) for known in BUILT_IN] == [
        ("standard", "10of14r12", 12),
        ("wide", "20of30r26", 26),
        ("small", "8of12r10", 10),
        ("tiny", "4of6r5", 5),
        ("replicated", "1of3r2", 2),
        ("single", "1of1r1", 1),
    ]
    # No shard is longer than 4 MiB: a node holds several at a time in memory.
    assert {known.chunk_size // known.redundancy.k for known in BUILT_IN} <= {n << 20 for n in range(5)} | {
        (16 << 20) // 10,
        (16 << 20) // 20,
    }


def test_settings_may_add_and_replace_classes_and_name_another_default() -> None:
    cold = StorageClass("cold", Redundancy(29, 80, 52), "for archives")
    tiny = StorageClass("tiny", Redundancy(2, 4, 3), "smaller still", ack_at=4)
    classes = Classes([cold, tiny], default="cold")
    assert classes.get(None) == classes.get("cold") == cold
    assert classes.get("tiny") == tiny
    assert [known.class_name for known in classes.working_with(5)] == ["tiny", "replicated", "single"]


def test_an_unknown_class_is_refused_with_the_known_names() -> None:
    with pytest.raises(Refusal) as refused:
        Classes().get("glacier")
    assert refused.value.code == "class.unknown"
    assert "standard, wide, small, tiny, replicated, single" in refused.value.advice


@pytest.mark.parametrize(("ack_at", "chunk_size"), [(9, 1), (15, 1), (12, 0)])
def test_a_class_that_cannot_work_is_refused(ack_at: int, chunk_size: int) -> None:
    with pytest.raises(Refusal) as refused:
        StorageClass("odd", Redundancy(10, 14, 12), "", ack_at=ack_at, chunk_size=chunk_size)
    assert refused.value.code == "config.invalid"


# --- states ----------------------------------------------------------------------------------------------


def test_every_state_and_event_either_leads_somewhere_or_is_refused() -> None:
    for state, event in itertools.product(State, Event):
        if (state, event) in TRANSITIONS:
            assert states.after(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(Refusal) as refused:
                states.after(state, event)
            assert refused.value.code == "node.state"


def test_registering_is_possible_in_every_state_and_no_way_leads_from_suspended_to_active_but_resuming() -> (
    None
):
    assert all((state, Event.REGISTER) in TRANSITIONS for state in State)
    by_itself = {Event.REGISTER, Event.HEARTBEAT, Event.LOSE}
    reached = {State.SUSPENDED}
    while (
        more := {
            after for (state, event), after in TRANSITIONS.items() if state in reached and event in by_itself
        }
        - reached
    ):
        reached |= more
    # Having been given up, it may register anew as anybody may; nothing shorter washes it clean.
    assert reached == {State.SUSPENDED, State.EXITED, State.ACTIVE, State.LOST}
    assert State.ACTIVE not in {TRANSITIONS.get((State.SUSPENDED, event)) for event in by_itself}
    assert set(State) - {State.EXITED} == READABLE


# --- addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("addresses", "subnet"),
    [
        ([], ""),
        (["tls://203.0.113.7:7420", "tls://198.51.100.1:1"], "203.0.113.0/24"),
        (["tls://[2001:db8:1:2:3::4]:1"], "2001:db8:1:2::/64"),
        (["tls://[::ffff:203.0.113.7]:1"], "203.0.113.0/24"),
        (["tls://Attic.Example:1"], "attic.example"),
        (["tcp://127.0.0.1:1"], "127.0.0.0/24"),
        (["tcp://localhost:1"], "localhost"),
    ],
)
def test_a_subnet_is_told_from_the_first_address(addresses: list[str], subnet: str) -> None:
    check_addresses(addresses)
    assert subnet_of(addresses) == subnet


@pytest.mark.parametrize(
    "address",
    ["", "203.0.113.7:1", "http://h:1", "tls://h", "tls://h:0", "tls://h:70000", "tls://:1", "tls://[::]:1",
     "tls://224.0.0.1:1", "tls://" + "h" * 200 + ":1", "tcp://203.0.113.7:1", "tls://[::1"],
)  # fmt: skip
def test_an_address_that_nobody_could_dial_is_refused(address: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_addresses([address])
    assert refused.value.code == "request.invalid"


# --- invitations -----------------------------------------------------------------------------------------


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32))
def test_an_invitation_is_read_as_it_was_written_in_any_case(secret: bytes, issuer: bytes) -> None:
    text = write_invitation(secret, issuer)
    assert len(text) == 52
    for typed in (text, text.upper(), f" {text}\n"):
        read = read_invitation(typed)
        assert read.secret == secret
        assert read.made_by(issuer)
        assert not read.made_by(bytes(32) if any(issuer) else b"x" * 32)


def test_the_text_of_an_invitation_is_frozen() -> None:
    text = "hf1-aaaqeayeaudaocajbifqydiob4ibceqtmtah2y24zkvanot6"
    assert write_invitation(bytes(range(20)), b"i" * 32) == text


@given(st.text())
def test_any_other_text_is_no_invitation(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_invitation(text)
    assert refused.value.code == "invitation.invalid"


# --- grants ----------------------------------------------------------------------------------------------


def test_a_node_believes_the_grants_of_the_issuer_it_was_told_of(issuer: Issuer, clock: Clock) -> None:
    wish = {"node_id": b"n" * 32, "session_key": b"s" * 32}
    sealed = issuer.grant(Action.PUT, **wish, chunk_id=b"c" * 16, index=5, max_bytes=100, account="t-payer")
    grant = check(
        sealed,
        action=Action.PUT,
        **wish,
        shard_id=shard_id(b"c" * 16, 5),
        size=100,
        now=clock.now(),
        issuers=issuers_by_id(issuer.publics()),
        used=Serials(),
    )
    assert grant.expires - clock.now() == 1800 * 1_000_000
    assert b"t-payer" not in sealed


def test_an_account_shows_to_nodes_as_another_tag_every_day(issuer: Issuer, time: Time) -> None:
    from holdfast.protocol.grants import read

    def tag(account: str) -> bytes:
        wish = {"node_id": b"n" * 32, "session_key": b"s" * 32, "chunk_id": b"c" * 16}
        return read(issuer.grant(Action.GET, **wish, index=0, max_bytes=1, account=account)).account

    today, also_today, other = tag("t-1"), tag("t-1"), tag("t-2")
    time.seconds = 86400
    assert today == also_today
    assert len({today, other, tag("t-1")}) == 3


@pytest.mark.parametrize("seconds", [899, 3601])
def test_grants_live_for_a_quarter_of_an_hour_to_an_hour(clock: Clock, chance: Chance, seconds: int) -> None:
    with pytest.raises(Refusal) as refused:
        Issuer(SigningKey(b"k" * 32), clock, chance, grant_seconds=seconds)
    assert refused.value.code == "config.invalid"


def test_older_issuers_stay_known_beside_the_one_that_issues(clock: Clock, chance: Chance) -> None:
    key = SigningKey(b"k" * 32)
    issuer = Issuer(key, clock, chance, others=[b"o" * 32, key.public])
    assert issuer.publics() == [key.public, b"o" * 32]


# --- schema ----------------------------------------------------------------------------------------------


async def test_the_migrations_make_the_tables_that_the_store_expects(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        def ours(thing: object, _name: str, kind: str, _reflected: bool, _other: object) -> bool:
            table = thing if isinstance(thing, Table) else getattr(thing, "table", None)
            return kind == "column" or (table is not None and table.name in store.metadata.tables)

        context = MigrationContext.configure(
            connection, opts={"include_object": ours, "compare_type": True, "target_metadata": store.metadata}
        )
        return compare_metadata(context, store.metadata)

    assert await database.read(differences) == []
