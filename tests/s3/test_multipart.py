"""Multipart uploads."""

from __future__ import annotations

import hashlib
import random
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.s3.refusals import refusal, status

MIB = 1 << 20
CONTENT = random.Random(5).randbytes(17 * MIB + 77)
PARTS = [CONTENT[n : n + 6 * MIB] for n in range(0, len(CONTENT), 6 * MIB)]


def upload(
    s3: Any, bucket: str, key: str, parts: list[bytes], **words: Any
) -> tuple[str, list[dict[str, Any]]]:
    begun = s3.create_multipart_upload(Bucket=bucket, Key=key, **words)["UploadId"]
    algorithm = words.get("ChecksumAlgorithm")
    more = {"ChecksumAlgorithm": algorithm} if algorithm else {}

    def send(number: int) -> dict[str, Any]:
        part = s3.upload_part(
            Bucket=bucket, Key=key, UploadId=begun, PartNumber=number, Body=parts[number - 1], **more
        )
        found = {"PartNumber": number, "ETag": part["ETag"]}
        if algorithm:
            found[f"Checksum{algorithm}"] = part[f"Checksum{algorithm}"]
        return found

    with ThreadPoolExecutor(4) as pool:
        return begun, list(pool.map(send, range(1, len(parts) + 1)))


def composite(parts: list[bytes]) -> str:
    joined = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(joined).hexdigest()}-{len(parts)}"'


def test_parts_become_an_object(s3: Any, bucket: str) -> None:
    begun, done = upload(
        s3, bucket, "a", PARTS, ContentType="text/x", Metadata={"m": "1"}, StorageClass="STANDARD_IA"
    )
    listed = s3.list_parts(Bucket=bucket, Key="a", UploadId=begun)
    assert [(one["PartNumber"], one["Size"], one["ETag"]) for one in listed["Parts"]] == [
        (one["PartNumber"], len(part), one["ETag"]) for one, part in zip(done, PARTS, strict=True)
    ]
    assert listed["StorageClass"] == "STANDARD_IA"
    page = s3.list_parts(Bucket=bucket, Key="a", UploadId=begun, MaxParts=1, PartNumberMarker=1)
    assert (
        [one["PartNumber"] for one in page["Parts"]],
        page["IsTruncated"],
        page["NextPartNumberMarker"],
    ) == (
        [2],
        True,
        2,
    )
    assert refusal(s3.get_object, Bucket=bucket, Key="a") == (404, "NoSuchKey")
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [begun]
    ended = s3.complete_multipart_upload(
        Bucket=bucket, Key="a", UploadId=begun, MultipartUpload={"Parts": done}
    )
    assert ended["ETag"] == composite(PARTS)
    again = s3.complete_multipart_upload(
        Bucket=bucket, Key="a", UploadId=begun, MultipartUpload={"Parts": done}
    )
    assert again["ETag"] == ended["ETag"]
    found = s3.get_object(Bucket=bucket, Key="a")
    assert (found["ETag"], found["ContentType"], found["Metadata"]) == (ended["ETag"], "text/x", {"m": "1"})
    assert found["Body"].read() == CONTENT
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    across = s3.get_object(Bucket=bucket, Key="a", Range=f"bytes={6 * MIB - 5}-{12 * MIB + 5}")
    assert across["Body"].read() == CONTENT[6 * MIB - 5 : 12 * MIB + 6]
    for number, part in enumerate(PARTS, 1):
        one = s3.get_object(Bucket=bucket, Key="a", PartNumber=number)
        assert (status(one), one["PartsCount"]) == (206, len(PARTS))
        assert one["Body"].read() == part
        assert s3.head_object(Bucket=bucket, Key="a", PartNumber=number)["ContentLength"] == len(part)
    assert refusal(s3.get_object, Bucket=bucket, Key="a", PartNumber=9) == (416, "InvalidPartNumber")


def test_order_sizes_and_etags_of_parts_are_checked(s3: Any, bucket: str) -> None:
    begun, done = upload(s3, bucket, "a", [PARTS[0], b"small", b"last"])
    end = s3.complete_multipart_upload

    def refused(parts: list[dict[str, Any]], upload_id: str = begun) -> tuple[int, str]:
        return refusal(end, Bucket=bucket, Key="a", UploadId=upload_id, MultipartUpload={"Parts": parts})

    assert refused(done) == (400, "EntityTooSmall")
    assert refused([done[1], done[0]]) == (400, "InvalidPartOrder")
    assert refused([done[0], {"PartNumber": 7, "ETag": done[1]["ETag"]}]) == (400, "InvalidPart")
    assert refused([{"PartNumber": 1, "ETag": '"ffffffffffffffffffffffffffffffff"'}]) == (400, "InvalidPart")
    assert refused([]) == (400, "MalformedXML")
    assert refused(done, "no-such-upload") == (404, "NoSuchUpload")
    ended = end(Bucket=bucket, Key="a", UploadId=begun, MultipartUpload={"Parts": [done[0], done[2]]})
    assert ended["ETag"] == composite([PARTS[0], b"last"])
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == PARTS[0] + b"last"


def test_a_part_sent_again_replaces_the_one_before(s3: Any, bucket: str) -> None:
    begun, done = upload(s3, bucket, "a", [b"one"])
    part = s3.upload_part(Bucket=bucket, Key="a", UploadId=begun, PartNumber=1, Body=b"two")
    assert len(s3.list_parts(Bucket=bucket, Key="a", UploadId=begun)["Parts"]) == 1
    end = s3.complete_multipart_upload
    assert refusal(end, Bucket=bucket, Key="a", UploadId=begun, MultipartUpload={"Parts": done}) == (
        400,
        "InvalidPart",
    )
    end(
        Bucket=bucket,
        Key="a",
        UploadId=begun,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"two"


def test_an_aborted_upload_is_gone(s3: Any, bucket: str) -> None:
    begun, _ = upload(s3, bucket, "a", [b"one"])
    assert status(s3.abort_multipart_upload(Bucket=bucket, Key="a", UploadId=begun)) == 204
    assert refusal(s3.abort_multipart_upload, Bucket=bucket, Key="a", UploadId=begun) == (404, "NoSuchUpload")
    assert refusal(s3.list_parts, Bucket=bucket, Key="a", UploadId=begun) == (404, "NoSuchUpload")
    refused = refusal(s3.upload_part, Bucket=bucket, Key="a", UploadId=begun, PartNumber=1, Body=b"")
    assert refused == (404, "NoSuchUpload")
    other = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    for number in (0, 10001):
        refused = refusal(s3.upload_part, Bucket=bucket, Key="a", UploadId=other, PartNumber=number, Body=b"")
        assert refused == (400, "InvalidArgument")


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("CRC32", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"),
        ("CRC32C", "COMPOSITE"),
        ("CRC32C", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT"),
        ("SHA1", "COMPOSITE"),
        ("SHA256", "COMPOSITE"),
    ],
)
def test_checksums_of_parts_make_one_of_the_whole(s3: Any, bucket: str, algorithm: str, kind: str) -> None:
    begun, done = upload(s3, bucket, "a", PARTS, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    listed = s3.list_parts(Bucket=bucket, Key="a", UploadId=begun)
    assert (listed["ChecksumAlgorithm"], listed["ChecksumType"]) == (algorithm, kind)
    ended = s3.complete_multipart_upload(
        Bucket=bucket, Key="a", UploadId=begun, MultipartUpload={"Parts": done}, ChecksumType=kind
    )
    value = ended[f"Checksum{algorithm}"]
    assert ended["ChecksumType"] == kind
    assert value.endswith(f"-{len(PARTS)}") == (kind == "COMPOSITE")
    if algorithm == "SHA256":
        joined = b"".join(b64decode(one["ChecksumSHA256"]) for one in done)
        assert value == f"{b64encode(hashlib.sha256(joined).digest()).decode()}-{len(PARTS)}"
    if kind == "FULL_OBJECT":
        s3.put_object(Bucket=bucket, Key="whole", Body=CONTENT, ChecksumAlgorithm=algorithm)
        whole = s3.head_object(Bucket=bucket, Key="whole", ChecksumMode="ENABLED")
        assert value == whole[f"Checksum{algorithm}"]
    head = s3.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (value, kind)
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="a", ObjectAttributes=["ObjectParts", "Checksum"]
    )
    assert attributes["ObjectParts"]["TotalPartsCount"] == len(PARTS)


def test_parts_are_copied_from_other_objects(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=CONTENT)
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    base = {"Bucket": bucket, "Key": "a", "UploadId": begun}
    source = {"Bucket": bucket, "Key": "source"}
    first = s3.upload_part_copy(**base, PartNumber=1, CopySource=source)["CopyPartResult"]["ETag"]
    second = s3.upload_part_copy(**base, PartNumber=2, CopySource=source, CopySourceRange="bytes=5-99")
    parts = [
        {"PartNumber": 1, "ETag": first},
        {"PartNumber": 2, "ETag": second["CopyPartResult"]["ETag"]},
    ]
    assert first == f'"{hashlib.md5(CONTENT).hexdigest()}"'
    for odd in ("bytes=0-", "0-5", "bytes=5-2", "bytes=a-b"):
        refused = refusal(s3.upload_part_copy, **base, PartNumber=3, CopySource=source, CopySourceRange=odd)
        assert refused == (400, "InvalidArgument")
    s3.complete_multipart_upload(**base, MultipartUpload={"Parts": parts})
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == CONTENT + CONTENT[5:100]


def test_a_completion_meets_conditions(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    begun, done = upload(s3, bucket, "a", [b"one"])
    words = {"Bucket": bucket, "Key": "a", "UploadId": begun, "MultipartUpload": {"Parts": done}}
    assert refusal(s3.complete_multipart_upload, **words, IfNoneMatch="*") == (412, "PreconditionFailed")
    s3.delete_object(Bucket=bucket, Key="a")
    assert status(s3.complete_multipart_upload(**words, IfNoneMatch="*")) == 200


def test_uploads_are_listed_in_pages(s3: Any, bucket: str) -> None:
    begun = [
        (key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]) for key in ("a", "b/1", "b/2")
    ]
    page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=1)
    assert [(one["Key"], one["UploadId"]) for one in page["Uploads"]] == begun[:1]
    assert page["IsTruncated"] is True
    rest = s3.list_multipart_uploads(
        Bucket=bucket, KeyMarker=page["NextKeyMarker"], UploadIdMarker=page["NextUploadIdMarker"]
    )
    assert [(one["Key"], one["UploadId"]) for one in rest["Uploads"]] == begun[1:]
    rolled = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [one["Prefix"] for one in rolled["CommonPrefixes"]] == ["b/"]


def test_part_numbers_may_have_gaps_and_parts_are_counted(s3: Any, bucket: str) -> None:
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    words = {"Bucket": bucket, "Key": "a", "UploadId": begun}
    done = [
        {"PartNumber": number, "ETag": s3.upload_part(**words, PartNumber=number, Body=part)["ETag"]}
        for number, part in ((7, b"last"), (2, PARTS[0]))
    ]
    s3.complete_multipart_upload(**words, MultipartUpload={"Parts": done[::-1]})
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == PARTS[0] + b"last"
    second = s3.get_object(Bucket=bucket, Key="a", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (b"last", 2)
    assert refusal(s3.get_object, Bucket=bucket, Key="a", PartNumber=7) == (416, "InvalidPartNumber")
    both = {"PartNumber": 1, "Range": "bytes=0-1"}
    assert refusal(s3.get_object, Bucket=bucket, Key="a", **both) == (400, "InvalidRequest")


def test_an_object_of_one_piece_is_its_first_part(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="a", Body=b"whole")
    first = s3.get_object(Bucket=bucket, Key="a", PartNumber=1)
    assert (status(first), first["Body"].read(), first["ContentRange"]) == (206, b"whole", "bytes 0-4/5")
    assert "PartsCount" not in first
    assert refusal(s3.get_object, Bucket=bucket, Key="a", PartNumber=2) == (416, "InvalidPartNumber")


def test_a_completion_names_parts(s3: Any, bucket: str) -> None:
    begun, _ = upload(s3, bucket, "a", [b"x"])
    end = {"Bucket": bucket, "Key": "a", "UploadId": begun}
    assert refusal(s3.complete_multipart_upload, **end) == (400, "InvalidRequest")
    empty = {"Parts": [{"PartNumber": 1}]}
    assert refusal(s3.complete_multipart_upload, **end, MultipartUpload=empty) == (400, "MalformedXML")
    assert [one["UploadId"] for one in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [begun]


def test_an_upload_that_is_over_takes_nothing(s3: Any, bucket: str) -> None:
    begun, done = upload(s3, bucket, "a", [b"x"])
    words = {"Bucket": bucket, "Key": "a", "UploadId": begun}
    s3.complete_multipart_upload(**words, MultipartUpload={"Parts": done})
    gone = (404, "NoSuchUpload")
    assert refusal(s3.upload_part, **words, PartNumber=1, Body=b"y") == gone
    assert refusal(s3.abort_multipart_upload, **words) == gone
    assert refusal(s3.list_parts, **words) == gone
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


@pytest.mark.parametrize("asked", ["bytes=0-10", "bytes=10-10", "bytes=5-2", "bytes=0", "bytes=2-", "0-2",
                                   "bytes=-3", "bytes=hello-world", "bytes=0-0,2-3"])  # fmt: skip
def test_a_part_is_copied_from_a_range_that_is_there(s3: Any, bucket: str, asked: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    words = {"Bucket": bucket, "Key": "a", "UploadId": begun, "PartNumber": 1}
    words["CopySource"] = f"{bucket}/source"
    assert refusal(s3.upload_part_copy, **words, CopySourceRange=asked) == (400, "InvalidArgument")
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="a", UploadId=begun)


def test_parts_are_copied_from_versions_and_under_conditions(s3: Any, versioned: str) -> None:
    first = s3.put_object(Bucket=versioned, Key="s ?+%ü", Body=b"first")
    s3.put_object(Bucket=versioned, Key="s ?+%ü", Body=b"second")
    begun = s3.create_multipart_upload(Bucket=versioned, Key="a")["UploadId"]
    words = {"Bucket": versioned, "Key": "a", "UploadId": begun, "PartNumber": 1}
    source = {"Bucket": versioned, "Key": "s ?+%ü"}
    latest = s3.upload_part_copy(**words, CopySource=source)["CopyPartResult"]["ETag"]
    assert latest == f'"{hashlib.md5(b"second").hexdigest()}"'
    source["VersionId"] = first["VersionId"]
    copied = s3.upload_part_copy(**words, CopySource=source, CopySourceIfMatch=first["ETag"])
    assert (copied["CopyPartResult"]["ETag"], copied["CopySourceVersionId"]) == (
        first["ETag"],
        first["VersionId"],
    )
    wrong = refusal(s3.upload_part_copy, **words, CopySource=source, CopySourceIfNoneMatch=first["ETag"])
    assert wrong == (412, "PreconditionFailed")
    missing = {"Bucket": versioned, "Key": "missing"}
    assert refusal(s3.upload_part_copy, **words, CopySource=missing) == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("words", "refused"),
    [
        ({"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"}, True),
        ({"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"}, True),
        ({"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"}, True),
        ({"ChecksumAlgorithm": "CRC32", "ChecksumType": "HALF_OBJECT"}, True),
        ({"ChecksumAlgorithm": "ADLER32"}, True),
        ({"ChecksumType": "COMPOSITE"}, True),
        ({"ChecksumAlgorithm": "SHA256", "ChecksumType": "COMPOSITE"}, False),
        ({"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}, False),
        ({"ChecksumAlgorithm": "CRC32C", "ChecksumType": "FULL_OBJECT"}, False),
    ],
)
def test_an_upload_keeps_a_checksum_that_there_is(
    s3: Any, bucket: str, words: dict[str, str], refused: bool
) -> None:
    begin = {"Bucket": bucket, "Key": "a", **words}
    if refused:
        assert refusal(s3.create_multipart_upload, **begin) == (400, "InvalidRequest")
    else:
        begun = s3.create_multipart_upload(**begin)
        assert {name: begun[name] for name in words} == words


def test_checksums_of_parts_are_compared(s3: Any, bucket: str) -> None:
    begun, done = upload(s3, bucket, "a", [PARTS[0], b"last"], ChecksumAlgorithm="SHA256")
    end = {"Bucket": bucket, "Key": "a", "UploadId": begun}

    def refused(parts: list[dict[str, Any]], **more: str) -> tuple[int, str]:
        return refusal(s3.complete_multipart_upload, **end, MultipartUpload={"Parts": parts}, **more)

    bare = [{"PartNumber": one["PartNumber"], "ETag": one["ETag"]} for one in done]
    assert refused(bare) == (400, "InvalidRequest")
    swapped = [one | {"ChecksumSHA256": done[0]["ChecksumSHA256"]} for one in done]
    assert refused(swapped) == (400, "InvalidPart")
    assert refused(done, ChecksumSHA256=done[0]["ChecksumSHA256"]) == (400, "BadDigest")
    assert refused(done, ChecksumType="FULL_OBJECT") == (400, "InvalidRequest")
    other = {"PartNumber": 3, "Body": b"x", "ChecksumAlgorithm": "SHA1"}
    assert refusal(s3.upload_part, **end, **other) == (400, "InvalidRequest")
    wrong = {"PartNumber": 3, "Body": b"x", "ChecksumSHA256": done[0]["ChecksumSHA256"]}
    assert refusal(s3.upload_part, **end, **wrong) == (400, "BadDigest")
    assert s3.complete_multipart_upload(**end, MultipartUpload={"Parts": done})["ChecksumType"] == "COMPOSITE"


def test_a_part_is_told_the_checksum_it_came_with(s3: Any, bucket: str) -> None:
    begun = s3.create_multipart_upload(Bucket=bucket, Key="a")["UploadId"]
    words = {"Bucket": bucket, "Key": "a", "UploadId": begun, "PartNumber": 1, "Body": b"x"}
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        whole = s3.put_object(Bucket=bucket, Key="b", Body=b"x", ChecksumAlgorithm=algorithm)
        part = s3.upload_part(**words, ChecksumAlgorithm=algorithm)
        assert part[f"Checksum{algorithm}"] == whole[f"Checksum{algorithm}"]


def test_a_bucket_goes_with_its_unfinished_uploads(s3: Any, bucket: str) -> None:
    begun, _ = upload(s3, bucket, "a", [b"x"])
    assert status(s3.delete_bucket(Bucket=bucket)) == 204
    refused = refusal(s3.upload_part, Bucket=bucket, Key="a", UploadId=begun, PartNumber=1, Body=b"")
    assert refused == (404, "NoSuchBucket")


def test_visitors_begin_no_uploads(s3: Any, s3_visitor: Any, bucket: str) -> None:
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    assert status(s3_visitor.put_object(Bucket=bucket, Key="a", Body=b"x")) == 200
    denied = (403, "AccessDenied")
    assert refusal(s3_visitor.create_multipart_upload, Bucket=bucket, Key="b") == denied
    assert refusal(s3_visitor.copy_object, Bucket=bucket, Key="b", CopySource=f"{bucket}/a") == denied
