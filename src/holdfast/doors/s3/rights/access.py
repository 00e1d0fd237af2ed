"""What a request may do: the judge of `tenants.judging`, asked about one bucket by whoever handles a request.

Every operation demands at least one action before anything of the bucket is read or changed for it; what
depends on the object (its list, its owner, its tags) is demanded when the object is known. `judged` says that
something was demanded: an operation that never does is our fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from holdfast.doors.s3.failures import S3Error
from holdfast.tenants.identity import Identity
from holdfast.tenants.judging import Asked, BucketFacts, judge
from holdfast.tenants.names import account_of, canonical_id_of
from holdfast.tenants.permits import Permit, Verdict
from holdfast.tenants.policies import policy_of
from holdfast.tenants.s3_actions import ON_OBJECTS

if TYPE_CHECKING:
    from holdfast.files.attributes import Acl
    from holdfast.files.bucket_settings import BucketSettings
    from holdfast.files.records import Bucket

_EVERYTHING = Permit()

EXPECTED_OWNER = "x-amz-expected-bucket-owner"
EXPECTED_SOURCE_OWNER = "x-amz-source-expected-bucket-owner"

Context = Mapping[str, str | list[str]]


class Access:
    """What an identity may do with one bucket, or, without one, with buckets at large."""

    __slots__ = ("_context", "_facts", "_own", "_record", "bucket_name", "identity", "judged")

    def __init__(
        self,
        identity: Identity,
        record: Bucket | None,
        *,
        context: Context,
        bucket_name: str | None = None,
    ) -> None:
        """An access.

        Args:
            identity: who asks.
            record: the bucket's row; None where the operation makes it or is about none.
            context: the values of condition keys that the whole request has, by lower-case name.
            bucket_name: the bucket asked for, where there is no row of it.
        """
        self.identity = identity
        self.bucket_name = bucket_name if record is None else record.name
        self.judged = False
        self._record = record
        self._context = context
        self._facts: BucketFacts | None = None
        # The most frequent request: owners whose keys may do everything, in buckets without a policy.
        permit = identity.permit
        self._own = (
            record is not None
            and identity.tenant_id == record.tenant
            and not identity.anonymous
            and (permit is _EVERYTHING or permit == _EVERYTHING)
            and not record.parsed.policy
        )

    @property
    def is_owner(self) -> bool:
        """Whether the bucket belongs to the asking tenant."""
        record = self._record
        return record is not None and not self.identity.anonymous and record.tenant == self.identity.tenant_id

    def demand(
        self,
        action: str,
        key: str | None = None,
        *,
        acl: Acl | None = None,
        tags: Mapping[str, str] | None = None,
        context: Context | None = None,
        fresh: bool = False,
        prefix: str | None = None,
    ) -> None:
        """Raises S3Error("AccessDenied") unless the action is allowed.

        Args:
            action: as S3 names it: "s3:GetObject".
            key: the object's key for actions on objects; None for actions on the bucket.
            acl: the object's list; None: the object is the bucket owner's, and private.
            tags: the object's tags, where it is known.
            context: further values of condition keys, by lower-case name.
            fresh: whether the request itself makes the object.
            prefix: what a listing is narrowed to, for access keys that may not see everything.
        """
        self.judged = True
        if self._own and (acl is None or key is None or acl.owner_id == self.identity.canonical_id):
            return
        verdict = self._verdict(action, key, acl, tags, context, fresh=fresh, prefix=prefix)
        if not verdict.allowed:
            # Strangers are not told which rule it was: it would tell them of the rules.
            why = f"Access Denied: {verdict.reason}." if self.is_owner or self._record is None else ""
            raise S3Error("AccessDenied", why)

    def allows(
        self,
        action: str,
        key: str | None = None,
        *,
        acl: Acl | None = None,
        tags: Mapping[str, str] | None = None,
        context: Context | None = None,
        prefix: str | None = None,
    ) -> bool:
        """Whether `demand` would let it pass."""
        if self._own and (acl is None or key is None or acl.owner_id == self.identity.canonical_id):
            return True
        return self._verdict(action, key, acl, tags, context, prefix=prefix).allowed

    def for_bucket(self, record: Bucket) -> Access:
        """The same request's access to another bucket: the source of a copy, the target of a setting."""
        return Access(self.identity, record, context=self._context)

    def _verdict(
        self,
        action: str,
        key: str | None,
        acl: Acl | None,
        tags: Mapping[str, str] | None,
        context: Context | None,
        *,
        fresh: bool = False,
        prefix: str | None = None,
    ) -> Verdict:
        facts = self._facts
        if facts is None and self._record is not None:
            facts = self._facts = _facts_of(self._record, self._record.parsed)
        if action not in ON_OBJECTS:
            key = None
        elif key is None:
            key = ""
        known: Context = self._context
        if tags or context:
            more = dict(context or {})
            for name, value in (tags or {}).items():
                more[f"s3:existingobjecttag/{name.lower()}"] = value
            known = _Layered(more, known)
        return judge(self.identity, Asked(action, facts, self.bucket_name, key, acl, known, fresh, prefix))


class _Layered(Mapping[str, "str | list[str]"]):
    """What is known of one demand, before what is known of the whole request."""

    def __init__(self, above: Context, below: Context) -> None:
        self._above = above
        self._below = below

    def __getitem__(self, name: str) -> str | list[str]:
        found = self._above.get(name)
        return self._below[name] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter({**self._below, **self._above})

    def __len__(self) -> int:
        return len({**self._below, **self._above})


def lists_off(settings: BucketSettings) -> bool:
    """Whether the bucket's owner owns every object, and access control lists count for nothing."""
    return settings.ownership == "BucketOwnerEnforced"


def _facts_of(record: Bucket, settings: BucketSettings) -> BucketFacts:
    block = settings.public_access_block
    return BucketFacts(
        name=record.name,
        tenant_id=record.tenant,
        canonical_id=canonical_id_of(record.tenant),
        account=account_of(record.tenant),
        acl=settings.acl,
        policy=policy_of(settings.policy) if settings.policy else None,
        policy_binds_root=settings.policy_binds_root,
        lists_off=lists_off(settings),
        ignore_public_lists=block is not None and block.ignore_acls,
        restrict_public_policy=block is not None and block.restrict,
    )


def check_expected_owner(headers: Mapping[str, str], record: Bucket, *, header: str = EXPECTED_OWNER) -> None:
    """Raises S3Error("AccessDenied") if the caller names an account that does not own the bucket.

    A canonical id is taken too: nobody else has it. For the source of a copy, give `EXPECTED_SOURCE_OWNER` as
    the header.
    """
    expected = headers.get(header)
    if expected is None:
        return
    account = account_of(record.tenant)
    if expected in {account, canonical_id_of(record.tenant)}:
        return
    if len(expected) != len(account) or not expected.isdecimal():
        raise S3Error("InvalidBucketOwnerAWSAccountID")
    raise S3Error("AccessDenied")
