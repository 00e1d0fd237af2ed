"""What is copied where, and what a copy looks like: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.files.attributes import Attributes
from holdfast.files.bucket_settings import ReplicationRule
from holdfast.files.notifying import REPLICA, replication_rules_for
from holdfast.files.outbox_rows import CopyRow
from holdfast.files.records import Bucket, Version
from holdfast.tenants.identity import Identity
from holdfast.tenants.judging import Asked, BucketFacts, judge
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.tenants.policies import policy_of

COMPLETED: Final = "COMPLETED"
FAILED: Final = "FAILED"


@dataclass(frozen=True)
class CopyPlan:
    """Versions to copy, in rows that must be done one after another."""

    rows: list[CopyRow]
    lanes: list[list[CopyRow]]
    full: bool
    """Whether more may be due."""

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        return [
            f"copy version {row.version_id} of '{row.key.decode(errors='replace')}' in bucket {row.bucket_id}"
            f" to where its rules say: {f'attempt {row.attempts + 1}' if row.attempts else 'it is new'}"
            for row in self.rows
        ]


def plan_copies(rows: Sequence[CopyRow], *, limit: int) -> CopyPlan:
    """Sorts a page into lanes, one for each key."""
    lanes: dict[tuple[int, bytes], list[CopyRow]] = {}
    for row in rows:
        lanes.setdefault((row.bucket_id, row.key), []).append(row)
    return CopyPlan(list(rows), list(lanes.values()), full=len(rows) >= limit)


def rules_for(bucket: Bucket, version: Version) -> list[ReplicationRule]:
    """The rule for each destination that the version, or delete marker, goes to."""
    attributes = version.parsed
    if attributes.replication_status == REPLICA:
        return []
    found = replication_rules_for(bucket.parsed, version.name, attributes.tags)
    if version.marker:
        return [rule for rule in found if rule.delete_markers]
    if attributes.sse in {"aws:kms", "aws:kms:dsse"}:
        return [rule for rule in found if rule.kms_objects]
    return found


def replica_attributes(version: Version, rule: ReplicationRule) -> Attributes:
    """What the copy shows: what the original does, but for its class, its status, and whose it is."""
    source = version.parsed
    return msgspec.structs.replace(
        source,
        storage_class=rule.storage_class or source.storage_class,
        acl=None if rule.owner_changes else source.acl,
        kms_key_id=rule.kms_key_id or source.kms_key_id,
        replication_status=REPLICA,
        replica_of=version.version_id,
        restored_until=0,
        restoring=False,
    )


def refusal_of(source: Bucket, target: Bucket, key: str, *, marker: bool) -> str:
    """Why the destination does not take copies from this bucket; empty if it does.

    Another tenant's bucket must allow the source's owner by its policy, as S3 has it.
    """
    if target.id == source.id:
        return "a bucket is not copied into itself"
    if target.versioning != "on":
        return "the destination does not keep versions"
    if target.tenant == source.tenant:
        return ""
    who = Identity(
        tenant_id=source.tenant,
        canonical_id=canonical_id_of(source.tenant),
        account=account_of(source.tenant),
    )
    settings = target.parsed
    facts = BucketFacts(
        name=target.name,
        tenant_id=target.tenant,
        canonical_id=canonical_id_of(target.tenant),
        account=account_of(target.tenant),
        policy=policy_of(settings.policy) if settings.policy else None,
        lists_off=True,
    )
    action = "s3:ReplicateDelete" if marker else "s3:ReplicateObject"
    verdict = judge(who, Asked(action, facts, target.name, key, None, {}))
    return "" if verdict.allowed else f"the destination does not allow it: {verdict.reason}"
