"""What an access key may do: plain data, and one pure function that judges a request by it.

A permit only ever narrows: it speaks of the buckets of the key's own tenant, and of nothing else. It is
stored as JSON with its access key. Patterns: an action is named in full, or by its head with `*` ("object.*",
"*"); a bucket is named in full or `*`; a prefix is a prefix of keys. All given rules must agree.

Actions have two families of names. Those of the house ("object.read") hold at every door; what they mean to
S3 is in `s3_actions`. S3's own ("s3:GetObject", "s3:Get*") are finer, and hold at the S3 door alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from holdfast.tenants.s3_actions import HOUSE_ACTION, S3_ACTIONS
from holdfast.world.errors import Refusal

PERMIT_VERSION = 1

ACTIONS: Final[dict[str, str]] = {
    "bucket.change": "change what is set for a bucket",
    "bucket.list": "see which buckets there are",
    "bucket.make": "make a bucket",
    "bucket.remove": "remove an empty bucket",
    "bucket.show": "see what is set for a bucket",
    "fleet.invite": "invite a node into the tenant's fleet",
    "fleet.list": "see the nodes",
    "object.list": "see which objects there are",
    "object.read": "read objects and their health",
    "object.remove": "remove objects",
    "object.write": "store objects",
    "tenant.keys": "register client keys",
    "tenant.show": "see the tenant and the storage classes",
}

_WHOLE_BUCKET: Final = frozenset({"bucket.change", "bucket.remove"})
"""What reaches beyond all prefixes: an empty bucket may have uploads under way, which go with it."""

ACTION_OF: Final[dict[str, str]] = {
    "bucket-make": "bucket.make",
    "bucket-remove": "bucket.remove",
    "bucket-list": "bucket.list",
    "object-list": "object.list",
    "object-stat": "object.read",
    "object-remove": "object.remove",
    "upload-begin": "object.write",
    "upload-show": "object.write",
    "upload-plan": "object.write",
    "upload-replace": "object.write",
    "upload-record": "object.write",
    "upload-commit": "object.write",
    "upload-abort": "object.write",
    "read-open": "object.read",
    "read-plan": "object.read",
    "read-chunk-ids": "object.read",
    "shard-report": "object.read",
    "tenant-show": "tenant.show",
    "key-register": "tenant.keys",
    "node-list": "fleet.list",
    "node-invite": "fleet.invite",
}
"""The action that each control operation (its name on the wire) is."""


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """What is allowed. The default is everything of the key's own tenant, for good."""

    version: int = PERMIT_VERSION
    actions: tuple[str, ...] = ("*",)
    buckets: tuple[str, ...] = ("*",)
    prefixes: tuple[str, ...] = ("",)
    expires: int | None = None
    """Microseconds since the epoch; None: never."""


class Verdict(NamedTuple):
    """Whether a request is allowed, and why (not)."""

    allowed: bool
    reason: str


def allows(permit: Permit, action: str, bucket: str | None, key: str | None, now: int) -> Verdict:
    """Judges one request.

    Args:
        permit: what the access key may do.
        action: one of `ACTIONS`.
        bucket: the bucket asked for; None where the action is about none.
        key: the object's key, or for a listing its prefix; None where the action is about no key.
        now: microseconds since the epoch.
    """
    assert action in ACTIONS, f"undeclared action {action!r}"
    if permit.expires is not None and now >= permit.expires:
        return Verdict(False, "the access key has expired")
    if not any(_matches(pattern, action) for pattern in permit.actions):
        return Verdict(False, f"the access key may not {ACTIONS[action]} ({action})")
    if bucket is not None and not any(pattern in {"*", bucket} for pattern in permit.buckets):
        return Verdict(False, f"the access key is not for the bucket '{bucket}'")
    if key is not None and not any(key.startswith(prefix) for prefix in permit.prefixes):
        return Verdict(False, "the access key is for keys under " + _listed(permit.prefixes))
    if key is None and action in _WHOLE_BUCKET and "" not in permit.prefixes:
        return Verdict(False, "the access key is only for keys under " + _listed(permit.prefixes))
    return Verdict(True, "allowed by the access key's permit")


def allows_s3(permit: Permit, action: str, bucket: str | None, key: str | None) -> Verdict:
    """Judges one S3 action, named as S3 names it, as `allows` does the house's; its time is checked before.

    A key for certain prefixes changes nothing that is set for a whole bucket: that reaches beyond them.
    """
    ours = HOUSE_ACTION.get(action, "bucket.change")
    if not any(_matches(pattern, ours) or _matches(pattern, action) for pattern in permit.actions):
        return Verdict(False, f"the access key may not {ACTIONS[ours]} ({action})")
    if "*" not in permit.buckets and (
        bucket not in permit.buckets if bucket else action == "s3:CreateBucket"
    ):
        return Verdict(False, f"the access key is not for the bucket '{bucket or ''}'")
    if "" not in permit.prefixes:
        if key is None and ours in _WHOLE_BUCKET:
            return Verdict(False, "the access key is only for keys under " + _listed(permit.prefixes))
        if key is not None and not any(key.startswith(prefix) for prefix in permit.prefixes):
            return Verdict(False, "the access key is for keys under " + _listed(permit.prefixes))
    return Verdict(True, "allowed by the access key's permit")


def demand(permit: Permit, action: str, bucket: str | None, key: str | None, now: int) -> None:
    """Raises Refusal("access.denied") with the reason unless `allows` does."""
    verdict = allows(permit, action, bucket, key, now)
    if not verdict.allowed:
        raise Refusal(
            "access.denied",
            f"Not permitted: {verdict.reason}.",
            advice="Use another access key.",
            action=action,
        )


def checked(permit: Permit) -> Permit:
    """The permit, if it can mean anything; raises Refusal("request.invalid") for an action there is not."""
    for pattern in permit.actions:
        if not any(_matches(pattern, action) for action in (*ACTIONS, *S3_ACTIONS)):
            raise Refusal(
                "request.invalid",
                f"There is no action '{pattern}'.",
                advice=f"Actions are {', '.join(ACTIONS)}, and those of S3 (s3:GetObject).",
            )
    return permit


def encode_permit(permit: Permit) -> str:
    """The permit as it is stored."""
    return msgspec.json.encode(permit).decode()


def decode_permit(text: str) -> Permit:
    """The permit again; raises Refusal("format.newer" | "format.invalid").

    A newer permit is refused, not guessed at: what this program overlooks might have been a restriction.
    """
    try:
        permit = msgspec.json.decode(text, type=Permit)
    except msgspec.DecodeError as error:
        raise Refusal("format.invalid", f"The stored permit is damaged: {error}.") from error
    if permit.version != PERMIT_VERSION:
        raise Refusal(
            "format.newer",
            f"The stored permit has version {permit.version}; this program reads version {PERMIT_VERSION}.",
            advice="Upgrade Holdfast.",
        )
    return permit


def _matches(pattern: str, action: str) -> bool:
    return action == pattern or (pattern.endswith("*") and action.startswith(pattern[:-1]))


def _listed(prefixes: tuple[str, ...]) -> str:
    return ", ".join(f"'{prefix}'" for prefix in prefixes) or "no prefix at all"
