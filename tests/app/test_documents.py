"""The documents can fail: every sample of docs/sdk.md is run, every command anywhere is parsed."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.app.running import RunningCloud

from holdfast.app.cli.main import root
from holdfast.client.blocking import Session
from holdfast.client.session import AsyncSession

ROOT = Path(__file__).resolve().parents[2]
SDK = (ROOT / "docs" / "sdk.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SAMPLES = re.findall(r"^```python\n(.*?)^```", SDK, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_sample_of_the_sdk_runs_in_the_order_of_the_page(cloud: RunningCloud, tmp_path: Path) -> None:
    """As another tenant than the other tests: it has no buckets yet, like the page's reader."""
    (tmp_path / "cat.jpg").write_bytes(os.urandom(300_000))
    (tmp_path / "backup.tar").write_bytes(os.urandom(6_000_000))
    home = str(cloud.home / "coordinator")
    made = cloud.run("admin", "tenant", "create", "reader", "--home", home, "--json")
    assert cloud.run("key", "new", str(tmp_path / "reader.key")).status == 0
    environment = {
        **cloud.environment,
        "HOLDFAST_ACCESS_KEY": made.json["access_key"],
        "HOLDFAST_SECRET_KEY": made.json["secret_key"],
        "HOLDFAST_KEY_FILE": str(tmp_path / "reader.key"),
    }
    assert len(SAMPLES) >= 3
    for sample in SAMPLES:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", sample], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"{sample}\n{done.stderr}"
    assert (tmp_path / "copy.jpg").read_bytes() == (tmp_path / "cat.jpg").read_bytes()


def test_the_sdk_page_tells_of_every_verb_and_of_no_other() -> None:
    table = SDK.partition("| verb | does |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {name for cell in cells for name in re.findall(r"`(\w+)", cell)}
    there = {
        name
        for kind in (AsyncSession, Session)
        for name, _ in inspect.getmembers(kind, callable)
        if not name.startswith("_") and name not in {"open", "close"}
    }
    assert told == there


def command_lines() -> Iterator[tuple[str, str]]:
    """(where it stands, arguments) for each `holdfast ...` in blocks of the pages and in help texts."""
    for page in PAGES:
        for language, block in re.findall(
            r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            if language in {"", "sh"}:
                yield from ((page.name, words) for words in calls(block))
    for path, command in commands(root):
        yield from ((f"{' '.join(path)} --help", words) for words in calls(command.help or ""))


def calls(text: str) -> Iterator[str]:
    """What follows the word `holdfast`, up to the end of that command; remarks stand behind two blanks."""
    for line in text.replace("\\\n", " ").splitlines():
        cleaned = re.sub(r"(?<=\S)\s{2,}(?![\s-]).*$", "", line.partition(" #")[0].strip())
        if re.match(r"(\$ )?([A-Z_]+=\S+ )*(\.venv/bin/)?holdfast |.*(\| |\$\()holdfast ", cleaned):
            yield re.split(r"\bholdfast ", cleaned)[-1].split(" | ")[0].split(" >")[0].rstrip(')"')


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


LINES = list(command_lines())


@pytest.mark.parametrize(("where", "line"), LINES, ids=[f"{where}: {line}" for where, line in LINES])
def test_every_command_that_is_written_down_can_be_given(where: str, line: str, tmp_path: Path) -> None:
    """Parsed to the end, not run: names of commands and options, values, and how many there are."""
    words = [word.replace("~/Pictures", str(tmp_path)) for word in shlex.split(line)]
    command: click.Command = root
    context = click.Context(root, info_name="holdfast")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"{where}: there is no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context, info_name=command.name)
    if not isinstance(command, click.Group):
        command.make_context(command.name, words, parent=context)
