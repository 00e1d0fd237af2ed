"""Every client stores, lists, reads back and deletes: nothing, a little, and more than one part of it."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from tests.judges.clients import CLIENTS, Seat
from tests.judges.cloud import Account, Endpoint
from tests.judges.wire import Wire, object_path

MIB = 1 << 20
SIZES = {"empty": 0, "note.txt": 11, "folder/64 KiB + 1": (64 << 10) + 1, "folder/deep/17 MiB": 17 * MIB + 7}


def contents(folder: Path) -> dict[str, Path]:
    """A file for each key."""
    chance = random.Random(20)
    files = {}
    for number, (key, size) in enumerate(SIZES.items()):
        files[key] = folder / f"source-{number}"
        files[key].write_bytes(chance.randbytes(size))
    return files


@pytest.mark.parametrize("name", CLIENTS)
def test_what_a_client_stores_it_lists_reads_back_and_deletes(
    name: str, endpoint: Endpoint, account: Account, this_run: str, tmp_path: Path
) -> None:
    work, wire = CLIENTS[name], Wire(endpoint, account)
    bucket = f"objects-{name}-{endpoint.scheme}-{this_run}"
    assert wire.ask("PUT", f"/{bucket}").status == 200
    seat = Seat(endpoint, account, bucket, tmp_path)
    files = contents(tmp_path)

    stored = work(seat, [("put", key, str(file)) for key, file in files.items()])
    assert [outcome.words for outcome in stored if not outcome.well] == []
    assert sorted(wire.keys(bucket)) == sorted(files)
    for key, file in files.items():
        seen = wire.ask("GET", object_path(bucket, key))
        assert seen.status == 200
        assert hashlib.md5(seen.body).digest() == hashlib.md5(file.read_bytes()).digest(), key

    [listed] = work(seat, [("list", "folder/", "")])
    assert listed.words == ""
    assert listed.keys == [key for key in sorted(files) if key.startswith("folder/")]

    copies = {key: tmp_path / f"copy-{number}" for number, key in enumerate(files)}
    fetched = work(seat, [("get", key, str(file)) for key, file in copies.items()])
    assert [outcome.words for outcome in fetched if not outcome.well] == []
    assert [key for key in files if files[key].read_bytes() != copies[key].read_bytes()] == []

    deleted = work(seat, [("delete", key, "") for key in files])
    assert [outcome.words for outcome in deleted if not outcome.well] == []
    left = list(wire.keys(bucket))
    # pyarrow marks the folders that held something.
    assert [key for key in left if not key.endswith("/")] == []
    for key in left:
        assert wire.ask("DELETE", object_path(bucket, key)).status == 204
    assert wire.ask("DELETE", f"/{bucket}").status == 204
