"""The slow, obvious twin of sealing: docs/formats/chunk.md line by line, with none of the room's code.

Field arithmetic by shift and add, HKDF by hmac, one `bytes` after another. Good for chunks of some kilobytes.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

RECORD = 65_536
TAG = 16
LEAF = 65_536


@dataclass
class Sealed:
    packed: bytes
    sealed: bytes
    shard_length: int
    shards: list[bytes]
    roots: bytes
    root: bytes
    checksum: int


def seal(
    plain: bytes, packed: bytes, *, data_key: bytes, chunk_id: bytes, number: int, k: int, n: int
) -> Sealed:
    compressed = packed != plain
    records = [packed[start : start + RECORD] for start in range(0, len(packed), RECORD)]
    sealed_length = len(packed) + TAG * len(records)
    key = hkdf_expand(data_key, b"holdfast chunk key v1\0" + chunk_id, 32)
    context = b"holdfast record\0" + bytes([1, int(compressed)])
    context += struct.pack(">QQQQ", number, len(plain), len(packed), sealed_length)
    sealed = b"".join(
        AESGCM(key).encrypt(index.to_bytes(12, "big"), record, context)
        for index, record in enumerate(records)
    )
    assert len(sealed) == sealed_length
    length = shard_length(sealed_length, k)
    padded = sealed + bytes(k * length - sealed_length)
    data = [padded[j * length : (j + 1) * length] for j in range(k)]
    shards = data + [parity(data, i, k) for i in range(k, n)]
    roots = b"".join(shard_root(shard) for shard in shards)
    head = b"holdfast chunk root\0" + bytes([1, 1, k, n]) + struct.pack(">QQ", length, sealed_length)
    return Sealed(packed, sealed, length, shards, roots, blake3(head + roots).digest(), crc64(plain))


def hkdf_expand(key: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, section 2.3, for at most one block of output."""
    assert length <= 32
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()[:length]


def shard_length(sealed_length: int, k: int) -> int:
    length = 64
    while length * k < sealed_length or length % 4096 == 0:
        length += 64
    return length


def multiply(a: int, b: int) -> int:
    """In GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return result


def divide(a: int, b: int) -> int:
    return next(quotient for quotient in range(256) if multiply(quotient, b) == a)


def parity(data: list[bytes], i: int, k: int) -> bytes:
    total = bytes(len(data[0]))
    for j in range(k):
        factor = divide(i, i ^ j)
        table = bytes(multiply(factor, value) for value in range(256))
        total = bytes(a ^ b for a, b in zip(total, data[j].translate(table), strict=True))
    return total


def shard_root(shard: bytes) -> bytes:
    leaves = b"".join(blake3(shard[at : at + LEAF]).digest() for at in range(0, len(shard), LEAF))
    return blake3(b"holdfast shard root\0" + bytes([1, 1]) + struct.pack(">Q", len(shard)) + leaves).digest()


def crc64(data: bytes) -> int:
    """CRC-64/NVME, bit by bit: reflected, polynomial 0xad93d23594c93659, all ones before and after."""
    crc = 0xFFFF_FFFF_FFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x9A6C_9329_AC4B_C9B5 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF_FFFF_FFFF
