"""Documents as unmodified S3 programs write and read them: botocore's serialiser and parser, as oracles."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire.xml_reading import Node, parse
from holdfast.doors.s3.wire.xml_writing import document


@lru_cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("s3")


@lru_cache
def operation(name: str) -> OperationModel:
    return _model().operation_model(name)


def written(name: str, **parameters: Any) -> bytes:
    """The body of the request that botocore makes of these parameters."""
    given: dict[str, Any] = {"Bucket": "photos"}
    if "Key" in operation(name).input_shape.members:
        given["Key"] = "cat"
    serializer = create_serializer("rest-xml", include_validation=False)
    return serializer.serialize_to_request(given | parameters, operation(name))["body"]


def sent(name: str, **parameters: Any) -> Node:
    """The same, as it is parsed here."""
    return parse(written(name, **parameters))


def understood(name: str, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> Any:
    """What botocore makes of the body of an answer."""
    response = {"status_code": status, "headers": headers or {}, "body": body}
    answer = create_parser("rest-xml").parse(response, operation(name).output_shape)
    answer.pop("ResponseMetadata")
    return answer


def shown(name: str, root: str, content: str) -> Any:
    """What botocore makes of a document with this content."""
    return understood(name, document(root, content))


def refusal_of(read: Callable[[], object]) -> S3Error | None:
    """What S3 says against it, if it says anything."""
    try:
        read()
    except S3Error as error:
        return error
    return None


def code_of(error: S3Error) -> tuple[str, int]:
    return error.code, error.status
