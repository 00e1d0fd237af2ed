"""What we write, S3 programs can read; what they send is read or refused, never worse."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.wire import xml_writing as w
from holdfast.doors.s3.wire.xml_reading import DEPTH_MAX, Node, parse

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")) | st.sampled_from("&<>\"'\r\n\t]")
)
names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
trees = st.recursive(
    st.tuples(names, texts),
    lambda inner: st.tuples(names, st.lists(inner, min_size=1, max_size=3)),
    max_leaves=12,
)


def written(tree: tuple) -> str:
    name, content = tree
    return w.element(name, content) if isinstance(content, str) else w.group(name, *map(written, content))


def same(node: Node, tree: tuple) -> bool:
    name, content = tree
    if isinstance(content, str):
        # A parser of XML sees every end of line as one character.
        return (node.name, node.text, node.children) == (name, content, [])
    return node.name == name and all(same(*pair) for pair in zip(node.children, content, strict=True))


@given(trees)
def test_what_is_written_is_read_back(tree: tuple) -> None:
    assert same(parse(w.document("Root", written(tree)), "Root").children[0], tree)


@given(texts)
def test_any_parser_reads_what_is_written(text: str) -> None:
    root = ET.fromstring(w.document("Root", w.element("Key", text)))
    assert root[0].text == (text or None)


def test_characters_that_xml_cannot_carry_go_out_as_numbers() -> None:
    assert w.element("Key", "a\x01\x1f\rb\ufffe") == "<Key>a&#x1;&#x1f;&#13;b&#xfffe;</Key>"


def test_tags_have_quotes_and_errors_have_no_namespace() -> None:
    assert w.etag("abc-2") == "<ETag>&quot;abc-2&quot;</ETag>"
    error = w.error_document("NoSuchKey", "It is <gone>", [("Key", "a&b"), ("Size", 3)], "ID", "HOST")
    assert error == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b"<Error><Code>NoSuchKey</Code><Message>It is &lt;gone&gt;</Message>"
        b"<Key>a&amp;b</Key><Size>3</Size><RequestId>ID</RequestId><HostId>HOST</HostId></Error>"
    )


@given(st.integers(0, 4_102_444_800_000_000))
def test_times_are_written_as_s3_writes_them(microseconds: int) -> None:
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    assert w.time_text(microseconds) == moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert parsedate_to_datetime(w.http_date(microseconds)) == moment


def test_a_namespace_or_none_is_the_same_and_types_are_kept() -> None:
    body = (
        b'<a:Root xmlns:a="http://s3.amazonaws.com/doc/2006-03-01/" '
        b'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        b'<a:Grantee xsi:type="Group"><URI>u</URI></a:Grantee>'
        b"<Empty/> text between </a:Root>"
    )
    root = parse(body, "Root")
    grantee = root.need("Grantee")
    assert (grantee.xsi_type, grantee.text_of("URI")) == ("Group", "u")
    assert (root.text_of("Empty", "?"), root.text_of("No", "?")) == ("", "?")
    assert [child.name for child in root.children] == ["Grantee", "Empty"]
    with pytest.raises(S3Error, match="MalformedXML"):
        root.need("Missing")
    with pytest.raises(S3Error, match="MalformedXML"):
        root.need_text("Empty")


BOMB = b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9)
) + b"]><b>&j;</b>"  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b"<a>", b"text", b"\xff<a/>", b"<a/><b/>", b"\0", b"<a>&b;</a>", b"<a b='1' b='2'/>", BOMB,
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
        b'<?xml version="1.0" encoding="of one\'s own"?><a/>',
        b"<a>" * (DEPTH_MAX + 1) + b"</a>" * (DEPTH_MAX + 1),
        b"<a xmlns:b='b'><c:d/></a>",
        b"<a>" + b"x" * (1 << 20) + b"</a>",
    ],
)  # fmt: skip
def test_what_is_no_small_document_is_refused_at_once(body: bytes) -> None:
    began = time.monotonic()
    with pytest.raises(S3Error, match="MalformedXML"):
        parse(body)
    assert time.monotonic() - began < 1


@given(st.binary(max_size=200) | texts.map(str.encode))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    for sent in (body, b"<a>" + body + b"</a>"):
        try:
            assert isinstance(parse(sent), Node)
        except S3Error as error:
            assert error.code in {"MalformedXML", "MissingRequestBodyError"}  # noqa: PT017


def test_the_roots_name_is_demanded() -> None:
    with pytest.raises(S3Error, match="MalformedXML"):
        parse(b"<a/>", "b")
    with pytest.raises(S3Error, match="MissingRequestBodyError"):
        parse(b"", "b")


def test_a_document_of_more_elements_than_it_may_have_is_refused() -> None:
    body = b"<Delete>" + b"<a/>" * 100 + b"</Delete>"
    assert len(parse(body, "Delete", elements=101).children) == 100
    with pytest.raises(S3Error, match="MalformedXML"):
        parse(body, "Delete", elements=100)
    with pytest.raises(S3Error, match="MalformedXML"):
        parse(b"<a>" + b"<b/>" * 200_000 + b"</a>")
