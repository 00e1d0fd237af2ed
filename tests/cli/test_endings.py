"""How commands end: in words, with a known status, whatever became of their streams and names."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.cli.shell import HOLDFAST, on_a_terminal, through_bash
from tests.client.served import Served

from holdfast.app.cli.ending import EXITS
from holdfast.app.cli.main import root
from holdfast.app.cli.output import ago_text, shown
from holdfast.client.blocking import Session

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served")) as served:
        served.party.buckets["b"] = {}
        with Session.open(environment=served.environment) as session:
            session.put(os.urandom(2 * MEGABYTE), "b", "big")
            for number in range(5):
                session.put(b"x", "b", f"many/{number}")
            session.put(b"x", "b", "odd/new\nline\x1b[31m")
        yield served


@pytest.fixture
def environment(served: Served) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | served.environment


LINES = [
    ("holdfast ls -r b/many | true", 141, "", "nobody reads the listing"),
    ("holdfast get b/big - -q | head -c 10", 141, "", "the reader has seen enough"),
    ("holdfast ls b > /dev/full", 75, "disk.full", "standard output is full"),
    ("holdfast get b/big - > /dev/full", 75, "disk.full", "so it is for an object"),
    ("holdfast ls b >&-", 0, "", "nobody wants the listing"),
    ("holdfast get b/big - >&-", 1, "config.invalid", "nobody wants the object"),
    ("holdfast put - b/k <&-", 1, "config.invalid", "there is no standard input"),
    ("echo x | holdfast put - b/k 2>&-", 0, "", "nobody wants to hear how it went"),
    ("holdfast ls $'b/\\xff'", 1, "name.invalid", "keys are UTF-8"),
    ("echo x > $'\\xff'; holdfast put $'\\xff' b", 1, "name.invalid", "so is a key made from a file's name"),
    ("echo x > $'\\xff'; holdfast put $'\\xff' b/k", 0, "", "but a file's own name is its own affair"),
    ("holdfast put '' b/k", 1, "config.invalid", "an empty name is no file"),
    ("holdfast rm -r b < /dev/null", 1, "config.invalid", "nobody is there to be asked"),
    ("holdfast nods", 2, "", "a slip of the finger"),
    ("holdfast ls --jsn", 2, "", "another"),
]


@pytest.mark.parametrize(("line", "status", "code", "reason"), LINES, ids=[line[3] for line in LINES])
def test_a_command_ends_in_words_with_a_documented_status(
    line: str, status: int, code: str, reason: str, environment: dict[str, str], tmp_path: Path
) -> None:
    done = through_bash(line, tmp_path, environment)
    said = done.stderr.decode()
    assert done.returncode == status, said
    assert "Traceback" not in said
    assert f"({code})" in said if code else "holdfast:" not in said
    assert status in EXITS


def test_a_socket_is_refused_and_a_pipe_with_a_name_is_stored(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        refused = through_bash("holdfast put socket b/k", tmp_path, environment)
    assert b"(config.invalid)" in refused.stderr
    line = "mkfifo pipe; (echo through > pipe &); holdfast put pipe b/k -q && holdfast get b/k - -q"
    assert through_bash(line, tmp_path, environment).stdout == b"through\n"


def test_a_folder_is_stored_but_for_the_file_whose_name_cannot_be_a_key(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good").write_text("good")
    (folder / os.fsdecode(b"\xff")).write_text("no key can say this")
    done = through_bash("holdfast put -r folder b/folder", tmp_path, environment)
    assert done.returncode == 1
    assert "1 objects, 4 B, 1 failed" in done.stderr.decode()
    assert r"'folder/\xff' is not UTF-8" in done.stderr.decode()


def test_a_key_with_control_characters_stays_on_its_line(environment: dict[str, str], tmp_path: Path) -> None:
    done = through_bash("holdfast ls -r b/odd; holdfast ls -r b/odd --json", tmp_path, environment)
    line, document = done.stdout.decode().splitlines()
    assert line == r"odd/new\nline\x1b[31m"
    assert json.loads(document)["key"] == "odd/new\nline\x1b[31m"


@pytest.mark.parametrize("command", ["ls nowhere", "ls --jsn", "nods", "rm b/none", "ls b > /dev/full"])
def test_with_json_every_failure_is_one_document(
    command: str, environment: dict[str, str], tmp_path: Path
) -> None:
    words, _, rest = command.partition(" > ")
    done = through_bash(f"holdfast {words} --json" + (f" > {rest}" if rest else ""), tmp_path, environment)
    error = json.loads(done.stderr)["error"]
    assert set(error) == {"code", "message", "advice", "facts"}


def test_ctrl_c_ends_a_transfer_at_once_and_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*HOLDFAST, "put", "-", "b/k"], cwd=tmp_path, env=environment,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        # A shell starts what runs in its background with Ctrl-C ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread so far
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(os.urandom(MEGABYTE))
    process.stdin.flush()
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read().decode().split() == ["Stopped."]
    finally:
        process.kill()
        process.stdin.close()
        process.stderr.close()


def test_a_terminal_shows_colours_unless_they_are_not_wanted(
    environment: dict[str, str], tmp_path: Path
) -> None:
    status, text = on_a_terminal(["ls", "nowhere"], tmp_path, environment)
    assert status == 1
    assert "\x1b[31m" in text
    _, plain = on_a_terminal(["ls", "nowhere"], tmp_path, environment | {"NO_COLOR": "1"})
    assert "\x1b[" not in plain


@pytest.mark.parametrize("columns", [120, 60, 30])
def test_a_bar_never_wraps_however_narrow_the_terminal(
    columns: int, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(4 * MEGABYTE))
    status, text = on_a_terminal(["put", "file", "b/bar"], tmp_path, environment, columns=columns)
    assert status == 0
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    bars = [line for line in re.split(r"[\r\n]+", drawn) if "%" in line]
    assert bars
    assert max(map(len, bars)) <= columns


def test_a_table_leaves_out_what_a_narrow_terminal_has_no_room_for(
    environment: dict[str, str], tmp_path: Path
) -> None:
    _, text = on_a_terminal(["stat", "b/big"], tmp_path, environment, columns=40)
    table = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).partition("node ")[2].partition("...")[0]
    assert table
    assert max(map(len, table.splitlines())) <= 40


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield (*path, name)
            yield from commands(found, (*path, name))


@pytest.mark.parametrize("path", list(commands(root)), ids=" ".join)
def test_every_command_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    text = CliRunner().invoke(root, [*path, "--help"]).output
    assert re.search(rf"^ .*holdfast {' '.join(path)}( |$)", text, re.MULTILINE), text


def test_the_help_names_every_exit_status() -> None:
    text = CliRunner().invoke(root, ["--help"]).output
    section = text.partition("Exit status:")[2]
    assert [int(number) for number in re.findall(r"^  (\d+) ", section, re.MULTILINE)] == list(EXITS)


def test_a_fault_of_ours_ends_with_its_own_status(environment: dict[str, str], tmp_path: Path) -> None:
    script = (
        "import sys, click; from holdfast.app.cli import main\n"
        "main.root.add_command(click.Command('broken', callback=lambda: {}['nothing']))\n"
        "main.COMMANDS['broken'] = ('__main__', 'broken', '')\n"
        "broken = click.Command('broken', callback=lambda: {}['nothing'])\n"
        "sys.argv = ['holdfast', 'broken']; main.main()\n"
    )
    (tmp_path / "broken.py").write_text(script)
    done = subprocess.run(
        [HOLDFAST[0], "broken.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 70
    assert b"A fault in Holdfast itself: KeyError: 'nothing'" in done.stderr


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("plain ü", "plain ü"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31m", r"\x1b[31m"),
        (os.fsdecode(b"\xff"), r"\xff"),
        ("right\u202eleft", r"right\u202eleft"),
    ],
)
def test_what_could_move_a_cursor_is_written_as_an_escape(text: str, as_shown: str) -> None:
    assert shown(text) == as_shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago"), (172_800, "2 d ago")],
)
def test_a_time_ago_is_told_in_the_largest_unit_that_fits(seconds: int, text: str) -> None:
    assert ago_text(seconds * 1_000_000) == text
