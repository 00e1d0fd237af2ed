"""The rows of small objects and of packs as everybody reads them: plain tuples, no SQL."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.protocol.nouns import Envelope, RedundancyInfo


class Small(NamedTuple):
    """A row of `smalls`. Either `sealed` is there, or `pack` (a stream) and `pack_offset`."""

    id: int
    storage_class: str
    length: int
    sealed_length: int
    created: int
    pack: int | None
    pack_offset: int | None
    sealed: bytes | None


class Pack(NamedTuple):
    """A row of `packs`."""

    stream: int
    name: str
    tenant: str
    storage_class: str
    k: int
    n: int
    repair_at: int
    chunk_size: int
    chunk_count: int
    size: int
    checksum: str
    envelope_mode: str
    envelope_key_id: bytes
    envelope_wrapped: bytes
    closing: bytes
    created: int

    @property
    def redundancy(self) -> RedundancyInfo:
        """`k of n, repair at r`."""
        return RedundancyInfo(k=self.k, n=self.n, repair_at=self.repair_at)

    @property
    def envelope(self) -> Envelope:
        """The wrapped data key."""
        return Envelope(mode=self.envelope_mode, key_id=self.envelope_key_id, wrapped=self.envelope_wrapped)
