"""S3 requests as bytes: signed over exactly the path given, sent as they are, read as they come.

The plainest client there can be, so that the door is judged and no SDK's habits. The signature is
botocore's, which leaves an S3 path alone.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from defusedxml import ElementTree
from tests.judges.cloud import Account, Endpoint

SECONDS = 60


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """S3's name for the failure; empty if there is none."""
        if self.status < 400 or not self.body:
            return ""
        return ElementTree.fromstring(self.body).findtext("Code") or ""


class _Signing(S3SigV4Auth):
    """Signs whatever is said of the payload; by default that nothing is."""

    def payload(self, request: AWSRequest) -> str:
        # The signer takes the header away before it asks.
        return str(request.context.get("payload", "UNSIGNED-PAYLOAD"))


class Wire:
    """One connection at a time to an endpoint, as one account."""

    def __init__(self, endpoint: Endpoint, account: Account) -> None:
        self.endpoint = endpoint
        self._parts = urlsplit(endpoint.url)
        self._auth = _Signing(Credentials(account.access_key, account.secret_key), "s3", endpoint.region)

    def signed(
        self, method: str, path: str, query: str = "", headers: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The headers to send; `path` is percent-encoded as it will go out, `query` likewise."""
        request = AWSRequest(method, f"{self.endpoint.url}{path}" + (f"?{query}" if query else ""))
        for name, value in (headers or {}).items():
            request.headers[name] = value
            if name.lower() == "x-amz-content-sha256":
                request.context["payload"] = value
        self._auth.add_auth(request)
        return dict(request.headers.items())

    def connect(self) -> http.client.HTTPConnection:
        """A new connection."""
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.endpoint.ca))
            return http.client.HTTPSConnection(host, port, context=context, timeout=SECONDS)
        return http.client.HTTPConnection(host, port, timeout=SECONDS)

    def ask(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        through: http.client.HTTPConnection | None = None,
    ) -> Answer:
        """One request and its whole answer, over a connection of its own unless one is given."""
        sent = self.signed(method, path, query, headers)
        connection = through or self.connect()
        try:
            connection.request(method, path + (f"?{query}" if query else ""), body=body, headers=sent)
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
            )
        finally:
            if through is None:
                connection.close()

    def keys(self, bucket: str, prefix: str = "") -> Iterator[str]:
        """Every key of the bucket."""
        after = ""
        while True:
            query = f"list-type=2&prefix={quote(prefix, safe='')}"
            if after:
                query = f"continuation-token={quote(after, safe='')}&{query}"
            answer = self.ask("GET", f"/{bucket}", query)
            assert answer.status == 200, answer
            root = ElementTree.fromstring(answer.body)
            space = root.tag[: root.tag.index("}") + 1]
            yield from (found.text or "" for found in root.iterfind(f"{space}Contents/{space}Key"))
            after = root.findtext(f"{space}NextContinuationToken") or ""
            if not after:
                return


def object_path(bucket: str, key: str) -> str:
    """Path of an object, everything but unreserved characters and slashes encoded."""
    return f"/{bucket}/{quote(key.encode(), safe='/~-._')}"
