"""Lifecycle rules: what falls due when, and what wins where several rules are about one version."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.upkeep.obvious_lifecycle import ORDER, outcome

from holdfast.files.bucket_settings import LifecycleFilter, LifecycleRule, Transition
from holdfast.upkeep.plans.lifecycle import (
    DAY,
    Aged,
    Facts,
    Upload,
    due_at,
    expiration_of,
    plan_lifecycle,
)

SECOND = 1_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


BIG = 128 << 10
CREATED = at("2026-01-15T10:30:00")


def rule(rule_id: str = "r", *, enabled: bool = True, **parts: object) -> LifecycleRule:
    return LifecycleRule(rule_id=rule_id, enabled=enabled, **parts)


def facts(*rules: LifecycleRule, versions: list[Aged] = (), uploads: list[Upload] = (), **more: str) -> Facts:
    asked = {"versioning": "on", "minimum_size": ""} | more
    return Facts("photos", rules, versions=versions, uploads=uploads, **asked)


def steps(asked: Facts, now: int, *, day: int = DAY) -> list[tuple[str, str, str, str]]:
    return [
        (a.kind, a.subject.key, a.storage_class, a.rule_id)
        for a in plan_lifecycle(asked, now=now, day=day).actions
    ]


def test_days_end_at_the_midnight_after_them() -> None:
    assert due_at(CREATED, 3, DAY) == at("2026-01-19T00:00:00")
    assert due_at(at("2026-01-15T00:00:00"), 3, DAY) == at("2026-01-18T00:00:00")
    assert due_at(CREATED, 3, 10 * SECOND) == CREATED + 30 * SECOND


@pytest.mark.parametrize(("versioning", "kind"), [("off", "remove"), ("on", "mark"), ("suspended", "mark")])
def test_an_expired_object_is_removed_or_where_versions_are_kept_hidden(versioning: str, kind: str) -> None:
    asked = facts(
        rule(expire_days=3), versions=[Aged("cat", "v", size=BIG, modified=CREATED)], versioning=versioning
    )
    midnight = at("2026-01-19T00:00:00")
    assert steps(asked, midnight - 1) == []
    assert steps(asked, midnight) == [(kind, "cat", "", "r")]


def test_a_short_day_is_not_rounded_and_does_not_shorten_what_is_told() -> None:
    asked = facts(
        rule(expire_days=2), versions=[Aged("cat", "v", size=BIG, modified=CREATED)], versioning="off"
    )
    assert steps(asked, CREATED + 20 * SECOND - 1, day=10 * SECOND) == []
    assert steps(asked, CREATED + 20 * SECOND, day=10 * SECOND) == [("remove", "cat", "", "r")]
    told = expiration_of(asked.rules, key="cat", tags={}, size=0, created=CREATED, day=10 * SECOND)
    assert told == (at("2026-01-18T00:00:00"), "r")


def test_the_soonest_of_several_rules_is_told() -> None:
    rules = [
        rule("off", enabled=False, expire_days=1),
        rule("late", expire_days=9),
        rule("tagged", expire_days=2, filter=LifecycleFilter(tags={"a": "b"})),
        rule("dated", expire_date=at("2026-01-21T00:00:00")),
        rule("other", expire_days=1, filter=LifecycleFilter(prefix="dog")),
        rule("never", noncurrent_days=1),
    ]
    asked = {"key": "cat", "size": 1, "created": CREATED}
    assert expiration_of(rules, tags={}, **asked) == (at("2026-01-21T00:00:00"), "dated")
    assert expiration_of(rules, tags={"a": "b"}, **asked) == (at("2026-01-18T00:00:00"), "tagged")
    assert expiration_of(rules[:1], tags={}, **asked) is None


def test_a_date_that_has_passed_counts_for_whatever_comes_later_too() -> None:
    new = Aged("cat", "v", modified=at("2026-06-01T12:00:00"))
    asked = facts(rule(expire_date=at("2026-02-01T00:00:00")), versions=[new], versioning="off")
    assert steps(asked, new.modified) == [("remove", "cat", "", "r")]


def test_noncurrent_versions_count_from_when_they_were_superseded_and_some_are_kept() -> None:
    def old(number: int, superseded: str) -> Aged:
        return Aged(f"cat{number}", "v", latest=False, superseded=at(superseded), newer=number)

    versions = [
        Aged("cat", "v", modified=0),
        old(0, "2026-01-01T00:00:00"),
        old(1, "2026-01-01T00:00:00"),
        old(2, "2026-01-01T00:00:00"),
        old(3, "2026-01-01T00:00:01"),
    ]
    asked = facts(rule(noncurrent_days=4, noncurrent_newer_kept=2), versions=versions)
    assert steps(asked, at("2026-01-05T00:00:00")) == [("remove", "cat2", "", "r")]
    assert [step[1] for step in steps(asked, at("2026-01-06T00:00:00"))] == ["cat2", "cat3"]


def test_a_delete_marker_goes_once_nothing_is_behind_it() -> None:
    alone = Aged("cat", "v", marker=True, modified=CREATED, alone=True)
    hiding = alone._replace(alone=False, key="dog")
    both = [alone, hiding]
    assert steps(facts(rule(expire_marker=True), versions=both), CREATED) == [("remove", "cat", "", "r")]
    aging = facts(rule(expire_days=1), versions=both)
    assert steps(aging, CREATED) == []
    assert steps(aging, CREATED + 2 * DAY) == [("remove", "cat", "", "r")]
    assert steps(facts(rule(expire_marker=False), versions=both), CREATED + 9 * DAY) == []


def test_a_noncurrent_delete_marker_goes_like_any_noncurrent_version_but_moves_nowhere() -> None:
    marker = Aged("cat", "v", marker=True, latest=False, superseded=CREATED)
    moving = (Transition(storage_class="GLACIER", days=1),)
    asked = facts(rule(noncurrent_days=3, noncurrent_transitions=moving), versions=[marker])
    assert steps(asked, CREATED + 2 * DAY) == []
    assert steps(asked, CREATED + 4 * DAY) == [("remove", "cat", "", "r")]


def test_rules_with_tags_or_sizes_are_not_about_markers_and_uploads() -> None:
    marker = Aged("cat", "v", marker=True, alone=True)
    upload = Upload("cat", "u", created=0)
    for wanted in (
        LifecycleFilter(tags={"a": "b"}),
        LifecycleFilter(size_over=0),
        LifecycleFilter(size_under=9),
    ):
        picky = rule(expire_marker=True, expire_days=1, abort_days=1, filter=wanted)
        assert steps(facts(picky, versions=[marker], uploads=[upload]), 9 * DAY) == []


def test_sizes_are_bounds_that_do_not_belong() -> None:
    wanted = LifecycleFilter(size_over=10, size_under=20)
    versions = [Aged(str(size), "v", size=size) for size in (10, 11, 19, 20)]
    asked = facts(rule(expire_days=1, filter=wanted), versions=versions)
    assert [step[1] for step in steps(asked, 9 * DAY)] == ["11", "19"]


def test_uploads_that_were_never_completed_are_aborted() -> None:
    uploads = [Upload("logs/a", "u1", CREATED), Upload("cat", "u2", CREATED)]
    asked = facts(rule(abort_days=2, filter=LifecycleFilter(prefix="logs/")), uploads=uploads)
    assert steps(asked, at("2026-01-18T00:00:00") - 1) == []
    assert steps(asked, at("2026-01-18T00:00:00")) == [("abort", "logs/a", "", "r")]


def test_of_several_moves_that_are_due_the_coldest_is_made_and_none_grows_warmer() -> None:
    moves = rule(
        "moves",
        transitions=(
            Transition(storage_class="DEEP_ARCHIVE", days=90),
            Transition(storage_class="STANDARD_IA", days=30),
            Transition(storage_class="GLACIER", days=60),
        ),
    )
    asked = facts(moves, versions=[Aged("cat", "v", size=BIG, modified=CREATED)])
    found = [steps(asked, CREATED + days * DAY) for days in (29, 31, 61, 91)]
    assert [step[0][2] if step else "" for step in found] == ["", "STANDARD_IA", "GLACIER", "DEEP_ARCHIVE"]
    frozen = facts(moves, versions=[Aged("cat", "v", size=BIG, modified=CREATED, storage_class="GLACIER")])
    assert steps(frozen, CREATED + 61 * DAY) == []
    strange = facts(moves, versions=[Aged("cat", "v", size=BIG, modified=CREATED, storage_class="OUTPOSTS")])
    assert steps(strange, CREATED + 91 * DAY) == []


@pytest.mark.parametrize(
    ("minimum", "moved"),
    [
        ("", set()),
        ("varies_by_storage_class", {"GLACIER"}),
        ("all_storage_classes_128K", set()),
    ],
)
def test_small_objects_move_as_the_bucket_says_unless_the_rule_speaks_of_sizes(
    minimum: str, moved: set[str]
) -> None:
    small = [Aged("cat", "v", size=100)]
    for name in ("STANDARD_IA", "GLACIER"):
        plain = rule(transitions=(Transition(storage_class=name, days=1),))
        sized = rule(transitions=plain.transitions, filter=LifecycleFilter(size_over=10))
        asked = [steps(facts(each, versions=small, minimum_size=minimum), 9 * DAY) for each in (plain, sized)]
        assert [len(found) for found in asked] == [name in moved, 1]


def test_removal_goes_before_a_move_and_a_move_before_a_marker() -> None:
    moving = rule("move", transitions=(Transition(storage_class="GLACIER", days=1),))
    expiring = rule("expire", expire_days=1)
    version = [Aged("cat", "v", size=BIG, modified=CREATED)]
    later = CREATED + 9 * DAY
    assert steps(facts(moving, expiring, versions=version, versioning="off"), later) == [
        ("remove", "cat", "", "expire")
    ]
    assert steps(facts(moving, expiring, versions=version), later) == [
        ("transition", "cat", "GLACIER", "move"),
        ("mark", "cat", "", "expire"),
    ]


def test_what_is_locked_is_hidden_and_moved_but_never_removed() -> None:
    current = Aged("cat", "v", size=BIG, modified=CREATED, locked=True)
    old = Aged("cat", "w", size=BIG, latest=False, superseded=CREATED, locked=True)
    all_of_it = rule(
        expire_days=1,
        noncurrent_days=1,
        noncurrent_transitions=(Transition(storage_class="GLACIER", days=1),),
    )
    found = steps(facts(all_of_it, versions=[current, old]), CREATED + 9 * DAY)
    assert found == [("mark", "cat", "", "r"), ("transition", "cat", "GLACIER", "r")]


def test_a_plan_says_what_it_does_and_why() -> None:
    asked = facts(
        rule("old", expire_days=1, abort_days=1),
        versions=[Aged("cat", "v1", modified=CREATED)],
        uploads=[Upload("dog", "u1", CREATED)],
    )
    assert plan_lifecycle(asked, now=CREATED + 4 * DAY).lines() == [
        "hide version v1 of 'cat' in 'photos': stored 4.0 days ago (rule 'old')",
        "abort upload u1 of 'dog' in 'photos': begun 4.0 days ago (rule 'old')",
    ]


# --- against the slow twin -------------------------------------------------------------------------------

TIMES = st.integers(0, 60 * 24).map(lambda hours: hours * DAY // 24)
DAYS = st.none() | st.integers(1, 20)
TAGS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
FILTERS = st.builds(
    LifecycleFilter,
    prefix=st.sampled_from(["", "a", "a/b"]),
    tags=TAGS,
    size_over=st.none() | st.integers(0, 3),
    size_under=st.none() | st.integers(1, 5),
)
MOVES = st.lists(
    st.builds(
        Transition,
        storage_class=st.sampled_from(ORDER[1:]),
        days=st.integers(0, 20),
        newer_kept=st.integers(0, 3),
    )
    | st.builds(Transition, storage_class=st.sampled_from(ORDER[1:]), date=TIMES),
    max_size=3,
).map(tuple)
RULES = st.builds(
    LifecycleRule,
    rule_id=st.sampled_from("pqr"),
    enabled=st.booleans(),
    filter=FILTERS,
    expire_days=DAYS,
    expire_date=st.none() | TIMES,
    expire_marker=st.none() | st.booleans(),
    noncurrent_days=DAYS,
    noncurrent_newer_kept=st.integers(0, 3),
    transitions=MOVES,
    noncurrent_transitions=MOVES,
)
VERSIONS = st.builds(
    Aged,
    key=st.sampled_from(["a", "a/b", "a/b/c", "b"]),
    version_id=st.just("v"),
    size=st.integers(0, 5) | st.sampled_from([131_071, 131_072]),
    modified=TIMES,
    storage_class=st.sampled_from(["", *ORDER]),
    tags=TAGS,
    latest=st.booleans(),
    marker=st.booleans(),
    locked=st.booleans(),
    superseded=TIMES,
    newer=st.integers(0, 5),
    alone=st.booleans(),
)


@given(
    st.lists(RULES, max_size=5),
    VERSIONS,
    st.sampled_from(["off", "on", "suspended"]),
    st.sampled_from(["", "all_storage_classes_128K", "varies_by_storage_class"]),
    TIMES,
)
def test_the_plan_is_what_asking_every_rule_gives(
    rules: list[LifecycleRule], version: Aged, versioning: str, minimum: str, now: int
) -> None:
    asked = Facts("photos", tuple(rules), versioning, minimum, [version])
    actions = plan_lifecycle(asked, now=now).actions
    kinds = [action.kind for action in actions]
    moved = [action.storage_class for action in actions if action.kind == "transition"]
    found = ("remove" in kinds, "mark" in kinds, moved[0] if moved else "")
    assert found == outcome(rules, version, versioning=versioning, minimum=minimum, now=now)
    assert len(kinds) == len(set(kinds))


@given(st.lists(RULES, max_size=5), VERSIONS, TIMES)
def test_an_object_expires_exactly_when_it_was_told(
    rules: list[LifecycleRule], version: Aged, now: int
) -> None:
    current = version._replace(latest=True, marker=False, locked=False)
    told = expiration_of(
        rules, key=current.key, tags=current.tags, size=current.size, created=current.modified
    )
    gone, _, _ = outcome(rules, current, versioning="off", minimum="", now=now)
    assert gone == (told is not None and told[0] <= now)
