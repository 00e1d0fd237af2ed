from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.protocol.control import OPERATIONS
from holdfast.tenants.permits import (
    ACTION_OF,
    ACTIONS,
    Permit,
    allows,
    checked,
    decode_permit,
    demand,
    encode_permit,
)
from holdfast.tenants.s3_actions import HOUSE_ACTION
from holdfast.world.errors import Refusal

READER = Permit(actions=("object.read", "object.list"), buckets=("photos",), prefixes=("2024/", "2025/"))


@pytest.mark.parametrize(
    ("permit", "action", "bucket", "key", "now", "allowed", "reason"),
    [
        (Permit(), "object.write", "photos", "a", 0, True, "allowed"),
        (Permit(), "tenant.show", None, None, 0, True, "allowed"),
        (READER, "object.read", "photos", "2025/june.jpg", 0, True, "allowed"),
        (READER, "object.read", "photos", "2023/june.jpg", 0, False, "under '2024/', '2025/'"),
        (READER, "object.list", "photos", "", 0, False, "under '2024/'"),
        (READER, "object.list", "photos", "2025/j", 0, True, "allowed"),
        (READER, "object.read", "papers", "2025/june.jpg", 0, False, "not for the bucket 'papers'"),
        (READER, "object.write", "photos", "2025/june.jpg", 0, False, "may not store objects"),
        (Permit(actions=("object.*",)), "object.remove", "b", "k", 0, True, "allowed"),
        (Permit(actions=("object.*",)), "bucket.make", "b", None, 0, False, "may not make a bucket"),
        (Permit(actions=()), "object.read", "b", "k", 0, False, "may not read"),
        (Permit(prefixes=()), "object.read", "b", "k", 0, False, "no prefix at all"),
        (Permit(expires=100), "object.read", "b", "k", 99, True, "allowed"),
        (Permit(expires=100), "object.read", "b", "k", 100, False, "expired"),
    ],
)
def test_a_permit_allows_what_all_its_rules_allow(
    permit: Permit, action: str, bucket: str | None, key: str | None, now: int, allowed: bool, reason: str
) -> None:
    verdict = allows(permit, action, bucket, key, now)
    assert verdict.allowed == allowed
    assert reason in verdict.reason
    if allowed:
        demand(permit, action, bucket, key, now)
    else:
        with pytest.raises(Refusal, match="Not permitted") as refused:
            demand(permit, action, bucket, key, now)
        assert refused.value.code == "access.denied"


def test_every_control_operation_is_a_declared_action() -> None:
    assert set(ACTION_OF) == set(OPERATIONS)
    assert set(ACTION_OF.values()) | set(HOUSE_ACTION.values()) == set(ACTIONS)


texts = st.lists(st.text(max_size=5), max_size=3).map(tuple)


@given(st.builds(Permit, actions=texts, buckets=texts, prefixes=texts, expires=st.none() | st.integers(0, 9)))
def test_a_stored_permit_is_the_same_permit(permit: Permit) -> None:
    assert decode_permit(encode_permit(permit)) == permit


@pytest.mark.parametrize(
    ("stored", "code"),
    [
        ('{"version":2,"actions":["*"]}', "format.newer"),
        ('{"version":1,"actions":"all"}', "format.invalid"),
        ("{", "format.invalid"),
    ],
)
def test_a_permit_that_is_not_understood_is_refused(stored: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode_permit(stored)
    assert refused.value.code == code


def test_a_permit_for_an_action_there_is_not_is_refused() -> None:
    with pytest.raises(Refusal, match="There is no action"):
        checked(Permit(actions=("object.fly",)))
