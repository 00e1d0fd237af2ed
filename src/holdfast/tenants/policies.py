"""Bucket policies."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.tenants.identity import Identity

ALLOW, DENY, NOTHING = "allow", "deny", ""


class Policy:
    """A policy that was checked."""

    is_public: bool = False

    def judge(
        self,
        identity: Identity,
        action: str,
        bucket: str,
        key: str | None,
        context: Mapping[str, str | list[str]],
    ) -> str:
        """What the statements say together: ALLOW, DENY or NOTHING."""
        return NOTHING


def policy_of(text: str) -> Policy:
    """A stored policy, remembered."""
    return Policy()
