"""Encryption as S3 programs ask for it: by managed keys, by named ones, by keys of their own."""

from __future__ import annotations

import base64
import hashlib
import itertools
import random
from typing import Any

import pytest
from tests.s3.refusals import refusal, status

CONTENT = b"some bytes under a key"
PART = random.Random(11).randbytes(5 << 20)
SHOWN = (
    "ServerSideEncryption",
    "SSEKMSKeyId",
    "SSECustomerAlgorithm",
    "SSECustomerKeyMD5",
    "BucketKeyEnabled",
)
NAMED = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "a-key"}
MANAGED = {"ServerSideEncryption": "AES256"}


def own(number: int) -> dict[str, str]:
    """The words of a customer's key."""
    key = hashlib.sha256(b"key %d" % number).digest()
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": base64.b64encode(key).decode(),
        "SSECustomerKeyMD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }


def shown_own(number: int) -> dict[str, str]:
    """What answers tell of it."""
    return {name: value for name, value in own(number).items() if name != "SSECustomerKey"}


def source_own(number: int) -> dict[str, str]:
    """The same words for the source of a copy."""
    return {f"CopySource{name}": value for name, value in own(number).items()}


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in SHOWN if name in answer}


WAYS: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    # words of a write, words of a read, what answers tell
    "unasked": ({}, {}, MANAGED),
    "managed": (MANAGED, {}, MANAGED),
    "named": (NAMED, {}, NAMED),
    "own": (own(1), own(1), shown_own(1)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20])
def test_every_answer_tells_how_the_object_is_encrypted(s3: Any, bucket: str, way: str, size: int) -> None:
    write, read, told = WAYS[way]
    content = PART[:size]
    assert shown(s3.put_object(Bucket=bucket, Key="a", Body=content, **write)) == told
    assert shown(s3.head_object(Bucket=bucket, Key="a", **read)) == told
    answer = s3.get_object(Bucket=bucket, Key="a", **read)
    assert (shown(answer), answer["Body"].read()) == (told, content)


@pytest.mark.parametrize("way", WAYS)
def test_parts_are_encrypted_as_their_upload_began(s3: Any, bucket: str, way: str) -> None:
    write, read, told = WAYS[way]
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a", **write)
    assert shown(begun) == told
    words = {"Bucket": bucket, "Key": "a", "UploadId": begun["UploadId"]}
    parts = []
    for number, content in ((1, PART), (2, CONTENT)):
        part = s3.upload_part(**words, PartNumber=number, Body=content, **read)
        assert shown(part) == told
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(**words, MultipartUpload={"Parts": parts})
    answer = s3.get_object(Bucket=bucket, Key="a", **read)
    assert (shown(answer), answer["Body"].read()) == (told, PART + CONTENT)
    across = s3.get_object(Bucket=bucket, Key="a", Range=f"bytes={len(PART) - 3}-{len(PART) + 2}", **read)
    assert across["Body"].read() == PART[-3:] + CONTENT[:3]


def test_parts_come_with_the_key_that_their_upload_began_with(s3: Any, bucket: str) -> None:
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a", **own(1))["UploadId"]
    words = {"Bucket": bucket, "Key": "a", "UploadId": begun, "PartNumber": 1, "Body": b"x"}
    assert refusal(s3.upload_part, **words) == (400, "InvalidRequest")
    assert refusal(s3.upload_part, **words, **own(2)) == (400, "InvalidRequest")
    wrong = own(1) | {"SSECustomerKeyMD5": own(2)["SSECustomerKeyMD5"]}
    assert refusal(s3.upload_part, **words, **wrong) == (400, "InvalidArgument")
    plain = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    assert refusal(s3.upload_part, **words | {"UploadId": plain}, **own(1)) == (400, "InvalidRequest")


def test_only_its_own_key_opens_an_object(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=CONTENT, **own(1))
    for call, unasked, wrong in (
        (s3.get_object, (400, "InvalidRequest"), (403, "AccessDenied")),
        (s3.head_object, (400, "400"), (403, "403")),
    ):
        assert refusal(call, Bucket=bucket, Key="a") == unasked
        assert refusal(call, Bucket=bucket, Key="a", **own(2)) == wrong
    s3.put_object(Bucket=bucket, Key="b", Body=CONTENT)
    assert refusal(s3.get_object, Bucket=bucket, Key="b", **own(1)) == (400, "InvalidRequest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2
    assert status(s3.delete_object(Bucket=bucket, Key="a")) == 204


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "short"}, "InvalidArgument"),
        (own(1) | {"SSECustomerKeyMD5": own(2)["SSECustomerKeyMD5"]}, "InvalidArgument"),
        (own(1) | {"SSECustomerAlgorithm": "ROT13"}, "InvalidEncryptionAlgorithmError"),
        (own(1) | MANAGED, "InvalidArgument"),
        ({"ServerSideEncryption": "ROT13"}, "InvalidArgument"),
        ({"SSEKMSKeyId": "a-key"}, "InvalidArgument"),
        (MANAGED | {"SSEKMSKeyId": "a-key"}, "InvalidArgument"),
    ],
)
def test_words_that_contradict_one_another_are_refused(
    s3: Any, bucket: str, words: dict[str, str], refused: str
) -> None:
    assert refusal(s3.put_object, Bucket=bucket, Key="a", Body=b"x", **words) == (400, refused)
    assert refusal(s3.create_multipart_upload, Bucket=bucket, Key="a", **words) == (400, refused)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(WAYS, WAYS)))
def test_copies_go_from_any_key_to_any_other(s3: Any, bucket: str, old: str, new: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=CONTENT, **WAYS[old][0])
    opening = source_own(1) if old == "own" else {}
    write, read, told = (own(2), own(2), shown_own(2)) if new == "own" else WAYS[new]
    copied = s3.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a", **opening, **write)
    assert shown(copied) == told
    answer = s3.get_object(Bucket=bucket, Key="b", **read)
    assert (shown(answer), answer["Body"].read()) == (told, CONTENT)


def test_a_copy_needs_the_key_of_its_source(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=CONTENT, **own(1))
    s3.put_object(Bucket=bucket, Key="b", Body=CONTENT)
    words = {"Bucket": bucket, "Key": "c", "CopySource": f"{bucket}/a"}
    assert refusal(s3.copy_object, **words) == (400, "InvalidRequest")
    assert refusal(s3.copy_object, **words, **source_own(2)) == (403, "AccessDenied")
    words["CopySource"] = f"{bucket}/b"
    assert refusal(s3.copy_object, **words, **source_own(1)) == (400, "InvalidRequest")


def test_parts_are_copied_from_one_key_to_another(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=CONTENT, **own(1))
    begun = s3.create_multipart_upload(Bucket=bucket, Key="b", **own(2))["UploadId"]
    words = {"Bucket": bucket, "Key": "b", "UploadId": begun}
    copied = s3.upload_part_copy(
        **words,
        PartNumber=1,
        CopySource=f"{bucket}/a",
        CopySourceRange="bytes=5-9",
        **source_own(1),
        **own(2),
    )
    assert shown(copied) == shown_own(2)
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.complete_multipart_upload(**words, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="b", **own(2))["Body"].read() == CONTENT[5:10]


def test_a_bucket_names_the_encryption_of_what_asks_for_none(s3: Any, bucket: str) -> None:
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "the-default"}
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    told = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "the-default", "BucketKeyEnabled": True}
    assert shown(s3.put_object(Bucket=bucket, Key="a", Body=CONTENT)) == told
    assert shown(s3.head_object(Bucket=bucket, Key="a")) == told
    assert shown(s3.put_object(Bucket=bucket, Key="b", Body=CONTENT, **MANAGED)) == MANAGED
    assert shown(s3.put_object(Bucket=bucket, Key="c", Body=CONTENT, **own(1))) == shown_own(1)
    assert shown(s3.copy_object(Bucket=bucket, Key="d", CopySource=f"{bucket}/b")) == told
    s3.delete_bucket_encryption(Bucket=bucket)
    assert shown(s3.put_object(Bucket=bucket, Key="a", Body=CONTENT)) == MANAGED


def test_attributes_of_an_object_need_its_key_too(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=CONTENT, **own(1))
    words = {"Bucket": bucket, "Key": "a", "ObjectAttributes": ["ObjectSize"]}
    assert s3.get_object_attributes(**words, **own(1))["ObjectSize"] == len(CONTENT)
    assert refusal(s3.get_object_attributes, **words) == (400, "InvalidRequest")
