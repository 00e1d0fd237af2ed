"""What is wished of an object, or a part, that is about to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from holdfast.files.attributes import ANYHOW, NOTHING, Attributes, Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class PutWish:
    """Plain data.

    `storage_class` is the redundancy's name (empty: the bucket's). `digests` are to be computed, `expected`
    (algorithm to base64 or hexadecimal) must be what the bytes have, or nothing is stored. `checksum` is the
    algorithm whose value is kept with the object; empty: CRC64NVME. `customer_key` (32 bytes) seals in place
    of the bucket owner's managed key. `etag`: "md5" of the bytes, or "opaque". `event` and `who` are told to
    those who want to know of changes.
    """

    attributes: Attributes = NOTHING
    storage_class: str = ""
    conditions: Conditions = ANYHOW
    digests: frozenset[str] = frozenset()
    expected: Mapping[str, str] = field(default_factory=dict)
    checksum: str = ""
    customer_key: bytes | None = field(default=None, repr=False)
    etag: Literal["md5", "opaque"] = "md5"
    event: str = ""
    who: Mapping[str, str] = field(default_factory=dict)

    @property
    def algorithms(self) -> frozenset[str]:
        """Every digest that has to be computed for it."""
        wanted = {*self.digests, *self.expected, *(("MD5",) if self.etag == "md5" else ())}
        if self.checksum:
            wanted.add(self.checksum)
        return frozenset(wanted)
