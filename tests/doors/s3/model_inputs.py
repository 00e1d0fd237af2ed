"""What unmodified programs may ask: parameters of every operation, made up from the public service model."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import botocore.session
from botocore.model import OperationModel, Shape
from botocore.serialize import create_serializer
from hypothesis import strategies as st
from tests.doors.s3.raw_requests import Raw

KEYS = ("cat", "a/b", "a//b", "../up", "+ %2F?&", "\U0001f33f", "k" * 1024)
TOKEN = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
TEXT = st.sampled_from(
    ("", "0", "-1", "1", "true", "Enabled", "STANDARD", "2030-01-01T00:00:00Z", "arn:aws:s3:::photos", "null")
) | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
MEMBERS = {
    "Bucket": st.just("photos"),
    "Key": st.sampled_from(KEYS),
    "CopySource": st.sampled_from(("photos/cat", "/photos/a%2Fb", "photos", "photos/cat?versionId=null"))
    | TOKEN,
    "UploadId": TOKEN,
    "VersionId": st.just("null") | TOKEN,
    "PartNumber": st.integers(-1, 10002),
    "MaxKeys": st.integers(-1, 1002),
    "Body": st.binary(max_size=100),
}
LEFT_OUT = {"ContentLength", "ContentMD5", "ExpectedBucketOwner", "RequestPayer", "MFA", "ChecksumAlgorithm"}
"""What botocore fills in itself, or what would end nearly every request early."""


@lru_cache
def operations() -> dict[str, OperationModel]:
    """Every operation of the model, but for what has a host name of its own."""
    model = botocore.session.get_session().get_service_model("s3")
    return {
        name: model.operation_model(name)
        for name in model.operation_names
        if name != "WriteGetObjectResponse"
    }


def _of_shape(shape: Shape, where: str, depth: int) -> st.SearchStrategy[Any]:
    kind = shape.type_name
    if kind == "structure":
        return _of_members(shape, depth)
    if kind == "list":
        return st.lists(_of_shape(shape.member, where, depth - 1), min_size=0, max_size=2 if depth > 0 else 0)
    if kind == "map":
        return st.dictionaries(TOKEN, TOKEN, max_size=2)
    if kind == "boolean":
        return st.booleans()
    if kind in {"integer", "long"}:
        return st.integers(-1, 5) | st.integers(-(2**31), 2**31 - 1)
    if kind == "timestamp":
        return st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    if kind == "blob":
        return st.binary(max_size=30)
    if kind in {"float", "double"}:
        return st.floats(0, 10)
    text = TOKEN if where in {"header", "uri", "headers"} else TEXT
    return st.sampled_from(shape.enum) | text if shape.enum else text


def _of_members(shape: Shape, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    required, optional = {}, {}
    for name, member in shape.members.items():
        if name in LEFT_OUT:
            continue
        values = MEMBERS.get(name) if depth == 4 else None
        if values is None:
            values = _of_shape(member, member.serialization.get("location", ""), depth - 1)
        if name in shape.required_members:
            required[name] = values
        elif depth > 0:
            optional[name] = values
    names = st.sets(st.sampled_from(sorted(optional)), max_size=4) if optional else st.just(set())
    return st.fixed_dictionaries(required).flatmap(
        lambda given: names.flatmap(
            lambda chosen: st.fixed_dictionaries({name: optional[name] for name in sorted(chosen)}).map(
                lambda more: {**given, **more}
            )
        )
    )


def parameters_of(operation: OperationModel) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters of an operation: all that it requires and some of the rest."""
    return _of_members(operation.input_shape, 4) if operation.input_shape else st.just({})


def request_of(operation: OperationModel, parameters: dict[str, Any]) -> Raw:
    """What botocore sends for it, unsigned."""
    wish = create_serializer("rest-xml", include_validation=False).serialize_to_request(parameters, operation)
    path, _, fixed = wish["url_path"].partition("?")
    pairs = [pair for pair in (fixed, urlencode(wish["query_string"], doseq=True, quote_via=quote)) if pair]
    body = wish["body"] or b""
    body = body.encode() if isinstance(body, str) else bytes(body)
    headers = tuple((name, str(value)) for name, value in wish["headers"].items())
    return Raw(wish["method"], path, "&".join(pairs), headers, (body,) if body else ())
