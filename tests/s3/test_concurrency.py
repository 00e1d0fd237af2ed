"""Many at once: readers during writes, writers of one key, deletes of the same, conditions in a race."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.s3.refusals import refusal
from tests.s3.sending import Sender

SIZES = [1000, 100_000, 9 << 20]


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """What the calls return, all begun together."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result() for one in [pool.submit(call) for call in calls]]


def body(s3: Any, bucket: str, key: str) -> bytes:
    found: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return found


@pytest.mark.parametrize("size", SIZES)
def test_who_reads_while_an_object_is_replaced_reads_the_old_one_whole(
    s3: Any, bucket: str, size: int
) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"A" * size)
    reading = s3.get_object(Bucket=bucket, Key="a")["Body"]
    came = reading.read(100)
    s3.put_object(Bucket=bucket, Key="a", Body=b"B" * size)
    assert came + reading.read() == b"A" * size
    assert body(s3, bucket, "a") == b"B" * size


def test_who_reads_while_an_object_is_deleted_reads_it_whole(s3: Any, bucket: str) -> None:
    content = b"A" * (25 << 20)
    s3.put_object(Bucket=bucket, Key="a", Body=content)
    reading = s3.get_object(Bucket=bucket, Key="a")["Body"]
    came = reading.read(100)
    s3.delete_object(Bucket=bucket, Key="a")
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (404, "NoSuchKey")
    assert came + reading.read() == content


@pytest.mark.parametrize("size", SIZES)
def test_an_object_is_there_only_when_all_of_it_came(
    s3: Any, bucket: str, endpoint: Any, owner: Any, size: int
) -> None:
    sender = Sender(endpoint, owner)
    s3.put_object(Bucket=bucket, Key="a", Body=b"A" * size)
    with sender.connect() as line:
        line.sendall(sender.lines("PUT", f"/{bucket}/a", changed={"Content-Length": str(size)}))
        line.sendall(b"B" * (size // 2))
        assert body(s3, bucket, "a") == b"A" * size
        line.sendall(b"B" * (size - size // 2))
        assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert body(s3, bucket, "a") == b"B" * size


@pytest.mark.parametrize("size", SIZES)
def test_of_writers_of_one_key_one_wins_whole(s3: Any, bucket: str, size: int) -> None:
    letters = (b"1", b"2", b"3", b"4")

    def put(letter: bytes) -> Callable[[], Any]:
        return lambda: s3.put_object(Bucket=bucket, Key="a", Body=letter * size)

    at_once([put(letter) for letter in letters])
    assert body(s3, bucket, "a") in {letter * size for letter in letters}


def test_of_writers_that_require_absence_one_wins(s3: Any, bucket: str) -> None:
    def put(number: int) -> Callable[[], Any]:
        def call() -> int:
            try:
                s3.put_object(Bucket=bucket, Key="a", Body=b"%d" % number, IfNoneMatch="*")
            except s3.exceptions.ClientError as error:
                return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            return 200

        return call

    found = sorted(at_once([put(number) for number in range(8)]))
    assert found[0] == 200
    assert set(found[1:]) <= {409, 412}


def test_of_uploads_that_require_absence_one_is_completed(s3: Any, bucket: str) -> None:
    def begin(number: int) -> dict[str, Any]:
        begun = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
        words = {"Bucket": bucket, "Key": "a", "UploadId": begun}
        part = s3.upload_part(**words, PartNumber=1, Body=b"%d" % number)
        return {**words, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}}

    def end(words: dict[str, Any]) -> Callable[[], int]:
        def call() -> int:
            try:
                s3.complete_multipart_upload(**words, IfNoneMatch="*")
            except s3.exceptions.ClientError as error:
                return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            return 200

        return call

    found = sorted(at_once([end(words) for words in [begin(number) for number in range(4)]]))
    assert found[0] == 200
    assert set(found[1:]) <= {409, 412}


def test_many_may_delete_the_same_keys(s3: Any, bucket: str) -> None:
    names = [{"Key": f"key-{number}"} for number in range(100)]
    for name in names:
        s3.put_object(Bucket=bucket, **name, Body=b"x")
    answers = at_once([lambda: s3.delete_objects(Bucket=bucket, Delete={"Objects": names})] * 5)
    for answer in answers:
        assert [one["Key"] for one in answer["Deleted"]] == [name["Key"] for name in names]
        assert "Errors" not in answer
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_versions_written_and_deleted_at_once_are_each_their_own(s3: Any, versioned: str) -> None:
    def put(number: int) -> Callable[[], str]:
        return lambda: str(s3.put_object(Bucket=versioned, Key="k", Body=b"%d" % number)["VersionId"])

    ids = at_once([put(number) for number in range(10)])
    assert len(set(ids)) == 10
    for number, version in enumerate(ids):
        found = s3.get_object(Bucket=versioned, Key="k", VersionId=version)
        assert found["Body"].read() == b"%d" % number

    def delete(version: str) -> Callable[[], Any]:
        return lambda: s3.delete_object(Bucket=versioned, Key="k", VersionId=version)

    at_once([delete(version) for version in ids])
    assert "Versions" not in s3.list_object_versions(Bucket=versioned)
    assert refusal(s3.get_object, Bucket=versioned, Key="k") == (404, "NoSuchKey")
