"""The SDK over HTTP and real sockets, with an event loop and without one, and how it fails."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.client.served import Served

from holdfast.client.blocking import Session
from holdfast.client.progress import Standing
from holdfast.client.session import AsyncSession
from holdfast.world.errors import Refusal, Trouble


class CutShortError(Exception):
    """Stands for whatever ends a transfer in the middle."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served")) as served:
        served.party.buckets["b"] = {}
        yield served


@pytest.fixture
def session(served: Served) -> Iterator[Session]:
    with Session.open(environment=served.environment) as session:
        yield session


async def test_an_async_session_stores_and_reads_over_http(served: Served) -> None:
    content = os.urandom(300_000)
    async with await AsyncSession.open(environment=served.environment) as session:
        await session.put(content, "b", "async")
        assert await session.read("b", "async") == content
        found = [info.key async for info in session.walk("b", "async")]
        assert found == ["async"]


def test_a_session_without_a_loop_has_the_same_verbs(session: Session, tmp_path: Path) -> None:
    session.make_bucket("other")
    assert "other" in [info.bucket for info in session.buckets()]
    content = os.urandom(200_000)
    path = tmp_path / "in"
    path.write_bytes(content)
    seen: list[Standing] = []
    session.put(path, "other", "one", progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (len(content), len(content))
    session.put(io.BytesIO(content), "other", "two")
    session.get("other", "two", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    into = io.BytesIO()
    session.get("other", "one", into)
    assert into.getvalue() == content
    assert [info.key for info in session.walk("other")] == ["one", "two"]
    assert session.stat("other", "one").version.size == len(content)
    session.remove("other", "one")
    session.remove("other", "two")
    session.remove_bucket("other")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in", "out"]


def test_an_object_opens_as_a_seekable_file(session: Session) -> None:
    content = os.urandom(400_000)
    session.put(content, "b", "file")
    with session.open_object("b", "file") as file:
        assert file.read(10) == content[:10]
        file.seek(-100, io.SEEK_END)
        assert file.read() == content[-100:]
        file.seek(100_000)
        assert file.read(200_000) == content[100_000:300_000]
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)


def test_a_refusal_of_the_coordinator_arrives_as_it_was_raised(session: Session) -> None:
    with pytest.raises(Refusal) as caught:
        session.put(b"x", "nowhere", "k")
    assert caught.value.code == "bucket.unknown"


def test_a_wrong_secret_is_refused(served: Served) -> None:
    profile = msgspec.structs.replace(served.profile, secret_key="another")
    with Session.open(profile, resume=False) as session, pytest.raises(Refusal) as caught:
        session.buckets()
    assert caught.value.code == "signature.invalid"


def test_an_endpoint_that_is_not_there_is_said_soon_and_with_advice(served: Served) -> None:
    profile = msgspec.structs.replace(served.profile, endpoint="http://127.0.0.1:1")
    with Session.open(profile, resume=False) as session, pytest.raises(Trouble) as caught:
        session.buckets()
    assert caught.value.code == "endpoint.unreachable"
    assert "holdfast up" in caught.value.advice


def test_an_interrupted_upload_sends_only_what_was_not_recorded(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom((9 << 20) + 5))
    party = served.party

    def cut(_: Standing) -> None:
        if party.calls.count("upload-record") > 3:
            raise CutShortError

    party.calls.clear()
    with Session.open(environment=served.environment) as session, pytest.raises(CutShortError):
        session.put(path, "b", "resumed", progress=cut)
    assert "upload-abort" not in party.calls
    last: list[Standing] = []
    with Session.open(environment=served.environment) as session:
        session.put(path, "b", "resumed", progress=last.append)
        assert last[-1].skipped > 0
        assert party.calls.count("upload-begin") == 1
        assert session.read("b", "resumed") == path.read_bytes()


def test_an_interrupted_download_goes_on_where_it_stopped(served: Served, tmp_path: Path) -> None:
    content = os.urandom((9 << 20) + 5)
    out = tmp_path / "out"

    def cut(standing: Standing) -> None:
        if standing.chunks > 40:
            raise CutShortError

    with Session.open(environment=served.environment) as session:
        session.put(content, "b", "down")
    with Session.open(environment=served.environment) as session, pytest.raises(CutShortError):
        session.get("b", "down", out, progress=cut)
    part = out.with_name("out.holdfast-part")
    assert part.exists()
    assert not out.exists()
    with part.open("r+b") as file:
        file.write(b"damaged meanwhile")
    last: list[Standing] = []
    with Session.open(environment=served.environment) as session:
        session.get("b", "down", out, progress=last.append)
    assert 20 * (64 << 10) < last[-1].skipped < len(content)
    assert out.read_bytes() == content
    assert not part.exists()


def test_a_file_that_changes_while_it_is_read_is_refused_and_nothing_is_stored(
    session: Session, served: Served, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(os.urandom(500_000))
    before = len(served.party.uploads)

    def grow(_: Standing) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with pytest.raises(Refusal) as caught:
        session.put(path, "b", "log", progress=grow)
    assert caught.value.code == "source.changed"
    assert len(served.party.uploads) == before
    assert "log" not in served.party.buckets["b"]
