"""S3's storage classes, and ours, as redundancies of this fleet.

The table says what each of S3's names means here; any class that this coordinator has may be named as well. A
fleet that is too small for a class gives the widest it has nodes for, and says so in the log.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import structlog

from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import Attributes
from holdfast.nodes.classes import Classes
from holdfast.world.clock import MICROSECONDS

if TYPE_CHECKING:
    from holdfast.doors.s3.door import Door
    from holdfast.files.records import Bucket

STANDARD: Final = "STANDARD"
OF_THE_BUCKET: Final = ""
MEANING: Final[dict[str, str]] = {
    STANDARD: OF_THE_BUCKET,
    "INTELLIGENT_TIERING": OF_THE_BUCKET,
    "STANDARD_IA": "standard",
    "ONEZONE_IA": "small",
    "REDUCED_REDUNDANCY": "tiny",
    "GLACIER_IR": "wide",
    "GLACIER": "wide",
    "DEEP_ARCHIVE": "wide",
}
"""Holdfast's class for each of S3's that is served; "" stands for the bucket's own."""
ARCHIVED: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Must be restored before they are read."""

SAY_AGAIN: Final = 600 * MICROSECONDS
"""How often a class that the fleet cannot give is complained of."""

log = structlog.get_logger()


def named_class(header: str | None, classes: Classes) -> str:
    """The class as it is kept with the version and shown: "" for STANDARD.

    Raises S3Error InvalidStorageClass for a name that means nothing here.
    """
    if header is None or header == STANDARD:
        return ""
    if header in MEANING or any(known.class_name == header for known in classes):
        return header
    raise S3Error("InvalidStorageClass", StorageClassRequested=header)


def redundancy_now(door: Door, record: Bucket, shown: str) -> str:
    """Holdfast's class for an object of this storage class that is about to be written into the bucket."""
    given, wanted = redundancy_of(shown, record.storage_class, door.classes, door.usable_nodes())
    if given != wanted:
        _say(shown or STANDARD, wanted, given, door.clock.now() // SAY_AGAIN)
    return given


@lru_cache(maxsize=256)
def _say(shown: str, wanted: str, given: str, _period: int) -> None:
    """One line for each case and period: every upload comes by here."""
    log.warning("storage class too wide for the fleet", storage_class=shown, wanted=wanted, given=given)


def redundancy_of(shown: str, bucket_class: str, classes: Classes, nodes: int | None) -> tuple[str, str]:
    """The name of Holdfast's class that holds an object of this storage class, and of the one that should.

    Args:
        shown: what `named_class` gave.
        bucket_class: the class of the bucket.
        classes: those in force.
        nodes: how many can take shards; None if nobody knows, then the class is taken as it is.
    """
    wanted = classes.get(MEANING.get(shown or STANDARD, shown) or bucket_class)
    if nodes is None or wanted.redundancy.n <= nodes:
        return wanted.class_name, wanted.class_name
    fitting = classes.working_with(nodes)
    return (fitting[0] if fitting else wanted).class_name, wanted.class_name


def is_archived(attributes: Attributes, now: int) -> bool:
    """Whether the object must be restored before it can be read."""
    return attributes.storage_class in ARCHIVED and attributes.restored_until <= now
