"""Bucket policies: read and checked once, then asked about requests.

Pure. A statement speaks about a request if its principals mean who asks, its actions and resources what is
asked, and all its conditions hold. One that denies wins over all that allow; where none speaks, the policy
says nothing. Documents are refused for what S3 refuses them for, and not for rules that could only ever say
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from holdfast.tenants.identity import Identity
from holdfast.tenants.policy_conditions import Condition, Unreadable, read_conditions
from holdfast.tenants.policy_patterns import Facts, Pattern, glob_matches
from holdfast.tenants.policy_principals import Principals, read_principals
from holdfast.tenants.policy_public import makes_public
from holdfast.tenants.s3_actions import NAMED_ONLY, S3_ACTIONS
from holdfast.world.errors import Refusal

Said = Literal["allow", "deny", ""]
ALLOW: Final = "allow"
DENY: Final = "deny"
NOTHING: Final = ""

BYTES_MAX: Final = 20 * 1024
ARN_HEAD: Final = "arn:aws:s3:::"

Context = Mapping[str, str | list[str]]

_PARTITIONS: Final = ("arn:aws-cn:s3:::", "arn:aws-us-gov:s3:::")
_VERSIONS: Final = frozenset({"2008-10-17", "2012-10-17"})
_WITH_VARIABLES: Final = "2012-10-17"
_FIELDS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_FIELDS: Final = frozenset(
    {
        "Action",
        "Condition",
        "Effect",
        "NotAction",
        "NotPrincipal",
        "NotResource",
        "Principal",
        "Resource",
        "Sid",
    }
)
_READ_POLICIES: Final = 512


class Resources(NamedTuple):
    """Which resources a statement is about; or which ones it is not about."""

    patterns: tuple[Pattern, ...]
    negated: bool

    def cover(self, arn: str, facts: Facts) -> bool:
        """Whether the statement is about this one."""
        return any(pattern.matches(arn, facts) for pattern in self.patterns) != self.negated


class Actions:
    """Which actions a statement is about; or which ones it is not about. In any case of letters."""

    __slots__ = ("_known", "negated", "patterns")

    def __init__(self, patterns: tuple[str, ...], *, negated: bool) -> None:
        self.patterns = patterns
        self.negated = negated
        self._known: dict[str, bool] = {}

    def cover(self, action: str) -> bool:
        """Whether the statement is about this one."""
        known = self._known.get(action)
        if known is None:
            lowered = action.lower()
            known = any(glob_matches(pattern, lowered) for pattern in self.patterns) != self.negated
            self._known[action] = known
        return known


class Statement(NamedTuple):
    """One rule."""

    allows: bool
    principals: Principals
    actions: Actions
    resources: Resources
    conditions: tuple[Condition, ...]

    def speaks(self, identity: Identity, action: str, arn: str, facts: Facts) -> bool:
        """Whether it is about this request."""
        return (
            self.actions.cover(action)
            and self.principals.mean(identity)
            and self.resources.cover(arn, facts)
            and all(condition.holds(facts) for condition in self.conditions)
        )


class Policy:
    """A policy that was checked."""

    __slots__ = ("_allowing", "_denying", "is_public", "statements")

    def __init__(self, statements: tuple[Statement, ...]) -> None:
        self.statements = statements
        self._allowing = [statement for statement in statements if statement.allows]
        self._denying = [statement for statement in statements if not statement.allows]
        self.is_public = any(makes_public(each.principals, each.conditions) for each in self._allowing)

    def judge(
        self, identity: Identity, action: str, bucket: str, key: str | None, account: str, context: Context
    ) -> Said:
        """What the statements say together.

        Args:
            identity: who asks.
            action: "s3:GetObject".
            bucket: the bucket's name.
            key: the object's key for actions on objects.
            account: of the bucket's owner.
            context: the values of condition keys by lower-case name, but for those about who asks.
        """
        arn = f"{ARN_HEAD}{bucket}" if key is None else f"{ARN_HEAD}{bucket}/{key}"
        facts = _facts_of(identity, account, context)
        if any(statement.speaks(identity, action, arn, facts) for statement in self._denying):
            return DENY
        if any(statement.speaks(identity, action, arn, facts) for statement in self._allowing):
            return ALLOW
        return NOTHING


def _facts_of(identity: Identity, account: str, context: Context) -> Facts:
    def fact(name: str) -> str | Sequence[str] | None:
        about = _ABOUT_IDENTITY.get(name)
        if about is not None:
            return about(identity)
        if name in {"s3:resourceaccount", "aws:resourceaccount"}:
            return account
        return context.get(name)

    return fact


_ABOUT_IDENTITY: Final[dict[str, Callable[[Identity], str | None]]] = {
    "aws:username": lambda identity: identity.user_name or None,
    "aws:userid": lambda identity: (
        "anonymous" if identity.anonymous else identity.user_id or identity.account
    ),
    "aws:principalarn": lambda identity: None if identity.anonymous else identity.arn,
    "aws:principalaccount": lambda identity: identity.account or None,
    "aws:principaltype": lambda identity: (
        "Anonymous" if identity.anonymous else "User" if identity.user_name else "Account"
    ),
    "aws:principalisawsservice": lambda _identity: "false",
    "aws:viaawsservice": lambda _identity: "false",
}
"""The condition keys about who asks; a request cannot say otherwise."""


# --- reading ---------------------------------------------------------------------------------------------


@lru_cache(_READ_POLICIES)
def policy_of(text: str) -> Policy:
    """A stored policy, remembered; it was checked when it was given to its bucket."""
    return _read(text, None)


def read_policy(text: str | bytes, bucket: str) -> Policy:
    """A policy given to a bucket; raises Refusal("policy.malformed") with what S3 says about it."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > BYTES_MAX:
        raise _malformed("Policy exceeds the maximum allowed document size.")
    if not data.startswith(b"{"):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    try:
        return _read(data.decode(), bucket)
    except UnicodeDecodeError as error:
        raise _malformed("This policy contains invalid Json") from error


def _read(text: str, bucket: str | None) -> Policy:
    try:
        document = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _malformed("This policy contains invalid Json") from error
    if not isinstance(document, dict):
        raise _malformed("This policy contains invalid Json")
    if not set(document) <= _FIELDS:
        raise _malformed(f"Unknown field {min(set(document) - _FIELDS)[:80]}")
    version = document.get("Version", "2008-10-17")
    if not isinstance(version, str) or version not in _VERSIONS:
        raise _malformed("The policy must contain a valid version string")
    if not isinstance(document.get("Id", ""), str):
        raise _malformed("The field Id must be text")
    written = document.get("Statement")
    if isinstance(written, dict):
        written = [written]
    if not isinstance(written, list) or not written:
        raise _malformed("Could not parse the policy: Statement is empty!")
    _check_sids(written)
    variables = version == _WITH_VARIABLES
    return Policy(tuple(_statement(each, bucket, variables=variables) for each in written))


def _check_sids(statements: list[Any]) -> None:
    seen = set()
    for each in statements:
        if not isinstance(each, dict):
            raise _malformed("A statement must be an object")
        sid = each.get("Sid", "")
        if not isinstance(sid, str):
            raise _malformed("The field Sid must be text")
        if sid and sid in seen:
            raise _malformed("Statement IDs (SID) in a single policy must be unique.")
        seen.add(sid)


def _statement(written: dict[str, Any], bucket: str | None, *, variables: bool) -> Statement:
    if not set(written) <= _STATEMENT_FIELDS:
        raise _malformed(f"Unknown field {min(set(written) - _STATEMENT_FIELDS)[:80]}")
    effect = written.get("Effect")
    if effect is None:
        raise _malformed("Missing required field Effect")
    if effect not in ("Allow", "Deny"):
        raise _malformed(f"Invalid effect: {str(effect)[:40]}")
    principal, inverted = _one_of(written, "Principal")
    try:
        principals = read_principals(principal, negated=inverted)
        conditions = read_conditions(written.get("Condition", {}), variables=variables)
    except Unreadable as error:
        raise _malformed(str(error)) from error
    return Statement(
        effect == "Allow", principals, _actions(written), _resources(written, bucket, variables), conditions
    )


def _one_of(written: dict[str, Any], name: str) -> tuple[Any, bool]:
    """The field or its opposite (`Not...`), of which there must be exactly one, and whether it is that."""
    inverse = f"Not{name}"
    if name in written and inverse in written:
        raise _malformed(f"Statement cannot contain both {name} and {inverse}")
    if inverse in written:
        return written[inverse], True
    if name not in written:
        raise _malformed(f"Missing required field {name}")
    return written[name], False


def _texts(value: object, name: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise _malformed(f"Missing required field {name} cannot be empty!")
    if not all(isinstance(each, str) and each for each in values):
        raise _malformed(f"The field {name} must be text, or a list of texts")
    return tuple(values)


def _actions(written: dict[str, Any]) -> Actions:
    value, negated = _one_of(written, "Action")
    patterns = tuple(each.lower() for each in _texts(value, "Action"))
    for pattern in patterns:
        if not any(glob_matches(pattern, action) for action in _KNOWN_ACTIONS):
            raise _malformed("Policy has invalid action")
    return Actions(patterns, negated=negated)


_KNOWN_ACTIONS: Final = tuple(action.lower() for action in (*S3_ACTIONS, *sorted(NAMED_ONLY)))


def _resources(written: dict[str, Any], bucket: str | None, variables: bool) -> Resources:
    value, negated = _one_of(written, "Resource")
    patterns = []
    for text in _texts(value, "Resource"):
        whole = text
        for head in _PARTITIONS:
            if text.startswith(head):
                whole = ARN_HEAD + text[len(head) :]
        pattern = Pattern(whole, wild=True, variables=variables)
        anywhere = bucket is None or negated
        if not _may_cover(pattern, ARN_HEAD if anywhere else f"{ARN_HEAD}{bucket}/", partly=anywhere):
            raise _malformed("Policy has invalid resource")
        patterns.append(pattern)
    return Resources(tuple(patterns), negated)


def _may_cover(pattern: Pattern, inside: str, *, partly: bool) -> bool:
    """Whether the pattern can be about what begins with `inside`, or (unless `partly`) about its bucket."""
    if pattern.head.startswith(inside):
        return True
    if pattern.literal:
        return not partly and pattern.head == inside[:-1]
    return inside.startswith(pattern.head)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a field is given twice")
    return read


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _malformed(message: str) -> Refusal:
    return Refusal("policy.malformed", message)
