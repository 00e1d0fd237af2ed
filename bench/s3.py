"""The S3 door over HTTP; beside it, in the same run, servers that do less: SeaweedFS, `rclone serve s3`.

Small objects: presigned requests made beforehand (`bench/s3_client.py`); each put and delete has a key of its
own. Large ones: bytes over a bare socket, on one connection and on four. What a server costs is the processor
time of its own processes, ours told by coordinator (with the gateway in it) and nodes.

Nothing of the others' protects what they store: no redundancy, no encryption, no fsync before they answer.
Run: `python -m bench s3`. Everything listens on loopback only.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import psutil
import uvloop

from bench import s3_client
from bench.raw_disk import raw_appends, warm_memory
from holdfast.app.ports import free_ports
from holdfast.client.profile import read_profile

MIB = 1 << 20
SMALL_BYTES = 4096
CONNECTIONS = (1, 16, 64, 128)
SECONDS = 3
KEYS_MAX = {1: 6_000, 16: 24_000, 64: 30_000, 128: 30_000}
"""Keys to put at each number of connections: more than can be done in the time."""
LARGE_BYTES, LARGE_COUNT = 64 * MIB, 6
PAGE_KEYS = 100
NODES = 16
READY_SECONDS = 120
BUCKET = "bench"
REGION = "us-east-1"
JUDGES = Path(__file__).resolve().parents[1] / ".make" / "judges" / "clients" / "bin"
Request = tuple[str, str, bytes | None, dict[str, str]]
"""Method, path, body and what to add to the query."""


class Server(NamedTuple):
    """A running S3 server: where, with which keys, and its processes by part."""

    name: str
    port: int
    access_key: str
    secret_key: str
    parts: dict[str, list[psutil.Process]]

    def cpu(self) -> dict[str, float]:
        """Processor seconds so far, by part."""
        return {
            name: sum(used.user + used.system for used in (process.cpu_times() for process in group))
            for name, group in self.parts.items()
        }

    def memory(self) -> dict[str, float]:
        """Resident MB of each part's largest process."""
        return {
            f"{name}_rss_mb": round(max(process.memory_info().rss for process in group) / 1e6, 1)
            for name, group in self.parts.items()
        }


def measure(folder: Path | None = None) -> dict[str, Any]:
    """Runs each server in turn in `folder` (a temporary one by default), measures, removes all of it."""
    home = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=folder))
    results: dict[str, Any] = {}
    try:
        with warm_memory(home):
            results["disk"] = raw_appends(home)
            for start in (holdfast, seaweedfs, rclone):
                place = home / start.__name__
                place.mkdir()
                with start(place) as server:
                    print(f"  {server.name}", flush=True)
                    results[server.name] = _measure(server)
                shutil.rmtree(place, ignore_errors=True)
        results["ratios"] = ratios(results)
        print(f"  Holdfast to SeaweedFS: {results['ratios']}")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return results


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Rates of ours over SeaweedFS's, which hold on other machines as well."""
    ours, theirs = results["holdfast"], results["seaweedfs"]
    found = {}
    for verb in ("put", "get"):
        found[f"large {verb}"] = ours["large"][verb]["mb_per_s"] / theirs["large"][verb]["mb_per_s"]
        for number in CONNECTIONS:
            place = f"{number} at once"
            found[f"4 KiB {verb}, {place}"] = ours[place][verb]["per_s"] / theirs[place][verb]["per_s"]
    return {name: round(value, 2) for name, value in found.items()}


# --- servers ---------------------------------------------------------------------------------------------


@contextmanager
def _running(
    command: list[str], folder: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(folder), **(environment or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _until(ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not ready():
        assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
        time.sleep(0.2)


@contextmanager
def holdfast(folder: Path) -> Iterator[Server]:
    """A local cloud of sixteen nodes: 10 of 14, sealed, every acknowledged byte synced."""
    cloud = folder / "cloud"
    port, endpoint = free_ports([0, 0])
    settings = {"S3_LISTEN": f"127.0.0.1:{port}", "S3_TLS_LISTEN": "", "S3_LOG": "none"}
    environment = {f"HOLDFAST_{name}": value for name, value in settings.items()}
    words = ["holdfast", "up", "--home", str(cloud), "--nodes", str(NODES), "--port", str(endpoint)]
    with _running(words, folder, environment) as process:
        _until(lambda: "The cloud is up." in (folder / "log").read_text(), folder)
        children = psutil.Process(process.pid).children(recursive=True)
        nodes = [child for child in children if "node" in child.cmdline()]
        rest = [child for child in children if child not in nodes]
        profile = read_profile(next(cloud.rglob("profile.json")))
        parts = {"coordinator": rest, "nodes": nodes}
        yield _with_bucket(Server("holdfast", port, profile.access_key, profile.secret_key, parts), folder)


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Server]:
    """Master, volume server, filer and S3 door in one process; one copy, no encryption, nothing synced."""
    ports = free_ports([0] * 8)
    keys = {"accessKey": "bench", "secretKey": "bench-secret"}
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    (folder / "s3.json").write_text(
        json.dumps({"identities": [{"name": "bench", "credentials": [keys], "actions": rights}]})
    )
    (folder / "data").mkdir()
    command = [
        *(str(JUDGES / "weed"), "server", f"-dir={folder / 'data'}", "-master.telemetry=false"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-master.port={ports[0]}", f"-master.port.grpc={ports[1]}"),
        *(f"-volume.port={ports[2]}", f"-volume.port.grpc={ports[3]}", "-filer", f"-filer.port={ports[4]}"),
        *(f"-filer.port.grpc={ports[5]}", "-s3", f"-s3.port={ports[6]}", f"-s3.port.grpc={ports[7]}"),
        *(f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
    ]
    with _running(command, folder) as process:
        server = Server("seaweedfs", ports[6], *keys.values(), {"server": [psutil.Process(process.pid)]})
        yield _with_bucket(server, folder)


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """A folder of this disk behind S3's verbs: files as they are, nothing synced."""
    [port] = free_ports([0])
    (folder / "data").mkdir()
    command = [
        *(str(JUDGES / "rclone"), "serve", "s3", "--config=/dev/null", f"--addr=127.0.0.1:{port}"),
        *("--auth-key=bench,bench-secret", str(folder / "data")),
    ]
    with _running(command, folder) as process:
        server = Server("rclone", port, "bench", "bench-secret", {"server": [psutil.Process(process.pid)]})
        yield _with_bucket(server, folder)


def _with_bucket(server: Server, folder: Path) -> Server:
    """The same, when it answers and has the bucket."""

    def made() -> bool:
        try:
            return _ask(server, "PUT", f"/{BUCKET}")[0] in {200, 409}
        except OSError:
            return False

    _until(made, folder)
    return server


# --- requests --------------------------------------------------------------------------------------------


def presign(server: Server, method: str, path: str, query: dict[str, str] | None = None) -> str:
    """The target of a request that is signed in its query."""
    now = datetime.now(UTC)
    day, stamp = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{day}/{REGION}/s3/aws4_request"
    fields = {
        **(query or {}),
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{server.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": "3600",
        "X-Amz-SignedHeaders": "host",
    }
    text = urlencode(sorted(fields.items()), quote_via=quote, safe="-_.~")
    canonical = f"{method}\n{path}\n{text}\nhost:127.0.0.1:{server.port}\n\nhost\nUNSIGNED-PAYLOAD"
    wanted = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{server.secret_key}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return f"{path}?{text}&X-Amz-Signature={hmac.digest(key, wanted.encode(), 'sha256').hex()}"


def _ask(
    server: Server, method: str, path: str, body: bytes | None = None, query: dict[str, str] | None = None
) -> tuple[int, int]:
    """Status and length of the answer; what is read is forgotten."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        target = presign(server, method, path, query)
        length = len(body) if body else 0
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
        connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
        if body:
            connection.sendall(body)
        into = bytearray(MIB)
        came = connection.recv_into(into)
        status = int(bytes(into[9:12]))
        total = came - into.find(b"\r\n\r\n", 0, came) - 4
        while came := connection.recv_into(into):
            total += came
        return status, total


def _many(
    server: Server,
    method: str,
    targets: list[str],
    at_once: int,
    *,
    body: bytes = b"",
    again: bool = False,
) -> dict[str, float]:
    """Each target once, or all of them over and over, for SECONDS."""
    lines = f"Host: 127.0.0.1:{server.port}\r\n" + (f"Content-Length: {len(body)}\r\n" if body else "")
    heads = [f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() for target in targets]
    before = server.cpu()
    ended = uvloop.run(
        s3_client.run(
            server.port,
            itertools.cycle(heads) if again else iter(heads),
            body,
            at_once,
            heads_only=method == "HEAD",
            seconds=SECONDS,
        )
    )
    spent = {name: now - before[name] for name, now in server.cpu().items()}
    took = sorted(ended.latencies)
    return {
        "per_s": round(ended.answered / ended.seconds, 1),
        "p50_ms": round(took[len(took) // 2] * 1e3, 3),
        "p99_ms": round(took[len(took) * 99 // 100] * 1e3, 3),
        **{f"{name}_cpu_ms": round(cpu / ended.answered * 1e3, 3) for name, cpu in spent.items()},
        **({"failed": sum(ended.failures.values())} if ended.failures else {}),
        "count": ended.answered,
    }


# --- what is measured ------------------------------------------------------------------------------------


def _measure(server: Server) -> dict[str, Any]:
    results: dict[str, Any] = {"large": _large(server)}
    for at_once in CONNECTIONS:
        figures = _small(server, at_once)
        results[f"{at_once} at once"] = figures
        for verb, found in figures.items():
            print(f"    4 KiB, {at_once} at once, {verb}: {found}", flush=True)
    results["memory"] = server.memory()
    print(f"    memory: {results['memory']}")
    return results


def _small(server: Server, at_once: int) -> dict[str, Any]:
    paths = [f"/{BUCKET}/{at_once}/{number:06}" for number in range(KEYS_MAX[at_once])]

    def signed(method: str, some: list[str]) -> list[str]:
        return [presign(server, method, path) for path in some]

    put = _many(server, "PUT", signed("PUT", paths), at_once, body=os.urandom(SMALL_BYTES))
    stored = paths[: int(put["count"])]
    get = _many(server, "GET", signed("GET", stored), at_once, again=True)
    head = _many(server, "HEAD", signed("HEAD", stored), at_once, again=True)
    wish = {"list-type": "2", "max-keys": str(PAGE_KEYS), "prefix": f"{at_once}/"}
    page = [presign(server, "GET", f"/{BUCKET}", wish)]
    listed = _many(server, "GET", page, at_once, again=True)
    deleted = _many(server, "DELETE", signed("DELETE", stored), at_once)
    return {"put": put, "get": get, "head": head, "list 100 keys": listed, "delete": deleted}


def _large(server: Server) -> dict[str, Any]:
    content = os.urandom(LARGE_BYTES)
    _transfer(server, [("PUT", "/bench/warm-0", content, {}), ("GET", "/bench/warm-0", None, {})], 1)
    puts: list[Request] = [("PUT", f"/bench/large-{n}", content, {}) for n in range(LARGE_COUNT)]
    gets: list[Request] = [("GET", path, None, {}) for _, path, _, _ in puts]
    found = {
        "put": _transfer(server, puts, 1),
        "put, 4 at once": _transfer(server, puts, 4),
        "get": _transfer(server, gets, 1),
        "get, 4 at once": _transfer(server, gets, 4),
    }
    if server.name == "holdfast":
        # With a customer's or a managed key of its own, S3 promises no MD5 as the ETag, and none is taken.
        opaque = {"x-amz-server-side-encryption": "aws:kms"}
        found["put, no MD5"] = _transfer(server, [(*request[:3], opaque) for request in puts], 1)
    for what, figures in found.items():
        print(f"    {LARGE_BYTES // MIB} MiB {what}: {figures}", flush=True)
    return found


def _transfer(server: Server, requests: list[Request], at_once: int) -> dict[str, float]:
    before, began = server.cpu(), time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda request: _ask(server, *request), requests))
    seconds = time.perf_counter() - began
    for (method, _, _, _), (status, length) in zip(requests, answers, strict=True):
        assert status == HTTPStatus.OK, f"{server.name} answered {status}"
        assert method != "GET" or length == LARGE_BYTES, f"{server.name} sent {length} bytes"
    size = LARGE_BYTES * len(requests)
    spent = {name: now - before[name] for name, now in server.cpu().items()}
    return {
        "mb_per_s": round(size / seconds / 1e6, 1),
        **{f"{name}_cpu_s_per_gb": round(cpu / size * 1e9, 3) for name, cpu in spent.items()},
    }
