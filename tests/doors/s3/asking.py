"""What the tests of access ask, and how they take a no."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.doors.s3.program import Answer, Program, S3Cloud

from holdfast.tenants.permits import Permit

BUCKET = "photos"
ARN = f"arn:aws:s3:::{BUCKET}"
EVERYBODY = "http://acs.amazonaws.com/groups/global/AllUsers"


async def outcome(call: Awaitable[Any]) -> str:
    """What is said: ok, or the code of the refusal."""
    try:
        await call
    except Answer as answer:
        return answer.code or str(answer.status)
    return "ok"


async def refusal(call: Awaitable[Any]) -> tuple[str, int]:
    with pytest.raises(Answer) as caught:
        await call
    return caught.value.code, caught.value.status


def rule(effect: str, action: Any, resource: Any = f"{ARN}/*", who: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Principal": who, "Action": action, "Resource": resource} | more


async def put_policy(by: Program, *statements: dict[str, Any], **more: Any) -> Any:
    text = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return await by.call("PutBucketPolicy", Bucket=BUCKET, Policy=text, **more)


async def joes(cloud: S3Cloud, name: str = "joe", **permit: Any) -> Program:
    """A user of the bucket owner's tenant."""
    rooms, tenant = cloud.cluster.rooms, cloud.cluster.tenant_id
    await rooms.users.create(tenant, name)
    key = await rooms.keys.create_access_key(tenant, user_name=name, permit=Permit(**permit))
    return Program(cloud.application, cloud.cluster.coordinator.clock, key)


async def bobs(cloud: S3Cloud) -> str:
    """The other tenant's id."""
    return (await cloud.cluster.rooms.people.find_named("bob")).tenant_id
