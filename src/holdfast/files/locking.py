"""Object lock as pure rules: may this version go, may its lock change, which lock does a new version get.

A version is held by a legal hold, which has no end, and by a retention, which ends at its time. GOVERNANCE
gives way to whoever may bypass it; COMPLIANCE gives way to nobody and can only be made longer.
"""

from __future__ import annotations

from datetime import UTC, datetime

from holdfast.files.attributes import Attributes, Retention
from holdfast.files.bucket_settings import BucketSettings
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal

DAY = 86_400 * MICROSECONDS
LAST_YEAR = 9999


def refuses_removal(attributes: Attributes, now: int, bypass: bool) -> str | None:
    """Why the version may not be removed for good at `now`; None if it may.

    `bypass`: the caller asked to pass over GOVERNANCE, and is allowed to. A delete marker may always be
    put on top: it removes nothing.
    """
    if attributes.legal_hold:
        return "The version is under a legal hold."
    retention = attributes.retention
    if retention is None or retention.until <= now:
        return None
    if retention.mode == "GOVERNANCE" and bypass:
        return None
    return f"The version is kept by a {retention.mode} retention that has not ended."


def default_retention(settings: BucketSettings, now: int) -> Retention | None:
    """What a version made at `now` is given when its writer names no retention; None if nothing."""
    lock = settings.object_lock
    if lock is None or not lock.mode:
        return None
    until = years_later(now, lock.years) if lock.years else now + lock.days * DAY
    return Retention(mode=lock.mode, until=until)


def check_change(old: Retention | None, new: Retention | None, now: int, bypass: bool) -> None:
    """Lets a retention be replaced (by None: taken away) if the one in force allows it.

    It may always be made longer in its own mode. Anything else, another mode too, alters what was promised:
    refused for COMPLIANCE, and for GOVERNANCE without `bypass`. A retention that has ended binds nobody.

    Raises:
        Refusal: "version.locked".
    """
    if old is None or old.until <= now:
        return
    longer = new is not None and new.mode == old.mode and new.until >= old.until
    if longer or (old.mode == "GOVERNANCE" and bypass):
        return
    raise Refusal(
        "version.locked",
        f"The version's {old.mode} retention has not ended and cannot be weakened.",
        mode=old.mode,
    )


def years_later(moment: int, years: int) -> int:
    """The same day and time of day `years` on; 29 February becomes 1 March where there is none."""
    seconds, fraction = divmod(moment, MICROSECONDS)
    start = datetime.fromtimestamp(seconds, UTC)
    year = min(start.year + years, LAST_YEAR)
    try:
        end = start.replace(year=year)
    except ValueError:
        end = start.replace(year=year, month=3, day=1)
    return int(end.timestamp()) * MICROSECONDS + fraction
