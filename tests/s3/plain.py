"""Plain HTTP requests, as a browser or `curl` would send them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import urllib3

_POOLS = [urllib3.PoolManager(retries=False, timeout=30)]


def trust(ca: Path) -> None:
    """Takes certificates that this authority signed."""
    _POOLS.append(urllib3.PoolManager(retries=False, timeout=30, ca_certs=str(ca)))


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()


def ask(
    method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request."""
    came = _POOLS[-1].request(method, url, body=body, headers=dict(headers or {}), redirect=False)
    return Answer(came.status, came.headers, came.data)


def post_form(url: str, fields: Mapping[str, str], file_name: str, content: bytes) -> Answer:
    """A browser's form with a file in it."""
    body, kind = urllib3.encode_multipart_formdata([*fields.items(), ("file", (file_name, content))])
    return ask("POST", url, body=body, headers={"Content-Type": kind})
