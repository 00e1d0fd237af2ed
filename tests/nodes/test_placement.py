from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nodes.slow_placement import KINDS, domain_loads, fitting, take_under
from tests.nodes.stand_in import Node, snapshot_of

from holdfast.nodes.placement import PlacementRequest, choose, replace
from holdfast.world.errors import Refusal
from holdfast.world.simulated.chance import SimulatedChance

MIB = 1 << 20
STANDARD = PlacementRequest(n=14, k=10, shard_length=MIB, class_name="standard")


def spread(count: int, **fields: object) -> list[Node]:
    """Nodes that have nothing in common."""
    return [
        Node(provider=f"p{n}", subnet=f"10.0.{n}.0/24", zone=f"z{n}")._replace(**fields) for n in range(count)
    ]


# --- against the twin ------------------------------------------------------------------------------------

words = st.sampled_from
fleets = st.lists(
    st.builds(
        Node,
        provider=words(["a", "b", "c", "d", "e", "f"]),
        subnet=words(["", "s", "t", "u", "v", "w", "x", "y"]),
        zone=words(["", "", "g", "h", "i", "j"]),
        free=st.sampled_from([0, 600, 1023, 1024, 1025, 5000]),
        weight=st.sampled_from([0.0, 0.5, 1.0, 3.0, 100.0]),
        region=words(["", "north", "south"]),
    ),
    max_size=40,
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Node], PlacementRequest]:
    nodes = draw(fleets)
    n = draw(st.integers(1, 14))
    aliases = st.integers(1, max(1, len(nodes)))
    held = draw(st.lists(aliases, max_size=n, unique=True)) if nodes else []
    return nodes, PlacementRequest(
        n=n,
        k=draw(st.integers(1, n)),
        shard_length=draw(st.sampled_from([1, 600, 1024])),
        count=draw(st.none() | st.integers(0, n)),
        holders=held,
        excluded=frozenset(draw(st.sets(aliases, max_size=3)) if nodes else ()),
        region=draw(st.sampled_from([None, None, "north", "nowhere"])),
    )


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 3))
def test_no_rule_is_broken_that_the_slow_twin_can_keep(
    case: tuple[list[Node], PlacementRequest], seed: int
) -> None:
    nodes, request = case
    possible = fitting(nodes, request)
    if len(possible) < request.wanted:
        with pytest.raises(Refusal) as refused:
            choose(snapshot_of(nodes), request, SimulatedChance(seed))
        assert refused.value.code == "fleet.too_small"
        assert refused.value.facts["missing"] == request.wanted - len(possible)
        return
    placement = choose(snapshot_of(nodes), request, SimulatedChance(seed))
    assert len(placement.aliases) == len(set(placement.aliases)) == request.wanted
    assert set(placement.aliases) <= set(possible)
    if take_under(nodes, request, request.cap) is not None:
        assert placement.relaxed == ()
    # What is said to be relaxed is just what is.
    said = {relaxed.kind: relaxed.raised_to for relaxed in placement.relaxed}
    for kind in KINDS:
        # A domain that holds too much already, and gets nothing new, is not this placement's doing.
        loads = domain_loads(nodes, [*request.holders, *placement.aliases], kind)
        new = domain_loads(nodes, placement.aliases, kind)
        worst = max((loads[domain] for domain in new), default=0)
        if worst > request.cap:
            assert said.get(kind, 0) >= worst
        elif kind in said:
            assert said[kind] == max(loads.values())
    assert bool(placement.warnings) == bool(placement.relaxed)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30),
    st.sampled_from(KINDS),
    st.data(),
)
def test_a_cap_that_cannot_be_kept_is_raised_no_further_than_needed(
    domains: list[str], kind: str, data: st.DataObject
) -> None:
    nodes = [
        Node(provider=f"p{n}", subnet="", zone="")._replace(**{kind: domain})
        for n, domain in enumerate(domains)
    ]
    n = data.draw(st.integers(1, len(nodes)))
    request = PlacementRequest(n=n, k=data.draw(st.integers(1, n)), shard_length=1)
    placement = choose(snapshot_of(nodes), request, SimulatedChance(0))
    lowest = next(cap for cap in range(1, n + 1) if sum(min(c, cap) for c in Counter(domains).values()) >= n)
    worst = max(domain_loads(nodes, placement.aliases, kind).values())
    assert worst <= max(request.cap, lowest)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_replacing_gives_as_many_nodes_as_there_are(case: tuple[list[Node], PlacementRequest]) -> None:
    nodes, request = case
    placement = replace(snapshot_of(nodes), request, SimulatedChance(0))
    assert len(placement.aliases) == min(request.wanted, len(fitting(nodes, request)))
    assert set(placement.aliases) <= set(fitting(nodes, request))


@given(cases(), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_the_same_chance_chooses_the_same_nodes(case: tuple[list[Node], PlacementRequest], seed: int) -> None:
    nodes, request = case
    first, second = (replace(snapshot_of(nodes), request, SimulatedChance(seed)) for _ in range(2))
    assert first == second


# --- shares ----------------------------------------------------------------------------------------------


def shares(nodes: list[Node], request: PlacementRequest, draws: int) -> list[float]:
    chance, snapshot = SimulatedChance("shares"), snapshot_of(nodes)
    seen = Counter(alias for _ in range(draws) for alias in choose(snapshot, request, chance).aliases)
    return [seen[alias] / draws for alias in range(1, len(nodes) + 1)]


def test_nodes_are_drawn_by_their_weight() -> None:
    nodes = [node._replace(weight=float(number)) for number, node in enumerate(spread(20), 1)]
    found = shares(nodes, PlacementRequest(n=1, k=1, shard_length=1), 8_000)
    for number, share in enumerate(found, 1):
        expected = number / 210
        # Five standard deviations.
        assert abs(share - expected) < 5 * (expected * (1 - expected) / 8_000) ** 0.5


def test_a_new_node_gets_a_trickle_beside_proven_ones() -> None:
    nodes = spread(100)
    nodes[0] = nodes[0]._replace(weight=0.05)
    found = shares(nodes, STANDARD, 4000)
    assert 0.002 < found[0] < 0.015
    assert min(found[1:]) > 0.1


def test_the_quick_and_the_careful_way_give_every_node_the_same_chance() -> None:
    # Three quarters of the weight lie with one provider, whose cap of 2 is full at once.
    nodes = [
        node._replace(provider="big" if number < 10 else f"p{number}", weight=12.0 if number < 10 else 1.0)
        for number, node in enumerate(spread(50))
    ]
    request = PlacementRequest(n=6, k=2, shard_length=1)
    snapshot = snapshot_of(nodes)
    quick, careful = Counter[int](), Counter[int]()
    from holdfast.nodes.placement import _Careful

    view, chance = snapshot.view(1), SimulatedChance("both")
    for _ in range(1200):
        quick.update(choose(snapshot, request, chance).aliases)
        careful.update(_Careful(snapshot, view, request, chance).choose()[0])
    for alias in range(1, 51):
        assert abs(quick[alias] - careful[alias]) < 6 * (quick[alias] + 1) ** 0.5
    assert sum(quick[alias] for alias in range(1, 11)) == pytest.approx(2 * 1200, rel=0.02)


# --- rules in words --------------------------------------------------------------------------------------


def test_no_domain_holds_more_than_half_of_what_a_chunk_can_spare() -> None:
    nodes = [
        Node(provider=f"p{n % 10}", subnet=f"10.0.{n % 20}.0/24", zone=f"z{n % 8}", weight=1.0 + n % 7)
        for n in range(200)
    ]
    chance, snapshot = SimulatedChance("caps"), snapshot_of(nodes)
    for _ in range(300):
        placement = choose(snapshot, STANDARD, chance)
        assert placement.warnings == ()
        for kind in KINDS:
            assert max(domain_loads(nodes, placement.aliases, kind).values()) <= 2


def test_one_machine_full_of_nodes_is_warned_of_in_one_sentence() -> None:
    nodes = [Node(provider="t-home", subnet="127.0.0.0/24")] * 16
    placement = choose(snapshot_of(nodes), STANDARD, SimulatedChance(0))
    words = "All nodes with room are in provider t-home and subnet 127.0.0.0/24"
    assert placement.warnings == (f"{words}: one failure there can take every shard.",)


def test_too_few_providers_are_warned_of_by_number() -> None:
    nodes = [node._replace(provider=f"p{number % 3}") for number, node in enumerate(spread(30))]
    placement = choose(snapshot_of(nodes), STANDARD, SimulatedChance(0))
    (warning,) = placement.warnings
    assert warning == (
        "One provider holds 5 of the 14 shards of a chunk, where 2 is the rule: the nodes with room are in "
        "3 providers only; losing one of them can lose data."
    )


def test_too_few_nodes_are_refused_with_what_is_missing_and_what_would_work() -> None:
    with pytest.raises(Refusal) as refused:
        choose(snapshot_of(spread(9)), STANDARD, SimulatedChance(0))
    assert str(refused.value) == (
        "The storage class 'standard' needs 14 nodes with room; 9 are usable now: 5 missing. "
        "Classes that would work: tiny, replicated, single; or add nodes."
    )
    assert refused.value.facts == {
        "missing": 5,
        "usable": 9,
        "needed": 14,
        "works": "tiny, replicated, single",
    }


def test_an_empty_fleet_is_refused() -> None:
    with pytest.raises(Refusal, match="0 are usable now: 14 missing") as refused:
        choose(snapshot_of([]), STANDARD, SimulatedChance(0))
    assert refused.value.code == "fleet.too_small"


def test_fewer_nodes_will_do_where_the_caller_says_so() -> None:
    request = PlacementRequest(n=14, k=10, shard_length=MIB, at_least=12)
    placement = choose(snapshot_of(spread(13)), request, SimulatedChance(0))
    assert len(placement.aliases) == 13
    assert placement.warnings == ("Only 13 of 14 shards have a node; the others wait for repair.",)


def test_a_replacement_does_not_gather_the_chunk_in_one_domain() -> None:
    nodes = [node._replace(provider="big") if number < 20 else node for number, node in enumerate(spread(30))]
    request = PlacementRequest(n=14, k=10, shard_length=MIB, count=3, holders=(1, 2, 21, 22, 23))
    for seed in range(20):
        placement = replace(snapshot_of(nodes), request, SimulatedChance(seed))
        assert min(placement.aliases) > 23
        assert placement.warnings == ()


def test_a_region_that_nobody_is_in_has_no_nodes() -> None:
    nodes = [node._replace(region="north") for node in spread(20)]
    north = PlacementRequest(n=3, k=1, shard_length=1, region="north")
    south = PlacementRequest(n=3, k=1, shard_length=1, region="south")
    assert len(choose(snapshot_of(nodes), north, SimulatedChance(0)).aliases) == 3
    with pytest.raises(Refusal, match="in the region 'south'"):
        choose(snapshot_of(nodes), south, SimulatedChance(0))


def test_a_huge_fleet_nearly_all_of_one_provider_still_keeps_its_cap() -> None:
    nodes = [
        Node(provider="giant" if n >= 20 else f"p{n}", subnet=f"10.{n // 250}.{n % 250}.0/24", weight=1.0)
        for n in range(20_000)
    ]
    placement = choose(snapshot_of(nodes), STANDARD, SimulatedChance(0))
    assert placement.warnings == ()
    assert sum(alias > 20 for alias in placement.aliases) <= 2


def test_a_node_with_just_enough_room_is_chosen_and_with_a_byte_less_is_not() -> None:
    nodes = [*spread(2, free=1025), *spread(1, free=1024)]
    request = PlacementRequest(n=2, k=1, shard_length=1025)
    assert sorted(choose(snapshot_of(nodes), request, SimulatedChance(0)).aliases) == [1, 2]
