"""Every failure of the house has a name in S3, and every name of S3 a status."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from holdfast.doors.s3 import failures
from holdfast.doors.s3.failures import KINDS, OF_THE_HOUSE, S3Error, as_s3_error
from holdfast.world.errors import CODES, Refusal, Trouble

DOOR = Path(failures.__file__).parent
TROUBLES = {
    "chunk.lost", "database.busy", "database.unreachable", "disk.failed", "disk.full", "endpoint.unreachable",
    "metadata.forged", "node.unreachable", "node.corrupt", "target.refused", "internal",
}  # fmt: skip


def test_every_failure_of_the_house_has_a_name_in_s3_and_nothing_else_has() -> None:
    assert set(OF_THE_HOUSE) == set(CODES)
    assert set(OF_THE_HOUSE.values()) <= set(KINDS)


def test_every_code_that_a_handler_raises_is_in_the_table() -> None:
    for path in DOOR.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "S3Error" and node.args:
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    assert code.value in KINDS, f"{path.name}:{node.lineno} raises {code.value!r}"


@pytest.mark.parametrize("code", sorted(set(CODES) - TROUBLES))
def test_what_the_client_can_mend_is_never_its_fault_and_a_server_error_at_once(code: str) -> None:
    said = as_s3_error(Refusal(code, "Why."))
    ours = {"InternalError", "ServiceUnavailable"}
    assert said.status < 500 or said.code in ours


def test_statuses_are_those_of_http_errors_and_redirects() -> None:
    for code, kind in KINDS.items():
        assert 300 <= kind.status < 600, code
        assert kind.message, code


def test_what_is_inside_is_not_told_outside() -> None:
    said = as_s3_error(Trouble("database.unreachable", "postgresql://secret@10.0.0.1 refused"))
    assert (said.code, said.status) == ("ServiceUnavailable", 503)
    assert "10.0.0.1" not in said.message


def test_a_bucket_of_ones_own_exists_otherwise_than_one_of_others() -> None:
    assert as_s3_error(Refusal("bucket.exists", ".", yours=True)).code == "BucketAlreadyOwnedByYou"
    assert as_s3_error(Refusal("bucket.exists", ".", yours=False)).code == "BucketAlreadyExists"


def test_an_error_carries_fields_whose_names_are_no_python() -> None:
    error = S3Error("InvalidToken", "No.", 418, headers=[("a", "b")], Key="k").telling(**{"Token-0": "t"})
    assert (error.code, error.message, error.status, error.headers) == (
        "InvalidToken",
        "No.",
        418,
        [("a", "b")],
    )
    assert error.fields == {"Key": "k", "Token-0": "t"}


def test_an_error_tells_the_condition_that_failed_and_the_bytes_that_are_missing() -> None:
    lost = as_s3_error(Refusal("precondition.failed", "It exists.", condition="If-None-Match"))
    assert (lost.code, lost.fields) == ("PreconditionFailed", {"Condition": "If-None-Match"})
    cut = as_s3_error(Refusal("request.incomplete", "Cut.", announced=9, came=4))
    assert (cut.code, cut.fields) == ("IncompleteBody", {"NumberBytesExpected": 9, "NumberBytesProvided": 4})
