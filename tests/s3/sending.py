"""Requests signed as they should be, then changed, and sent as bytes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from tests.judges.cloud import Account, Endpoint
from tests.judges.wire import Answer, Wire

BODY = b"abc"
WAIT_SECONDS = 20


class Sender:
    """Sends requests signed as they should be, then changed."""

    def __init__(self, endpoint: Endpoint, account: Account, host: str = "") -> None:
        """`host` is what requests are sent to by name, wherever that name leads; by default the endpoint."""
        self._endpoint = endpoint
        self._host = host or endpoint.address
        self._wire = Wire(endpoint._replace(url=f"{endpoint.scheme}://{self._host}"), account)

    def connect(self) -> socket.socket:
        parts = urlsplit(self._endpoint.url)
        host = parts.hostname or ""
        line = socket.create_connection((host, parts.port or 0), timeout=WAIT_SECONDS)
        if self._endpoint.ca is None:
            return line
        context = ssl.create_default_context(cafile=str(self._endpoint.ca))
        return context.wrap_socket(line, server_hostname=host)

    def lines(
        self,
        method: str,
        path: str,
        *,
        sent: Mapping[str, str] | None = None,
        changed: Mapping[str, str | None] | None = None,
    ) -> bytes:
        """The head of a request: `sent` is signed with it, `changed` afterwards; None takes a header away."""
        bare, _, query = path.partition("?")
        headers = {"Host": self._host, **self._wire.signed(method, bare, query, headers=sent)}
        headers.setdefault("Content-Length", str(len(BODY)))
        for name, value in (changed or {}).items():
            headers = {one: text for one, text in headers.items() if one.lower() != name.lower()}
            if value is not None:
                headers[name] = value
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def put(
        self,
        path: str,
        *,
        body: bytes = BODY,
        sent: Mapping[str, str] | None = None,
        changed: Mapping[str, str | None] | None = None,
    ) -> tuple[int, str]:
        """Status and S3's code of a PUT."""
        return self.answer(self.lines("PUT", path, sent=sent, changed=changed) + body)

    def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """The whole answer to a request that nothing is wrong with."""
        length = {"Content-Length": str(len(body))}
        with self.connect() as line:
            line.sendall(self.lines(method, path, changed=length) + body)
            return read_whole(line)

    def answer(self, request: bytes) -> tuple[int, str]:
        """Status and S3's code of whatever is sent."""
        with self.connect() as line:
            line.sendall(request)
            return read_answer(line)


def read_answer(line: socket.socket) -> tuple[int, str]:
    """Status and S3's code of the next answer on the line."""
    answer = read_whole(line)
    if answer.status < 300:
        return answer.status, ""
    assert answer.headers["content-type"] == "application/xml"
    assert answer.headers["x-amz-request-id"]
    return answer.status, answer.code


def read_whole(line: socket.socket) -> Answer:
    """The next answer on the line."""
    came = b""
    while b"\r\n\r\n" not in came:
        piece = line.recv(65536)
        assert piece, came
        came += piece
    head, _, body = came.partition(b"\r\n\r\n")
    fields = [one.split(": ", 1) for one in head.decode("latin-1").split("\r\n")[1:]]
    headers = {name.lower(): value for name, value in fields}
    while len(body) < int(headers.get("content-length", "0")):
        body += line.recv(65536)
    return Answer(int(head.split()[1]), headers, body)
