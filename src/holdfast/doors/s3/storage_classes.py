"""S3's storage classes, and ours, as redundancies of this fleet.

The table says what each of S3's names means here; any class that this coordinator has may be named as well. A
fleet that is too small for a class gives the widest it has nodes for, and says so in the log.
"""

from __future__ import annotations

from typing import Final

import structlog

from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import Attributes
from holdfast.nodes.classes import Classes

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


def redundancy_of(shown: str, bucket_class: str, classes: Classes, nodes: int | None) -> str:
    """The name of Holdfast's class that holds an object of this storage class.

    Args:
        shown: what `named_class` gave.
        bucket_class: the class of the bucket.
        classes: those in force.
        nodes: how many can take shards; None if nobody knows, then the class is taken as it is.
    """
    wanted = classes.get(MEANING.get(shown or STANDARD, shown) or bucket_class)
    if nodes is None or wanted.redundancy.n <= nodes:
        return wanted.class_name
    fitting = classes.working_with(nodes)
    # Never a single copy for a class that promises more, while anything better fits.
    chosen = fitting[0] if fitting else wanted
    log.warning(
        "storage class too wide for the fleet",
        storage_class=shown or STANDARD,
        wanted=wanted.class_name,
        given=chosen.class_name,
        nodes=nodes,
    )
    return chosen.class_name


def is_archived(attributes: Attributes, now: int) -> bool:
    """Whether the object must be restored before it can be read."""
    return attributes.storage_class in ARCHIVED and attributes.restored_until <= now
