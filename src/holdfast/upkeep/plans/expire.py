"""What is over: trashed versions past their period, idle uploads, and streams that nobody owns any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.files.tending.trash import IdleUpload, Leftovers, TrashedVersion
from holdfast.world.clock import MICROSECONDS

HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR


@dataclass(frozen=True)
class ExpireRules:
    """How long things are kept, in microseconds."""

    trash_period: int = 30 * DAY
    upload_idle: int = 24 * HOUR
    answers_kept: int = 24 * HOUR


@dataclass(frozen=True)
class ExpirePlan:
    """What ends now. `lines` gives the reasons."""

    versions: list[TrashedVersion]
    uploads: list[IdleUpload]
    streams: list[int]
    answers: int
    now: int

    def lines(self) -> Sequence[str]:
        """Each step with its reason."""
        ended = [
            f"end version {v.version_id} of '{v.key}' ({v.size} bytes): "
            f"in the trash for {_days(self.now - v.trashed_at)}"
            for v in self.versions
        ]
        idle = [
            f"{'forget committed' if u.committed else 'give up'} upload {u.upload_id} of '{u.key}': "
            f"idle for {_days(self.now - u.last_active)}"
            for u in self.uploads
        ]
        freed = [f"free stream {stream}: no version owns it" for stream in self.streams]
        forgotten = [f"forget {self.answers} old answers to requests"] if self.answers else []
        return ended + idle + freed + forgotten


def plan_expire(page: Leftovers, rules: ExpireRules, now: int) -> ExpirePlan:
    """Ends what is past its time; what is exactly as old as its period is kept."""
    return ExpirePlan(
        versions=[v for v in page.versions if now - v.trashed_at > rules.trash_period],
        uploads=[u for u in page.uploads if now - u.last_active > rules.upload_idle],
        streams=list(page.streams),
        answers=page.answers,
        now=now,
    )


def _days(duration: int) -> str:
    return f"{duration // DAY} days" if duration >= 2 * DAY else f"{duration // HOUR} hours"
