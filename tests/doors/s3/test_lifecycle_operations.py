"""Lifecycle configurations: every form comes back as it was put; what cannot be is refused in S3's words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes
from tests.doors.s3.test_tagging import KEYS, LETTERS, as_set

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import lifecycle_operations as lifecycle
from holdfast.files.bucket_settings import LifecycleFilter, LifecycleRule, Transition

PREFIXES = st.text("abc/é &<", max_size=5)
DAYS = st.integers(1, 5000)
DATES = st.integers(0, 40000).map(lambda day: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=day))
SIZES = st.integers(0, 2**62)


@st.composite
def and_filters(draw: st.DrawFn) -> dict[str, Any]:
    both: dict[str, Any] = {}
    if draw(st.booleans()):
        both["Prefix"] = draw(PREFIXES)
    tags = draw(st.dictionaries(KEYS, LETTERS, max_size=3))
    if tags:
        both["Tags"] = as_set(tags)
    if draw(st.booleans()):
        both["ObjectSizeGreaterThan"] = draw(SIZES)
    if draw(st.booleans()):
        both["ObjectSizeLessThan"] = both.get("ObjectSizeGreaterThan", 0) + draw(st.integers(1, 2**60))
    missing = 2 - len(tags) - sum(name != "Tags" for name in both)
    if missing > 0:
        both["Tags"] = as_set(tags | {f"more{number}": "" for number in range(missing)})
    return {"And": both}


FILTERS = st.one_of(
    st.just({}),
    st.builds(lambda prefix: {"Prefix": prefix}, PREFIXES),
    st.builds(lambda key, value: {"Tag": {"Key": key, "Value": value}}, KEYS, LETTERS),
    st.builds(lambda size: {"ObjectSizeGreaterThan": size}, SIZES),
    st.builds(lambda size: {"ObjectSizeLessThan": size + 1}, SIZES),
    and_filters(),
)


def has_tags(wanted: dict[str, Any]) -> bool:
    return "Tag" in wanted or "Tags" in wanted.get("And", {})


def has_sizes(wanted: dict[str, Any]) -> bool:
    return any(name.startswith("ObjectSize") for name in (*wanted, *wanted.get("And", {})))


@st.composite
def actions(draw: st.DrawFn, wanted: dict[str, Any]) -> dict[str, Any]:
    """Actions that go together, at least one."""
    made: dict[str, Any] = {}
    dated = draw(st.booleans())
    classes = sorted(
        draw(st.lists(st.sampled_from(lifecycle.COLDER), unique=True, max_size=3)), key=lifecycle.COLDER.index
    )
    ages = sorted(draw(st.lists(st.integers(0, 4000), min_size=4, max_size=4, unique=True)))
    when = [datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=age) for age in ages] if dated else ages
    unit = "Date" if dated else "Days"
    if classes:
        made["Transitions"] = [
            {unit: age, "StorageClass": name} for age, name in zip(when, classes, strict=False)
        ]
    end = draw(st.sampled_from(["none", "age", "marker"]))
    if end == "age":
        made["Expiration"] = {unit: when[3] if dated else max(ages[3], 1)}
    elif end == "marker" and not has_tags(wanted):
        made["Expiration"] = {"ExpiredObjectDeleteMarker": draw(st.booleans())}
    if draw(st.booleans()):
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": ages[3] + 1}
        if draw(st.booleans()):
            made["NoncurrentVersionExpiration"]["NewerNoncurrentVersions"] = draw(st.integers(1, 100))
    if draw(st.booleans()):
        made["NoncurrentVersionTransitions"] = [
            {"NoncurrentDays": ages[0], "StorageClass": draw(st.sampled_from(lifecycle.COLDER))}
        ]
        if draw(st.booleans()):
            made["NoncurrentVersionTransitions"][0]["NewerNoncurrentVersions"] = draw(st.integers(1, 100))
    may_abort = not has_tags(wanted) and not has_sizes(wanted)
    if may_abort and (not made or draw(st.booleans())):
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": draw(DAYS)}
    return made or {"Expiration": {"Days": draw(DAYS)}}


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(draw(st.integers(1, 4))):
        wanted = draw(FILTERS)
        rule = {"Status": draw(st.sampled_from(["Enabled", "Disabled"])), "Filter": wanted}
        if draw(st.booleans()):
            rule["ID"] = f"{draw(LETTERS)[:20]} {number}"
        made.append(rule | draw(actions(wanted)))
    return made


def put(
    *given: dict[str, Any], operation: str = "PutBucketLifecycleConfiguration"
) -> tuple[LifecycleRule, ...]:
    root = shapes.sent(operation, LifecycleConfiguration={"Rules": list(given)})
    return lifecycle.read_lifecycle(root)


def got(read: tuple[LifecycleRule, ...], operation: str = "GetBucketLifecycleConfiguration") -> Any:
    return shapes.shown(operation, "LifecycleConfiguration", lifecycle.lifecycle_elements(read))["Rules"]


def without_made_ids(given: list[dict[str, Any]], shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        each if "ID" in put_rule else {name: each[name] for name in each if name != "ID"}
        for put_rule, each in zip(given, shown, strict=True)
    ]


@settings(max_examples=200)
@given(rules())
def test_a_configuration_comes_back_as_it_was_put(given: list[dict[str, Any]]) -> None:
    read = put(*given)
    shown = got(read)
    assert without_made_ids(given, shown) == given
    assert len({rule["ID"] for rule in shown}) == len(shown)
    assert lifecycle.read_lifecycle(shapes.sent("PutBucketLifecycleConfiguration",
                                                LifecycleConfiguration={"Rules": shown})) == read  # fmt: skip


@given(st.lists(st.sampled_from(["a", "b/", "c/d", "e"]), min_size=1, max_size=4, unique=True), st.data())
def test_the_older_form_comes_back_as_it_was_put(prefixes: list[str], data: st.DataObject) -> None:
    given: list[dict[str, Any]] = [
        {
            "ID": f"rule {prefix}",
            "Prefix": prefix,
            "Status": "Enabled",
            "Transition": {"Days": 1, "StorageClass": "GLACIER"},
            "Expiration": {"Days": data.draw(st.integers(2, 100))},
            "NoncurrentVersionExpiration": {"NoncurrentDays": data.draw(DAYS)},
        }
        for prefix in prefixes
    ]
    read = put(*given, operation="PutBucketLifecycle")
    assert got(read, "GetBucketLifecycle") == given


def test_every_part_of_a_rule_is_kept() -> None:
    rule = {
        "ID": "all",
        "Status": "Enabled",
        "Filter": {"And": {"Prefix": "logs/", "Tags": as_set({"a": "1"}), "ObjectSizeGreaterThan": 500}},
        "Transitions": [{"Days": 0, "StorageClass": "STANDARD_IA"}, {"Days": 9, "StorageClass": "GLACIER"}],
        "Expiration": {"Days": 10},
        "NoncurrentVersionTransitions": [
            {"NoncurrentDays": 0, "StorageClass": "GLACIER", "NewerNoncurrentVersions": 2}
        ],
        "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 5},
    }
    assert put(rule) == (
        LifecycleRule(
            rule_id="all",
            enabled=True,
            filter=LifecycleFilter(prefix="logs/", tags={"a": "1"}, size_over=500, form="and_prefix"),
            expire_days=10,
            transitions=(
                Transition(storage_class="STANDARD_IA", days=0),
                Transition(storage_class="GLACIER", days=9),
            ),
            noncurrent_days=3,
            noncurrent_newer_kept=5,
            noncurrent_transitions=(Transition(storage_class="GLACIER", days=0, newer_kept=2),),
        ),
    )


def rule_of(**given: Any) -> dict[str, Any]:
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "p"}, "Expiration": {"Days": 10}} | given
    return {name: value for name, value in rule.items() if value is not None}


TAGGED = {"Tag": {"Key": "a", "Value": "b"}}
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY_ONE = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (rule_of(ID="x" * 256), "InvalidArgument"),
        (rule_of(Status="enabled"), "MalformedXML"),
        (rule_of(Filter=None), "MalformedXML"),
        (rule_of(Prefix="p"), "MalformedXML"),
        (rule_of(Expiration=None), "InvalidRequest"),
        (rule_of(Expiration={}), "MalformedXML"),
        (rule_of(Expiration={"Days": 0}), "InvalidArgument"),
        (rule_of(Expiration={"Days": -1}), "InvalidArgument"),
        (rule_of(Expiration={"Days": 2**31}), "MalformedXML"),
        (rule_of(Expiration={"Date": NOON}), "InvalidArgument"),
        (rule_of(Expiration={"Date": DAY_ONE, "Days": 1}), "MalformedXML"),
        (rule_of(Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True}), "MalformedXML"),
        (rule_of(Expiration={"ExpiredObjectDeleteMarker": True}, Filter=TAGGED), "InvalidRequest"),
        (rule_of(Filter={"Prefix": "a", **TAGGED}), "MalformedXML"),
        (rule_of(Filter={"And": {"Prefix": "a"}}), "MalformedXML"),
        (rule_of(Filter={"And": {}}), "MalformedXML"),
        (rule_of(Filter={"And": {"Tags": as_set({"a": "1"}) * 2}}), "InvalidRequest"),
        (rule_of(Filter={"ObjectSizeGreaterThan": -1}), "InvalidArgument"),
        (rule_of(Filter={"ObjectSizeLessThan": 0}), "InvalidArgument"),
        (
            rule_of(Filter={"And": {"ObjectSizeGreaterThan": 9, "ObjectSizeLessThan": 9}}),
            "InvalidRequest",
        ),
        (rule_of(Filter={"Tag": {"Key": "", "Value": ""}}), "InvalidTag"),
        (rule_of(Transitions=[{"StorageClass": "GLACIER"}]), "MalformedXML"),
        (rule_of(Transitions=[{"Days": 1}]), "MalformedXML"),
        (rule_of(Transitions=[{"Days": 1, "StorageClass": "STANDARD"}]), "MalformedXML"),
        (rule_of(Transitions=[{"Days": -1, "StorageClass": "GLACIER"}]), "InvalidArgument"),
        (rule_of(Transitions=[{"Days": 10, "StorageClass": "GLACIER"}]), "InvalidArgument"),
        (rule_of(Transitions=[{"Date": DAY_ONE, "StorageClass": "GLACIER"}]), "InvalidRequest"),
        (rule_of(Transitions=[{"Date": NOON, "StorageClass": "GLACIER"}]), "InvalidArgument"),
        (
            rule_of(
                Transitions=[
                    {"Days": 5, "StorageClass": "STANDARD_IA"},
                    {"Days": 5, "StorageClass": "GLACIER"},
                ]
            ),
            "InvalidArgument",
        ),
        (
            rule_of(
                Transitions=[{"Days": 5, "StorageClass": "GLACIER"}, {"Days": 6, "StorageClass": "GLACIER"}]
            ),
            "InvalidRequest",
        ),
        (rule_of(NoncurrentVersionExpiration={}), "MalformedXML"),
        (rule_of(NoncurrentVersionExpiration={"NoncurrentDays": 0}), "InvalidArgument"),
        (
            rule_of(NoncurrentVersionExpiration={"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}),
            "InvalidArgument",
        ),
        (
            rule_of(
                NoncurrentVersionExpiration={"NoncurrentDays": 1},
                NoncurrentVersionTransitions=[{"NoncurrentDays": 1, "StorageClass": "GLACIER"}],
            ),
            "InvalidArgument",
        ),
        (rule_of(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0}), "InvalidArgument"),
        (
            rule_of(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}, Filter=TAGGED),
            "InvalidRequest",
        ),
        (
            rule_of(
                AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1},
                Filter={"ObjectSizeGreaterThan": 1},
            ),
            "InvalidRequest",
        ),
        (rule_of(Filter={"Prefix": "p" * 1025}), "InvalidArgument"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(rule)
    assert shapes.code_of(caught.value) == (code, 400)


@pytest.mark.parametrize(
    ("rules_given", "code", "words"),
    [
        ([rule_of(), rule_of()], "InvalidArgument", "Rule ID must be unique"),
        (
            [rule_of(), rule_of(ID="s", Filter=None, Prefix="q")],
            "InvalidRequest",
            "Lifecycle V2",
        ),
        (
            [rule_of(Filter=None, Prefix="a"), rule_of(ID="s", Filter=None, Prefix="a/b")],
            "InvalidRequest",
            "Found overlapping prefixes 'a' and 'a/b' for same action type 'Expiration'",
        ),
        ([], "MalformedXML", ""),
        ([rule_of(ID=f"{number}") for number in range(1001)], "MalformedXML", ""),
    ],
)
def test_rules_that_do_not_go_together_are_refused(
    rules_given: list[dict[str, Any]], code: str, words: str
) -> None:
    with pytest.raises(S3Error) as caught:
        put(*rules_given)
    assert shapes.code_of(caught.value) == (code, 400)
    assert words in caught.value.message


def test_a_thousand_rules_and_overlapping_filters_are_taken() -> None:
    assert len(put(*[rule_of(ID=f"{number}") for number in range(1000)])) == 1000


@given(st.lists(st.text("ab", max_size=4), min_size=2, max_size=6))
def test_overlap_is_found_as_comparing_all_pairs_finds_it(prefixes: list[str]) -> None:
    given = [rule_of(ID=str(number), Filter=None, Prefix=text) for number, text in enumerate(prefixes)]
    obvious = any(
        one.startswith(other) or other.startswith(one)
        for number, one in enumerate(prefixes)
        for other in prefixes[:number]
    )
    error = shapes.refusal_of(lambda: put(*given))
    assert (None if error is None else error.code) == ("InvalidRequest" if obvious else None)


def test_classes_stand_in_the_order_in_which_upkeep_moves_between_them() -> None:
    from holdfast.upkeep.plans.lifecycle import COLDNESS

    assert all(COLDNESS[warm] < COLDNESS[cold] for warm, cold in pairwise(lifecycle.COLDER))


VALID = shapes.written(
    "PutBucketLifecycleConfiguration",
    LifecycleConfiguration={
        "Rules": [
            rule_of(
                Filter={"And": {"Prefix": "a", "Tags": as_set({"a": "1"}), "ObjectSizeLessThan": 9}},
                Transitions=[{"Days": 1, "StorageClass": "GLACIER"}],
                NoncurrentVersionTransitions=[{"NoncurrentDays": 1, "StorageClass": "GLACIER"}],
                NoncurrentVersionExpiration={"NoncurrentDays": 3, "NewerNoncurrentVersions": 5},
            ),
            rule_of(ID="s", Expiration={"Date": DAY_ONE}),
        ]
    },
)


@settings(max_examples=300)
@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, lambda root: got(lifecycle.read_lifecycle(root)))


@given(st.data())
def test_a_document_with_broken_bytes_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives_bytes(data, VALID, lifecycle.read_lifecycle)
