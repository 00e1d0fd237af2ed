"""Documents that are nearly right: a valid one with a few pieces changed, for parsers that must not trip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from tests.doors.s3.shapes import refusal_of

from holdfast.doors.s3.wire.xml_reading import Node, parse

ODD_TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "1e9",
    "99999999999999999999999",
    "٣",
    "NaN",
    "true",
    "enabled",
    "*",
    "**",
    "a*b*c",
    "2020-13-45T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00Z",
    "arn:aws:s3:::",
    "\t\n",
    "é\u0301😀",
    "x" * 5000,
)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=20)
"""What XML can carry."""
ODD_NAMES = (
    *(
        "Rule",
        "ID",
        "Prefix",
        "Filter",
        "And",
        "Tag",
        "Key",
        "Value",
        "Status",
        "Days",
        "Date",
        "Years",
        "Mode",
    ),
    *("Expiration", "Transition", "StorageClass", "Event", "Id", "Bucket", "Destination", "Grantee"),
    *("Permission", "TagSet", "Role", "Priority", "Condition", "Redirect", "HostName", "Unknown"),
)


def _nodes(root: Node) -> list[Node]:
    found = [root]
    for node in found:
        found += node.children
    return found


def _mutate(data: Any, root: Node) -> None:
    nodes = _nodes(root)
    node = nodes[data.draw(st.integers(0, len(nodes) - 1))]
    how = data.draw(st.sampled_from(["text", "name", "drop", "double", "adopt", "clear", "flatten"]))
    if how == "text":
        node.text = data.draw(st.sampled_from(ODD_TEXTS) | TEXTS)
    elif how == "name":
        node.name = data.draw(st.sampled_from(ODD_NAMES))
    elif how == "drop" and node.children:
        del node.children[data.draw(st.integers(0, len(node.children) - 1))]
    elif how == "double" and node.children:
        node.children.append(node.children[data.draw(st.integers(0, len(node.children) - 1))])
    elif how == "adopt":
        other = nodes[data.draw(st.integers(0, len(nodes) - 1))]
        if node not in _nodes(other):
            node.children.append(other)
    elif how == "clear":
        node.children = []
    elif how == "flatten":
        node.children = [leaf for child in node.children for leaf in child.children]


def survives(data: Any, body: bytes, read: Callable[[Node], object]) -> None:
    """Reads a document with some of it changed: that gives a value, or S3's word for a caller's mistake."""
    root = parse(body)
    for _ in range(data.draw(st.integers(1, 4))):
        _mutate(data, root)
    _is_value_or_mistake(lambda: read(root))


def survives_bytes(data: Any, body: bytes, read: Callable[[Node], object]) -> None:
    """The same for a document with some of its bytes changed."""
    changed = bytearray(body)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    _is_value_or_mistake(lambda: read(parse(bytes(changed))))


def _is_value_or_mistake(read: Callable[[], object]) -> None:
    error = refusal_of(read)
    assert error is None or 400 <= error.status < 500 or error.code == "NotImplemented"
