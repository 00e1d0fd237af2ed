"""Digests of a body, taken while it passes: in threads, without the GIL, beside receiving and sealing.

Names are S3's: MD5, SHA256, SHA1, CRC32, CRC32C, CRC64NVME. A digest is handed on in base64, as S3 writes
checksums (a CRC as its big-endian bytes), or in hexadecimal, as it writes ETags and signatures.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Protocol

from awscrt import checksums

from holdfast.chunks import checksum
from holdfast.client.threads import run_whole
from holdfast.world.disk import Buffer
from holdfast.world.errors import Refusal
from holdfast.world.offload import Offload

CRC_BYTES: Final = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8}
HASHES: Final = {"MD5": hashlib.md5, "SHA256": hashlib.sha256, "SHA1": hashlib.sha1}
ALGORITHMS: Final = (*HASHES, *CRC_BYTES)
INLINE_BYTES: Final = 32 << 10
"""Less than this is digested where it is: handing it to a thread costs more."""
UNLOCKED_BYTES: Final = 2048
SLICED_BYTES: Final = 16 << 10
"""From so many bytes on hashlib lets other threads run meanwhile: what takes microseconds then may wait for
milliseconds to go on. A few slices that are shorter are quicker."""

_CRC: Final[Mapping[str, Callable[[Buffer, int], int]]] = {
    "CRC32": checksums.crc32,
    "CRC32C": checksums.crc32c,
    "CRC64NVME": checksums.crc64nvme,
}
_COMBINE: Final[Mapping[str, Callable[[int, int, int], int]]] = {
    "CRC32": checksums.combine_crc32,
    "CRC32C": checksums.combine_crc32c,
    "CRC64NVME": checksums.combine_crc64nvme,
}


class Digest(Protocol):
    """One algorithm under way."""

    def update(self, data: Buffer, /) -> None:
        """Goes on with these bytes."""
        ...

    def digest(self) -> bytes:
        """Of all bytes so far."""
        ...


class _Crc:
    def __init__(self, algorithm: str) -> None:
        self._go_on = _CRC[algorithm]
        self._bytes = CRC_BYTES[algorithm]
        self._crc = 0

    def update(self, data: Buffer, /) -> None:
        self._crc = self._go_on(data, self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(self._bytes, "big")


def begin(algorithm: str) -> Digest:
    """A digest of nothing yet; raises Refusal("request.invalid") for an algorithm that has no name here."""
    if algorithm in CRC_BYTES:
        return _Crc(algorithm)
    if algorithm not in HASHES:
        raise Refusal("request.invalid", f"There is no digest called {algorithm[:20]}.")
    # MD5 and SHA-1 are what clients compare their copies by, not what anything is kept secret with.
    return HASHES[algorithm](usedforsecurity=False)


def digest_of(algorithm: str, data: Buffer) -> bytes:
    """The digest of bytes at hand."""
    digest = begin(algorithm)
    digest.update(data)
    return digest.digest()


class Digests:
    """Several digests of the same bytes. `feed` is called in the order of the bytes, one call at a time."""

    def __init__(self, algorithms: Collection[str]) -> None:
        self._under_way: dict[str, Digest] = {name: begin(name) for name in ALGORITHMS if name in algorithms}
        if len(self._under_way) != len(set(algorithms)):
            begin(next(name for name in sorted(algorithms) if name not in ALGORITHMS))

    def __bool__(self) -> bool:
        return bool(self._under_way)

    def update(self, data: Buffer) -> None:
        """Goes on with these bytes, here and now."""
        size = len(data)
        for name, digest in self._under_way.items():
            if UNLOCKED_BYTES <= size <= SLICED_BYTES and name in HASHES:
                view = memoryview(data)
                for at in range(0, size, UNLOCKED_BYTES - 1):
                    digest.update(view[at : at + UNLOCKED_BYTES - 1])
            else:
                digest.update(data)

    async def feed(self, data: memoryview, offload: Offload) -> None:
        """Goes on with these bytes, each slow algorithm in a thread of its own.

        Returns, or raises, when no thread reads the bytes any more.
        """
        if len(data) <= INLINE_BYTES:
            self.update(data)
            return
        slow = [digest for name, digest in self._under_way.items() if name in HASHES]
        quick = [digest for name, digest in self._under_way.items() if name in CRC_BYTES]

        def all_quick() -> None:
            for digest in quick:
                digest.update(data)

        running = [asyncio.ensure_future(run_whole(offload, digest.update, data)) for digest in slow]
        if quick:
            running.append(asyncio.ensure_future(run_whole(offload, all_quick)))
        if not running:
            return
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError:
            for task in running:
                await asyncio.wait([task])
            raise
        for task in running:
            task.result()

    def known(self, crc64: int | None = None) -> dict[str, bytes]:
        """What has been computed, by algorithm; and CRC64NVME, which sealing gives for nothing."""
        found = {name: digest.digest() for name, digest in self._under_way.items()}
        if crc64 is not None:
            found["CRC64NVME"] = crc64.to_bytes(8, "big")
        return found


def check(found: Mapping[str, bytes], expected: Mapping[str, str]) -> None:
    """Raises Refusal("digest.wrong"), naming the algorithm, unless each expected digest is the one found."""
    for algorithm, written in expected.items():
        if algorithm not in found:
            raise Refusal("request.invalid", f"A {algorithm[:20]} came that nobody had announced.")
        if found[algorithm] != parse(written):
            raise Refusal(
                "digest.wrong",
                f"The {algorithm} of the bytes that came is {b64encode(found[algorithm]).decode()}, "
                f"not {written[:100]}.",
                advice="The bytes were changed on their way: send them again.",
                algorithm=algorithm,
                expected=written[:100],
                calculated=b64encode(found[algorithm]).decode(),
            )


def parse(written: str) -> bytes | None:
    """The bytes of a digest in base64 or hexadecimal; None for what is neither.

    Every digest's base64 ends with "=", which hexadecimal never does.
    """
    try:
        return b64decode(written, validate=True) if written.endswith("=") else bytes.fromhex(written)
    except (ValueError, NotBase64):
        return None


def base64_of(digest: bytes) -> str:
    """As S3 writes checksums."""
    return b64encode(digest).decode()


def combine(algorithm: str, first: str, second: str, second_length: int) -> str:
    """The CRC of two byte strings in a row, from the CRC of each (in base64) and the second's length."""
    one, two = (int.from_bytes(b64decode(written), "big") for written in (first, second))
    return base64_of(_COMBINE[algorithm](one, two, second_length).to_bytes(CRC_BYTES[algorithm], "big"))


def combine_all(algorithm: str, parts: Iterable[tuple[str, int]]) -> str:
    """The CRC of many byte strings in a row, from (CRC in base64, length) of each."""
    crc = 0
    for written, length in parts:
        crc = _COMBINE[algorithm](crc, int.from_bytes(b64decode(written), "big"), length)
    return base64_of(crc.to_bytes(CRC_BYTES[algorithm], "big"))


def composite(algorithm: str, parts: Iterable[str]) -> str:
    """The digest of the parts' digests (in base64) in a row: S3's checksum of checksums, without its "-N"."""
    return base64_of(digest_of(algorithm, b"".join([b64decode(written) for written in parts])))


def crc64_bytes(text: str) -> bytes:
    """The CRC64NVME in a version's own checksum column, as S3's bytes."""
    return checksum.parse(text).to_bytes(8, "big")
