import os
import subprocess
import sys

import pytest

from holdfast.agent.folder import locked, make_private, mode_of, running_pid, vault_folder
from holdfast.world.errors import Refusal, Trouble


def test_a_home_is_unreadable_for_others_even_if_it_was_open_before(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    make_private(folder)
    assert mode_of(folder) == 0o700


def test_a_home_that_cannot_be_made_is_a_clear_trouble(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(Trouble) as caught:
        make_private(tmp_path / "taken")
    assert caught.value.code == "disk.failed"
    assert "--home" in caught.value.advice


def test_a_vault_may_lie_on_another_disk(tmp_path):
    assert vault_folder(tmp_path / "home", "vault") == tmp_path / "home" / "vault"
    assert vault_folder(tmp_path / "home", str(tmp_path / "big")) == tmp_path / "big"
    assert mode_of(tmp_path / "big") == 0o700


def test_a_second_process_on_the_same_home_is_refused_and_told_who_has_it(tmp_path):
    with locked(tmp_path):
        script = (
            "import sys, pathlib\n"
            "from holdfast.agent.folder import locked, running_pid\n"
            "folder = pathlib.Path(sys.argv[1])\n"
            "print(running_pid(folder))\n"
            "from holdfast.world.errors import Refusal\n"
            "try:\n"
            "    with locked(folder): print('taken')\n"
            "except Refusal as refusal: print(refusal.code, refusal.message)\n"
        )
        said = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
    assert said[0] == str(os.getpid())
    assert said[1].startswith("node.running")
    assert f"pid {os.getpid()}" in said[1]


def test_the_lock_is_free_again_once_its_holder_let_go(tmp_path):
    with locked(tmp_path):
        pass
    assert running_pid(tmp_path) is None
    with locked(tmp_path):
        assert running_pid(tmp_path) == os.getpid()


def test_a_lock_left_by_a_process_that_was_killed_does_not_hold(tmp_path):
    (tmp_path / "lock").write_text("12345\n")
    assert running_pid(tmp_path) is None
    with locked(tmp_path):
        pass


def test_two_holders_in_one_process_are_told_apart_too(tmp_path):
    with locked(tmp_path), pytest.raises(Refusal, match="runs the node"), locked(tmp_path):
        pass
