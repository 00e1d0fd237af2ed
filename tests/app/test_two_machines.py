"""A coordinator, nodes and a client on machines of their own: TLS over real addresses, and the relay.

The machines are network namespaces; nothing leaves them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.app.machines import Machine, Street, until, why_not

pytestmark = pytest.mark.slow

NODES = 6
ENDPOINT_PORT, RELAY_PORT, NODE_PORT = 8333, 8334, 7420


@dataclass
class Town:
    """A coordinator, its nodes, and somebody who stores."""

    coordinator: Machine
    nodes: list[Machine]
    client: Machine

    @property
    def endpoint(self) -> str:
        return f"http://{self.coordinator.address}:{ENDPOINT_PORT}"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    if why := why_not():
        pytest.skip(why)
    street = Street(tmp_path_factory.mktemp("town"))
    try:
        town = Town(street.machine("hub"), [], street.machine("client"))
        _open_coordinator(town)
        for number in range(1, NODES + 1):
            town.nodes.append(street.machine(f"node{number}"))
            _open_node(town, town.nodes[-1])
        until(lambda: _online(town) == NODES, "all nodes online")
        made = town.client.run("mb", "photos", "--class", "tiny")
        assert made.status == 0, made.err
        yield town
    finally:
        street.remove()


def _open_coordinator(town: Town) -> None:
    hub = town.coordinator
    home = hub.home / "coordinator"
    home.mkdir()
    (home / "coordinator.toml").write_text(
        f'listen = "{hub.address}:{ENDPOINT_PORT}"\n'
        f'relay_listen = "tls://0.0.0.0:{RELAY_PORT}"\n'
        f'relay_advertised = "tls://{hub.address}:{RELAY_PORT}"\n'
    )
    log = hub.start("coordinator", "run", "--home", str(home))
    until(lambda: "coordinator starts" in log.read_text(), f"a coordinator: {log.read_text()}")
    made = hub.run("admin", "tenant", "create", "acme", "--home", str(home), "--json")
    assert made.status == 0, made.err
    key = town.client.home / "acme.key"
    assert town.client.run("key", "new", str(key)).status == 0
    town.client.environment.update(
        HOLDFAST_ENDPOINT=town.endpoint,
        HOLDFAST_ACCESS_KEY=made.json["access_key"],
        HOLDFAST_SECRET_KEY=made.json["secret_key"],
        HOLDFAST_KEY_FILE=str(key),
    )
    until(lambda: town.client.run("ls").status == 0, "the endpoint")


def _open_node(town: Town, machine: Machine) -> None:
    """As docs/node.md tells a provider to."""
    token = town.client.run("nodes", "invite", "--json").json["token"]
    address = f"tls://{machine.address}:{NODE_PORT}"
    made = machine.run(
        "node", "init", "--endpoint", town.endpoint, "--name", machine.name,
        "--listen", f"tls://0.0.0.0:{NODE_PORT}", "--advertise", address,
        HOLDFAST_NODE_TOKEN=token,
    )  # fmt: skip
    assert made.status == 0, made.err
    assert "is not protected" in made.err
    allocated = machine.run("node", "allocate", "--space", "5GB")
    assert allocated.status == 0, allocated.err
    machine.start("node", "run")


def _online(town: Town) -> int:
    listed = town.client.run("nodes", "--json")
    return sum(json.loads(line)["online"] for line in listed.out.splitlines())


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(23_000_000))
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_client_stores_and_reads_straight_at_nodes_on_other_machines(town: Town, big: Path) -> None:
    put = town.client.run("put", str(big), "photos/direct", HOLDFAST_RELAY="never")
    assert put.status == 0, put.err
    got = town.client.run("get", "photos/direct", "-", HOLDFAST_RELAY="never")
    assert digest(got.out) == digest(big.read_bytes()), got.err
    told = town.client.run("stat", "photos/direct", "--json").json
    holders = {shard["node_name"] for chunk in told["chunks"] for shard in chunk["shards"]}
    assert holders == {machine.name for machine in town.nodes}


def test_a_client_that_cannot_reach_any_node_goes_through_the_relay(town: Town, big: Path) -> None:
    town.client.run("put", str(big), "photos/before", HOLDFAST_RELAY="never")
    for machine in town.nodes:
        machine.deaf_to(town.client)
    try:
        assert not any(town.client.reaches(machine, NODE_PORT) for machine in town.nodes)
        got = town.client.run("get", "photos/before", "-")
        assert digest(got.out) == digest(big.read_bytes()), got.err
        put = town.client.run("put", str(big), "photos/relayed")
        assert put.status == 0, put.err
    finally:
        for machine in town.nodes:
            machine.hears_again(town.client)
    direct = town.client.run("get", "photos/relayed", "-", HOLDFAST_RELAY="never")
    assert digest(direct.out) == digest(big.read_bytes()), direct.err


def test_a_node_on_another_machine_says_that_it_is_well(town: Town) -> None:
    machine = town.nodes[0]
    status = machine.run("node", "status", "--json").json
    assert (status["running"], status["registered"]) == (True, True)
    assert status["last"]["addresses"] == [f"tls://{machine.address}:{NODE_PORT}"]
    doctor = machine.run("node", "doctor", "--json")
    assert doctor.status == 0, doctor.out
    levels = {finding["check"]: finding["level"] for finding in doctor.json["findings"]}
    assert levels["address"] == "good"
    # Plain http beyond this machine is worth a warning, and it is one.
    assert levels["endpoint"] == "warning"


def test_a_node_stops_in_good_order_and_the_rest_carries_on(town: Town, big: Path) -> None:
    town.client.run("put", str(big), "photos/fewer")
    assert town.nodes[-1].stop() == [0]
    got = town.client.run("get", "photos/fewer", "-")
    assert digest(got.out) == digest(big.read_bytes()), got.err
    assert not town.nodes[-1].run("node", "status", "--json").json["running"]
