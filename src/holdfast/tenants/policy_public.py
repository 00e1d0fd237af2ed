"""Whether a statement makes something public, in S3's sense of the word.

Pure. A statement that allows is public unless it means certain principals, or has a condition that pins who
asks, or from where, to values without wildcards and variables.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from holdfast.tenants.policy_conditions import Condition, read_network
from holdfast.tenants.policy_principals import Principals

_PINNING: Final = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:sourceowner",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:userid",
        "aws:username",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)
_EQUAL: Final = frozenset({"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike"})

# Ranges wider than these are as good as everybody.
_WIDEST: Final = {4: 8, 6: 32}


def makes_public(principals: Principals, conditions: tuple[Condition, ...]) -> bool:
    """Whether a statement with these that allows something makes it public."""
    if not principals.everybody and not principals.negated:
        return False
    return not any(_pins(condition) for condition in conditions)


def _pins(condition: Condition) -> bool:
    if condition.if_exists or condition.quantifier == "ForAllValues":
        return False
    if condition.key == "aws:sourceip" and condition.operator == "IpAddress":
        return all(_narrow(value) for value in condition.values)
    return (
        condition.key in _PINNING
        and condition.operator in _EQUAL
        and all(not set("*?$") & set(value) for value in condition.values)
    )


def _narrow(value: str) -> bool:
    network: ipaddress.IPv4Network | ipaddress.IPv6Network = read_network(value)
    return network.prefixlen >= _WIDEST[network.version] or network.is_private
