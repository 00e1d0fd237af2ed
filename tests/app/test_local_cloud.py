"""What a new user tries, on real processes: `holdfast up`, the file commands, losses, restarts."""

import hashlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.app.running import NODES, RunningCloud
from tests.conftest import ScratchDatabase

pytestmark = pytest.mark.slow

TOLERATED = 4


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(23_000_000))
    return path


def test_a_file_comes_back_as_it_was(cloud: RunningCloud, big: Path, tmp_path: Path) -> None:
    assert cloud.run("put", str(big), "album/big").status == 0
    assert cloud.run("get", "album/big", str(tmp_path / "back")).status == 0
    assert (tmp_path / "back").read_bytes() == big.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 100_000, 6_000_000])
def test_a_pipe_is_stored_and_read_through_pipes(cloud: RunningCloud, size: int) -> None:
    content = os.urandom(size)
    assert cloud.run("put", "-", f"album/pipe-{size}", stdin=content).status == 0
    assert cloud.run("get", f"album/pipe-{size}", "-").out == content


def test_stat_tells_where_the_shards_are_and_what_the_object_survives(cloud: RunningCloud, big: Path) -> None:
    cloud.run("put", str(big), "album/stat")
    told = cloud.run("stat", "album/stat", "--json").json
    assert told["survives"] == TOLERATED
    assert len(told["chunks"]) == told["version"]["chunk_count"] > 1
    for chunk in told["chunks"]:
        assert len({shard["node_id"] for shard in chunk["shards"]}) == NODES
        assert {shard["state"] for shard in chunk["shards"]} == {"live"}


def test_a_folder_goes_in_and_comes_out(cloud: RunningCloud, tmp_path: Path) -> None:
    tree = {"a.txt": b"a", "deep/er/b.bin": os.urandom(70_000), "ü/ñ.txt": "grün".encode()}
    for name, content in tree.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(content)
    assert cloud.run("mb", "folders").status == 0
    assert cloud.run("put", "-r", str(tmp_path / "in"), "folders/x").status == 0
    assert cloud.run("get", "-r", "folders/x", str(tmp_path / "out")).status == 0
    found = {
        str(path.relative_to(tmp_path / "out")): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert {name.removeprefix("x/").removeprefix("in/"): content for name, content in found.items()} == tree
    assert cloud.run("rm", "-r", "folders/x").status == 0
    assert cloud.run("ls", "folders", "-r").out == b""
    assert cloud.run("rb", "folders").status == 0


def test_as_many_nodes_as_the_class_tolerates_may_die(cloud: RunningCloud, big: Path) -> None:
    """They are started again by `holdfast up` itself."""
    cloud.run("put", str(big), "album/losses")
    victims = [cloud.node_pid(number) for number in range(1, TOLERATED + 1)]
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    got = cloud.run("get", "album/losses", "-")
    assert hashlib.sha256(got.out).digest() == hashlib.sha256(big.read_bytes()).digest()
    deadline = time.monotonic() + 60
    while len(cloud.pids("node", "run")) < NODES:
        assert time.monotonic() < deadline, "a dead node was not started again"
        time.sleep(0.2)


def test_the_coordinator_may_die_at_any_moment(cloud: RunningCloud, big: Path) -> None:
    """An upload under way when it is killed ends well, or says that it did not; what was stored stays."""
    cloud.run("put", str(big), "album/before")
    upload = cloud.popen("put", str(big), "album/during")
    time.sleep(0.7)
    [pid] = cloud.pids("coordinator", "run")
    os.kill(pid, signal.SIGKILL)
    stored = upload.wait(120) == 0
    deadline = time.monotonic() + 60
    while cloud.run("ls", "album").status != 0:
        assert time.monotonic() < deadline, "the coordinator was not started again"
    assert cloud.run("get", "album/before", "-").out == big.read_bytes()
    during = cloud.run("get", "album/during", "-")
    assert during.out == (big.read_bytes() if stored else b"")


def test_an_upload_that_was_killed_goes_on_where_it_stopped(cloud: RunningCloud, tmp_path: Path) -> None:
    path = tmp_path / "huge"
    path.write_bytes(os.urandom(120_000_000))
    first = cloud.popen("put", str(path), "album/resumed")
    time.sleep(1.5)
    first.kill()
    first.wait()
    again = cloud.run("put", str(path), "album/resumed", "--json")
    assert again.status == 0, again.err
    got = cloud.run("get", "album/resumed", "-")
    assert got.out == path.read_bytes()


def test_the_relay_carries_what_cannot_go_directly(cloud: RunningCloud, big: Path) -> None:
    assert cloud.run("put", str(big), "album/relayed", HOLDFAST_RELAY="always").status == 0
    assert cloud.run("get", "album/relayed", "-", HOLDFAST_RELAY="always").out == big.read_bytes()


def test_another_key_is_refused_before_a_byte_is_sent(cloud: RunningCloud, big: Path, tmp_path: Path) -> None:
    assert cloud.run("key", "new", str(tmp_path / "other.key")).status == 0
    other = {"HOLDFAST_KEY_FILE": str(tmp_path / "other.key")}
    put = cloud.run("put", str(big), "album/never", "--json", **other)
    assert (put.status, put.code) == (1, "key.mismatch")
    assert cloud.run("ls", "album/never").out == b""


def test_a_second_key_seals_once_it_is_registered_expressly(cloud: RunningCloud, tmp_path: Path) -> None:
    second = str(tmp_path / "second.key")
    key_id = cloud.run("key", "new", second).out.split()[3].decode()
    refused = cloud.run("key", "register", second, "--json")
    assert (refused.status, refused.code) == (1, "key.mismatch")
    assert "holdfast key register --add" in refused.err
    assert cloud.run("key", "register", second, "--add", "--json").json["key_id"] == key_id
    listed = [line.split()[0].decode() for line in cloud.run("key", "list").out.splitlines()]
    assert listed[1:] == [key_id]
    sealed = cloud.run("put", "-", "album/second", stdin=b"content", HOLDFAST_KEY_FILE=second)
    assert sealed.status == 0, sealed.err
    assert cloud.run("get", "album/second", "-", HOLDFAST_KEY_FILE=second).out == b"content"
    first = cloud.run("get", "album/second", "-", "--quiet")
    assert (first.status, first.out) == (1, b"")
    assert "(key.unknown)" in first.err


def test_a_node_is_drained_while_the_cloud_runs_and_upkeep_says_what_it_would_do(cloud: RunningCloud) -> None:
    home = ("--home", str(cloud.home / "coordinator"))
    cloud.run("put", "-", "album/drained", stdin=b"content")
    drained = cloud.run("admin", "node", "drain", "node-03", *home, "--json")
    assert drained.json["state"] == "draining"
    listed = [json.loads(line) for line in cloud.run("nodes", "--json").out.splitlines()]
    assert {node["node_name"] for node in listed if node["state"] == "draining"} == {"node-03"}
    plan = cloud.run("admin", "upkeep", "--dry-run", "repair", *home)
    assert "shards are on nodes that are leaving" in plan.out.decode()
    assert cloud.run("admin", "node", "resume", "node-03", *home).status == 0
    assert cloud.run("admin", "upkeep", *home).status == 1
    slip = cloud.run("admin", "tenant", "list", "--home", str(cloud.home / "slip"), "--json")
    assert (slip.status, slip.code) == (1, "config.missing")


def test_a_port_that_is_taken_is_refused_with_one_that_is_free(cloud: RunningCloud, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = cloud.run("up", "--home", str(tmp_path / "other"), "--port", str(port))
    assert refused.status == 1
    assert f"Port {port} of this machine is taken" in refused.err
    assert "--port " in refused.err


def test_a_wrong_passphrase_is_said_plainly(cloud: RunningCloud, tmp_path: Path) -> None:
    key = tmp_path / "locked.key"
    key.write_bytes((cloud.home / "tenant.key").read_bytes())
    assert cloud.run("key", "lock", str(key), HOLDFAST_PASSPHRASE="right").status == 0
    wrong = {"HOLDFAST_KEY_FILE": str(key), "HOLDFAST_PASSPHRASE": "wrong"}
    refused = cloud.run("get", "album/big", str(tmp_path / "out"), "--json", **wrong)
    assert (refused.status, refused.code) == (1, "key.wrong")
    assert not (tmp_path / "out").exists()


REFUSALS = [
    (["ls", "nowhere"], "bucket.unknown"),
    (["get", "album/nothing", "{out}"], "object.unknown"),
    (["put", "{file}", "nowhere/x"], "bucket.unknown"),
    (["put", "{file}", "album/" + "ü" * 513], "name.invalid"),
    (["put", "{file}", "album/x", "--class", "golden"], "class.unknown"),
    (["put", "{file}", "album/x", "--class", "wide"], "fleet.too_small"),
    (["mb", "album"], "bucket.exists"),
    (["mb", "No Such Name"], "bucket.invalid"),
    (["rb", "album"], "bucket.not_empty"),
]


@pytest.mark.parametrize(("command", "code"), REFUSALS, ids=[f"{c[0]}-{code}" for c, code in REFUSALS])
def test_a_refusal_has_a_stable_code_and_advice(
    cloud: RunningCloud, tmp_path: Path, command: list[str], code: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    words = [word.replace("{file}", str(file)).replace("{out}", str(tmp_path / "out")) for word in command]
    refused = cloud.run(*words, "--json")
    assert (refused.status, refused.code) == (1, code)
    for_people = cloud.run(*words)
    assert "Traceback" not in for_people.err
    assert f"({code})" in for_people.err


def test_a_class_too_wide_for_the_fleet_says_how_many_nodes_are_missing_and_what_would_work(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    refused = cloud.run("put", str(tmp_path / "file"), "album/x", "--class", "wide")
    assert "30 nodes" in refused.err
    assert f"{30 - NODES} missing" in refused.err
    assert "standard" in refused.err


def test_another_cloud_cannot_use_the_same_home(cloud: RunningCloud) -> None:
    second = cloud.run("up", "--home", str(cloud.home))
    assert second.status == 1
    assert "(node.running)" in second.err


def test_everything_is_there_after_ctrl_c_and_after_kill_9(tmp_path: Path) -> None:
    cloud = RunningCloud(tmp_path, nodes=6)
    cloud.start()
    content = os.urandom(3_000_000)
    assert cloud.run("mb", "kept", "--class", "tiny").status == 0
    assert cloud.run("put", "-", "kept/one", stdin=content).status == 0
    assert "Stopped" in cloud.stop()
    assert cloud.pids("run") == []
    cloud.start()
    assert cloud.run("get", "kept/one", "-").out == content
    assert cloud.run("put", "-", "kept/two", stdin=content).status == 0
    cloud.kill()
    # A local cloud grows when it is started with more nodes, and never shrinks.
    cloud.nodes = 8
    cloud.start()
    assert cloud.run("get", "kept/one", "-").out == content
    assert cloud.run("get", "kept/two", "-").out == content
    assert len(cloud.run("nodes", "--json").out.splitlines()) == 8
    cloud.stop()
    fewer = cloud.run("up", "--home", str(cloud.home), "--nodes", "6")
    assert fewer.status == 1
    assert "has 8 nodes" in fewer.err


@pytest.fixture
def empty_postgresql(postgresql_scratch: ScratchDatabase) -> str:
    postgresql_scratch.empty()
    return postgresql_scratch.url


@pytest.mark.postgresql
def test_the_same_cloud_runs_on_postgresql_by_one_setting(tmp_path: Path, empty_postgresql: str) -> None:
    cloud = RunningCloud(tmp_path, nodes=6, environment={"HOLDFAST_DATABASE": empty_postgresql})
    cloud.start()
    content = os.urandom(3_000_000)
    assert cloud.run("mb", "kept", "--class", "tiny").status == 0
    assert cloud.run("put", "-", "kept/one", stdin=content).status == 0
    cloud.stop()
    cloud.start()
    assert cloud.run("get", "kept/one", "-").out == content
    assert not (cloud.home / "coordinator" / "holdfast.db").exists()
    cloud.stop()


def test_the_demonstration_loses_nothing(tmp_path: Path) -> None:
    cloud = RunningCloud(tmp_path, nodes=16)
    told = cloud.run("demo", "--size", "15MB", "--json")
    assert told.status == 0, told.err
    measured = told.json
    assert measured["survives"] == TOLERATED
    assert measured["shards_reported"] > 0
    assert measured["shards_left"] == 0
    assert measured["survives_at_the_end"] == TOLERATED
    for reading in ("read_with_nodes_dead", "read_with_corruption", "read_at_the_end"):
        assert measured[reading]["files"] == measured["files"]
        assert measured[reading]["sha256_equal"]
