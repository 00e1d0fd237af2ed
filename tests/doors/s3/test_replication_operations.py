"""Replication configurations come back as they were put; S3's two forms are kept apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes
from tests.doors.s3.test_tagging import KEYS, LETTERS, as_set

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import replication_operations as replication
from holdfast.files.bucket_settings import Replication

ROLE, TARGET = "arn:aws:iam::123456789012:role/copy", "arn:aws:s3:::copies"
STATUS = st.sampled_from(["Enabled", "Disabled"]).map(lambda status: {"Status": status})
FILTERS = st.one_of(
    st.just({}),
    st.builds(lambda prefix: {"Prefix": prefix}, st.text("ab/é", max_size=4)),
    st.builds(lambda key, value: {"Tag": {"Key": key, "Value": value}}, KEYS, LETTERS),
    st.builds(
        lambda prefix, key: {"And": {"Prefix": prefix, "Tags": as_set({key: "v"})}},
        st.text("ab/", max_size=4),
        KEYS,
    ),
)


@st.composite
def destinations(draw: st.DrawFn, *, kms: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"Bucket": TARGET}
    if draw(st.booleans()):
        made["StorageClass"] = draw(st.sampled_from(replication.CLASSES))
    if draw(st.booleans()):
        made["Account"] = "123456789012"
        if draw(st.booleans()):
            made["AccessControlTranslation"] = {"Owner": "Destination"}
    if kms:
        made["EncryptionConfiguration"] = {"ReplicaKmsKeyID": "key"}
    if draw(st.booleans()):
        made["ReplicationTime"] = draw(STATUS) | {"Time": {"Minutes": 15}}
        made["Metrics"] = draw(STATUS) | draw(st.sampled_from([{}, {"EventThreshold": {"Minutes": 15}}]))
    return made


@st.composite
def rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    made = []
    for number in range(draw(st.integers(1, 3))):
        wanted, kms = draw(FILTERS), draw(st.booleans())
        rule: dict[str, Any] = {
            "ID": f"rule {number}",
            "Priority": number,
            "Filter": wanted,
            "DeleteMarkerReplication": {"Status": "Disabled"}
            if "Tag" in wanted or "And" in wanted
            else draw(STATUS),
            "Destination": draw(destinations(kms=kms)),
        } | draw(STATUS)
        if kms:
            rule["SourceSelectionCriteria"] = {"SseKmsEncryptedObjects": {"Status": "Enabled"}}
        if draw(st.booleans()):
            rule["ExistingObjectReplication"] = draw(STATUS)
        made.append(rule)
    return made


def put(*given: dict[str, Any]) -> Replication:
    configuration = {"Role": ROLE, "Rules": list(given)}
    return replication.read_replication(
        shapes.sent("PutBucketReplication", ReplicationConfiguration=configuration)
    )


def got(read: Replication) -> Any:
    root, content = "ReplicationConfiguration", replication.replication_elements(read)
    return shapes.shown("GetBucketReplication", root, content)[root]


@given(rules())
def test_a_configuration_comes_back_as_it_was_put(given: list[dict[str, Any]]) -> None:
    assert got(put(*given)) == {"Role": ROLE, "Rules": given}


@given(st.lists(st.text("ab/é", max_size=4), min_size=1, max_size=3, unique=True))
def test_the_older_form_comes_back_as_it_was_put(prefixes: list[str]) -> None:
    given = [
        {"ID": f"{number}", "Prefix": prefix, "Status": "Enabled", "Destination": {"Bucket": TARGET}}
        for number, prefix in enumerate(prefixes)
    ]
    assert got(put(*given)) == {"Role": ROLE, "Rules": given}


def rule_of(**changed: Any) -> dict[str, Any]:
    rule = {
        "ID": "r",
        "Priority": 1,
        "Filter": {},
        "Status": "Enabled",
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": TARGET},
    } | changed
    return {name: value for name, value in rule.items() if value is not None}


OLD = {"Filter": None, "Priority": None, "DeleteMarkerReplication": None, "Prefix": ""}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], "MalformedXML"),
        ([rule_of(), rule_of(Priority=2)], "InvalidArgument"),
        ([rule_of(), rule_of(ID="s")], "InvalidRequest"),
        ([rule_of(), rule_of(ID="s", **OLD)], "InvalidRequest"),
        ([rule_of(Status="on")], "MalformedXML"),
        ([rule_of(ID="i" * 256)], "InvalidArgument"),
        ([rule_of(Filter=None)], "MalformedXML"),
        ([rule_of(Priority=None)], "InvalidRequest"),
        ([rule_of(Priority=-1)], "InvalidArgument"),
        ([rule_of(DeleteMarkerReplication=None)], "InvalidRequest"),
        ([rule_of(**OLD) | {"Priority": 1}], "InvalidRequest"),
        (
            [
                rule_of(
                    Filter={"Tag": {"Key": "a", "Value": "b"}},
                    DeleteMarkerReplication={"Status": "Enabled"},
                )
            ],
            "InvalidRequest",
        ),
        ([rule_of(Destination={"Bucket": "copies"})], "InvalidArgument"),
        ([rule_of(Destination={"Bucket": "arn:aws:s3:::"})], "InvalidArgument"),
        ([rule_of(Destination={"Bucket": TARGET, "StorageClass": "COLD"})], "MalformedXML"),
        ([rule_of(Destination={"Bucket": TARGET, "Account": "me"})], "InvalidArgument"),
        (
            [rule_of(Destination={"Bucket": TARGET, "AccessControlTranslation": {"Owner": "Destination"}})],
            "InvalidArgument",
        ),
        (
            [rule_of(SourceSelectionCriteria={"SseKmsEncryptedObjects": {"Status": "Enabled"}})],
            "InvalidRequest",
        ),
        (
            [rule_of(Destination={"Bucket": TARGET, "EncryptionConfiguration": {"ReplicaKmsKeyID": "k"}})],
            "InvalidRequest",
        ),
        (
            [
                rule_of(
                    Destination={
                        "Bucket": TARGET,
                        "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 16}},
                    }
                )
            ],
            "InvalidArgument",
        ),
    ],
)
def test_what_cannot_be_is_refused(given: list[dict[str, Any]], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(*given)
    assert shapes.code_of(caught.value) == (code, 400)


VALID = shapes.written(
    "PutBucketReplication",
    ReplicationConfiguration={
        "Role": ROLE,
        "Rules": [
            rule_of(Filter={"And": {"Prefix": "p", "Tags": as_set({"a": "b"})}}),
            rule_of(
                ID="s",
                Priority=2,
                Destination={
                    "Bucket": TARGET,
                    "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
                },
            ),
        ],
    },
)


@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, lambda root: got(replication.read_replication(root)))
