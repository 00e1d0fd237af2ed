"""What a store must hold to when everybody comes at once, is slow, or dies: on both kinds of database."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
from defusedxml import ElementTree
from sqlalchemy import make_url
from tests.judges import cloud
from tests.judges.cloud import Account, Endpoint
from tests.judges.wire import Wire, object_path

MIB = 1 << 20
WRITERS = 50
SLOW_CLIENTS = 200
MEMORY_MAX = 900 * MIB
"""That the coordinator may grow by: the gateway's budget for buffers, and a few megabytes a client."""
PATIENCE_SECONDS = 60


class Judged(NamedTuple):
    """A cloud on one kind of database, and a tenant of it."""

    cloud: cloud.S3Cloud
    account: Account

    @property
    def endpoint(self) -> Endpoint:
        return self.cloud.endpoints["http"]

    @property
    def wire(self) -> Wire:
        return Wire(self.endpoint, self.account)

    def coordinator(self) -> psutil.Process:
        [pid] = self.cloud.running.pids("coordinator", "run")
        return psutil.Process(pid)


def _new_database(server: str) -> str:
    name = f"holdfast_judged_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(
        make_url(server).set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    """A cloud of this file's own, on each kind of database."""
    settings = {}
    if request.param == "postgresql":
        settings["HOLDFAST_DATABASE"] = _new_database(request.getfixturevalue("postgresql_server"))
    started = cloud.start(tmp_path_factory.mktemp(f"promises-{request.param}"), **settings)
    yield Judged(started, started.account("promises"))
    started.running.stop()


def bucket_of(judged: Judged, name: str) -> str:
    assert judged.wire.ask("PUT", f"/{name}").status == 200
    return name


@pytest.mark.parametrize("size", [10, 300_000], ids=["small", "streamed"])
def test_of_fifty_writers_that_want_a_lock_exactly_one_gets_it(judged: Judged, size: int) -> None:
    bucket = bucket_of(judged, f"locks-{size}")
    together = threading.Barrier(WRITERS)

    def take(number: int) -> tuple[int, str]:
        wire = judged.wire
        body = f"writer {number:02}".encode().ljust(size, b".")
        connection = wire.connect()
        connection.connect()
        together.wait()
        answer = wire.ask(
            "PUT", f"/{bucket}/lock", body=body, headers={"If-None-Match": "*"}, through=connection
        )
        connection.close()
        return answer.status, answer.code

    with ThreadPoolExecutor(WRITERS) as pool:
        ended = list(pool.map(take, range(WRITERS)))
    winners = [number for number, (status, _) in enumerate(ended) if status == 200]
    assert len(winners) == 1, ended
    lost = {outcome for outcome in ended if outcome[0] != 200}
    assert lost <= {(412, "PreconditionFailed"), (409, "ConditionalRequestConflict")}
    assert judged.wire.ask("GET", f"/{bucket}/lock").body.startswith(f"writer {winners[0]:02}".encode())


def test_of_many_completions_that_want_a_lock_exactly_one_gets_it(judged: Judged) -> None:
    wire, bucket = judged.wire, bucket_of(judged, "locks-multipart")

    def prepare(number: int) -> tuple[str, bytes]:
        begun = ElementTree.fromstring(judged.wire.ask("POST", f"/{bucket}/lock", "uploads=").body)
        upload = next(node.text or "" for node in begun.iter() if node.tag.endswith("UploadId"))
        query = f"partNumber=1&uploadId={upload}"
        tag = judged.wire.ask("PUT", f"/{bucket}/lock", query, f"part {number}".encode()).headers["etag"]
        part = f"<Part><PartNumber>1</PartNumber><ETag>{tag}</ETag></Part>"
        return upload, f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()

    prepared = [prepare(number) for number in range(10)]
    together = threading.Barrier(len(prepared))

    def complete(upload: tuple[str, bytes]) -> str:
        together.wait()
        answer = judged.wire.ask(
            "POST", f"/{bucket}/lock", f"uploadId={upload[0]}", upload[1], {"If-None-Match": "*"}
        )
        return ElementTree.fromstring(answer.body.lstrip()).findtext("Code") or "won"

    with ThreadPoolExecutor(len(prepared)) as pool:
        ended = list(pool.map(complete, prepared))
    assert ended.count("won") == 1, ended
    assert set(ended) <= {"won", "PreconditionFailed", "ConditionalRequestConflict"}
    winner = ended.index("won")
    assert wire.ask("GET", f"/{bucket}/lock").body == f"part {winner}".encode()


def _send_half(judged: Judged, path: str, query: str, size: int) -> None:
    wire, place = judged.wire, urlsplit(judged.endpoint.url)
    headers = wire.signed("PUT", path, query, {"Content-Length": str(size)})
    target = f"{path}?{query}" if query else path
    head = f"PUT {target} HTTP/1.1\r\nHost: {place.netloc}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "host"
    )
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(head.encode() + b"\r\n" + bytes(size // 2))
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_a_client_that_dies_in_the_middle_of_an_upload_leaves_nothing(judged: Judged) -> None:
    wire, bucket = judged.wire, bucket_of(judged, "dies")
    begun = ElementTree.fromstring(wire.ask("POST", f"/{bucket}/parts", "uploads=").body)
    upload = next(node.text or "" for node in begun.iter() if node.tag.endswith("UploadId"))
    assert wire.ask("PUT", f"/{bucket}/old", body=b"what was there").status == 200
    for size in (20, 40_000, 24 * MIB):
        for key in ("new", "old"):
            _send_half(judged, f"/{bucket}/{key}", "", size)
        _send_half(judged, f"/{bucket}/parts", f"partNumber=1&uploadId={upload}", size)
    assert wire.ask("HEAD", f"/{bucket}/new").status == 404
    assert wire.ask("GET", f"/{bucket}/old").body == b"what was there"
    assert list(wire.keys(bucket)) == ["old"]
    parts = wire.ask("GET", f"/{bucket}/parts", f"uploadId={upload}")
    assert b"<Part>" not in parts.body
    assert wire.ask("DELETE", f"/{bucket}/parts", f"uploadId={upload}").status == 204
    assert wire.ask("DELETE", f"/{bucket}/old").status == 204
    assert wire.ask("DELETE", f"/{bucket}").status == 204


def _slow_upload(judged: Judged, bucket: str, number: int) -> socket.socket:
    place, path = urlsplit(judged.endpoint.url), f"/{bucket}/slow-{number}"
    headers = judged.wire.signed("PUT", path, "", {"Content-Length": str(8 * MIB)})
    head = f"PUT {path} HTTP/1.1\r\nHost: {place.netloc}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "host"
    )
    connection = socket.create_connection((place.hostname, place.port))
    connection.sendall(head.encode() + b"\r\n" + bytes(MIB))
    return connection


def _slow_download(judged: Judged, bucket: str) -> socket.socket:
    place, path = urlsplit(judged.endpoint.url), f"/{bucket}/large"
    headers = judged.wire.signed("GET", path)
    head = f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() != "host"
    )
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((place.hostname, place.port))
    connection.sendall(head.encode() + b"\r\n")
    return connection


def test_two_hundred_slow_clients_take_bounded_memory_and_starve_nobody(judged: Judged) -> None:
    wire, bucket = judged.wire, bucket_of(judged, "slow")
    large = random.Random(1).randbytes(32 * MIB)
    assert wire.ask("PUT", f"/{bucket}/large", body=large).status == 200
    assert wire.ask("GET", f"/{bucket}/large").body == large
    coordinator = judged.coordinator()
    before = coordinator.memory_info().rss
    slow: list[socket.socket] = []
    try:
        for number in range(SLOW_CLIENTS // 2):
            slow += [_slow_upload(judged, bucket, number), _slow_download(judged, bucket)]
        peak, longest = 0, 0.0
        for number in range(20):
            began = time.monotonic()
            assert wire.ask("PUT", f"/{bucket}/quick-{number}", body=b"quick" * 100).status == 200
            assert wire.ask("GET", f"/{bucket}/quick-{number}").body == b"quick" * 100
            longest = max(longest, time.monotonic() - began)
            peak = max(peak, coordinator.memory_info().rss)
        assert wire.ask("PUT", f"/{bucket}/larger", body=large[: 12 * MIB]).status == 200
        assert wire.ask("GET", f"/{bucket}/larger").body == large[: 12 * MIB]
    finally:
        for connection in slow:
            connection.close()
    assert peak - before < MEMORY_MAX, f"{(peak - before) / MIB:.0f} MiB more"
    assert longest < 10, "a quick request waited for slow ones"


def _load(
    judged: Judged, bucket: str, worker: int, stop: threading.Event, acknowledged: dict[str, bytes]
) -> None:
    chance, number = random.Random(worker), 0
    while not stop.is_set():
        number += 1
        key = f"{worker}/{number}"
        body = chance.randbytes(chance.choice((0, 900, 4096, 70_000, 3 * MIB)))
        try:
            answer = judged.wire.ask("PUT", object_path(bucket, key), body=body)
        except (OSError, HTTPException):
            time.sleep(0.1)
            continue
        if answer.status == 200:
            acknowledged[key] = hashlib.md5(body).digest()


def test_what_was_acknowledged_survives_a_killed_coordinator(judged: Judged) -> None:
    bucket = bucket_of(judged, "killed")
    acknowledged: dict[str, bytes] = {}
    stop = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        loads = [pool.submit(_load, judged, bucket, worker, stop, acknowledged) for worker in range(6)]
        for _ in range(2):
            time.sleep(2)
            before = len(acknowledged)
            os.kill(judged.coordinator().pid, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while len(acknowledged) < before + 10:
                assert time.monotonic() < deadline, "the cloud did not come back"
                time.sleep(0.1)
        stop.set()
        for load in loads:
            load.result()
    listed = set(judged.wire.keys(bucket))
    assert set(acknowledged) <= listed
    lost = [
        key
        for key, digest in acknowledged.items()
        if hashlib.md5(judged.wire.ask("GET", object_path(bucket, key)).body).digest() != digest
    ]
    assert lost == []
