"""What a write or a delete makes of the versions of a key: decided from plain data.

The law. A key's versions stand in the order of their sequence; the newest that is not in the trash is its
*latest*: `current`, or `marker` if it is a delete marker. All others are `noncurrent`. How a change goes
depends on the bucket's versioning at that moment:

    off        the new version is the null version; the one before it goes to the trash
    on         the new version has an id of its own; the latest becomes noncurrent
    suspended  the new version is the null version; the null version before it, wherever it stands, goes to
               the trash; a latest with an id of its own becomes noncurrent

A delete without a version id takes the only version away (off), or writes a delete marker by the same rules
(on, suspended). A delete of one version takes it away for good, and the newest one left becomes the latest.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from holdfast.files.attributes import Conditions
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal


class Row(Protocol):
    """What decisions need of a version."""

    @property
    def state(self) -> str:
        """As in `records.Version`."""
        ...

    @property
    def etag(self) -> str:
        """Without quotes."""
        ...

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def modified(self) -> int:
        """In microseconds."""
        ...

    @property
    def is_null(self) -> bool:
        """Whether S3 shows it as the null version."""
        ...

    @property
    def marker(self) -> bool:
        """Whether it is a delete marker."""
        ...


RowT = TypeVar("RowT", bound=Row)


class Step(NamedTuple):
    """A version that gets another state: "trashed", "noncurrent", "current" or "marker"."""

    place: str
    """Which one: "latest", "null", "victim" or "next"."""
    state: str


class Writing(NamedTuple):
    """What becomes of those that are there, and whether what is written is the null version."""

    steps: tuple[Step, ...]
    is_null: bool


_TRASH_LATEST = Step("latest", "trashed")
_HIDE_LATEST = Step("latest", "noncurrent")
_TRASH_NULL = Step("null", "trashed")


def writing(versioning: str, latest: Row | None, null: Row | None) -> Writing:
    """A version or delete marker is written on top. `null`: the null version, where it is not the latest."""
    if latest is None:
        return Writing((), is_null=versioning != "on")
    if versioning == "on":
        return Writing((_HIDE_LATEST,), is_null=False)
    if versioning == "off" or latest.is_null:
        return Writing((_TRASH_LATEST,), is_null=True)
    return Writing((_HIDE_LATEST,) if null is None else (_HIDE_LATEST, _TRASH_NULL), is_null=True)


def removing(victim: Row, following: Row | None) -> tuple[Step, ...]:
    """One version is taken away; `following`, the newest older one, takes the place of a latest one."""
    gone = Step("victim", "trashed")
    if victim.state == "noncurrent" or following is None:
        return (gone,)
    return gone, Step("next", "marker" if following.marker else "current")


def visible(latest: RowT | None) -> RowT | None:
    """The version that a plain read finds."""
    return None if latest is None or latest.marker else latest


def check(conditions: Conditions, found: Row | None) -> None:
    """Judges what is required of the version that is read, replaced or deleted (None: there is none).

    Raises:
        Refusal: "precondition.failed"; "object.unknown" if an ETag is required of what is not there.
    """
    if conditions.if_absent and found is not None:
        raise failed("The object exists already.", condition="If-None-Match")
    if conditions.if_match is not None:
        if found is None:
            raise Refusal(
                "object.unknown", "There is no object whose ETag could match.", advice="Write it first."
            )
        if conditions.if_match not in {"*", found.etag}:
            raise failed("The object's ETag is another one.", etag=found.etag, condition="If-Match")
    if found is None:
        return
    if conditions.if_none_match is not None and conditions.if_none_match in {"*", found.etag}:
        raise failed(
            "The object has the ETag that it must not have.", etag=found.etag, condition="If-None-Match"
        )
    if conditions.size is not None and conditions.size != found.size:
        raise failed("The object has another size.", size=found.size, condition="x-amz-if-match-size")
    if (
        conditions.modified is not None
        and conditions.modified // MICROSECONDS != found.modified // MICROSECONDS
    ):
        raise failed(
            "The object was modified at another time.", condition="x-amz-if-match-last-modified-time"
        )


def failed(why: str, **facts: str | int) -> Refusal:
    """The key is not as the caller requires it."""
    return Refusal("precondition.failed", why, advice="Look at it again, and decide anew.", **facts)
