"""Sources, sinks, the journal, profiles and keys as paths."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.client.journal import Entry, Journal
from holdfast.client.paths import files_below, make_parents, path_below
from holdfast.client.profile import Profile, find_profile, profile_path, read_profile, write_profile
from holdfast.client.sinks import FileSink, MemorySink, StreamSink
from holdfast.client.sources import FileSource, Putable, StreamSource, source_of
from holdfast.client.tenant_key import key_source_of
from holdfast.world.errors import Refusal
from holdfast.world.offload import InlineOffload, ThreadOffload

INLINE = InlineOffload()


async def drain(content: Putable, step: int) -> bytes:
    source = source_of(content, INLINE)
    into = memoryview(bytearray(step))
    got = b""
    while count := await source.fill(into):
        got += into[:count]
    await source.check()
    source.close()
    return got


@pytest.mark.parametrize("step", [1, 7, 1000, 4096])
async def test_every_kind_of_source_gives_the_same_bytes(step: int, tmp_path: Path) -> None:
    content = os.urandom(1000)
    path = tmp_path / "file"
    path.write_bytes(content)

    async def pieces() -> AsyncIterator[bytes]:
        for start in (0, 3, 500):
            yield content[start : {0: 3, 3: 500, 500: 1000}[start]]
            yield b""

    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    with os.fdopen(reading, "rb", buffering=0) as pipe, path.open("rb") as file:
        for source in (content, path, str(path), io.BytesIO(content), pieces(), pipe, file):
            assert await drain(source, step) == content


async def test_a_read_that_waits_on_a_silent_pipe_can_be_interrupted() -> None:
    reading, writing = os.pipe()
    offload = ThreadOffload(1, "test")
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        source = StreamSource(pipe, offload)
        task = asyncio.create_task(source.fill(memoryview(bytearray(10))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    os.close(writing)
    offload.close()


@pytest.mark.parametrize("change", ["longer", "shorter", "touched"])
async def test_a_file_that_changed_is_found_out(change: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    source = FileSource(path, INLINE)
    assert await source.fill(memoryview(bytearray(60))) == 60
    if change == "longer":
        path.write_bytes(b"x" * 200)
    elif change == "shorter":
        os.truncate(path, 70)
    else:
        os.utime(path, ns=(0, 0))
    await source.fill(memoryview(bytearray(40)))
    with pytest.raises(Refusal) as caught:
        await source.check()
    assert caught.value.code == "source.changed"
    source.close()


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none", "config.missing"), (tmp_path, "config.invalid")):
        with pytest.raises(Refusal) as caught:
            FileSource(path, INLINE)
        assert caught.value.code == code


async def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    sink = FileSink(path, INLINE)
    await sink.write(5, memoryview(b"world"))
    await sink.write(0, memoryview(b"hello"))
    assert not path.exists()
    sink.finish(10)
    assert path.read_bytes() == b"helloworld"
    sink = FileSink(path, INLINE)
    await sink.write(0, memoryview(b"torn"))
    sink.abandon()
    assert path.read_bytes() == b"helloworld"
    assert not sink.part.exists()


async def test_streams_and_buffers_take_bytes() -> None:
    stream = io.BytesIO()
    sink = StreamSink(stream, INLINE)
    await sink.write(0, memoryview(b"ab"))
    await sink.write(2, memoryview(b"c"))
    assert stream.getvalue() == b"abc"
    buffer = bytearray(3)
    await MemorySink(memoryview(buffer)).write(1, memoryview(b"xy"))
    assert buffer == b"\0xy"


def test_a_journal_entry_belongs_to_one_transfer_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    entry = journal.hold("put", "b", "k")
    assert entry is not None
    assert entry.read() is None
    assert journal.hold("put", "b", "k") is None
    assert journal.hold("put", "b", "other") is not None
    entry.write(Entry(upload_id="u", bucket="b", key="k"))
    entry.keep()
    again = journal.hold("put", "b", "k")
    assert again is not None
    assert again.read() == Entry(upload_id="u", bucket="b", key="k")
    again.write(Entry(upload_id="v"))
    again.forget()
    fresh = journal.hold("put", "b", "k")
    assert fresh is not None
    assert fresh.read() is None


def test_a_torn_or_newer_journal_entry_counts_as_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for content in (b'{"upload_id": "u', b'{"upload_id": "u", "version": 9}'):
        entry = journal.hold("x")
        assert entry is not None
        next(tmp_path.glob("*.json")).write_bytes(content)
        assert entry.read() is None
        entry.forget()


def test_where_no_journal_can_be_kept_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Journal(tmp_path / "file" / "below").hold("x") is None


WHOLE = Profile(endpoint="http://h:1", access_key="a", secret_key="s", key_file="/k", passphrase="p")


def test_a_profile_is_written_for_its_owner_only_and_without_the_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "profile.json"
    write_profile(WHOLE, path)
    write_profile(WHOLE, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_profile(path) == msgspec.structs.replace(WHOLE, passphrase="")
    assert [each.name for each in path.parent.iterdir()] == ["profile.json"]
    assert repr(WHOLE) == "Profile(endpoint='http://h:1', access_key='a')"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    write_profile(WHOLE, path)
    named = {"HOLDFAST_PROFILE": str(path), "HOLDFAST_ENDPOINT": "https://other", "HOLDFAST_PASSPHRASE": "q"}
    expected = msgspec.structs.replace(WHOLE, endpoint="https://other", passphrase="q")
    assert find_profile(named) == expected
    assert find_profile(named | {"HOLDFAST_KEY_FILE": ""}).key_file == ""
    assert profile_path({"XDG_CONFIG_HOME": "/c"}) == Path("/c/holdfast/profile.json")


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    environment = {
        "HOLDFAST_PROFILE": str(tmp_path / "none"),
        "HOLDFAST_ENDPOINT": "http://h:1",
        "HOLDFAST_ACCESS_KEY": "a",
        "HOLDFAST_SECRET_KEY": "s",
    }
    assert find_profile(environment).access_key == "a"


@pytest.mark.parametrize(
    ("content", "changes", "code"),
    [
        (None, {}, "config.missing"),
        ("{", {}, "config.invalid"),
        ("{}", {}, "config.missing"),
        ('{"version": 2}', {}, "format.newer"),
        ('{"endpoint": "h:1", "access_key": "a", "secret_key": "s"}', {}, "config.invalid"),
        ("{}", {"HOLDFAST_RELAY": "perhaps"}, "config.invalid"),
    ],
)
def test_an_unusable_profile_is_refused_with_advice(
    content: str | None, changes: dict[str, str], code: str, tmp_path: Path
) -> None:
    path = tmp_path / "profile.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Refusal) as caught:
        find_profile({"HOLDFAST_PROFILE": str(path)} | changes)
    assert caught.value.code == code


@pytest.mark.parametrize(("key_file", "code"), [("", "config.missing"), ("/nowhere/key", "config.missing")])
def test_without_a_key_nothing_is_sealed(key_file: str, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        key_source_of(msgspec.structs.replace(WHOLE, key_file=key_file, passphrase=""))("tenant")
    assert caught.value.code == code


@pytest.mark.parametrize(
    "key", ["../x", "a/../../x", "/etc/x", "a//b", "", ".", "a/./b", "a/..", "nul\0", "a/"]
)
def test_a_key_that_would_leave_the_folder_is_refused(key: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        path_below(tmp_path, key)
    assert caught.value.code == "path.escapes"


@given(st.text(st.sampled_from("./a\\~ \n\0"), max_size=12))
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    folder = Path("/some/folder")
    try:
        path = path_below(folder, key)
    except Refusal:
        return
    assert os.path.normpath(path).startswith("/some/folder/")


def test_no_symbolic_link_is_followed_out_of_the_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "file")
    for key in ("link/x", "link/deep/x", "file"):
        with pytest.raises(Refusal) as caught:
            make_parents(folder, path_below(folder, key))
        assert caught.value.code == "path.escapes"
    assert list(outside.iterdir()) == []
    make_parents(folder, path_below(folder, "a/b/c"))
    assert (folder / "a" / "b").is_dir()


def test_a_file_where_a_folder_is_needed_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "d").mkdir()
    for key in ("a/b", "d"):
        with pytest.raises(Refusal) as caught:
            make_parents(tmp_path, path_below(tmp_path, key))
        assert caught.value.code == "config.invalid"


def test_a_folder_is_walked_in_the_order_of_keys_without_links(tmp_path: Path) -> None:
    for name in ("b/x", "a", "b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "b" / "file-link").symlink_to("/etc/passwd")
    (tmp_path / os.fsdecode(b"\xff")).write_text("no key can say this")
    below = files_below(tmp_path)
    assert [(each.key, each.size) for each in below.files] == [("a", 1), ("b.txt", 5), ("b/x", 3)]
    assert [path.name for path in below.passed] == ["file-link", "link"]
    assert [os.fsencode(path.name) for path in below.unnameable] == [b"\xff"]
