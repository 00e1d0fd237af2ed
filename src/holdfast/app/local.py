"""A whole cloud on this machine: one coordinator process with its gateway, and a process for every node.

    coordinator/     its home: settings, secrets, database
    nodes/node-01/   one home a node
    logs/            what each process printed
    profile.json     endpoint, access key and secret key of the tenant `local`
    tenant.key       the key that opens its data; the coordinator never sees it

Everything can be stopped, killed and started again: what was acknowledged is there.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from holdfast.agent.coordinator import HttpCoordinator
from holdfast.agent.folder import make_private
from holdfast.agent.home import Home, Settings
from holdfast.agent.registration import register
from holdfast.app.certificates import CA_FILE
from holdfast.app.ports import LOOPBACK, free_ports, port_is_free
from holdfast.app.private_file import write_private
from holdfast.app.processes import Child
from holdfast.app.room_here import room_at, shortage
from holdfast.app.rooms import Rooms, open_rooms
from holdfast.app.settings import (
    FILE_NAME,
    WILDCARDS,
    host_and_port,
    listen_address,
    load_settings,
    write_settings,
)
from holdfast.chunks import key_file
from holdfast.chunks.keys import TenantKey
from holdfast.chunks.metadata import KEY_BYTES
from holdfast.client.profile import Profile, read_profile, write_profile
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.system_disk import SystemDisk

TENANT = "local"
NODES_DEFAULT = 16
NODES_MAX = 200
ENDPOINT_PORT = 8333
RELAY = f"tcp://{LOOPBACK}:8334"
NODE_PORT = 7420
ALLOCATED_DEFAULT = 100 * 10**9
READY_SECONDS = 60.0
POLL_SECONDS = 0.1
RESTART_SECONDS_MAX = 30.0

Tell = Callable[[str], None]


@dataclass
class LocalNode:
    """One node of the cloud: its home and, while it runs, its process."""

    name: str
    folder: Path
    child: Child
    node_id: bytes
    started: int = 0
    """When its process was last started; microseconds since the epoch."""


class LocalCloud:
    """The cloud in `home`; `start`, then `supervise` or work with it, then `stop`."""

    def __init__(
        self, home: Path, *, node_count: int | None = None, port: int | None = None, allocated: int = 0
    ) -> None:
        """The cloud in `home`, which may be there already; what is None or 0 is as it was, or by default.

        `node_count` may be more than there are, never fewer; `port` 0 is any free one.
        """
        self.home = home
        self._node_count = node_count
        self._port = port
        self._allocated = allocated or ALLOCATED_DEFAULT
        self._clock = SystemClock()
        self._chance = SystemChance()
        self.nodes: list[LocalNode] = []
        self.profile = Profile()
        self.coordinator = Child(
            "the coordinator",
            ["coordinator", "run", "--home", str(home / "coordinator")],
            home / "logs" / "coordinator.log",
        )

    @property
    def profile_path(self) -> Path:
        """Where the tenant's profile is."""
        return self.home / "profile.json"

    @property
    def coordinator_settings(self) -> Path:
        """What the coordinator reads when it starts."""
        return self.home / "coordinator" / FILE_NAME

    @property
    def key_path(self) -> Path:
        """Where the tenant's key is."""
        return self.home / "tenant.key"

    async def start(self, tell: Tell, progress: Tell | None = None) -> None:
        """Sets up what is missing, starts every process, returns when all nodes are online.

        `tell` is given what is done, `progress` (often) how far it is.
        """
        tokens = await self._prepare(tell)
        await self.start_coordinator()
        tell(f"coordinator and gateway answer at {self.profile.endpoint}")
        await self._register(tokens, tell)
        for node in self.nodes:
            await self.start_node(node)
        await self.until_heard(self.nodes, progress)
        tell(f"{len(self.nodes)} nodes are online")

    async def start_coordinator(self) -> None:
        """Starts the coordinator's process; returns when it answers."""
        await self.coordinator.start()
        await self._until_ready()

    async def start_node(self, node: LocalNode) -> None:
        """Starts the process of one node; `until_heard` tells when it serves."""
        node.started = self._clock.now()
        await node.child.start()

    async def stop(self) -> None:
        """Stops every process in good order; nodes first, so that their last word is heard."""
        await asyncio.gather(*(node.child.stop() for node in self.nodes))
        await self.coordinator.stop()

    async def supervise(self, tell: Tell) -> None:
        """Starts again whatever ends by itself, with growing pauses; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for child in (self.coordinator, *(node.child for node in self.nodes)):
                group.create_task(_keep_running(child, tell))

    # --- setting up --------------------------------------------------------------------------------------

    async def _prepare(self, tell: Tell) -> list[str]:
        """Makes homes, tenant, profile and key if they are missing; returns invitations for new nodes."""
        folders = self._node_folders(tell)
        make_private(self.home)
        endpoint = self._choose_ports(self.coordinator_settings)
        async with open_rooms(self.coordinator_settings.parent) as rooms:
            if not self.profile_path.exists():
                await self._make_tenant(rooms, endpoint)
            self.profile = read_profile(self.profile_path)
            region = rooms.settings.region
            if (self.profile.endpoint, self.profile.region) != (endpoint, region):
                self.profile = msgspec.structs.replace(self.profile, endpoint=endpoint, region=region)
                write_profile(self.profile, self.profile_path)
            tenant = (await rooms.people.find_named(TENANT)).tenant_id
            fresh = [folder for folder in folders if not _registered(folder)]
            tokens = [(await rooms.roster.invite(tenant)).token for _ in fresh]
        self._make_homes(folders)
        return tokens

    def _node_folders(self, tell: Tell) -> list[Path]:
        """The homes of all nodes, old and new; refuses what cannot work before anything is written."""
        known = sorted(path for path in (self.home / "nodes").glob("node-*") if path.is_dir())
        count = self._node_count or len(known) or NODES_DEFAULT
        if not 1 <= count <= NODES_MAX:
            raise Refusal("config.invalid", f"A local cloud has 1 to {NODES_MAX} nodes, not {count}.")
        if count < len(known):
            raise Refusal(
                "config.invalid",
                f"The cloud in {self.home} has {len(known)} nodes, and what is stored needs them all.",
                advice=f"Leave out --nodes {count}, or start another, smaller cloud with --home FOLDER.",
            )
        short = shortage(room_at(self.home), self.home, count)
        if short is not None and not known:
            raise short
        if short is not None:
            tell(f"careful: {short}")
        return known + [self.home / "nodes" / f"node-{n:02}" for n in range(len(known) + 1, count + 1)]

    def _choose_ports(self, path: Path) -> str:
        """The endpoint, noted in the coordinator's settings together with a free port for the relay.

        The endpoint's port stays what it was, for others know it; the relay's nobody needs to know.
        """
        if path.exists():
            settings = load_settings(path.parent)
            _, before = listen_address(settings)
            host = settings.listen.rpartition(":")[0]
            port, relay = self._port or before, settings.relay_listen
        else:
            make_private(path.parent)
            wanted = ENDPOINT_PORT if self._port is None else self._port
            host, port, relay = LOOPBACK, self._port or free_ports([wanted])[0], RELAY
        free = free_ports([0])[0]
        if not port_is_free(port):
            raise Refusal(
                "config.invalid",
                f"Port {port} of this machine is taken.",
                advice=f"Is another cloud running? Stop it, or choose another port: --port {free}",
            )
        if relay.startswith(f"tcp://{LOOPBACK}:"):
            relay = f"tcp://{LOOPBACK}:{free_ports([port, int(relay.rpartition(':')[2])])[1]}"
        s3, s3_tls = self._choose_s3_ports(path, host, port)
        values = {"listen": f"{host}:{port}", "relay_listen": relay, "s3_listen": s3, "s3_tls_listen": s3_tls}
        write_settings(path, values)
        return f"http://{LOOPBACK if host.strip('[]') in WILDCARDS else host}:{port}"

    def _choose_s3_ports(self, path: Path, host: str, port: int) -> tuple[str, str]:
        """Where S3 is served: as it was, for others know it; at first, beside the endpoint."""
        held = load_settings(path.parent) if path.exists() else None
        text = path.read_text(encoding="utf-8") if held else ""
        beside = (0, 0) if self._port == 0 else (port + 2, port + 3)
        found: list[str] = []
        for name, wanted in zip(("s3_listen", "s3_tls_listen"), beside, strict=True):
            if held is None or not re.search(rf"^{name}\s*=", text, re.MULTILINE):
                # Two ports of one call differ; the endpoint's and the relay's are held off by being named.
                taken = [port, *(int(address.rpartition(":")[2]) for address in found)]
                found.append(f"{host}:{free_ports([*taken, wanted])[-1]}")
                continue
            address: str = getattr(held, name)
            if address and not port_is_free(host_and_port(address)[1]):
                raise Refusal(
                    "config.invalid",
                    f"The port of S3, {address}, is taken.",
                    advice=f"Is another cloud running? Stop it, or set `{name}` in {path}.",
                )
            found.append(address)
        return found[0], found[1]

    @property
    def s3_endpoints(self) -> list[str]:
        """Where S3 programs find this cloud, over http and https."""
        settings = load_settings(self.coordinator_settings.parent)
        found = []
        for scheme, address in (("http", settings.s3_listen), ("https", settings.s3_tls_listen)):
            if address:
                host, port = host_and_port(address)
                # The certificate is for localhost, and programs may put a bucket's name before it.
                near = host in WILDCARDS or host == LOOPBACK
                found.append(f"{scheme}://{'localhost' if near else host}:{port}")
        return found

    @property
    def s3_authority_path(self) -> Path:
        """The certificate that programs must trust to speak S3 over TLS here."""
        return self.home / "coordinator" / CA_FILE

    async def _make_tenant(self, rooms: Rooms, endpoint: str) -> None:
        try:
            tenant = await rooms.people.find_named(TENANT)
        except Refusal:
            tenant = await rooms.people.create(TENANT)
        made = await rooms.keys.create_access_key(tenant.tenant_id, label="holdfast up")
        if not self.key_path.exists():
            write_private(self.key_path, key_file.write(TenantKey(self._chance.bytes(KEY_BYTES))).encode())
        write_profile(
            Profile(
                endpoint=endpoint,
                access_key=made.access_key,
                secret_key=made.secret,
                key_file=str(self.key_path),
            ),
            self.profile_path,
        )

    def _make_homes(self, folders: list[Path]) -> None:
        # A cloud beside another one takes what the system gives: a row of ports would be the other's row too.
        usual = host_and_port(self.profile.endpoint.partition("://")[2])[1] == ENDPOINT_PORT
        first, step = (NODE_PORT, 1) if usual else (0, 0)
        ports = free_ports([first + step * number for number in range(len(folders))])
        for folder, port in zip(folders, ports, strict=True):
            make_private(folder)
            home = Home(SystemDisk(folder))
            key = home.make_key(self._chance)
            address = f"tcp://{LOOPBACK}:{port}"
            before = home.settings() if home.made() else None
            home.save_settings(
                Settings(
                    endpoint=self.profile.endpoint,
                    node_name=folder.name,
                    listen=address,
                    advertised=[address],
                    allocated=before.allocated if before else self._allocated,
                    token=before.token if before else "",
                )
            )
            log = self.home / "logs" / f"{folder.name}.log"
            child = Child(folder.name, ["node", "run", "--home", str(folder)], log)
            self.nodes.append(LocalNode(folder.name, folder, child, key.public))

    # --- starting ----------------------------------------------------------------------------------------

    async def _until_ready(self) -> None:
        async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as session:
            while True:
                if not self.coordinator.running:
                    raise self.coordinator.failure()
                try:
                    async with session.get(f"{self.profile.endpoint}/health/liveness"):
                        return
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(POLL_SECONDS)

    async def _register(self, tokens: list[str], tell: Tell) -> None:
        fresh = [node for node in self.nodes if not _registered(node.folder)]
        if not fresh:
            return
        coordinator = HttpCoordinator(self.profile.endpoint)
        try:
            for node, token in zip(fresh, tokens, strict=True):
                home = Home(SystemDisk(node.folder))
                settings = home.settings()
                settings = msgspec.structs.replace(settings, token=token)
                home.save_settings(settings)
                await register(home, settings, coordinator, self._clock)
        finally:
            await coordinator.close()
        tell(f"{len(fresh)} new nodes are registered, each with a key of its own")

    async def until_heard(self, nodes: Sequence[LocalNode], progress: Tell | None = None) -> None:
        """Returns when each of the nodes, started before, has been welcomed by the coordinator."""
        deadline = self._clock.monotonic() + READY_SECONDS
        waiting = list(nodes)
        while waiting := [node for node in waiting if not _welcomed(node)]:
            if progress is not None:
                progress(f"{len(nodes) - len(waiting)} of {len(nodes)} nodes are online")
            for node in waiting:
                if not node.child.running:
                    raise node.child.failure()
            if self._clock.monotonic() > deadline:
                raise Trouble(
                    "internal",
                    f"{len(waiting)} of {len(nodes)} nodes did not come online.",
                    advice=f"Look in {self.home / 'logs'}.",
                )
            await asyncio.sleep(POLL_SECONDS)


def _welcomed(node: LocalNode) -> bool:
    """Whether the process that runs the node now has had an answer from the coordinator."""
    status = Home(SystemDisk(node.folder)).status()
    return status is not None and status.welcomed >= node.started


def _registered(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    home = Home(SystemDisk(folder))
    return home.made() and home.memory().registered


async def _keep_running(child: Child, tell: Tell) -> None:
    pause = 1.0
    while True:
        status = await child.wait()
        tell(f"{child.name} ended with status {status}; starting it again in {pause:.0f} s")
        await asyncio.sleep(pause)
        pause = min(2 * pause, RESTART_SECONDS_MAX)
        await child.start()


@contextmanager
def sole_user(home: Path) -> Iterator[None]:
    """Holds the cloud's home for this process; raises Refusal("node.running") if another has it."""
    make_private(home)
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                "node.running",
                f"A local cloud runs in {home} already.",
                advice="Use it, stop it with Ctrl-C where it runs, or choose another folder with --home.",
            ) from None
        yield
