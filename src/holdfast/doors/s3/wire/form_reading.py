"""A browser's multipart/form-data, taken apart as it comes: the fields before the file, then the file.

Sans-IO. The fields are small and kept; of the file nothing is, but what might be the beginning of its end.
What follows the file is ignored, as S3 does it.
"""

from __future__ import annotations

import re
from email.message import Message
from typing import Final, NamedTuple

from holdfast.doors.s3.failures import S3Error

FIELDS_BYTES_MAX: Final = 32 << 10
"""Of everything before the file."""
FILE: Final = "file"

_PARAMETER: Final = re.compile(r';\s*(name|filename)=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))', re.IGNORECASE)
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{1,70}")


class Opening(NamedTuple):
    """The fields by lower-case name, the file's name, and the first bytes of the file."""

    fields: dict[str, str]
    file_name: str
    first: bytes


def boundary_of(content_type: str) -> bytes:
    """The boundary that a form's Content-Type names; raises S3Error if it is no form."""
    message = Message()
    message["content-type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        raise S3Error(
            "PreconditionFailed",
            Condition="Bucket POST must be of the enclosure-type multipart/form-data",
        )
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise S3Error("MalformedPOSTRequest")
    return boundary.encode()


class FieldsReader:
    """Collects the fields; `feed` gives the opening when the file begins."""

    def __init__(self, boundary: bytes) -> None:
        # The first boundary may open the body, all others begin a line.
        self._delimiter = b"\r\n--" + boundary
        self._buffer = bytearray(b"\r\n")
        self._fields: dict[str, str] = {}
        self._kept = 0
        self._name: str | None = None
        self._begun = False

    def feed(self, data: bytes) -> Opening | None:
        """Takes what came; raises S3Error for what is no form, or too much of one."""
        self._buffer += data
        while True:
            if not self._begun:
                if not self._begin():
                    break
            elif self._name is None:
                opening = self._head()
                if opening is not None:
                    return opening
                if self._name is None:
                    break
            elif not self._value():
                break
        if len(self._buffer) + self._kept > FIELDS_BYTES_MAX:
            raise S3Error("MaxPostPreDataLengthExceededError")
        return None

    def _begin(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            del self._buffer[: at + len(self._delimiter)]
            self._begun = True
        return at >= 0

    def _head(self) -> Opening | None:
        """The head of a part: sets its name, or gives the opening if it is the file's."""
        if self._buffer.startswith(b"--"):
            raise no_file()
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        name, file_name = _named(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        if name == FILE:
            return Opening(self._fields, file_name, bytes(self._buffer))
        if name in self._fields:
            raise S3Error("InvalidArgument", "A form field was sent twice.", ArgumentName=name)
        self._name = name
        return None

    def _value(self) -> bool:
        assert self._name is not None
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            self._fields[self._name] = _text(bytes(self._buffer[:at]))
            self._kept += len(self._name) + at
            if self._kept > FIELDS_BYTES_MAX:
                raise S3Error("MaxPostPreDataLengthExceededError")
            del self._buffer[: at + len(self._delimiter)]
            self._name = None
        return at >= 0


class FileDecoder:
    """The file's bytes, up to its boundary; to be fed from `Opening.first` on.

    `least` and `most` bound its size. Raises S3Error for a file that is too large as soon as that is known,
    for one that is too small or was cut when it is over.
    """

    def __init__(self, boundary: bytes, *, least: int = 0, most: int | None = None) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._held = b""
        self._over = False
        self._size = 0
        self._least = least
        self._most = most

    def feed(self, data: bytes) -> list[memoryview]:
        """The file's bytes in what came."""
        if self._over:
            return []
        joined = self._held + data if self._held else data
        at = joined.find(self._delimiter)
        if at < 0:
            # What may be the beginning of the delimiter is held back.
            stop = max(0, len(joined) - len(self._delimiter) + 1)
        else:
            self._over, stop = True, at
        self._held = b"" if self._over else joined[stop:]
        piece = memoryview(joined)[:stop]
        return [piece] if self._take(piece) else []

    def _take(self, piece: memoryview) -> bool:
        self._size += len(piece)
        if self._most is not None and self._size > self._most:
            raise S3Error("EntityTooLarge", ProposedSize=self._size, MaxSizeAllowed=self._most)
        return bool(piece)

    def ended(self) -> dict[str, str]:
        """After everything was fed; a form has no trailers."""
        if not self._over:
            raise S3Error("IncompleteBody")
        if self._size < self._least:
            raise S3Error("EntityTooSmall", ProposedSize=self._size, MinSizeAllowed=self._least)
        return {}


def no_file() -> S3Error:
    """The form ended before a file came."""
    return S3Error(
        "InvalidArgument",
        "POST requires exactly one file upload per request.",
        ArgumentName=FILE,
        ArgumentValue="0",
    )


def _named(head: bytes) -> tuple[str, str]:
    """Name and file name of a part."""
    for line in head.split(b"\r\n"):
        name, _, value = _text(line).partition(":")
        if name.strip().lower() == "content-disposition":
            found = {
                match[1].lower(): match[3] if match[2] is None else match[2].replace('\\"', '"')
                for match in _PARAMETER.finditer(value)
            }
            if found.get("name"):
                return found["name"].lower(), found.get("filename", "")
    raise S3Error("MalformedPOSTRequest")


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise S3Error("MalformedPOSTRequest") from None
