"""The server that is judged: a local cloud of its own, with an endpoint over http and one over https.

HOLDFAST_TEST_S3 may name a JSON file that describes a server which runs already, for work on one judge:

    {"http": URL, "https": URL, "ca": FILE, "region": NAME, "accounts": [
        {"access_key": ..., "secret_key": ..., "canonical_id": ..., "display_name": ..., "email": ...}, ...]}

Its accounts are handed out in turn, so some judges will meet each other there; unless "home", in place of
"accounts", names the home of its coordinator on this machine, where new ones are made.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from tests.app.running import HOLDFAST, NODES, RunningCloud

from holdfast.app.ports import free_ports

SERVER: Final = "HOLDFAST_TEST_S3"
SCHEMES: Final = ("http", "https")
REGION: Final = "us-east-1"


class Endpoint(NamedTuple):
    """Where the door is. `ca`: whom to trust there, for https."""

    url: str
    region: str
    ca: Path | None

    @property
    def scheme(self) -> str:
        return self.url.partition(":")[0]

    @property
    def address(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]


class Account(NamedTuple):
    """A tenant as `holdfast admin tenant create NAME --json` prints it."""

    access_key: str
    secret_key: str
    canonical_id: str
    display_name: str
    email: str
    account: str = ""

    def environment(self, endpoint: Endpoint) -> dict[str, str]:
        """Variables that AWS's SDKs and most programs read."""
        trusted = (
            {"AWS_CA_BUNDLE": str(endpoint.ca), "SSL_CERT_FILE": str(endpoint.ca)} if endpoint.ca else {}
        )
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": endpoint.region,
            "AWS_DEFAULT_REGION": endpoint.region,
            "AWS_ENDPOINT_URL": endpoint.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            **trusted,
        }


def account_from(said: dict[str, str]) -> Account:
    """From what the command printed."""
    return Account(**{name: said.get(name, "") for name in Account._fields})


class S3Cloud:
    """A running cloud and its S3 endpoints; `account(name)` makes a tenant the first time it is asked for."""

    def __init__(self, running: RunningCloud, endpoints: dict[str, Endpoint]) -> None:
        self.running = running
        self.endpoints = endpoints
        self._accounts: dict[str, Account] = {}

    def account(self, name: str) -> Account:
        """The tenant of this name."""
        if name not in self._accounts:
            made = self.running.run(
                "admin", "tenant", "create", name, "--home", str(self.running.home / "coordinator"), "--json"
            )
            assert made.status == 0, made.err
            self._accounts[name] = account_from(made.json)
        return self._accounts[name]


class ServerElsewhere:
    """A server described by a file; see the module's words."""

    def __init__(self, path: Path) -> None:
        said = json.loads(path.read_text())
        ca = Path(said["ca"]) if said.get("ca") else None
        self.endpoints = {
            scheme: Endpoint(
                said[scheme].rstrip("/"), said.get("region", REGION), ca if scheme == "https" else None
            )
            for scheme in SCHEMES
            if scheme in said
        }
        self._home = said.get("home")
        self._left = [account_from(one) for one in said.get("accounts", ())]
        self._turn = count()
        self._accounts: dict[str, Account] = {}

    def account(self, name: str) -> Account:
        """A tenant made for this run, or the next of the server's accounts."""
        if name not in self._accounts and self._home:
            words = [
                "admin",
                "tenant",
                "create",
                f"{name}-{secrets.token_hex(3)}",
                "--home",
                self._home,
                "--json",
            ]
            made = subprocess.run([*HOLDFAST, *words], capture_output=True, check=True)
            self._accounts[name] = account_from(json.loads(made.stdout))
        if name not in self._accounts:
            self._accounts[name] = self._left[next(self._turn) % len(self._left)]
        return self._accounts[name]


def start(folder: Path, **environment: str) -> S3Cloud:
    """A cloud of its own in `folder`."""
    plain, secure = (f"127.0.0.1:{port}" for port in free_ports([0, 0]))
    doors = {"HOLDFAST_REGION": REGION, "HOLDFAST_S3_LISTEN": plain, "HOLDFAST_S3_TLS_LISTEN": secure}
    running = RunningCloud(folder, nodes=NODES, environment={**doors, **environment})
    running.start()
    endpoints = (
        Endpoint(f"http://{plain}", REGION, None),
        Endpoint(f"https://{secure}", REGION, running.home / "coordinator" / "s3-ca.pem"),
    )
    return S3Cloud(running, {endpoint.scheme: endpoint for endpoint in endpoints})


def server_elsewhere() -> ServerElsewhere | None:
    """The server that the environment names, if it does."""
    path = os.environ.get(SERVER, "")
    return ServerElsewhere(Path(path)) if path else None
