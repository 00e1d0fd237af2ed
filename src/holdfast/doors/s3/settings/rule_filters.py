"""`<Filter>` as lifecycle and replication rules have it: which objects a rule is about.

A filter holds one predicate, or `<And>` with two or more; an empty one takes everything. Older documents
have a `<Prefix>` in the rule instead.
"""

from __future__ import annotations

from typing import Final

from holdfast.doors.s3.failures import S3Error
from holdfast.doors.s3.settings.settings_documents import (
    LONG_MAX,
    expect,
    invalid,
    leaf,
    malformed,
    need_leaf,
    whole,
)
from holdfast.doors.s3.settings.tagging import check_tag
from holdfast.doors.s3.wire.xml_reading import Node
from holdfast.doors.s3.wire.xml_writing import element, group
from holdfast.files.bucket_settings import LifecycleFilter

PREFIX_BYTES_MAX: Final = 1024

_SIZES: Final = "ObjectSizeGreaterThan ObjectSizeLessThan"


def read_rule_filter(rule: Node, *, sizes: bool) -> LifecycleFilter:
    """What a rule is about, by its `<Filter>` or its own `<Prefix>`: exactly one of them is there.

    Args:
        rule: the element.
        sizes: whether predicates about the object's size may be used.

    Raises:
        S3Error: MalformedXML, InvalidTag, InvalidRequest, InvalidArgument.
    """
    node, prefix = rule.find("Filter"), leaf(rule, "Prefix")
    if (node is None) == (prefix is None):
        malformed()
    if node is None:
        return LifecycleFilter(prefix=_checked(prefix or ""), form="legacy")
    kinds = _SIZES if sizes else ""
    expect(node, one=f"Prefix Tag And {kinds}")
    if len(node.children) > 1:
        malformed()
    if not node.children:
        return LifecycleFilter(form="empty")
    only = node.children[0]
    if only.name == "And":
        return _read_and(only, kinds)
    return _read_one(node, only)


def _read_one(node: Node, only: Node) -> LifecycleFilter:
    if only.name == "Tag":
        key, value = _read_tag(only)
        return LifecycleFilter(tags={key: value}, form="tag")
    if only.name == "Prefix":
        return LifecycleFilter(prefix=_checked(need_leaf(node, "Prefix")), form="prefix")
    over, under = _read_sizes(node)
    return LifecycleFilter(size_over=over, size_under=under, form="under" if over is None else "over")


def _read_and(node: Node, kinds: str) -> LifecycleFilter:
    expect(node, one=f"Prefix {kinds}", many="Tag")
    if len(node.children) < 2:  # noqa: PLR2004 - one predicate needs no And
        malformed()
    tags: dict[str, str] = {}
    for child in node.all("Tag"):
        key, value = _read_tag(child)
        if key in tags:
            raise S3Error("InvalidRequest", "Duplicate Tag Keys are not allowed.")
        tags[key] = value
    over, under = _read_sizes(node)
    prefix = leaf(node, "Prefix")
    return LifecycleFilter(
        prefix=_checked(prefix or ""),
        tags=tags,
        size_over=over,
        size_under=under,
        form="and" if prefix is None else "and_prefix",
    )


def _read_tag(node: Node) -> tuple[str, str]:
    expect(node, one="Key Value")
    key, value = need_leaf(node, "Key"), need_leaf(node, "Value")
    check_tag(key, value)
    return key, value


def _read_sizes(node: Node) -> tuple[int | None, int | None]:
    over = whole(leaf(node, "ObjectSizeGreaterThan"), LONG_MAX)
    under = whole(leaf(node, "ObjectSizeLessThan"), LONG_MAX)
    if over is not None and over < 0:
        invalid("'ObjectSizeGreaterThan' must not be negative", "ObjectSizeGreaterThan", str(over))
    if under is not None and under <= 0:
        invalid("'ObjectSizeLessThan' must be a positive number", "ObjectSizeLessThan", str(under))
    if over is not None and under is not None and under <= over:
        raise S3Error(
            "InvalidRequest",
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
        )
    return over, under


def _checked(prefix: str) -> str:
    if len(prefix.encode("utf-8", "surrogatepass")) > PREFIX_BYTES_MAX:
        invalid("The maximum size of a prefix is 1024.", "Prefix", prefix[:100])
    return prefix


def rule_filter_element(wanted: LifecycleFilter) -> str:
    """The filter, or the rule's prefix, as it was written."""
    if wanted.form in {"legacy", ""}:
        return element("Prefix", wanted.prefix)
    prefix = element("Prefix", wanted.prefix) if wanted.prefix or wanted.form in _WITH_PREFIX else ""
    parts = prefix + "".join(
        [group("Tag", element("Key", key), element("Value", value)) for key, value in wanted.tags.items()]
    )
    if wanted.size_over is not None:
        parts += element("ObjectSizeGreaterThan", wanted.size_over)
    if wanted.size_under is not None:
        parts += element("ObjectSizeLessThan", wanted.size_under)
    return group("Filter", group("And", parts) if wanted.form.startswith("and") else parts)


_WITH_PREFIX: Final = frozenset({"prefix", "and_prefix"})
