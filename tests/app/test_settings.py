"""What is decided before anything starts: settings, room on this machine, what the demonstration stores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast.app.demo import FILE_BYTES_MIN, FILES_MAX, SMALL_FILES_MAX, choose_input
from holdfast.app.room_here import Room, room_at, shortage
from holdfast.app.settings import CoordinatorSettings, load_settings, relay_address, write_settings
from holdfast.world.errors import Refusal

GIGABYTE = 10**9
ROOMY = Room(memory=8 * GIGABYTE, disk=100 * GIGABYTE)


def test_a_changed_setting_leaves_the_rest_of_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "coordinator.toml"
    path.write_text('# mine\nlisten = "127.0.0.1:1"\n\nregion = "attic"\n')
    write_settings(path, {"listen": "127.0.0.1:2", "relay_listen": ""})
    assert path.read_text() == 'relay_listen = ""\n# mine\nlisten = "127.0.0.1:2"\n\nregion = "attic"\n'
    settings = load_settings(tmp_path, {})
    assert (settings.listen, settings.region, settings.relay_listen) == ("127.0.0.1:2", "attic", "")


def test_what_a_client_says_about_the_relay_is_no_setting_of_a_coordinator(tmp_path: Path) -> None:
    assert load_settings(tmp_path, {"HOLDFAST_RELAY": "always"}) == CoordinatorSettings()


@pytest.mark.parametrize(
    ("listen", "advertised", "told"),
    [
        ("tcp://127.0.0.1:8334", "", "tcp://127.0.0.1:8334"),
        ("tls://10.0.0.1:8334", "", "tls://10.0.0.1:8334"),
        ("tls://0.0.0.0:8334", "tls://relay.example:443", "tls://relay.example:443"),
        ("", "tls://relay.example:443", ""),
    ],
)
def test_clients_are_told_where_the_relay_is(listen: str, advertised: str, told: str) -> None:
    settings = CoordinatorSettings(relay_listen=listen, relay_advertised=advertised)
    assert relay_address(settings) == told


@pytest.mark.parametrize("listen", ["tls://0.0.0.0:8334", "tls://[::]:8334", "tcp://10.0.0.1:8334", "8334"])
def test_a_relay_that_no_client_could_use_is_refused(listen: str) -> None:
    with pytest.raises(Refusal) as caught:
        relay_address(CoordinatorSettings(relay_listen=listen))
    assert caught.value.code == "config.invalid"


@pytest.mark.parametrize(
    ("room", "nodes", "code", "says"),
    [
        (ROOMY, 16, None, ""),
        (Room(memory=600_000_000, disk=100 * GIGABYTE), 16, "internal", "--nodes 7"),
        (Room(memory=100_000_000, disk=100 * GIGABYTE), 16, "internal", "Stop other programs."),
        (Room(memory=8 * GIGABYTE, disk=1_050_000_000), 16, "disk.full", "--home"),
        (Room(memory=8 * GIGABYTE, disk=1_200_000_000), 16, None, ""),
    ],
)
def test_too_little_room_is_said_with_what_would_fit(
    room: Room, nodes: int, code: str | None, says: str
) -> None:
    short = shortage(room, Path("/here"), nodes)
    assert (short.code if short else None) == code
    assert says in (short.advice if short else "")


def test_room_is_measured_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    room = room_at(tmp_path / "not" / "yet")
    assert room.disk > 0
    assert room.memory > 0


def write(folder: Path, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        (folder / f"{number:04}").write_bytes(os.urandom(size))


def test_the_demonstration_prefers_files_that_are_not_tiny(tmp_path: Path) -> None:
    write(tmp_path, [100] * 200 + [FILE_BYTES_MIN] * 10 + [0])
    chosen = choose_input(tmp_path, 10**6)
    assert [file.size for file in chosen] == [FILE_BYTES_MIN] * 10 + [100] * SMALL_FILES_MAX


def test_the_demonstration_stays_within_its_limits(tmp_path: Path) -> None:
    write(tmp_path, [FILE_BYTES_MIN] * (FILES_MAX + 5))
    assert len(choose_input(tmp_path, 10**9)) == FILES_MAX
    assert sum(file.size for file in choose_input(tmp_path, 10 * FILE_BYTES_MIN)) <= 10 * FILE_BYTES_MIN


def test_a_folder_with_nothing_to_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(Refusal) as caught:
        choose_input(tmp_path, 10**6)
    assert caught.value.code == "config.invalid"
