"""One contract for every disk; and what the simulated one forgets in a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.world.disk import Disk
from holdfast.world.errors import Trouble
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.disk import SimulatedDisk
from holdfast.world.system_disk import SystemDisk


@pytest.fixture(params=["system", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    if request.param == "system":
        return SystemDisk(tmp_path / "some" / "folder")
    return SimulatedDisk(SimulatedChance(1))


def content(disk: Disk, name: str) -> bytes:
    file = disk.open(name)
    into = bytearray(file.size())
    assert file.read_into(0, memoryview(into)) == len(into)
    file.close()
    return bytes(into)


def test_appended_parts_are_read_back_in_order(disk: Disk) -> None:
    file = disk.open("volume", create=True)
    assert file.size() == 0
    assert file.append([b"one", bytearray(b"two"), memoryview(b""), memoryview(b"three")]) == 0
    assert file.append([]) == 11
    assert file.append([b"four"]) == 11
    file.sync()
    assert file.size() == 15
    file.close()
    assert content(disk, "volume") == b"onetwothreefour" == disk.read("volume")


def test_thousands_of_parts_go_in_at_once(disk: Disk) -> None:
    file = disk.open("volume", create=True)
    parts = [bytes([number % 251]) * (number % 7) for number in range(5000)]
    file.append(parts)
    file.close()
    assert content(disk, "volume") == b"".join(parts)


def test_reading_past_the_end_gives_what_there_is(disk: Disk) -> None:
    file = disk.open("volume", create=True)
    file.append([b"0123456789"])
    into = bytearray(8)
    assert file.read_into(6, memoryview(into)) == 4
    assert bytes(into) == b"6789\0\0\0\0"
    assert file.read_into(10, memoryview(into)) == 0
    assert file.read_into(99, memoryview(into)) == 0
    assert file.read_into(2, memoryview(into)[:3]) == 3
    assert bytes(into[:3]) == b"234"
    file.close()


def test_what_is_at_hand_is_the_beginning_of_what_a_read_would_give(disk: Disk) -> None:
    content = bytes(range(256)) * 100
    file = disk.open("volume", create=True)
    file.append([content])
    for offset in range(0, len(content) + 200, 97):
        whole, into = content[offset : offset + 5000], bytearray(5000)
        count = file.read_at_hand(offset, memoryview(into))
        assert 0 <= count <= len(whole)
        assert bytes(into[:count]) == whole[:count]
    file.close()
    assert disk.read("volume") == content


def test_a_file_that_cannot_be_read_is_not_at_hand() -> None:
    disk = SimulatedDisk(SimulatedChance(1))
    file = disk.open("volume", create=True)
    file.append([b"0123456789"])
    disk.failing_reads = 1.0
    assert file.read_at_hand(0, memoryview(bytearray(8))) == 0
    file.close()


def test_truncating_cuts_and_appending_goes_on_from_there(disk: Disk) -> None:
    file = disk.open("volume", create=True)
    file.append([b"0123456789"])
    file.truncate(4)
    assert file.append([b"x"]) == 4
    file.truncate(7)
    file.close()
    assert content(disk, "volume") == b"0123x\0\0"


def test_a_missing_file_is_not_made_by_reading_or_opening(disk: Disk) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open("nothing")
    with pytest.raises(FileNotFoundError):
        disk.read("nothing")
    disk.remove("nothing")
    assert disk.names() == []


def test_names_are_sorted_and_drafts_are_not_among_them(disk: Disk) -> None:
    disk.replace("b", b"")
    disk.open("a", create=True).close()
    disk.replace("c", b"1")
    disk.replace("c", b"second")
    disk.sync_names()
    assert disk.names() == ["a", "b", "c"]
    assert disk.read("c") == b"second"
    disk.remove("b")
    assert disk.names() == ["a", "c"]


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a\0b"])
def test_a_name_that_leads_elsewhere_is_our_bug(disk: Disk, name: str) -> None:
    calls: list[Any] = [disk.open, disk.read, disk.remove, lambda name: disk.replace(name, b"")]
    for call in calls:
        with pytest.raises(AssertionError):
            call(name)


def test_a_file_open_for_long_sees_what_another_handle_appends(disk: Disk) -> None:
    writer = disk.open("volume", create=True)
    reader = disk.open("volume")
    writer.append([b"news"])
    into = bytearray(4)
    assert (reader.size(), reader.read_into(0, memoryview(into)), bytes(into)) == (4, 4, b"news")
    reader.close()
    writer.close()


def test_free_space_is_told_in_bytes(disk: Disk) -> None:
    assert disk.free() > 1 << 20


def test_a_full_device_refuses_and_says_so() -> None:
    # /dev/full is the system's own simulation of a full disk.
    device = SystemDisk("/dev")
    file = device.open("full")
    with pytest.raises(Trouble) as trouble:
        file.append([b"x"])
    assert (trouble.value.code, trouble.value.retry) == ("disk.full", False)
    file.close()


def test_a_folder_that_cannot_be_made_is_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Trouble) as trouble:
        SystemDisk(tmp_path / "file" / "folder")
    assert trouble.value.code == "disk.failed"


def test_a_simulated_full_disk_writes_what_fits_and_says_so() -> None:
    disk = SimulatedDisk(SimulatedChance(1), capacity=10)
    file = disk.open("volume", create=True)
    file.append([b"01234"])
    with pytest.raises(Trouble) as trouble:
        file.append([b"567", b"89abc"])
    assert (trouble.value.code, trouble.value.retry, disk.free()) == ("disk.full", False, 0)
    file.truncate(5)
    assert (content(disk, "volume"), disk.free()) == (b"01234", 5)
    with pytest.raises(Trouble):
        disk.replace("small", b"too long")
    assert disk.names() == ["volume"]


def test_reads_writes_and_syncs_fail_when_told_to() -> None:
    disk = SimulatedDisk(SimulatedChance(1))
    file = disk.open("volume", create=True)
    file.append([b"0123456789"])
    disk.failing_reads = disk.failing_writes = disk.failing_syncs = 1.0
    calls: list[Any] = [
        lambda: disk.read("volume"),
        lambda: file.read_into(0, memoryview(bytearray(1))),
        lambda: file.append([b"x"]),
        lambda: disk.replace("small", b""),
        file.sync,
        disk.sync_names,
    ]
    for call in calls:
        with pytest.raises(Trouble) as trouble:
            call()
        assert trouble.value.code == "disk.failed"


def test_a_rotten_bit_is_one_bit() -> None:
    disk = SimulatedDisk(SimulatedChance(1))
    disk.replace("volume", bytes(100))
    disk.corrupt("volume", 42)
    rotten = disk.read("volume")
    assert [offset for offset, byte in enumerate(rotten) if byte] == [42]
    assert rotten[42].bit_count() == 1


def test_what_a_failed_sync_left_is_not_saved_by_the_next_one() -> None:
    outcomes = set()
    for seed in range(50):
        disk = SimulatedDisk(SimulatedChance(seed))
        file = disk.open("volume", create=True)
        disk.sync_names()
        file.append([b"safe"])
        file.sync()
        file.append([b"doomed"])
        disk.failing_syncs = 1.0
        with pytest.raises(Trouble):
            file.sync()
        disk.failing_syncs = 0.0
        file.sync()
        disk.crash()
        outcomes.add(content(disk, "volume"))
    assert all(outcome[:4] == b"safe" for outcome in outcomes)
    assert b"safe" in outcomes


def test_a_crash_takes_the_files_from_those_who_had_them_open() -> None:
    disk = SimulatedDisk(SimulatedChance(1))
    file = disk.open("volume", create=True)
    disk.crash()
    with pytest.raises(Trouble):
        file.size()


def test_names_that_were_not_synced_may_come_and_go_in_a_crash() -> None:
    outcomes = set()
    for seed in range(50):
        disk = SimulatedDisk(SimulatedChance(seed))
        disk.replace("old", b"old")
        disk.open("new", create=True).close()
        disk.remove("old")
        disk.crash()
        outcomes.add(tuple(disk.names()))
    assert outcomes == {(), ("old",), ("new",), ("new", "old")}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.binary(min_size=1, max_size=9000)),
        st.tuples(st.just("truncate"), st.integers(0, 9000)),
        st.tuples(st.just("sync"), st.none()),
    ),
    max_size=12,
)


@given(seed=st.integers(0, 1000), steps=STEPS)
@settings(max_examples=200, deadline=None)
def test_what_was_synced_survives_every_crash(seed: int, steps: list[tuple[str, Any]]) -> None:
    disk = SimulatedDisk(SimulatedChance(seed))
    file = disk.open("volume", create=True)
    disk.sync_names()
    now = safe = b""
    reach: list[bytes] = [b""]  # all contents since the last sync: each may be what is on disk
    for step, what in steps:
        if step == "append":
            file.append([what])
            now += what
        elif step == "truncate":
            file.truncate(min(what, len(now)))
            now = now[:what]
        else:
            file.sync()
            safe, reach = now, []
        reach.append(now)
    least = min(reach, key=len)
    disk.crash()
    left = content(disk, "volume")
    # Nothing below the shortest content since the last sync is lost, and nothing outgrows the longest.
    assert left.startswith(safe[: len(least)])
    assert len(left) <= max(map(len, [safe, *reach]))
    disk.crash()
    assert content(disk, "volume") == left


@given(parts=st.lists(st.binary(max_size=50), max_size=20), cut=st.integers(0, 200))
@settings(max_examples=50, deadline=None)
def test_both_disks_end_up_with_the_same_bytes(
    parts: list[bytes], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = set()
    for disk in (SystemDisk(tmp_path_factory.mktemp("disk")), SimulatedDisk(SimulatedChance(1))):
        file = disk.open("volume", create=True)
        file.append(parts)
        file.truncate(cut)
        file.append(parts[::-1])
        file.close()
        found.add(disk.read("volume"))
    assert len(found) == 1
