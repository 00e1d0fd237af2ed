"""Conditions of policies: what each operator compares, and how several values are taken together.

Pure. The rules, as IAM has them: all conditions of a statement must hold; of the values that a condition
gives, one must fit (for the negated operators: none may); a request that lacks the key fails the condition,
unless the operator is negated, ends in IfExists, or says ForAllValues.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from holdfast.tenants.policy_patterns import Facts, Pattern

Test = Callable[[str, Facts], bool]
"""Whether a value of the request fits one value of the policy."""


class Unreadable(Exception):  # noqa: N818 - not an error of ours: a document that says nothing
    """A condition that means nothing; says why."""


class Condition(NamedTuple):
    """One key under one operator."""

    key: str
    tests: tuple[Test, ...]
    negated: bool
    if_exists: bool
    quantifier: str
    null: bool | None
    """For the operator Null: whether the key must be absent."""
    values: tuple[str, ...]
    operator: str

    def holds(self, facts: Facts) -> bool:
        """Whether the request meets it."""
        value = facts(self.key)
        if self.null is not None:
            return (value is None) == self.null
        if self.quantifier:
            values: Sequence[str] = () if value is None else [value] if isinstance(value, str) else value
            if not values:
                return self.quantifier == "ForAllValues" or self.if_exists
            each = (self._fits(one, facts) for one in values)
            return all(each) if self.quantifier == "ForAllValues" else any(each)
        if value is None:
            return self.negated or self.if_exists
        if isinstance(value, str):
            return self._fits(value, facts)
        return any(self._fits(one, facts) for one in value)

    def _fits(self, value: str, facts: Facts) -> bool:
        return any(test(value, facts) for test in self.tests) != self.negated


def read_conditions(written: object, *, variables: bool) -> tuple[Condition, ...]:
    """The conditions of a statement; raises Unreadable."""
    if not isinstance(written, Mapping):
        raise Unreadable("Condition must be an object")
    conditions = []
    for operator, keys in written.items():
        if not isinstance(keys, Mapping) or not keys:
            raise Unreadable(f"the condition {operator} names no key")
        for key, given in keys.items():
            values = tuple(map(_text, given if isinstance(given, list) else [given]))
            if not values:
                raise Unreadable(f"the condition {operator} of {key} has no value")
            conditions.append(_condition(operator, _known(key), values, variables=variables))
    return tuple(conditions)


def _condition(operator: str, key: str, values: tuple[str, ...], *, variables: bool) -> Condition:
    quantifier, colon, name = operator.rpartition(":")
    if colon and quantifier not in {"ForAllValues", "ForAnyValue"}:
        raise Unreadable(f"there is no condition operator {operator}")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    null = None
    tests: tuple[Test, ...] = ()
    if name == "Null" and not if_exists and not colon:
        null = _truth(values[0])
    elif name in OPERATORS:
        tests = tuple(OPERATORS[name](value, variables) for value in values)
    else:
        raise Unreadable(f"there is no condition operator {operator}")
    return Condition(key, tests, "Not" in name, if_exists, quantifier, null, values, name)


# --- keys ------------------------------------------------------------------------------------------------

_S3_KEYS: Final = frozenset(
    f"s3:{name}"
    for name in (
        "accessgrantsinstancearn",
        "accesspointnetworkorigin",
        "authtype",
        "bucketkeyenabled",
        "dataaccesspointaccount",
        "dataaccesspointarn",
        "delimiter",
        "if-match",
        "if-none-match",
        "inventoryaccessibleoptionalfields",
        "jobsuspendedcause",
        "locationconstraint",
        "max-keys",
        "object-lock-legal-hold",
        "object-lock-mode",
        "object-lock-remaining-retention-days",
        "object-lock-retain-until-date",
        "objectcreationoperation",
        "prefix",
        "requestobjecttagkeys",
        "resourceaccount",
        "signatureage",
        "signatureversion",
        "tlsversion",
        "versionid",
        "x-amz-acl",
        "x-amz-content-sha256",
        "x-amz-copy-source",
        "x-amz-grant-full-control",
        "x-amz-grant-read",
        "x-amz-grant-read-acp",
        "x-amz-grant-write",
        "x-amz-grant-write-acp",
        "x-amz-metadata-directive",
        "x-amz-object-ownership",
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    )
)
_KEY_FAMILIES: Final = ("aws:", "s3:existingobjecttag/", "s3:requestobjecttag/")


def _known(key: str) -> str:
    """The key's name in lower case, if it is one."""
    name = key.lower()
    if name not in _S3_KEYS and not name.startswith(_KEY_FAMILIES):
        raise Unreadable(f"there is no condition key {key[:100]}")
    return name


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise Unreadable("a condition's value must be text, a number, true or false")


# --- operators -------------------------------------------------------------------------------------------

Maker = Callable[[str, bool], Test]
"""Makes a test of a policy's value; whether variables are replaced is the second argument."""


def _equals(value: str, variables: bool) -> Test:
    return Pattern(value, wild=False, variables=variables).matches


def _like(value: str, variables: bool) -> Test:
    return Pattern(value, wild=True, variables=variables).matches


def _equals_folded(value: str, variables: bool) -> Test:
    pattern = Pattern(value.lower(), wild=False, variables=variables)
    return lambda given, facts: pattern.matches(given.lower(), lambda name: _lower(facts(name)))


def _lower(value: str | Sequence[str] | None) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _arn(value: str, variables: bool) -> Test:
    """Six parts, each compared by itself, so that a star does not reach into the next."""
    patterns = [Pattern(part, wild=True, variables=variables) for part in _arn_parts(value)]

    def test(given: str, facts: Facts) -> bool:
        parts = _arn_parts(given)
        return len(parts) == len(patterns) and all(
            pattern.matches(part, facts) for pattern, part in zip(patterns, parts, strict=True)
        )

    return test


def _arn_parts(arn: str) -> list[str]:
    """The parts between colons; those of a variable do not part."""
    parts = re.split(r":(?![^{}]*\})", arn, maxsplit=5)
    return parts if parts[0] != "*" or len(parts) > 1 else ["*"] * 6


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds(value: str) -> float | None:
    """A date as seconds since the epoch: those themselves, or ISO 8601 (UTC unless it says otherwise)."""
    number = _number(value)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _compared(read: Callable[[str], float | None], compare: Callable[[float, float], bool]) -> Maker:
    def maker(value: str, variables: bool) -> Test:  # noqa: ARG001 - numbers and dates have no variables
        bound = read(value)
        if bound is None:
            raise Unreadable(f"'{value[:40]}' is not what the condition compares")

        def test(given: str, facts: Facts) -> bool:  # noqa: ARG001
            known = read(given)
            return known is not None and compare(known, bound)

        return test

    return maker


def _truth(value: str) -> bool:
    if value.lower() not in {"true", "false"}:
        raise Unreadable(f"'{value[:40]}' is neither true nor false")
    return value.lower() == "true"


def _bool(value: str, variables: bool) -> Test:  # noqa: ARG001
    wanted = "true" if _truth(value) else "false"
    return lambda given, _facts: given.lower() == wanted


def _bytes(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def _binary(value: str, variables: bool) -> Test:  # noqa: ARG001
    wanted = _bytes(value)
    if wanted is None:
        raise Unreadable(f"'{value[:40]}' is not base64")
    return lambda given, _facts: _bytes(given) == wanted


def _address(value: str, variables: bool) -> Test:  # noqa: ARG001
    network = read_network(value)
    return lambda given, _facts: (address := _read_address(given)) is not None and address in network


def read_network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Addresses as policies write them; raises Unreadable."""
    try:
        return ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise Unreadable(f"'{value[:60]}' is no range of addresses") from error


def _read_address(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(value.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


_ORDERS: Final[dict[str, Callable[[float, float], bool]]] = {
    "Equals": lambda given, bound: given == bound,
    "NotEquals": lambda given, bound: given == bound,
    "LessThan": lambda given, bound: given < bound,
    "LessThanEquals": lambda given, bound: given <= bound,
    "GreaterThan": lambda given, bound: given > bound,
    "GreaterThanEquals": lambda given, bound: given >= bound,
}

# The negated ones make the test of what they negate.
OPERATORS: Final[dict[str, Maker]] = {
    "StringEquals": _equals,
    "StringNotEquals": _equals,
    "StringEqualsIgnoreCase": _equals_folded,
    "StringNotEqualsIgnoreCase": _equals_folded,
    "StringLike": _like,
    "StringNotLike": _like,
    "ArnEquals": _arn,
    "ArnNotEquals": _arn,
    "ArnLike": _arn,
    "ArnNotLike": _arn,
    "Bool": _bool,
    "BinaryEquals": _binary,
    "IpAddress": _address,
    "NotIpAddress": _address,
    **{f"Numeric{order}": _compared(_number, compare) for order, compare in _ORDERS.items()},
    **{f"Date{order}": _compared(_seconds, compare) for order, compare in _ORDERS.items()},
}
