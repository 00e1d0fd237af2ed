"""The file commands as people use them, against a small cloud on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.client.served import Served

from holdfast.app.cli.main import root
from holdfast.app.cli.output import size_text
from holdfast.client.blocking import Session
from holdfast.world.errors import Refusal

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served")) as served:
        served.party.buckets["b"] = {}
        yield served


class Shell:
    """Runs `holdfast` in a folder of its own."""

    def __init__(self, served: Served, folder: Path) -> None:
        self.folder = folder
        self.party = served.party
        self.environment = os.environ | served.environment

    def run(
        self, *arguments: str, content: bytes = b"", status: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [sys.executable, "-m", "holdfast.app.cli.main", *arguments],
            cwd=self.folder,
            env=self.environment,
            input=content,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, done.stderr.decode()
        return done

    def documents(self, *arguments: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]


@pytest.fixture(scope="module")
def session(served: Served) -> Iterator[Session]:
    with Session.open(environment=served.environment) as session:
        yield session


@pytest.fixture
def shell(served: Served, tmp_path: Path) -> Shell:
    served.party.buckets["b"].clear()
    return Shell(served, tmp_path)


def test_a_file_goes_out_and_comes_back(shell: Shell) -> None:
    content = os.urandom(3 * MEGABYTE)
    (shell.folder / "cat.jpg").write_bytes(content)
    done = shell.run("put", "cat.jpg", "b")
    assert done.stdout == b""
    assert b"stored b/cat.jpg (3.15 MB in " in done.stderr
    shell.run("put", "cat.jpg", "b/deep/")
    shell.run("get", "b/deep/cat.jpg", "back.jpg", "-q")
    assert (shell.folder / "back.jpg").read_bytes() == content
    (shell.folder / "folder").mkdir()
    [document] = shell.documents("get", "b/cat.jpg", "folder")
    assert (document["path"], document["size"]) == ("folder/cat.jpg", len(content))
    assert (shell.folder / "folder" / "cat.jpg").read_bytes() == content


@pytest.mark.parametrize("size", [0, 1, MEGABYTE])
def test_pipes_go_out_and_come_back(size: int, shell: Shell) -> None:
    content = os.urandom(size)
    shell.run("put", "-", "b/piped", content=content)
    assert shell.run("get", "b/piped", "-").stdout == content


def test_a_folder_goes_out_and_comes_back(shell: Shell) -> None:
    source = shell.folder / "source"
    for number in range(12):
        path = source / f"d{number % 3}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 1000))
    (source / "link").symlink_to("/etc/passwd")
    done = shell.run("put", "-r", "source", "b/all")
    assert b"passed over source/link" in done.stderr
    assert b"12 objects" in done.stderr
    assert [entry["key"] for entry in shell.documents("ls", "-r", "b/all/d0")] == [
        "all/d0/f0", "all/d0/f3", "all/d0/f6", "all/d0/f9",
    ]  # fmt: skip
    shell.run("get", "-r", "b/all", "back", "--parallel", "3")
    (source / "link").unlink()
    assert subprocess.run(["diff", "-r", "source", "back"], cwd=shell.folder, check=False).returncode == 0
    shell.run("rm", "-r", "b/all/d0")
    assert len(shell.documents("ls", "-r", "b")) == 8


def test_a_key_that_escapes_is_refused_and_the_others_are_read(shell: Shell, session: Session) -> None:
    for key in ("p/good", "p/../../evil", "p/worse/../x"):
        session.put(b"x", "b", key)
    done = shell.run("get", "-r", "b/p", "out", status=1)
    assert done.stderr.count(b"(path.escapes)") == 2
    assert [path.name for path in (shell.folder / "out").rglob("*")] == ["good"]
    assert not (shell.folder.parent / "evil").exists()


def test_listing_shows_one_level_or_all(shell: Shell, session: Session) -> None:
    for key in ("a", "d/one", "d/two", "d/e/three", "z"):
        session.put(b"12345", "b", key)
    assert shell.run("ls", "b").stdout.split() == [b"a", b"d/", b"z"]
    assert shell.run("ls", "b/d/").stdout.split() == [b"d/e/", b"d/one", b"d/two"]
    assert shell.run("ls", "-r", "b").stdout.split() == [b"a", b"d/e/three", b"d/one", b"d/two", b"z"]
    assert b"5 B" in shell.run("ls", "-l", "b/a").stdout
    assert b"b" in shell.run("ls").stdout.split()


def test_stat_says_where_shards_are_and_what_the_object_survives(shell: Shell, session: Session) -> None:
    session.put(os.urandom(200_000), "b", "k")
    shown = shell.run("stat", "b/k").stdout.decode()
    assert "survives  the loss of any 2 more nodes" in shown
    assert "any 4 of 7, repair below 5" in shown
    assert shown.count("7/7") == 4
    [document] = shell.documents("stat", "b/k")
    assert (document["survives"], len(document["chunks"])) == (2, 4)  # type: ignore[arg-type]  # a list
    holders = {node.name for number in range(4) for node in shell.party.holders("b", "k", number).values()}
    assert all(name in shown for name in holders)


def test_buckets_are_made_and_removed(shell: Shell) -> None:
    shell.run("mb", "fresh")
    assert "fresh" in [entry["bucket"] for entry in shell.documents("ls")]
    shell.run("rb", "fresh")
    assert b"fresh" not in shell.run("ls").stdout.split()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["put", "none", "b/k"], "config.missing"),
        (["put", ".", "b/k"], "config.invalid"),
        (["put", "-", "b"], "config.invalid"),
        (["put", "-", "nowhere/k"], "bucket.unknown"),
        (["get", "b/none"], "object.unknown"),
        (["get", "-r", "b/none"], "object.unknown"),
        (["get", "b"], "config.invalid"),
        (["get", "b/none", "-", "--json"], "config.invalid"),
        (["rm", "b/none"], "object.unknown"),
        (["ls", "nowhere"], "bucket.unknown"),
        (["mb", "a/b"], "config.invalid"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_code(
    arguments: list[str], code: str, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in shell.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(shell.folder)
    with pytest.raises(Refusal) as caught:
        root(arguments, standalone_mode=False)
    assert caught.value.code == code


def test_a_refusal_ends_with_status_one_in_words_or_as_json(shell: Shell) -> None:
    assert b"(object.unknown)" in shell.run("rm", "b/none", status=1).stderr
    failure = json.loads(shell.run("rm", "b/none", "--json", status=1).stderr)
    assert failure["error"]["code"] == "object.unknown"


def test_if_absent_leaves_what_is_there(shell: Shell, session: Session) -> None:
    session.put(b"first", "b", "k")
    done = shell.run("put", "-", "b/k", "--if-absent", content=b"second", status=1)
    assert b"(precondition.failed)" in done.stderr
    assert session.read("b", "k") == b"first"


def test_without_a_coordinator_the_status_says_that_again_may_help(shell: Shell) -> None:
    shell.environment["HOLDFAST_ENDPOINT"] = "http://127.0.0.1:1"
    assert b"(endpoint.unreachable)" in shell.run("ls", status=75).stderr


def test_a_reader_that_has_seen_enough_ends_a_download_quietly(shell: Shell, session: Session) -> None:
    session.put(os.urandom(2 * MEGABYTE), "b", "k")
    line = f"{sys.executable} -m holdfast.app.cli.main get b/k - | head -c 10"
    done = subprocess.run(
        line, shell=True, cwd=shell.folder, env=shell.environment, capture_output=True, check=True, timeout=60
    )
    assert len(done.stdout) == 10
    assert done.stderr == b""


@pytest.mark.parametrize("command", ["put", "get", "ls", "rm", "stat", "mb", "rb"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    assert f"  holdfast {command}" in CliRunner().invoke(root, [command, "--help"]).output


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 KB"), (1_234_567, "1.23 MB"), (10**16, "10 PB")]
)
def test_sizes_are_written_for_people(count: int, text: str) -> None:
    assert size_text(count) == text
