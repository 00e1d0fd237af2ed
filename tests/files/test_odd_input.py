"""Whatever a client says, it is answered or refused: nothing it can send is a fault of ours."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.files.cloud import CLOSING, ENVELOPE, SESSION, Cloud

from holdfast.protocol import control as c
from holdfast.protocol.nouns import ChunkWish
from holdfast.world.errors import Refusal

WORDS = ["", "\0", "a\0b", "x" * 100_000, "\U0010ffff", "../..", "%00", "'; DROP TABLE buckets; --"]
NUMBERS = [-(2**80), -1, 0, 1 << 31, (1 << 63) - 1, 1 << 63, 2**80]
BYTES = [b"", b"\0", bytes(31), bytes(33), bytes(100_000)]


def questions(upload_id: str, version_id: str) -> list[tuple[type[c.Operation], dict[str, Any]]]:
    """Every operation on stored things, in words that would do."""
    here = {"bucket": "photos", "key": "cat"}
    session = {"session_key": SESSION.public}
    return [
        (c.BucketMake, {"bucket": "new", "storage_class": None, "token": b""}),
        (c.BucketRemove, {"bucket": "empty", "token": b""}),
        (c.BucketList, {"after": None, "limit": 10}),
        (c.ObjectList, {"bucket": "photos", "prefix": "", "delimiter": "", "after": None, "limit": 10}),
        (c.ObjectStat, {**here, "version_id": None, "chunks_from": 0, "chunks_limit": 10}),
        (c.ObjectRemove, {**here, "if_version": "no such version", "token": b""}),
        (c.UploadBegin, {
            **here, "envelope": ENVELOPE, "storage_class": None, "size": None, "chunk_size": None,
            "if_version": None, "token": b"",
        }),
        (c.UploadShow, {"upload_id": upload_id, "chunks_from": 0, "limit": 10}),
        (c.UploadPlan, {"upload_id": upload_id, **session, "chunks": []}),
        (c.UploadReplace, {
            "upload_id": upload_id, **session, "chunk_id": bytes(16), "shard_length": 64, "indexes": [],
            "used": [],
        }),
        (c.UploadRecord, {"upload_id": upload_id, "chunks": []}),
        (c.UploadCommit, {
            "upload_id": upload_id, "size": 1, "chunk_count": 1, "checksum": "", "closing": CLOSING,
        }),
        (c.UploadAbort, {"upload_id": "no such upload"}),
        (c.ReadOpen, {**here, "version_id": None}),
        (c.ReadPlan, {"bucket": "photos", "version_id": version_id, **session, "first": 0, "count": 1}),
        (c.ReadChunkIds, {"bucket": "photos", "version_id": version_id, "first": 0, "limit": 10}),
        (c.ShardReport, {
            "bucket": "photos", "version_id": version_id, "number": 0, "index": 0, "node_id": bytes(32),
            "fault": "corrupt",
        }),
    ]  # fmt: skip


def odd_values(name: str, value: Any) -> list[Any]:
    if name in {"chunks", "indexes", "used", "envelope", "closing"}:
        return []
    if isinstance(value, bytes):
        return BYTES
    if name in {"limit", "first", "count", "size", "chunk_size", "number", "index", "shard_length"} or (
        isinstance(value, int)
    ):
        return NUMBERS
    return WORDS


async def test_every_odd_value_in_every_field_is_answered_or_refused(cloud: Cloud) -> None:
    await cloud.make_bucket("empty")
    version = await cloud.put()
    upload_id = await cloud.begin("open")
    refused = 0
    for operation, fields in questions(upload_id, version.version_id):
        for name, value in fields.items():
            for odd in odd_values(name, value):
                try:
                    await cloud.ask(operation(**{**fields, name: odd}))
                except Refusal:
                    refused += 1
    assert refused > 300
    assert (await cloud.ask(c.ReadOpen(bucket="photos", key="cat"))).version == version
    assert {one.bucket for one in (await cloud.ask(c.BucketList())).buckets} >= {"photos"}


async def test_odd_lists_are_refused(cloud: Cloud) -> None:
    upload_id = await cloud.begin()
    record = cloud.chunk()
    replace = {
        "upload_id": upload_id, "session_key": SESSION.public, "chunk_id": record.chunk_id,
        "shard_length": record.shard_length, "indexes": [0], "used": [],
    }  # fmt: skip
    wishes = [
        ChunkWish(number=number, chunk_id=chunk_id, shard_length=length)
        for number, chunk_id, length in itertools.product(
            NUMBERS, [record.chunk_id, b"", bytes(17)], [0, -1, 64, 2**80]
        )
        if (len(chunk_id), length) != (16, 64)
    ]
    for asked in (
        c.UploadReplace(**replace | {"indexes": [5]}),
        c.UploadReplace(**replace | {"indexes": [-1]}),
        c.UploadReplace(**replace | {"indexes": [2**80]}),
        c.UploadReplace(**replace | {"indexes": [0] * 10_000}),
        c.UploadReplace(**replace | {"used": [bytes(32)] * 10_000}),
        *(c.UploadPlan(upload_id=upload_id, session_key=SESSION.public, chunks=[wish]) for wish in wishes),
        c.UploadPlan(upload_id=upload_id, session_key=SESSION.public, chunks=wishes * 10),
    ):
        with pytest.raises(Refusal) as caught:
            await cloud.ask(asked)
        assert caught.value.code in {"request.invalid", "request.too_large"}
