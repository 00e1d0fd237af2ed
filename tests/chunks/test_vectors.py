"""What was frozen must stay readable, and be written the same, for good. See vectors/generate.py."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from tests.chunks.kernels import on_every_kernel
from tests.chunks.test_manifest import stored
from tests.chunks.vectors.generate import plain_of

from holdfast.chunks import checksum, field, key_file, keys, layout, manifest, passphrase, tree
from holdfast.chunks.erasure import Erasure
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.metadata import ChunkRecord, Closing, Envelope
from holdfast.chunks.redundancy import Redundancy
from holdfast.chunks.seal import Opener, Sealer

VECTORS = Path(__file__).parent / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


CHUNKS = load("chunk.json")
KEYS = load("key.json")


def record_of(case: dict[str, Any]) -> ChunkRecord:
    frozen = case["record"]
    return ChunkRecord(
        **frozen
        | {
            "chunk_id": bytes.fromhex(frozen["chunk_id"]),
            "root": bytes.fromhex(frozen["root"]),
            "checksum": checksum.parse(frozen["checksum"]),
        }
    )


each_chunk = pytest.mark.parametrize("case", CHUNKS, ids=[case["name"] for case in CHUNKS])


@on_every_kernel
@each_chunk
def test_frozen_chunks_are_sealed_again_to_the_same_shards(erasure: Erasure, case: dict[str, Any]):
    if case["record"]["compressed"]:
        pytest.skip("another zstd may compress otherwise; that it opens is what counts")
    redundancy = Redundancy.parse(case["redundancy"])
    plain = plain_of(**case["plain"])
    sealed = Sealer(erasure).seal(
        memoryview(plain),
        data_key=bytes.fromhex(case["data_key"]),
        chunk_id=bytes.fromhex(case["record"]["chunk_id"]),
        number=case["record"]["number"],
        redundancy=redundancy,
        slot=memoryview(bytearray(b"\x55" * layout.slot_length(len(plain), redundancy))),
    )
    assert sealed.record == record_of(case)
    assert sealed.roots.hex() == case["roots"]
    if case["shards"] is not None:
        assert [bytes(shard).hex() for shard in sealed.shards] == case["shards"]


@on_every_kernel
@pytest.mark.parametrize(
    "case", [c for c in CHUNKS if c["shards"]], ids=[c["name"] for c in CHUNKS if c["shards"]]
)
def test_frozen_shards_open_from_any_k(erasure: Erasure, case: dict[str, Any]):
    redundancy, record = Redundancy.parse(case["redundancy"]), record_of(case)
    shards = [memoryview(bytes.fromhex(shard)) for shard in case["shards"]]
    roots = bytes.fromhex(case["roots"])
    for index, shard in enumerate(shards):
        tree.verify_shard(shard, index, roots=roots, record=record, redundancy=redundancy)
    choices = itertools.combinations(range(redundancy.n), redundancy.k)
    for have in itertools.islice(choices, 0, None, 7):
        into = memoryview(bytearray(record.plain_length))
        held = {index: shards[index] for index in have}
        Opener(erasure).open(record, redundancy, held, data_key=bytes.fromhex(case["data_key"]), into=into)
        assert bytes(into) == plain_of(**case["plain"])


def test_the_frozen_parity_rows_are_those_of_today():
    for case in load("parity.json"):
        rows = field.parity_rows(case["k"], range(case["k"], case["n"]))
        assert [bytes(row).hex() for row in rows] == case["rows"]


@pytest.mark.parametrize("mode", ["client", "gateway"])
def test_frozen_keys_open_frozen_envelopes(mode: str):
    key = TenantKey(bytes.fromhex(KEYS["root"]), mode)
    data_key = bytes.fromhex(KEYS["data_key"])
    assert key.key_id.hex() == KEYS["key_id"][mode]
    envelope = Envelope(mode=mode, key_id=key.key_id, wrapped=bytes.fromhex(KEYS["wrapped"][mode]))
    assert keys.open_envelope(key, envelope) == data_key
    assert keys.new_envelope(key, data_key, bytes.fromhex(KEYS["nonce"])) == envelope


def test_the_frozen_chunk_key_and_closing_are_those_of_today():
    data_key = bytes.fromhex(KEYS["data_key"])
    assert keys.chunk_key(data_key, bytes.fromhex(KEYS["chunk_id"])).hex() == KEYS["chunk_key"]
    frozen = KEYS["closing"]
    whole = keys.Whole(
        bucket=frozen["bucket"],
        key=frozen["key"],
        size=frozen["size"],
        chunk_ids=bytes.fromhex(frozen["chunk_ids"]),
        checksum=checksum.parse(frozen["checksum"]),
    )
    closing = Closing(sealed=bytes.fromhex(frozen["sealed"]))
    keys.check_closing(closing, whole, data_key=data_key)
    assert keys.close(data_key, whole, nonce=bytes.fromhex(KEYS["nonce"])) == closing


def test_frozen_passphrases_and_key_files_give_the_frozen_root():
    root = bytes.fromhex(KEYS["root"])
    derived = KEYS["passphrase"]
    assert passphrase.tenant_key(derived["words"], derived["tenant_id"]).root.hex() == derived["root"]
    assert key_file.read(KEYS["key_file"]).root == root
    assert key_file.write(TenantKey(root)) == KEYS["key_file"]
    locked = KEYS["key_file_locked"]
    assert key_file.read(locked["text"], locked["words"]).root == root
    salt = bytes.fromhex(locked["salt"])
    assert key_file.write_locked(TenantKey(root), locked["words"], salt) == locked["text"]


def test_the_frozen_manifest_is_read_and_written_the_same():
    frozen = (VECTORS / "manifest.bin").read_bytes()
    assert manifest.decode(frozen) == stored()[0]
    assert manifest.encode(stored()[0]) == frozen
