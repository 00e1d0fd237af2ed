import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.agent.folder import mode_of
from holdfast.agent.home import Home, Memory, Settings, Status, next_sequence
from holdfast.world.chance import SystemChance
from holdfast.world.errors import Refusal
from holdfast.world.system_disk import SystemDisk

SETTINGS = Settings(endpoint="https://coordinator.example", token="hf1-x", node_name="attic", zone="house")


@pytest.fixture
def home(tmp_path):
    return Home(SystemDisk(tmp_path))


def test_a_key_is_made_once_and_stays_the_same(home):
    first = home.make_key(SystemChance())
    assert home.make_key(SystemChance()).public == first.public == home.key().public


def test_nothing_in_the_home_is_readable_by_others(home, tmp_path):
    home.make_key(SystemChance())
    home.save_settings(SETTINGS)
    home.remember(Memory())
    home.report(Status(state="running", time=1))
    files = sorted(path for path in tmp_path.iterdir())
    assert [path.name for path in files] == ["memory.json", "node.key", "settings.json", "status.json"]
    assert [mode_of(path) for path in files] == [0o600] * 4


def test_what_was_kept_is_there_again(home):
    memory = Memory(registered=True, sequence=7, issuers=[b"\0" * 32], deletions_done=3)
    home.save_settings(SETTINGS)
    home.remember(memory)
    assert (home.settings(), home.memory()) == (SETTINGS, memory)


def test_a_node_that_never_ran_remembers_nothing(home):
    assert home.memory() == Memory()
    assert home.status() is None
    assert not home.made()


def test_a_folder_without_a_node_says_how_to_make_one(home):
    for ask in (home.settings, home.key):
        with pytest.raises(Refusal, match="node init") as caught:
            ask()
        assert caught.value.code == "config.missing"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("settings.json", b"{", "format.invalid"),
        ("settings.json", b'{"version": 1}', "format.invalid"),
        ("settings.json", b'{"version": 2, "shape": "new"}', "format.newer"),
        ("node.key", b"", "format.invalid"),
        ("node.key", b"holdfast-node-key-1\nabc\n", "format.invalid"),
        ("node.key", b"holdfast-node-key-2\nabc\n", "format.newer"),
    ],
)
def test_a_damaged_or_newer_file_is_refused_by_name(home, tmp_path, name, content, code):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Refusal, match=name) as caught:
        home.key() if name == "node.key" else home.settings()
    assert caught.value.code == code


def test_settings_of_a_later_release_with_more_fields_still_read(home, tmp_path):
    grown = msgspec.to_builtins(SETTINGS) | {"colour": "green"}
    (tmp_path / "settings.json").write_bytes(msgspec.json.encode(grown))
    assert home.settings() == SETTINGS


def test_the_key_never_shows_in_what_is_printed(home):
    key = home.make_key(SystemChance())
    assert key.seed.hex() not in repr(key)


@given(st.lists(st.integers(0, 2**53), min_size=1, max_size=50))
def test_a_sequence_only_grows_whatever_the_clock_does(clock):
    memory = Memory()
    for now in clock:
        sequence = next_sequence(memory, now)
        assert sequence > memory.sequence
        assert sequence >= now
        memory = Memory(sequence=sequence)
