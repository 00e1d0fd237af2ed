"""Default encryption comes back as it was put; without a setting it is AES256."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import encryption_operations as encryption
from holdfast.files.bucket_settings import Encryption


def rule_of(algorithm: str, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    default = {"SSEAlgorithm": algorithm} | ({} if key_id is None else {"KMSMasterKeyID": key_id})
    return {"ApplyServerSideEncryptionByDefault": default} | more


def put(*rules: dict[str, Any]) -> Encryption:
    root = shapes.sent("PutBucketEncryption", ServerSideEncryptionConfiguration={"Rules": list(rules)})
    return encryption.read_encryption(root)


def got(setting: Encryption) -> Any:
    root, content = "ServerSideEncryptionConfiguration", encryption.encryption_elements(setting)
    return shapes.shown("GetBucketEncryption", root, content)[root]["Rules"]


@given(
    st.sampled_from(["aws:kms", "aws:kms:dsse"]),
    st.none() | st.from_regex(r"\A[a-zA-Z0-9:/_-]{1,40}\Z"),
    st.booleans(),
)
def test_a_key_and_its_use_come_back(algorithm: str, key_id: str | None, bucket_key: bool) -> None:
    rule = rule_of(algorithm, key_id, BucketKeyEnabled=bucket_key)
    assert got(put(rule)) == [rule]


def test_without_a_word_on_bucket_keys_they_are_off() -> None:
    assert got(put(rule_of("AES256"))) == [rule_of("AES256", BucketKeyEnabled=False)]


def test_without_a_setting_it_is_aes256() -> None:
    assert got(encryption.WITHOUT_SETTING) == [rule_of("AES256", BucketKeyEnabled=False)]


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([], "MalformedXML"),
        ([rule_of("AES256")] * 2, "MalformedXML"),
        ([{"BucketKeyEnabled": True}], "MalformedXML"),
        ([rule_of("AES128")], "MalformedXML"),
        ([rule_of("aws:fsx")], "MalformedXML"),
        ([rule_of("AES256", "key")], "InvalidArgument"),
        ([rule_of("aws:kms", "")], "InvalidArgument"),
        ([rule_of("aws:kms", "a\nb")], "InvalidArgument"),
        ([rule_of("aws:kms", "k" * 2049)], "InvalidArgument"),
    ],
)
def test_what_cannot_be_is_refused(rules: list[dict[str, Any]], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        put(*rules)
    assert shapes.code_of(caught.value) == (code, 400)


def test_keys_of_the_writers_own_cannot_be_blocked_yet() -> None:
    assert put(rule_of("AES256", BlockedEncryptionTypes={"EncryptionType": ["NONE"]})).algorithm == "AES256"
    with pytest.raises(S3Error) as caught:
        put(rule_of("AES256", BlockedEncryptionTypes={"EncryptionType": ["SSE-C"]}))
    assert shapes.code_of(caught.value) == ("NotImplemented", 501)


VALID = shapes.written(
    "PutBucketEncryption",
    ServerSideEncryptionConfiguration={"Rules": [rule_of("aws:kms", "key", BucketKeyEnabled=True)]},
)


@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, lambda root: got(encryption.read_encryption(root)))
