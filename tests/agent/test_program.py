"""The node as a program: with everything handed in, and as a process that is killed and stopped."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from tests.agent.stand_in import ISSUER, TOKEN, StandIn, over_http

from holdfast.agent.home import Home, Settings
from holdfast.agent.program import run_agent
from holdfast.chunks import tree
from holdfast.links.peer import dial
from holdfast.protocol import grants
from holdfast.protocol.fleet import Deletion
from holdfast.protocol.grants import LIFE_MAX, Action
from holdfast.protocol.messages import GetShard, PutShard, shard_id
from holdfast.protocol.nouns import NodeAddress
from holdfast.protocol.signing import SigningKey
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.network import SystemNetwork
from holdfast.world.offload import ThreadOffload
from holdfast.world.system_disk import SystemDisk

SESSION = SigningKey(b"\4" * 32)
CLOCK = SystemClock()


def make_home(folder, endpoint, **changes):
    home = Home(SystemDisk(folder))
    home.make_key(SystemChance())
    given = {"endpoint": endpoint, "token": TOKEN, "listen": "tcp://127.0.0.1:0", "allocated": 10**9}
    home.save_settings(Settings(**(given | changes)))
    return home


def shard(number):
    return shard_id(number.to_bytes(16, "big"), 0)


def body(number):
    return number.to_bytes(4, "big") * 5000


class Client:
    """One who holds grants for a node."""

    def __init__(self, home):
        self.node_id = home.key().public
        self.serial = os.urandom(8)
        self.count = 0

    async def connect(self, addresses):
        node = NodeAddress(node_id=self.node_id, addresses=addresses)
        self.peer = await dial(SystemNetwork(), node, session_key=SESSION, clock=CLOCK, chance=SystemChance())
        return self

    def grant(self, action, number):
        self.count += 1
        now = CLOCK.now()
        return grants.issue(
            ISSUER,
            action=action,
            serial=self.serial + self.count.to_bytes(8, "big"),
            node_id=self.node_id,
            session_key=SESSION.public,
            shard_id=shard(number),
            max_bytes=1 << 20,
            created=now,
            expires=now + LIFE_MAX,
            account=bytes(32),
        )

    async def put(self, number):
        content = body(number)
        request = PutShard(
            grant=self.grant(Action.PUT, number), length=len(content), roots=tree.root_of(content)
        )
        await self.peer.call(request, body=[content])

    async def get(self, number):
        _, got = await self.peer.call(GetShard(grant=self.grant(Action.GET, number)))
        return bytes(got)


async def until(found, seconds=20):
    """What `found` answers, once it is true."""
    async with asyncio.timeout(seconds):
        while not (answer := found()):  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)
    return answer


def welcomed(home, since):
    """Whether the node in `home`, started after `since`, has had an answer from the coordinator."""
    status = home.status()
    return status is not None and status.started >= since and status.welcomed


@contextlib.asynccontextmanager
async def running(home, folder, party, *, reserve=0):
    """The node in this process, until the block ends; yields the event that stops it, and its task."""
    offload = ThreadOffload(2, "test")
    stop, reload = asyncio.Event(), asyncio.Event()
    since = CLOCK.now()
    task = asyncio.create_task(
        run_agent(
            home,
            network=SystemNetwork(),
            vault_disk=SystemDisk(folder / "vault"),
            clock=CLOCK,
            chance=SystemChance(),
            offload=offload,
            coordinator=party,
            stop=stop,
            reload=reload,
            reserve=reserve,
        )
    )
    try:
        await until(lambda: task.done() or welcomed(home, since))
        yield stop, reload, task
    finally:
        stop.set()
        with contextlib.suppress(Refusal, Trouble):
            await task
        offload.close()


async def test_a_node_listens_registers_serves_and_stops_in_good_order(tmp_path):
    party = StandIn(CLOCK)
    home = make_home(tmp_path, "http://127.0.0.1:1")
    async with running(home, tmp_path, party) as (stop, _, task):
        client = await Client(home).connect(party.heard[0].addresses)
        await asyncio.gather(*map(client.put, range(20)))
        assert [await client.get(number) for number in range(20)] == [body(number) for number in range(20)]
        stop.set()
        await task
    last = party.heard[-1]
    assert (last.stopping, last.free, last.shard_count) == (True, 0, 20)
    status = home.status()
    assert (status.state, status.shard_count) == ("stopped", 20)
    with pytest.raises(Trouble):
        await client.get(0)


async def test_a_stop_finishes_the_puts_that_have_begun(tmp_path):
    party = StandIn(CLOCK)
    home = make_home(tmp_path, "http://127.0.0.1:1")
    async with running(home, tmp_path, party) as (stop, _, task):
        client = await Client(home).connect(party.heard[0].addresses)
        puts = [asyncio.create_task(client.put(number)) for number in range(50)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stop.set()
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        await task
    acknowledged = [number for number, outcome in enumerate(outcomes) if outcome is None]
    party.heard.clear()
    async with running(home, tmp_path, party):
        client = await Client(home).connect(party.heard[0].addresses)
        for number in acknowledged:
            assert await client.get(number) == body(number)


async def test_a_changed_allocation_is_obeyed_without_a_restart(tmp_path):
    party = StandIn(CLOCK)
    home = make_home(tmp_path, "http://127.0.0.1:1", allocated=0)
    async with running(home, tmp_path, party) as (_, reload, _):
        client = await Client(home).connect(party.heard[0].addresses)
        with pytest.raises(Refusal) as caught:
            await client.put(1)
        assert caught.value.code == "node.full"
        home.save_settings(
            Settings(endpoint="http://127.0.0.1:1", listen="tcp://127.0.0.1:0", allocated=10**9)
        )
        reload.set()
        await until(lambda: party.heard[-1].allocated)
        await client.put(1)


async def test_a_refused_registration_ends_the_program(tmp_path):
    party = StandIn(CLOCK)
    party.token_used_by = b"another"
    home = make_home(tmp_path, "http://127.0.0.1:1")
    async with running(home, tmp_path, party) as (_, _, task):
        with pytest.raises(Refusal) as caught:
            await task
    assert caught.value.code == "invitation.invalid"


async def test_a_port_that_is_taken_is_a_clear_trouble(tmp_path):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    home = make_home(tmp_path, "http://127.0.0.1:1", listen=f"tcp://127.0.0.1:{port}")
    async with running(home, tmp_path, StandIn(CLOCK)) as (_, _, task):
        with pytest.raises(Trouble, match=str(port)):
            await task
    server.close()


async def test_a_node_that_listens_everywhere_tells_the_address_seen_from_the_coordinator(tmp_path):
    party = StandIn(CLOCK)
    home = make_home(tmp_path, "http://127.0.0.1:1", listen="tls://0.0.0.0:0")
    async with running(home, tmp_path, party):
        (address,) = party.heard[0].addresses
        assert address.startswith("tls://127.0.0.1:")
        client = await Client(home).connect([address])
        await client.put(1)
        await client.peer.close()


# --- in processes of their own --------------------------------------------------------------------------


class Process:
    """A real node process. `die` is a power cut, as far as a process can have one."""

    def __init__(self, folder):
        self.folder = folder
        self.command = [sys.executable, "-m", "holdfast.app.cli.main", "node"]
        self.process = None

    async def start(self, party):
        party.heard.clear()
        home, since = Home(SystemDisk(self.folder)), CLOCK.now()
        self.process = await asyncio.create_subprocess_exec(
            *self.command,
            "run",
            "--home",
            str(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        await until(lambda: welcomed(home, since) or self.process.returncode is not None)
        assert party.heard, (await self.process.stdout.read()).decode()
        return party.heard[0]

    async def end(self, how):
        if self.process.returncode is None:
            self.process.send_signal(how)
        output, _ = await self.process.communicate()
        return self.process.returncode, output.decode()

    async def say(self, *arguments):
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *arguments,
            "--home",
            str(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()


@pytest.fixture
async def cloud(tmp_path):
    """A coordinator's stand-in over HTTP, a node's home that knows it, and its process."""
    party = StandIn(CLOCK, heartbeat_seconds=1)
    async with over_http(party) as endpoint:
        home = make_home(tmp_path / "node", endpoint)
        process = Process(tmp_path / "node")
        yield party, home, process
        if process.process is not None and process.process.returncode is None:
            await process.end(signal.SIGKILL)


@pytest.mark.slow
async def test_what_was_acknowledged_outlives_kill_9(cloud):
    party, home, process = cloud
    kept = {}
    for turn in range(3):
        facts = await process.start(party)
        assert facts.shard_count >= len(kept)
        client = await Client(home).connect(facts.addresses)
        for number in kept:
            assert await client.get(number) == body(number)
        wanted = range(turn * 100, turn * 100 + 100)
        puts = {number: asyncio.create_task(client.put(number)) for number in wanted}
        await asyncio.wait(puts.values(), return_when=asyncio.FIRST_COMPLETED)
        await process.end(signal.SIGKILL)
        await asyncio.wait(puts.values())
        kept |= {number: None for number, put in puts.items() if put.exception() is None}
    assert len(kept) >= 3
    sequences = [facts.sequence for facts in party.heard]
    assert sequences == sorted(set(sequences))


@pytest.mark.slow
async def test_sigterm_ends_it_with_status_0_after_a_goodbye(cloud):
    party, home, process = cloud
    await process.start(party)
    status, said = await process.end(signal.SIGTERM)
    assert status == 0, said
    assert party.heard[-1].stopping
    assert home.status().state == "stopped"


@pytest.mark.slow
async def test_a_second_process_on_the_same_home_is_refused(cloud):
    party, _, process = cloud
    await process.start(party)
    status, said = await process.say("run")
    assert status == 1
    assert "node.running" in said
    assert str(process.process.pid) in said


@pytest.mark.slow
async def test_its_owner_looks_after_a_running_node(cloud):
    party, home, process = cloud
    facts = await process.start(party)
    client = await Client(home).connect(facts.addresses)
    await client.put(1)
    status, said = await process.say("allocate", "--space", "2GB")
    assert status == 0, said
    await until(lambda: party.heard[-1].allocated == 2 * 10**9)
    await until(lambda: home.status().shard_count == 1)
    _, said = await process.say("status", "--json")
    told = json.loads(said)
    assert (told["running"], told["last"]["shard_count"], told["allocated"]) == (True, 1, 2 * 10**9)
    status, said = await process.say("doctor", "--json")
    levels = {finding["check"]: finding["level"] for finding in json.loads(said)["findings"]}
    assert levels["heartbeat"] == levels["address"] == levels["clock"] == levels["space"] == "good", said
    party.deletions = [Deletion(sequence=1, shard_ids=[shard(1)])]
    await until(lambda: party.heard[-1].deletions_done == 1)
    with pytest.raises(Refusal) as caught:
        await client.get(1)
    assert caught.value.code == "shard.unknown"
    await client.peer.close()


@pytest.mark.slow
async def test_a_node_carries_no_server_and_no_database():
    script = (
        "import sys, holdfast.app.cli.node, holdfast.agent.program\n"
        "heavy = {'sqlalchemy', 'fastapi', 'uvicorn', 'starlette', 'pydantic', 'psycopg', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert output.decode().strip() == "[]"
