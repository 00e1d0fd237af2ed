"""How calls are refused: status and S3's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


def refusal(call: Callable[..., Any], **words: Any) -> tuple[int, str]:
    """(HTTP status, code) of a call that must fail."""
    try:
        answer = call(**words)
    except ClientError as error:
        said = error.response
        return said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"]
    message = f"it was not refused: {answer}"
    raise AssertionError(message)


def status(answer: dict[str, Any]) -> int:
    """HTTP status of an answer."""
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def header(answer: dict[str, Any], name: str) -> str | None:
    """A header of an answer."""
    return answer["ResponseMetadata"]["HTTPHeaders"].get(name)
