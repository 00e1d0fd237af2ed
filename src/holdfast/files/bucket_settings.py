"""What a bucket's owner has set: one struct, stored as MessagePack in the bucket's row, read with every
request.

Pure data. The documents of S3 are parsed and checked where they come in (`doors.s3`) and kept in this form; a
bucket policy is kept as its text. Fields may be added, never given another meaning. Times: `days` are days;
dates are microseconds since the epoch.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from holdfast.files.attributes import Acl, Grant


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all of them."""


class CorsRule(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """One rule; the first that matches answers."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    rule_id: str = ""


class LifecycleFilter(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """Which objects a rule is about: all of what is given must agree. Sizes: greater than, less than."""

    prefix: str = ""
    tags: dict[str, str] = {}
    size_over: int | None = None
    size_under: int | None = None
    form: Literal["", "legacy", "empty", "prefix", "tag", "over", "under", "and", "and_prefix"] = "empty"
    """How it was written, to be shown again like that; "legacy": <Prefix> in the rule itself, "and_prefix":
    an And with a Prefix, which may be empty."""


class Transition(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """To another storage class (S3's name for it) after days or at a date."""

    storage_class: str
    days: int | None = None
    date: int | None = None
    newer_kept: int = 0


class LifecycleRule(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """One rule of a lifecycle configuration."""

    rule_id: str
    enabled: bool
    filter: LifecycleFilter = LifecycleFilter()
    expire_days: int | None = None
    expire_date: int | None = None
    expire_marker: bool | None = None
    """ExpiredObjectDeleteMarker, if it was given."""
    noncurrent_days: int | None = None
    noncurrent_newer_kept: int = 0
    transitions: tuple[Transition, ...] = ()
    noncurrent_transitions: tuple[Transition, ...] = ()
    abort_days: int | None = None


class Encryption(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """The default encryption of new objects."""

    algorithm: Literal["AES256", "aws:kms", "aws:kms:dsse"]
    kms_key_id: str = ""
    bucket_key: bool = False
    bucket_key_given: bool = False


class ObjectLock(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """The bucket keeps locks; new objects get this retention, if a mode is given."""

    mode: Literal["", "GOVERNANCE", "COMPLIANCE"] = ""
    days: int = 0
    years: int = 0


class PublicAccessBlock(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """Four switches against making data public."""

    block_acls: bool = False
    ignore_acls: bool = False
    block_policy: bool = False
    restrict: bool = False


class NotificationTarget(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """Events told to a queue, topic or function; what its ARN stands for is the operator's setting."""

    target_id: str
    kind: Literal["Queue", "Topic", "CloudFunction"]
    arn: str
    events: tuple[str, ...]
    prefix: str | None = None
    suffix: str | None = None


class Logging(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """Requests are written down as objects in another bucket."""

    target_bucket: str
    target_prefix: str = ""
    grants: tuple[Grant, ...] = ()
    key_format: Literal["", "simple", "event_time", "delivery_time"] = ""


class RoutingRule(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """A website's redirect: its condition, and what it puts in place."""

    key_prefix: str = ""
    error_code: str = ""
    protocol: str = ""
    host: str = ""
    code: str = ""
    replace_prefix: str | None = None
    replace_key: str | None = None


class Website(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """Website hosting: an index and an error document, or one redirect of everything."""

    index_suffix: str = ""
    error_key: str = ""
    redirect_host: str = ""
    redirect_protocol: str = ""
    routing: tuple[RoutingRule, ...] = ()


class ReplicationClock(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """Replication time control, or its metrics: shown as given; copies are made as soon as they can be."""

    enabled: bool
    minutes: int = 0


class ReplicationRule(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """One replication rule; its destination names a bucket."""

    rule_id: str
    enabled: bool
    destination: str
    priority: int | None = None
    filter: LifecycleFilter = LifecycleFilter()
    storage_class: str = ""
    account: str = ""
    delete_markers: bool | None = None
    existing_objects: bool | None = None
    owner_changes: bool = False
    """The copy belongs to the destination's owner."""
    kms_objects: bool | None = None
    replica_changes: bool | None = None
    kms_key_id: str = ""
    time_control: ReplicationClock | None = None
    metrics: ReplicationClock | None = None


class Replication(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """The replication configuration."""

    role: str
    rules: tuple[ReplicationRule, ...]


class BucketSettings(Kept, frozen=True, kw_only=True, omit_defaults=True):
    """All of a bucket's settings. None or empty: not set."""

    acl: Acl | None = None
    ownership: Literal["", "BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"] = ""
    public_access_block: PublicAccessBlock | None = None
    policy: str = ""
    policy_binds_root: bool = False
    """The owner's root gave up its right to mend a policy that shuts it out."""
    tags: dict[str, str] | None = None
    cors: tuple[CorsRule, ...] = ()
    lifecycle: tuple[LifecycleRule, ...] = ()
    lifecycle_minimum_size: str = ""
    encryption: Encryption | None = None
    object_lock: ObjectLock | None = None
    notifications: tuple[NotificationTarget, ...] = ()
    notifications_eventbridge: bool = False
    logging: Logging | None = None
    website: Website | None = None
    replication: Replication | None = None
    request_payer: Literal["", "Requester", "BucketOwner"] = ""
    location: str = ""
    """The LocationConstraint it was made with."""
    mfa_delete: str = ""


UNSET = BucketSettings()


def pack(settings: BucketSettings) -> bytes:
    """As it is stored."""
    return msgspec.msgpack.encode(settings)


def unpack(packed: bytes) -> BucketSettings:
    """As it was given."""
    return UNSET if not packed else msgspec.msgpack.decode(packed, type=BucketSettings)
