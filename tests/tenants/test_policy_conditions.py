from __future__ import annotations

from typing import Any

import pytest

from holdfast.tenants.policy_conditions import OPERATORS, Unreadable, read_conditions

KEY = "aws:UserAgent"
ABSENT = None


def holds(operator: str, values: Any, given: Any, key: str = KEY) -> bool:
    (condition,) = read_conditions({operator: {key: values}}, variables=True)
    return condition.holds(lambda name: given if name == key.lower() else None)


@pytest.mark.parametrize(
    ("operator", "values", "given", "expected"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["b", "a"], "a", True),
        ("StringEquals", "A", "a", False),
        ("StringEquals", "a*", "ab", False),
        ("StringNotEquals", ["a", "b"], "a", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringEqualsIgnoreCase", "ABC", "abc", True),
        ("StringNotEqualsIgnoreCase", "ABC", "abc", False),
        ("StringLike", "a*c?", "abbcd", True),
        ("StringLike", ["x", "a*"], "b", False),
        ("StringNotLike", "a*", "ab", False),
        ("NumericEquals", 5, "5", True),
        ("NumericEquals", "5.0", "5", True),
        ("NumericEquals", "5", "five", False),
        ("NumericNotEquals", "5", "6", True),
        ("NumericLessThan", "5", "5", False),
        ("NumericLessThanEquals", "5", "5", True),
        ("NumericGreaterThan", "5", "6", True),
        ("NumericGreaterThanEquals", "5", "4.9", False),
        ("DateLessThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", True),
        ("DateGreaterThan", "2026-01-01", "2026-01-01T00:00:01Z", True),
        ("DateEquals", "2026-01-01T02:00:00+02:00", "1767225600", True),
        ("DateNotEquals", "2026-01-01", "2026-01-02", True),
        ("DateGreaterThanEquals", "1767225600", "2026-01-01T00:00:00Z", True),
        ("DateLessThanEquals", "2026-01-01", "2026-01-02", False),
        ("Bool", "true", "true", True),
        ("Bool", True, "True", True),
        ("Bool", False, "true", False),
        ("IpAddress", "10.0.0.0/8", "10.1.2.3", True),
        ("IpAddress", ["192.0.2.0/24", "2001:db8::/32"], "2001:db8::7", True),
        ("IpAddress", "10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("IpAddress", "10.0.0.0/8", "not an address", False),
        ("IpAddress", "10.1.2.3", "10.1.2.3", True),
        ("NotIpAddress", "10.0.0.0/8", "10.1.2.3", False),
        ("NotIpAddress", "10.0.0.0/8", "11.1.2.3", True),
        ("ArnEquals", "arn:aws:iam::1:user/*", "arn:aws:iam::1:user/joe", True),
        ("ArnLike", "arn:aws:*:root", "arn:aws:iam::1:root", False),
        ("ArnLike", "arn:aws:*:*:1:root", "arn:aws:iam::1:root", True),
        ("ArnNotLike", "arn:aws:iam::1:*", "arn:aws:iam::2:root", True),
        ("ArnNotEquals", "arn:aws:iam::1:*", "arn:aws:iam::1:root", False),
        ("BinaryEquals", "QUI=", "QUI=", True),
        ("BinaryEquals", "QUI=", "QUM=", False),
        ("BinaryEquals", "QUI=", "no base64", False),
    ],
)
def test_each_operator_compares_as_iam_says(operator: str, values: Any, given: str, expected: bool) -> None:
    assert holds(operator, values, given) is expected


SAMPLES = {"Date": "2026-01-01", "Numeric": "1", "Bool": "true", "Binary": "QUI="}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_a_missing_key_fails_but_for_what_is_negated_or_optional(operator: str) -> None:
    value = next((each for head, each in SAMPLES.items() if operator.startswith(head)), "10.0.0.1")
    assert holds(operator, value, ABSENT) is ("Not" in operator)
    assert holds(operator + "IfExists", value, ABSENT)
    assert holds("ForAllValues:" + operator, value, ABSENT)
    assert not holds("ForAnyValue:" + operator, value, ABSENT)


@pytest.mark.parametrize(
    ("operator", "values", "given", "expected"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
        ("ForAllValues:StringEquals", ["a", "b"], [], True),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], True),
        ("ForAnyValue:StringEquals", ["a", "b"], ["c"], False),
        ("ForAnyValue:StringLike", "a*", ["c", "ab"], True),
        ("ForAllValues:StringNotEquals", ["a"], ["b", "c"], True),
        ("ForAllValues:StringNotEquals", ["a"], ["b", "a"], False),
        ("ForAnyValue:StringNotEquals", ["a"], ["b", "a"], True),
        ("StringEquals", "a", ["b", "a"], True),
        ("Null", "true", None, True),
        ("Null", "true", "here", False),
        ("Null", False, "here", True),
        ("Null", "false", None, False),
    ],
)
def test_several_values_are_taken_together(operator: str, values: Any, given: Any, expected: bool) -> None:
    assert holds(operator, values, given, "s3:RequestObjectTagKeys") is expected


def test_all_conditions_are_read_and_variables_are_filled() -> None:
    conditions = read_conditions(
        {"StringLike": {"s3:prefix": ["${aws:username}/*", ""]}, "Bool": {"aws:SecureTransport": "true"}},
        variables=True,
    )
    facts = {"s3:prefix": "joe/x", "aws:username": "joe", "aws:securetransport": "true"}
    assert all(condition.holds(facts.get) for condition in conditions)
    facts["s3:prefix"] = "jim/x"
    assert [condition.holds(facts.get) for condition in conditions] == [False, True]


@pytest.mark.parametrize(
    "written",
    [
        [],
        "x",
        {"StringEquals": "x"},
        {"StringEquals": {}},
        {"StringEquals": {KEY: []}},
        {"StringEquals": {KEY: {}}},
        {"StringEquals": {KEY: None}},
        {"StringEquals": {KEY: [["x"]]}},
        {"StringSounds": {KEY: "x"}},
        {"stringequals": {KEY: "x"}},
        {"ForSomeValues:StringEquals": {KEY: "x"}},
        {"NullIfExists": {KEY: "true"}},
        {"StringEquals": {"s3:weather": "x"}},
        {"StringEquals": {"username": "x"}},
        {"NumericEquals": {KEY: "five"}},
        {"NumericEquals": {KEY: "nan"}},
        {"DateEquals": {KEY: "yesterday"}},
        {"Bool": {KEY: "perhaps"}},
        {"Null": {KEY: "perhaps"}},
        {"IpAddress": {KEY: "10.0.0.0/99"}},
        {"BinaryEquals": {KEY: "?"}},
    ],
)
def test_a_condition_that_means_nothing_is_refused(written: Any) -> None:
    with pytest.raises(Unreadable):
        read_conditions(written, variables=True)
