"""Principals of policies: everybody, accounts, users, canonical ids.

Pure. An account means everyone who acts for it. Those that nobody here can be (roles, services, identity
providers) may be named, and mean nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from holdfast.tenants.identity import Identity
from holdfast.tenants.policy_conditions import Unreadable

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_CANONICAL: Final = re.compile(r"[0-9a-f]{64}")
_ARN: Final = re.compile(r"arn:aws[a-z-]*:(iam|sts)::([^:]*):(.+)", re.DOTALL)
_KINDS: Final = frozenset({"AWS", "CanonicalUser", "Federated", "Service"})
_OTHERS: Final = ("role/", "assumed-role/", "federated-user/", "group/")


class Principals(NamedTuple):
    """Whom a statement means; or whom it does not.

    `accounts` are names of tenants (account numbers, canonical ids), `users` pairs of such a name, or
    nothing, and the name or id of a user.
    """

    everybody: bool
    accounts: frozenset[str]
    users: frozenset[tuple[str, str]]
    negated: bool

    def mean(self, identity: Identity) -> bool:
        """Whether the statement is about whoever this is."""
        return self._named(identity) != self.negated

    def _named(self, identity: Identity) -> bool:
        if self.everybody:
            return True
        if identity.anonymous:
            return False
        names = (identity.account, identity.canonical_id, identity.tenant_id)
        if any(name in self.accounts for name in names):
            return True
        if not self.users:
            return False
        # Where an ARN names no account, or the tenant itself as its user, the tenant is meant.
        calls = [call for call in (identity.user_name, identity.user_id) if call]
        return any((name, call) in self.users for name in names for call in calls) or any(
            ("", call) in self.users for call in (*calls[1:], *names)
        )


def read_principals(written: object, *, negated: bool) -> Principals:
    """The principals of a statement; raises Unreadable."""
    if written == "*":
        return Principals(True, frozenset(), frozenset(), negated)
    if not isinstance(written, Mapping) or not written or not set(written) <= _KINDS:
        raise Unreadable("Invalid principal in policy")
    everybody = False
    accounts: set[str] = set()
    users: set[tuple[str, str]] = set()
    for kind, given in written.items():
        values = given if isinstance(given, list) else [given]
        if not values or not all(isinstance(value, str) and value for value in values):
            raise Unreadable("Invalid principal in policy")
        for value in values:
            if kind == "CanonicalUser":
                if not _CANONICAL.fullmatch(value):
                    raise Unreadable("Invalid principal in policy")
                accounts.add(value)
            elif kind == "AWS":
                everybody = everybody or value == "*"
                _read_aws(value, accounts, users)
    return Principals(everybody, frozenset(accounts), frozenset(users), negated)


def _read_aws(value: str, accounts: set[str], users: set[tuple[str, str]]) -> None:
    if value == "*":
        return
    if _ACCOUNT.fullmatch(value) or _CANONICAL.fullmatch(value):
        accounts.add(value)
        return
    read = _ARN.fullmatch(value)
    if read is None:
        raise Unreadable("Invalid principal in policy")
    service, account, name = read.groups()
    if service == "iam" and name == "root" and account:
        accounts.add(account)
    elif service == "iam" and name.startswith("user/") and "*" not in name:
        users.add((account, name.removeprefix("user/").rpartition("/")[2]))
    elif not name.startswith(_OTHERS):
        raise Unreadable("Invalid principal in policy")
