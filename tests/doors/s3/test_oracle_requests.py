"""Whatever botocore writes is understood as what was meant, and its parser understands what is answered."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.parsers import create_parser
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.doors.s3.model_inputs import operations, parameters_of, request_of
from tests.doors.s3.program import S3Cloud, s3_story
from tests.doors.s3.raw_requests import Raw, ask, judge, signed

from holdfast.doors.s3.exchange import exchange_of
from holdfast.doors.s3.failures import KINDS
from holdfast.doors.s3.operations import HANDLERS, RULES
from holdfast.doors.s3.routes import route
from holdfast.doors.s3.wire.hosts import Hosts

SERVED = sorted(name for name in operations() if name in RULES and name in HANDLERS)
OTHERWISE_KNOWN_AS = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
}
"""Operations whose requests are those of a newer one."""


def routed(raw: Raw) -> str:
    """The operation that the door takes a request for."""
    scope: dict[str, Any] = {
        "method": raw.method,
        "raw_path": raw.path.encode(),
        "query_string": raw.query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in raw.headers],
    }
    exchange = exchange_of(scope, 0, "")
    exchange.read_target(Hosts((), ()).place("127.0.0.1:8335"))
    return route(exchange.method, exchange.level, exchange.query, exchange.headers)


@pytest.mark.parametrize("name", sorted(operations()))
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_what_an_sdk_asks_is_taken_for_what_it_is(name: str, data: st.DataObject) -> None:
    operation = operations()[name]
    raw = request_of(operation, data.draw(parameters_of(operation)))
    assert routed(raw) == OTHERWISE_KNOWN_AS.get(name, name)


async def hold(cloud: S3Cloud, names: list[str], parameters: list[dict[str, Any]]) -> None:
    key = await cloud.cluster.rooms.keys.create_access_key(cloud.cluster.tenant_id)
    for prepared in ("cat", "a/b"):
        raw = Raw("PUT", f"/photos/{prepared}", "", (), (b"meow",))
        assert (await ask(cloud.application, signed(raw, key, cloud.door.clock.now()))).status == 200
    for name, given_ones in zip(names, parameters, strict=True):
        operation = operations()[name]
        raw = signed(request_of(operation, given_ones), key, cloud.door.clock.now())
        said = await ask(cloud.application, raw)
        judge(raw, said, KINDS)
        content = b"" if operation.has_streaming_output and said.status < 300 else said.body
        response = {"status_code": said.status, "headers": said.headers, "body": content}
        create_parser("rest-xml").parse(response, operation.output_shape)


@pytest.mark.slow
@given(data=st.data())
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
def test_what_an_sdk_asks_gets_a_value_or_an_error_of_s3(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(SERVED), min_size=10, max_size=20))
    names = [name for name in names if name != "DeleteBucket"]
    parameters = [data.draw(parameters_of(operations()[name])) for name in names]
    s3_story(lambda cloud: hold(cloud, names, parameters))


@pytest.mark.parametrize("name", sorted(set(operations()) - set(SERVED) - set(OTHERWISE_KNOWN_AS)))
def test_what_is_left_out_is_said_so_before_anything_else(name: str) -> None:
    operation = operations()[name]
    given_ones = {
        member: 1 if shape.type_name == "integer" else "photos"
        for member, shape in (operation.input_shape.members if operation.input_shape else {}).items()
        if member in operation.input_shape.required_members and shape.serialization.get("location")
    }

    async def story(cloud: S3Cloud) -> tuple[int, str]:
        said = await ask(cloud.application, request_of(operation, given_ones))
        return said.status, said.code if said.body else ""

    status, code = s3_story(story)
    assert (status, code) in {(501, "NotImplemented"), (501, "")}
