"""What handlers of S3 operations work with: the rooms, and the settings that concern them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.files.bucket_records import BucketRecords
    from holdfast.files.histories import Histories
    from holdfast.files.multiparts import Multiparts
    from holdfast.files.tending.outbox import Outbox
    from holdfast.files.tending.request_log import RequestLog
    from holdfast.files.tending.restores import Restores
    from holdfast.gateway.objects import Gateway
    from holdfast.nodes.classes import Classes
    from holdfast.tenants.keys import Keys
    from holdfast.tenants.people import People
    from holdfast.world.chance import Chance
    from holdfast.world.clock import Clock


def nobody_knows() -> int | None:
    """No number of nodes."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Plain references; one per process.

    `region` is the one region served. `domains` are the host name suffixes whose first label is a bucket,
    `website_domains` those that serve websites. `lifecycle_day_seconds` is how long a lifecycle day lasts
    (only tests shorten it); `notification_targets` are the URLs that ARNs of notifications stand for.
    """

    buckets: BucketRecords
    histories: Histories
    multiparts: Multiparts
    gateway: Gateway
    people: People
    keys: Keys
    classes: Classes
    clock: Clock
    chance: Chance
    region: str = "us-east-1"
    domains: tuple[str, ...] = ("localhost", "s3.localhost")
    website_domains: tuple[str, ...] = ()
    lifecycle_day_seconds: int = 86400
    notification_targets: Mapping[str, str] = field(default_factory=dict)
    request_log: RequestLog | None = None
    default_ownership: str = "ObjectWriter"
    """The ownership setting of buckets made without one."""
    restores: Restores | None = None
    outbox: Outbox | None = None
    usable_nodes: Callable[[], int | None] = nobody_knows
    """How many nodes can take shards now; None where nobody knows."""
