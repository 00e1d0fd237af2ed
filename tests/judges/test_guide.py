"""Every example of the guide works as it stands there, over https."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.judges.cloud import Account, S3Cloud
from tests.judges.installed import JUDGES, ROOT, python_of, run
from tests.judges.wire import Wire

GUIDE = ROOT / "docs" / "guide" / "s3.md"
ENVIRONMENTS = {"pandas and s3fs": "s3fs"}
BUCKET = "kelp"


class Example(NamedTuple):
    """A block of code below the heading of a client."""

    client: str
    language: str
    text: str


def examples() -> list[Example]:
    """In the order of the page, those below "Clients"."""
    _, _, clients = GUIDE.read_text(encoding="utf-8").partition("\n## Clients\n")
    clients = clients.partition("\n## ")[0]
    found = []
    for section in re.split(r"^### ", clients, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0].strip()
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        assert blocks, f"{name} has no example"
        found += [Example(name, language, text) for language, text in blocks]
    return found


@pytest.fixture
def bucket(server: S3Cloud, account: Account) -> str:
    """The bucket that the page takes for granted."""
    assert Wire(server.endpoints["http"], account).ask("PUT", f"/{BUCKET}").status == 200
    return BUCKET


def test_every_client_of_the_guide_has_an_example() -> None:
    assert {example.language for example in examples()} == {"sh", "python"}
    assert len(examples()) >= 9


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.client)
@pytest.mark.usefixtures("bucket")
def test_the_example_works(example: Example, server: S3Cloud, account: Account, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "may.txt").write_text("It grows half a metre a day.\n")
    (reports / "june.bin").write_bytes(bytes(range(256)) * 4096)
    environment = account.environment(server.endpoints["https"])
    if example.language == "python":
        (tmp_path / "example.py").write_text(example.text)
        command = [python_of(ENVIRONMENTS.get(example.client, "clients")), tmp_path / "example.py"]
    else:
        environment["PATH"] = f"{JUDGES}/clients/bin:{os.environ['PATH']}"
        command = ["bash", "-euo", "pipefail", "-c", example.text]
    ended = run(command, environment, folder=tmp_path)
    assert ended.status == 0, ended.said
