"""The same key by every client is the same object: each is judged against the plainest client there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.judges.clients import CLIENTS, Seat
from tests.judges.cloud import Account, S3Cloud
from tests.judges.expected import compare
from tests.judges.odd_keys import ODD_KEYS
from tests.judges.sdk import boto3_client
from tests.judges.wire import Wire, object_path

SIGNS_DIFFERENTLY_OVER_TLS = {"boto3", "s3fs"}
SEATS = [(name, "http") for name in CLIENTS] + [
    (name, "https") for name in sorted(SIGNS_DIFFERENTLY_OVER_TLS)
]


@pytest.mark.parametrize(("name", "scheme"), SEATS)
def test_a_key_of_any_bytes_is_the_same_by_every_client(
    name: str, scheme: str, server: S3Cloud, account: Account, this_run: str, tmp_path: Path
) -> None:
    endpoint = server.endpoints[scheme]
    work, wire = CLIENTS[name], Wire(endpoint, account)
    written, read = (f"odd-{what}-{name}-{scheme}-{this_run}" for what in ("written", "read"))
    failed: dict[str, str] = {}
    passed: set[str] = set()

    def judge(what: str, *, well: bool, words: str) -> None:
        if well:
            passed.add(what)
        else:
            failed[what] = words

    for bucket in (written, read):
        assert wire.ask("PUT", f"/{bucket}").status == 200
    sources = {name: tmp_path / f"source-{number}" for number, name in enumerate(ODD_KEYS)}
    for odd, source in sources.items():
        source.write_text(f"content of {odd}")

    seat = Seat(endpoint, account, written, tmp_path)
    stored = work(seat, [("put", key, str(sources[odd])) for odd, key in ODD_KEYS.items()])
    for (odd, key), outcome in zip(ODD_KEYS.items(), stored, strict=True):
        seen = wire.ask("GET", object_path(written, key))
        judge(
            f"{name} put {odd}",
            well=outcome.well and seen.body == sources[odd].read_bytes(),
            words=outcome.words or f"the object there: {seen.status} {seen.body[:80]!r}",
        )

    for odd, key in ODD_KEYS.items():
        assert wire.ask("PUT", object_path(read, key), body=sources[odd].read_bytes()).status == 200, odd
    seat = Seat(endpoint, account, read, tmp_path)
    targets = {odd: tmp_path / f"target-{number}" for number, odd in enumerate(ODD_KEYS)}
    fetched = work(seat, [("get", key, str(targets[odd])) for odd, key in ODD_KEYS.items()])
    for odd, outcome in zip(ODD_KEYS, fetched, strict=True):
        target = targets[odd]
        judge(
            f"{name} get {odd}",
            well=outcome.well and target.exists() and target.read_bytes() == sources[odd].read_bytes(),
            words=outcome.words or "another content",
        )
    assert compare(f"odd-keys-{name}", passed, failed) == []


def test_odd_keys_are_listed_as_they_were_stored(server: S3Cloud, account: Account, this_run: str) -> None:
    endpoint = server.endpoints["http"]
    wire, bucket = Wire(endpoint, account), f"odd-listed-{this_run}"
    assert wire.ask("PUT", f"/{bucket}").status == 200
    for key in ODD_KEYS.values():
        assert wire.ask("PUT", object_path(bucket, key)).status == 200, key
    pages = boto3_client(endpoint, account).get_paginator("list_objects_v2")
    seen = [found["Key"] for page in pages.paginate(Bucket=bucket, MaxKeys=5) for found in page["Contents"]]
    assert seen == sorted(ODD_KEYS.values(), key=str.encode)
