"""Notification configurations come back as they were put; S3's rules on overlaps hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import notification_operations as notifications

QUEUE, TOPIC = "arn:aws:sqs:us-east-1:123456789012:jobs", "arn:aws:sns:us-east-1::news"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:resize"
GET, PUT = "GetBucketNotificationConfiguration", "PutBucketNotificationConfiguration"


def put(operation: str = PUT, **configuration: Any) -> Any:
    root = shapes.sent(operation, NotificationConfiguration=configuration)
    return notifications.read_notifications(root)


def got(read: Any, operation: str = GET) -> Any:
    targets, bridge = read
    content = notifications.notification_elements(targets, eventbridge=bridge)
    return shapes.shown(operation, "NotificationConfiguration", content)


def filter_of(prefix: str | None, suffix: str | None) -> dict[str, Any]:
    rules = [
        {"Name": name, "Value": value}
        for name, value in (("prefix", prefix), ("suffix", suffix))
        if value is not None
    ]
    return {"Filter": {"Key": {"FilterRules": rules}}} if rules else {}


@given(
    st.lists(st.sampled_from(["a/", "b/", "c/", "d/"]), unique=True, max_size=4),
    st.none() | st.sampled_from(["", ".jpg"]),
    st.lists(st.sampled_from(sorted(notifications.EVENTS)), min_size=1, max_size=4, unique=True),
    st.booleans(),
)
def test_a_configuration_comes_back_as_it_was_put(
    prefixes: list[str], suffix: str | None, events: list[str], bridge: bool
) -> None:
    given: dict[str, Any] = {"EventBridgeConfiguration": {}} if bridge else {}
    names = {
        "QueueConfigurations": ("QueueArn", QUEUE),
        "TopicConfigurations": ("TopicArn", TOPIC),
        "LambdaFunctionConfigurations": ("LambdaFunctionArn", FUNCTION),
    }
    for number, prefix in enumerate(prefixes):
        kind = list(names)[number % 3]
        arn, value = names[kind]
        one = {"Id": f"n{number}", arn: value, "Events": events} | filter_of(prefix, suffix)
        given.setdefault(kind, []).append(one)
    assert got(put(**given)) == given


def test_the_older_form_is_understood() -> None:
    read = put(
        "PutBucketNotification",
        QueueConfiguration={"Id": "q", "Queue": QUEUE, "Events": ["s3:ObjectCreated:*"]},
        CloudFunctionConfiguration={
            "Id": "f",
            "CloudFunction": FUNCTION,
            "InvocationRole": "arn:aws:iam::1:role/x",
            "Event": "s3:ObjectRemoved:*",
        },
    )
    assert {(target.target_id, target.kind, target.arn, target.events) for target in read[0]} == {
        ("q", "Queue", QUEUE, ("s3:ObjectCreated:*",)),
        ("f", "CloudFunction", FUNCTION, ("s3:ObjectRemoved:*",)),
    }


def test_ids_are_made_where_there_are_none_and_stay_the_same() -> None:
    given = {
        "QueueConfigurations": [
            {"QueueArn": QUEUE, "Events": ["s3:ObjectCreated:*"]},
            {"QueueArn": QUEUE, "Events": ["s3:ObjectRemoved:*"]},
        ]
    }
    first, second = (got(put(**given))["QueueConfigurations"] for _ in range(2))
    assert first == second
    assert len({each["Id"] for each in first}) == 2


def queue(event: str = "s3:ObjectCreated:*", target_id: str = "q", **more: Any) -> dict[str, Any]:
    return {"Id": target_id, "QueueArn": QUEUE, "Events": [event]} | more


@pytest.mark.parametrize(
    ("configurations", "code", "words"),
    [
        ([queue(QueueArn="jobs")], "InvalidArgument", "ARN"),
        ([queue(QueueArn="")], "InvalidArgument", "ARN"),
        ([queue("s3:ObjectEaten:*")], "InvalidArgument", "event is not supported"),
        ([queue(Events=[])], "MalformedXML", ""),
        ([queue(target_id="i" * 256)], "InvalidArgument", "ID length"),
        ([queue(), queue("s3:ObjectRemoved:*")], "InvalidArgument", "Same ID"),
        ([queue(), queue(target_id="r")], "InvalidArgument", "Configurations overlap"),
        ([queue(), queue("s3:ObjectCreated:Put", "r")], "InvalidArgument", "Configurations overlap"),
        (
            [queue(**filter_of("a", None)), queue(target_id="r", **filter_of("ab", None))],
            "InvalidArgument",
            "ambiguously defined",
        ),
        (
            [queue(**filter_of(None, "pg")), queue(target_id="r", **filter_of(None, ".jpg"))],
            "InvalidArgument",
            "ambiguously defined",
        ),
        ([queue(**filter_of("p" * 1025, None))], "InvalidArgument", "1024 bytes"),
        (
            [queue(Filter={"Key": {"FilterRules": [{"Name": "infix", "Value": "a"}]}})],
            "InvalidArgument",
            "prefix or suffix",
        ),
        (
            [queue(Filter={"Key": {"FilterRules": [{"Name": "prefix", "Value": "a"}] * 2}})],
            "InvalidArgument",
            "more than one prefix",
        ),
    ],
)
def test_what_cannot_be_is_refused(configurations: list[dict[str, Any]], code: str, words: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(QueueConfigurations=configurations)
    assert shapes.code_of(caught.value) == (code, 400)
    assert words in caught.value.message


@given(
    st.lists(st.tuples(*[st.text("ab", max_size=2)] * 2), min_size=2, max_size=3), st.text("ab", max_size=5)
)
def test_no_key_concerns_two_configurations_that_were_taken(filters: list[tuple[str, str]], key: str) -> None:
    given = [queue(target_id=f"{number}", **filter_of(*each)) for number, each in enumerate(filters)]
    try:
        targets, _ = put(QueueConfigurations=given)
    except S3Error:
        return
    else:
        concerned = [t for t in targets if key.startswith(t.prefix or "") and key.endswith(t.suffix or "")]
        assert len(concerned) <= 1


VALID = shapes.written(
    PUT,
    NotificationConfiguration={
        "QueueConfigurations": [queue(**filter_of("a", "b"))],
        "TopicConfigurations": [{"Id": "t", "TopicArn": TOPIC, "Events": ["s3:ObjectRemoved:*"]}],
        "EventBridgeConfiguration": {},
    },
)


@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, lambda root: got(notifications.read_notifications(root)))
