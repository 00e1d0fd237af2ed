"""Writes the frozen vectors. Run once for each format version, never to make a failing test pass.

    python -m tests.chunks.vectors.generate

The vectors stay valid for good: a program that cannot reproduce them cannot read what is stored.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blake3 import blake3
from tests.chunks.test_manifest import stored

from holdfast.chunks import checksum, field, key_file, keys, layout, manifest, passphrase
from holdfast.chunks.erasure import Erasure
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Sealer
from holdfast.chunks.slow import SlowKernel

HERE = Path(__file__).parent
DATA_KEY = bytes(range(32))
CHUNK_ID = bytes(range(100, 116))
NONCE = bytes(range(200, 216))
ROOT = bytes(range(32, 64))
WORDS = b"kelp grips the sea floor; "

CASES = [
    # name, redundancy, plain bytes, chunk number
    ("one byte in ten of fourteen", "10of14r12", "random", 1, 0),
    ("replicated", "1of3r2", "random", 100, 1),
    ("compressed", "3of5r4", "words", 20_000, 2),
    ("two records", "2of4r3", "random", 65_537, 3),
    ("leaves and records that straddle", "3of6r5", "random", 500_000, 2**40),
    ("the default", "10of14r12", "random", layout.CHUNK_BYTES_DEFAULT, 4),
]
SHARDS_IN_FULL_MAX = 2000
"""Longer shards are frozen by their roots alone; what is shorter stands there byte by byte."""


def plain_of(kind: str, length: int) -> bytes:
    """Either "random", BLAKE3's output stream for "holdfast vector", or "words", one phrase repeated."""
    if kind == "words":
        return (WORDS * (length // len(WORDS) + 1))[:length]
    return blake3(b"holdfast vector").digest(length)


def chunk_case(name: str, text: str, kind: str, length: int, number: int) -> dict[str, Any]:
    redundancy, plain = Redundancy.parse(text), plain_of(kind, length)
    sealed = Sealer(Erasure(SlowKernel())).seal(
        memoryview(plain),
        data_key=DATA_KEY,
        chunk_id=CHUNK_ID,
        number=number,
        redundancy=redundancy,
        slot=memoryview(bytearray(layout.slot_length(length, redundancy))),
    )
    record = sealed.record
    in_full = record.shard_length <= SHARDS_IN_FULL_MAX
    return {
        "name": name,
        "redundancy": text,
        "plain": {"kind": kind, "length": length},
        "data_key": DATA_KEY.hex(),
        "record": {
            "number": number,
            "chunk_id": record.chunk_id.hex(),
            "plain_length": record.plain_length,
            "packed_length": record.packed_length,
            "compressed": record.compressed,
            "sealed_length": record.sealed_length,
            "shard_length": record.shard_length,
            "root": record.root.hex(),
            "checksum": checksum.text(record.checksum),
            "format": record.format,
        },
        "roots": sealed.roots.hex(),
        "shards": [bytes(shard).hex() for shard in sealed.shards] if in_full else None,
    }


def key_vectors() -> dict[str, Any]:
    client, gateway = TenantKey(ROOT), TenantKey(ROOT, "gateway")
    words, tenant_id = "correct horse battery staple", "tenant-1"
    ids = bytes(range(48))
    closing = {
        "bucket": "films",
        "key": "été/film.mp4",
        "size": 11_000_000,
        "chunk_ids": ids.hex(),
        "checksum": "crc64nvme:0123456789abcdef",
    }
    return {
        "root": ROOT.hex(),
        "data_key": DATA_KEY.hex(),
        "nonce": NONCE.hex(),
        "key_id": {"client": client.key_id.hex(), "gateway": gateway.key_id.hex()},
        "wrapped": {
            key.mode: keys.new_envelope(key, DATA_KEY, NONCE).wrapped.hex() for key in (client, gateway)
        },
        "chunk_id": CHUNK_ID.hex(),
        "chunk_key": keys.chunk_key(DATA_KEY, CHUNK_ID).hex(),
        "closing": closing
        | {
            "sealed": keys.close(
                DATA_KEY,
                keys.Whole("films", "été/film.mp4", 11_000_000, ids, checksum.parse(closing["checksum"])),
                nonce=NONCE,
            ).sealed.hex()
        },
        "passphrase": {
            "words": words,
            "tenant_id": tenant_id,
            "root": passphrase.tenant_key(words, tenant_id).root.hex(),
        },
        "key_file": key_file.write(client),
        "key_file_locked": {
            "words": words,
            "salt": NONCE.hex(),
            "text": key_file.write_locked(client, words, NONCE),
        },
    }


def parity_vectors() -> list[dict[str, Any]]:
    pairs = [(1, 3), (3, 6), (10, 14), (20, 40), (29, 80)]
    return [
        {"k": k, "n": n, "rows": [bytes(row).hex() for row in field.parity_rows(k, range(k, n))]}
        for k, n in pairs
    ]


def write(name: str, value: Any) -> None:
    (HERE / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write("chunk.json", [chunk_case(*case) for case in CASES])
    write("key.json", key_vectors())
    write("parity.json", parity_vectors())
    (HERE / "manifest.bin").write_bytes(manifest.encode(stored()[0]))
