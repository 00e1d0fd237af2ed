"""`holdfast node` as its owner types it, against a coordinator's stand-in on loopback."""

import asyncio
import json

import pytest
from click.testing import CliRunner
from tests.agent.stand_in import TOKEN, StandIn, over_http

from holdfast.agent.folder import locked, mode_of
from holdfast.agent.home import Home, Status
from holdfast.app.cli.node import node
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.system_disk import SystemDisk


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "node"


@pytest.fixture
def home(folder):
    return Home(SystemDisk(folder))


@pytest.fixture
async def party():
    return StandIn(SystemClock())


@pytest.fixture
async def endpoint(party):
    async with over_http(party) as url:
        yield url


@pytest.fixture
def holdfast(folder):
    """Runs `holdfast node ...` on the folder; what it prints, or what it fails with."""

    async def run(*arguments, status=0, env=None):
        arguments = [*arguments, "--home", str(folder)]
        result = await asyncio.to_thread(CliRunner(env=env).invoke, node, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result.output

    return run


async def test_init_makes_a_key_and_registers(holdfast, party, endpoint, home, folder):
    said = await holdfast("init", "--endpoint", endpoint, "--token", TOKEN, "--name", "attic", "--zone", "h2")
    assert "registered" in said
    assert "Next:" in said
    assert party.token_used_by == home.key().public
    assert (party.heard[0].node_name, party.heard[0].zone) == ("attic", "h2")
    assert home.memory().registered
    assert mode_of(folder) == 0o700
    assert mode_of(folder / "node.key") == 0o600


async def test_init_again_changes_settings_and_registers_no_second_time(holdfast, party, endpoint, home):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN, "--name", "attic")
    key = home.key().public
    said = await holdfast("init", "--endpoint", endpoint, "--token", TOKEN, "--zone", "cellar")
    assert "was registered already" in said
    assert len(party.heard) == 1
    assert (home.settings().node_name, home.settings().zone) == ("attic", "cellar")
    assert home.key().public == key


async def test_init_without_the_token_changes_a_registered_node_too(holdfast, endpoint, home):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    await holdfast("init", "--endpoint", endpoint, "--advertise", "tls://home.example:7420")
    assert home.settings().advertised == ["tls://home.example:7420"]


async def test_init_goes_on_where_a_lost_answer_left_it(holdfast, party, endpoint, home):
    party.deaf_after = Trouble("database.busy", "Later.")
    with pytest.raises(Trouble):
        await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    party.deaf_after = None
    assert not home.memory().registered
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    assert home.memory().registered
    assert party.token_used_by == home.key().public


async def test_init_with_a_bad_token_leaves_a_registered_node_as_it_was(holdfast, party, endpoint, home):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    before = home.settings(), home.memory().registered
    with pytest.raises(Refusal) as caught:
        await holdfast("init", "--endpoint", endpoint, "--token", "hf1-abc")
    assert caught.value.code == "invitation.invalid"
    assert (home.settings(), home.memory().registered) == before


async def test_init_takes_the_token_from_the_environment(holdfast, endpoint, home):
    await holdfast("init", "--endpoint", endpoint, env={"HOLDFAST_NODE_TOKEN": TOKEN})
    assert home.memory().registered


@pytest.mark.parametrize(
    "options",
    [
        ["--endpoint", "coordinator.example"],
        ["--endpoint", "https://x", "--listen", "nonsense"],
        ["--endpoint", "https://x", "--advertise", "tcp://203.0.113.7:7420"],
    ],
)
async def test_init_refuses_what_cannot_work_before_it_makes_anything(holdfast, folder, options):
    with pytest.raises(Refusal) as caught:
        await holdfast("init", "--token", TOKEN, *options)
    assert caught.value.code == "config.invalid"
    assert not folder.exists()


async def test_init_leaves_a_running_node_alone(holdfast, endpoint, folder):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    with locked(folder), pytest.raises(Refusal) as caught:
        await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    assert caught.value.code == "node.running"


async def test_allocate_keeps_the_size_and_warns_when_the_disk_is_smaller(holdfast, endpoint, home):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    said = await holdfast("allocate", "--space", "1MB")
    assert "Allocated 1 MB" in said
    assert "Warning" not in said
    assert home.settings().allocated == 1_000_000
    assert "Warning: the disk holds" in await holdfast("allocate", "--space", "1000TiB")
    assert home.settings().allocated == 1000 << 40


async def test_allocate_refuses_less_than_is_used(holdfast, endpoint, home):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    home.report(Status(state="stopped", time=1, used=5 * 10**9))
    with pytest.raises(Refusal, match="5 GB are in use") as caught:
        await holdfast("allocate", "--space", "4.9GB")
    assert caught.value.code == "config.invalid"
    await holdfast("allocate", "--space", "5GB")


async def test_allocate_says_what_a_size_looks_like(holdfast, endpoint):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN)
    assert "100GB, 1.5TiB" in await holdfast("allocate", "--space", "plenty", status=2)


@pytest.mark.parametrize("command", [["allocate", "--space", "1GB"], ["status"]])
async def test_a_command_without_a_node_says_how_to_make_one(holdfast, command):
    with pytest.raises(Refusal, match="node init") as caught:
        await holdfast(*command)
    assert caught.value.code == "config.missing"


async def test_status_speaks_to_people_and_to_programs(holdfast, endpoint, home):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN, "--name", "attic")
    said = await holdfast("status")
    assert "attic" in said
    assert "not running" in said
    facts = json.loads(await holdfast("status", "--json"))
    assert facts["node_id"] == home.key().public.hex()
    assert (facts["registered"], facts["running"], facts["last"]) == (True, False, None)


async def test_doctor_finds_what_is_wrong_and_ends_with_one(holdfast, endpoint, folder):
    await holdfast("init", "--endpoint", endpoint, "--token", TOKEN, "--listen", "tcp://127.0.0.1:0")
    (folder / "node.key").chmod(0o644)
    said = await holdfast("doctor", status=1)
    assert "chmod 600" in said
    (folder / "node.key").chmod(0o600)
    found = json.loads(await holdfast("doctor", "--json"))
    levels = {finding["check"]: finding["level"] for finding in found["findings"]}
    assert found["level"] == "warning"
    assert levels["key"] == levels["registration"] == levels["endpoint"] == levels["clock"] == "good"
    assert levels["heartbeat"] == levels["space"] == "warning"
    assert not [path for path in (folder / "vault").iterdir() if "probe" in path.name]


async def test_doctor_without_a_node_makes_none(holdfast, folder):
    assert "node init" in await holdfast("doctor", status=1)
    assert not folder.exists()


@pytest.mark.parametrize("command", [[], ["init"], ["allocate"], ["run"], ["status"], ["doctor"]])
def test_every_command_has_help_with_examples(command):
    result = CliRunner().invoke(node, [*command, "--help"])
    assert result.exit_code == 0
    examples = result.output.partition("  Examples:\n")[2].partition("\n\n")[0].splitlines()
    assert examples, "examples stand on lines of their own"
    assert examples[0].startswith("    holdfast node")
