"""XML as S3 programs send it: small documents, with any namespace or none.

No document type, no entities, no more bytes, depth or elements than a limit: whatever else comes is
MalformedXML. Names that are not looked for are the handlers' affair.
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from holdfast.doors.s3.failures import S3Error

BYTES_MAX: Final = 1 << 20
DEPTH_MAX: Final = 32
ELEMENTS_MAX: Final = 1 << 16
"""More than the longest settings have; an element costs a hundred times the bytes that write it."""
XSI_TYPE: Final = "xsi:type"

_XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}type"


class Node:
    """One element: its name without namespace, its own text, its children in their order."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Node] = []
        self.text = ""

    def find(self, name: str) -> Node | None:
        """The first child of this name."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def all(self, name: str) -> list[Node]:
        """Every child of this name."""
        return [child for child in self.children if child.name == name]

    def text_of(self, name: str, default: str = "") -> str:
        """The text of the first child of this name."""
        child = self.find(name)
        return default if child is None else child.text

    def need(self, name: str) -> Node:
        """The first child of this name; raises S3Error MalformedXML if there is none."""
        child = self.find(name)
        if child is None:
            raise S3Error("MalformedXML")
        return child

    def need_text(self, name: str) -> str:
        """The text of the first child of this name, not empty; raises S3Error MalformedXML."""
        text = self.need(name).text
        if not text:
            raise S3Error("MalformedXML")
        return text

    @property
    def xsi_type(self) -> str:
        """The attribute `xsi:type`, as ACL grantees have it; empty if there is none."""
        return self.attributes.get(XSI_TYPE, "")


class _Tree:
    """What the parser tells, made into nodes."""

    def __init__(self, elements_max: int) -> None:
        self._open: list[Node] = []
        self._text: list[str] = []
        self._left = elements_max
        self._root: Node | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if len(self._open) >= DEPTH_MAX or self._left < 0:
            raise S3Error("MalformedXML")
        node = Node(tag.rpartition("}")[2], {})
        if attributes:
            node.attributes = {
                XSI_TYPE if name == _XSI else name.rpartition("}")[2]: value
                for name, value in attributes.items()
            }
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node
        self._open.append(node)
        self._text.clear()

    def data(self, text: str) -> None:
        self._text.append(text)

    def end(self, _tag: str) -> None:
        node = self._open.pop()
        if not node.children:
            node.text = "".join(self._text)
        self._text.clear()

    def close(self) -> Node | None:
        return self._root


def parse(body: bytes, root: str | None = None, limit: int = BYTES_MAX, elements: int = ELEMENTS_MAX) -> Node:
    """The document's root; raises S3Error MalformedXML, also if the root is not named `root`.

    Elements with children have no text of their own.
    """
    if not body:
        raise S3Error("MissingRequestBodyError")
    if len(body) > limit:
        raise S3Error("MalformedXML")
    parser = DefusedXMLParser(target=_Tree(elements), forbid_dtd=True)
    try:
        parser.feed(body)
        node: object = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise S3Error("MalformedXML") from error
    if not isinstance(node, Node) or (root is not None and node.name != root):
        raise S3Error("MalformedXML")
    return node
