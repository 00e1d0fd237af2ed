"""The REST door can say every failure there is, and what it says is raised again as it was."""

import pytest

from holdfast.doors.rest.failures import STATUS, failure_reply
from holdfast.protocol.failures import failure_of
from holdfast.world.errors import CODES, Refusal, Trouble


def test_every_code_has_a_status_and_no_status_is_left_over() -> None:
    assert set(STATUS) == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_failure_survives_the_wire_whole(code: str) -> None:
    for failure in (
        Refusal(code, "No.", advice="Do this.", missing=3),
        Trouble(code, "Later.", retry=True, node="n1"),
        Trouble(code, "Never.", retry=False),
    ):
        status, reply = failure_reply(failure, "r1")
        again = failure_of(reply)
        assert status >= 400
        assert type(again) is type(failure)
        assert (again.code, again.message, again.advice) == (failure.code, failure.message, failure.advice)
        assert again.facts == {**failure.facts, "request_id": "r1"}
        assert getattr(again, "retry", None) == getattr(failure, "retry", None)


def test_a_code_of_a_newer_program_is_kept_in_the_facts() -> None:
    _, reply = failure_reply(Refusal("bucket.unknown", "No."), "")
    newer = type(reply)(kind="refusal", code="bucket.haunted", message="Boo.")
    again = failure_of(newer)
    assert isinstance(again, Refusal)
    assert again.code == "request.invalid"
    assert again.facts == {"code_there": "bucket.haunted"}
