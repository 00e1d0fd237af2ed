"""Object lock: who holds a version, which changes weaken that, which lock a new version gets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.files import locking
from holdfast.files.attributes import Attributes, Retention
from holdfast.files.bucket_settings import BucketSettings, ObjectLock
from holdfast.world.clock import MICROSECONDS
from holdfast.world.errors import Refusal

NOW = 1_750_000_000 * MICROSECONDS
TIMES = st.integers(NOW - 2, NOW + 5)
MODES = st.sampled_from(["GOVERNANCE", "COMPLIANCE"])
RETENTIONS = st.none() | st.builds(lambda mode, until: Retention(mode=mode, until=until), MODES, TIMES)


@given(RETENTIONS, st.booleans(), st.booleans())
def test_a_version_goes_when_nothing_holds_it(retention: Retention | None, hold: bool, bypass: bool) -> None:
    attributes = Attributes(retention=retention, legal_hold=hold)
    retained = retention is not None and retention.until > NOW
    passed_over = retained and retention.mode == "GOVERNANCE" and bypass
    held = hold or (retained and not passed_over)
    assert (locking.refuses_removal(attributes, NOW, bypass) is not None) == held


@given(RETENTIONS, RETENTIONS, st.booleans(), st.booleans())
def test_no_change_lets_a_version_go_that_the_lock_before_would_have_kept(
    old: Retention | None, new: Retention | None, bypass: bool, later_bypass: bool
) -> None:
    try:
        locking.check_change(old, new, NOW, bypass)
    except Refusal:
        return
    if bypass and old is not None and old.mode == "GOVERNANCE":
        return
    for moment in range(NOW, NOW + 8):
        kept = locking.refuses_removal(Attributes(retention=old), moment, later_bypass)
        if kept:
            assert locking.refuses_removal(Attributes(retention=new), moment, later_bypass)


@pytest.mark.parametrize(
    ("old", "new", "bypass", "allowed"),
    [
        (None, ("GOVERNANCE", 1), False, True),
        (("GOVERNANCE", 5), ("GOVERNANCE", 6), False, True),
        (("GOVERNANCE", 5), ("GOVERNANCE", 5), False, True),
        (("GOVERNANCE", 5), ("GOVERNANCE", 4), False, False),
        (("GOVERNANCE", 5), ("GOVERNANCE", 4), True, True),
        (("GOVERNANCE", 5), ("COMPLIANCE", 9), False, False),
        (("GOVERNANCE", 5), ("COMPLIANCE", 9), True, True),
        (("GOVERNANCE", 5), None, False, False),
        (("GOVERNANCE", 5), None, True, True),
        (("COMPLIANCE", 5), ("COMPLIANCE", 6), False, True),
        (("COMPLIANCE", 5), ("COMPLIANCE", 4), True, False),
        (("COMPLIANCE", 5), ("GOVERNANCE", 9), True, False),
        (("COMPLIANCE", 5), None, True, False),
        (("COMPLIANCE", 0), None, False, True),
        (("GOVERNANCE", -1), ("GOVERNANCE", 1), False, True),
    ],
)
def test_a_retention_may_be_made_longer_and_weakened_only_by_bypass(
    old: tuple[str, int] | None, new: tuple[str, int] | None, bypass: bool, allowed: bool
) -> None:
    held, wanted = (
        None if each is None else Retention(mode=each[0], until=NOW + each[1]) for each in (old, new)
    )
    if allowed:
        locking.check_change(held, wanted, NOW, bypass)
        return
    with pytest.raises(Refusal) as caught:
        locking.check_change(held, wanted, NOW, bypass)
    assert caught.value.code == "version.locked"


@pytest.mark.parametrize(
    ("lock", "retention"),
    [
        (None, None),
        (ObjectLock(), None),
        (ObjectLock(mode="GOVERNANCE", days=2), Retention(mode="GOVERNANCE", until=NOW + 2 * locking.DAY)),
    ],
)
def test_a_new_version_gets_the_default_retention_if_there_is_one(
    lock: ObjectLock | None, retention: Retention | None
) -> None:
    assert locking.default_retention(BucketSettings(object_lock=lock), NOW) == retention


@pytest.mark.parametrize(
    ("begin", "years", "end"),
    [
        ("2026-03-01T10:00:00", 1, "2027-03-01T10:00:00"),
        ("2024-02-29T00:00:01", 1, "2025-03-01T00:00:01"),
        ("2024-02-29T00:00:01", 4, "2028-02-29T00:00:01"),
        ("9950-01-01T00:00:00", 100, "9999-01-01T00:00:00"),
    ],
)
def test_years_are_those_of_the_calendar(begin: str, years: int, end: str) -> None:
    start, stop = (
        int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * MICROSECONDS
        for text in (begin, end)
    )
    settings = BucketSettings(object_lock=ObjectLock(mode="COMPLIANCE", years=years))
    assert locking.default_retention(settings, start + 7) == Retention(mode="COMPLIANCE", until=stop + 7)
