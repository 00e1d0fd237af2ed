"""What headers say of an object: metadata, encryption, storage classes."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.doors.s3.program import S3Cloud, s3_story

from holdfast.doors.s3.contents import encryption, metadata_headers, storage_classes
from holdfast.doors.s3.contents.encryption import CUSTOMER, customer_key, wanted_sealing
from holdfast.doors.s3.contents.metadata_headers import answer_headers, stored_headers, without_framing
from holdfast.doors.s3.failures import S3Error
from holdfast.files.attributes import Attributes
from holdfast.files.bucket_settings import Encryption
from holdfast.nodes.classes import BUILT_IN, Classes

CLASSES = Classes()
KEY = b"k" * 32
SSE_C = {
    f"{CUSTOMER}algorithm": "AES256",
    f"{CUSTOMER}key": base64.b64encode(KEY).decode(),
    f"{CUSTOMER}key-md5": base64.b64encode(hashlib.md5(KEY).digest()).decode(),
}
WORDS = st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=["Cs", "Cc"]))


@given(WORDS)
def test_metadata_written_in_utf_8_is_read_in_latin_1_or_by_rfc_2047(text: str) -> None:
    sent = text.encode().decode("latin-1")
    if len(sent) > 2000:
        return
    _, metadata = stored_headers({"x-amz-meta-a": sent})
    assert metadata == {"a": text}
    shown = dict(answer_headers(Attributes(metadata=metadata)))["x-amz-meta-a"]
    shown.encode("latin-1")
    encoded = shown.removeprefix("=?UTF-8?B?").removesuffix("?=")
    latin = text.isascii() or max(map(ord, text)) <= 0xFF
    assert shown == text if latin else base64.b64decode(encoded).decode() == text


def test_bytes_that_are_no_utf_8_are_taken_for_latin_1() -> None:
    assert stored_headers({"x-amz-meta-a": "caf\xe9"})[1] == {"a": "café"}


def test_metadata_that_no_header_can_carry_is_counted_as_missing() -> None:
    attributes = Attributes(metadata={"fine": "a b", "lines": "a\nb", "na me": "c"}, metadata_lost=1)
    shown = answer_headers(attributes)
    assert shown == [
        ("content-type", "binary/octet-stream"),
        ("x-amz-meta-fine", "a b"),
        ("x-amz-missing-meta", "3"),
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("gzip", "gzip"),
        ("aws-chunked", ""),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("AWS-Chunked, gzip , br", "gzip, br"),
        ("", ""),
    ],
)
def test_the_framing_of_an_upload_is_no_encoding_of_the_object(sent: str, kept: str) -> None:
    assert without_framing(sent) == kept


@pytest.mark.parametrize("name", ["content-type", "cache-control", metadata_headers.REDIRECT])
def test_no_header_has_two_lines(name: str) -> None:
    read = metadata_headers.redirect_location if name == metadata_headers.REDIRECT else stored_headers
    assert refused(lambda: read({name: "/a\r\nset-cookie: b"})) == "InvalidArgument"


def refused(call: Any) -> str:
    try:
        call()
    except S3Error as error:
        return error.code
    return ""


def test_a_customer_s_key_comes_whole_or_not_at_all() -> None:
    """Every subset of the three headers: only none and all of them mean something."""
    names = list(SSE_C)
    for chosen in range(8):
        headers = {name: SSE_C[name] for position, name in enumerate(names) if chosen >> position & 1}
        code = refused(lambda headers=headers: customer_key(headers, secure=True, remote="10.0.0.1"))
        assert code == ("" if chosen in {0, 7} else "InvalidArgument")
    found = customer_key(SSE_C, secure=True, remote="10.0.0.1")
    assert (found and found.key) == KEY


@pytest.mark.parametrize(
    ("remote", "code"),
    [
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("10.0.0.1", "InvalidRequest"),
        ("odd", "InvalidRequest"),
    ],
)
def test_a_customer_s_key_crosses_no_open_line(remote: str, code: str) -> None:
    assert refused(lambda: customer_key(SSE_C, secure=False, remote=remote)) == code
    assert refused(lambda: customer_key(SSE_C, secure=True, remote=remote)) == ""


def test_the_bucket_s_default_counts_where_the_request_says_nothing() -> None:
    kms = Encryption(algorithm="aws:kms", kms_key_id="its", bucket_key=True)
    where: dict[str, Any] = {"secure": True, "remote": ""}
    assert wanted_sealing({}, None, **where) == encryption.PLAIN
    by_default = wanted_sealing({}, kms, **where)
    assert (by_default.sse, by_default.kms_key_id, by_default.bucket_key, by_default.asked) == (
        "aws:kms", "its", True, False,
    )  # fmt: skip
    asked = wanted_sealing({encryption.SSE: "AES256"}, kms, **where)
    assert (asked.sse, asked.kms_key_id, asked.asked) == ("AES256", "", True)
    theirs = wanted_sealing(SSE_C, kms, **where)
    assert (theirs.sse, theirs.customer_key, theirs.asked) == ("customer", KEY, True)


def test_s3_s_names_and_ours_are_classes_and_nothing_else_is() -> None:
    for name in storage_classes.MEANING:
        assert storage_classes.named_class(name, CLASSES) == ("" if name == "STANDARD" else name)
    for known in BUILT_IN:
        assert storage_classes.named_class(known.class_name, CLASSES) == known.class_name
    for name in ("OUTPOSTS", "SNOW", "EXPRESS_ONEZONE", "standard_ia", "", "GLACIAL"):
        assert refused(lambda name=name: storage_classes.named_class(name, CLASSES)) == "InvalidStorageClass"


@given(
    st.sampled_from([*storage_classes.MEANING, "wide", "single"]),
    st.sampled_from(["standard", "tiny"]),
    st.none() | st.integers(0, 40),
)
def test_a_fleet_too_small_gives_the_widest_class_it_has_nodes_for(
    shown: str, bucket_class: str, nodes: int | None
) -> None:
    given_class, wanted = storage_classes.redundancy_of(shown, bucket_class, CLASSES, nodes)
    meant = storage_classes.MEANING.get(shown, shown) or bucket_class
    assert wanted == meant
    widths = {known.class_name: known.redundancy.n for known in CLASSES}
    possible = [name for name, width in widths.items() if nodes is None or width <= nodes]
    if wanted in possible or not possible:
        assert given_class == wanted
    else:
        assert widths[given_class] == max(widths[name] for name in possible)


def test_a_class_that_is_not_given_is_complained_of_once_a_while() -> None:
    async def story(cloud: S3Cloud) -> list[Any]:
        with capture_logs() as logs:
            for number in range(3):
                await cloud.alice.call(
                    "PutObject", Bucket="photos", Key=f"k{number}", Body=b"", StorageClass="wide"
                )
        head = await cloud.alice.call("HeadObject", Bucket="photos", Key="k0")
        assert head["StorageClass"] == "wide"
        bucket = await cloud.bucket_of("photos")
        assert (await cloud.histories.find(bucket, "k0")).storage_class == "small"
        return [line for line in logs if line["event"] == "storage class too wide for the fleet"]

    (line,) = s3_story(story, usable_nodes=lambda: 13)
    assert {name: line[name] for name in ("log_level", "storage_class", "wanted", "given")} == {
        "log_level": "warning", "storage_class": "wide", "wanted": "wide", "given": "small",
    }  # fmt: skip
