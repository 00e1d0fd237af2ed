"""Tags: what S3 takes, what it refuses with which word, and that all of it comes back."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doors.s3 import mutations, shapes

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings import tagging
from holdfast.doors.s3.wire.xml_reading import parse
from holdfast.doors.s3.wire.xml_writing import group

LETTERS = st.text(
    st.characters(categories=["Lu", "Ll", "Lo", "Nd", "Zs"]) | st.sampled_from("+-=._:/@"), max_size=64
)
KEYS = LETTERS.filter(lambda key: key and not key.lower().startswith("aws:"))
TAGS = st.dictionaries(KEYS, LETTERS, max_size=10)


def as_set(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


@given(TAGS)
def test_tags_of_a_document_come_back_in_their_order(tags: dict[str, str]) -> None:
    root = shapes.sent("PutObjectTagging", Tagging={"TagSet": as_set(tags)})
    read = tagging.read_tagging(root, tagging.OBJECT_TAGS_MAX)
    content = group("TagSet", tagging.tag_elements(read))
    assert shapes.shown("GetObjectTagging", "Tagging", content)["TagSet"] == as_set(tags)


@given(TAGS)
def test_tags_of_a_header_come_back(tags: dict[str, str]) -> None:
    read = tagging.parse_header(urlencode(tags))
    tagging.check(read, tagging.OBJECT_TAGS_MAX)
    assert read == tags


@given(st.text(st.sampled_from("ab&=+%é4 \0"), max_size=30) | st.text(max_size=30))
def test_any_header_gives_tags_or_invalid_argument(text: str) -> None:
    error = shapes.refusal_of(lambda: tagging.parse_header(text))
    if error is not None:
        assert shapes.code_of(error) == ("InvalidArgument", 400)
        assert error.fields["ArgumentName"] == "x-amz-tagging"


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", {}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a+b=c%20d", {"a b": "c d"}),
        ("%C3%A9=%2B", {"é": "+"}),
    ],
)
def test_a_header_is_read_like_a_query(text: str, tags: dict[str, str]) -> None:
    assert tagging.parse_header(text) == tags


@pytest.mark.parametrize("text", ["a=b&a=c", "a=%ff", "a&a"])
def test_a_header_with_a_name_twice_or_no_utf8_is_refused(text: str) -> None:
    with pytest.raises(S3Error) as caught:
        tagging.parse_header(text)
    assert shapes.code_of(caught.value) == ("InvalidArgument", 400)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "v"),
        ("k" * 129, "v"),
        ("\U00010400" * 65, "v"),
        ("k", "v" * 257),
        ("k", "a\0b"),
        ("k", "<"),
        ("a&b", "v"),
        ("aws:team", "v"),
        ("AWS:team", "v"),
        ("k", "a\nb"),
    ],
)
def test_a_tag_that_may_not_be_is_an_invalid_tag(key: str, value: str) -> None:
    with pytest.raises(S3Error) as caught:
        tagging.check({key: value}, 10)
    assert shapes.code_of(caught.value) == ("InvalidTag", 400)
    assert caught.value.fields["TagKey"] == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("k" * 128, "v" * 256),
        ("\U00010400" * 64, ""),
        ("größe", "10 µm².".replace("²", "2")),
        ("日本", "a=b"),
    ],
)
def test_a_tag_may_use_any_script_up_to_its_length(key: str, value: str) -> None:
    tagging.check({key: value}, 10)


@pytest.mark.parametrize(
    ("limit", "message"),
    [(10, "Object tags cannot be greater than 10"), (50, "Bucket tag count cannot be greater than 50")],
)
def test_one_tag_too_many_is_a_bad_request(limit: int, message: str) -> None:
    tags = {f"k{number}": "" for number in range(limit)}
    tagging.check(tags, limit)
    with pytest.raises(S3Error) as caught:
        tagging.check(tags | {"more": ""}, limit)
    assert shapes.code_of(caught.value) == ("BadRequest", 400)
    assert caught.value.message == message


def test_a_key_twice_is_an_invalid_tag() -> None:
    root = shapes.sent("PutBucketTagging", Tagging={"TagSet": [*as_set({"a": "1"}), *as_set({"a": "1"})]})
    with pytest.raises(S3Error) as caught:
        tagging.read_tagging(root, 50)
    assert shapes.code_of(caught.value) == ("InvalidTag", 400)


@pytest.mark.parametrize(
    "document",
    [
        "<Tagging/>",
        "<Tagging><TagSet/><TagSet/></Tagging>",
        "<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>",
        "<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>",
        "<Tagging><TagSet><Key>a</Key></TagSet></Tagging>",
        "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value><Value>b</Value></Tag></TagSet></Tagging>",
        "<Tagging>a</Tagging>",
    ],
)
def test_a_document_of_another_form_is_malformed(document: str) -> None:
    with pytest.raises(S3Error) as caught:
        tagging.read_tagging(parse(document.encode()), 10)
    assert shapes.code_of(caught.value) == ("MalformedXML", 400)


VALID = shapes.written("PutBucketTagging", Tagging={"TagSet": as_set({"team": "red", "cost": "12"})})


@given(st.data())
def test_a_document_nearly_right_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives(data, VALID, lambda root: tagging.read_tagging(root, 50))


@given(st.data())
def test_a_document_with_broken_bytes_never_trips_the_reader(data: st.DataObject) -> None:
    mutations.survives_bytes(data, VALID, lambda root: tagging.read_tagging(root, 50))
