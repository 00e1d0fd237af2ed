"""The coordinator's rooms, built from a home and its settings, or from handed-in parts in the simulation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import Connection

from holdfast.app.s3_rooms import S3Rooms
from holdfast.app.secrets import load_issuer, load_master
from holdfast.app.settings import CoordinatorSettings, database_url, load_settings, relay_address
from holdfast.chunks.erasure import best_erasure
from holdfast.doors.hub.relay import Relay, open_relay
from holdfast.doors.rest.control import ControlDoor, Handler
from holdfast.files.operations import file_operations
from holdfast.files.places import FleetPlaces
from holdfast.files.tending.mending import Mending
from holdfast.files.tending.outbox import Outbox
from holdfast.files.tending.trash import Trash
from holdfast.nodes.classes import Classes
from holdfast.nodes.fleet import Fleet
from holdfast.nodes.grants import Issuer
from holdfast.nodes.journal import Losses, journal_deletions
from holdfast.nodes.roster import Roster
from holdfast.protocol import control
from holdfast.protocol.signing import SigningKey, key_id
from holdfast.tenants.keys import Keys
from holdfast.tenants.master import Master
from holdfast.tenants.people import People
from holdfast.tenants.users import Users
from holdfast.upkeep.carrier import NodeCarrier
from holdfast.upkeep.expire import Expire
from holdfast.upkeep.losses import TakeLosses
from holdfast.upkeep.passes import Loop
from holdfast.upkeep.plans.expire import ExpireRules
from holdfast.upkeep.plans.repair import RepairRules
from holdfast.upkeep.repair import Repair
from holdfast.world.chance import Chance, SystemChance
from holdfast.world.clock import MICROSECONDS, Clock, SystemClock
from holdfast.world.database import Database
from holdfast.world.errors import Failure
from holdfast.world.migrations.upgrade import upgrade_schema
from holdfast.world.network import Network, SystemNetwork, parse_address
from holdfast.world.offload import Offload, ThreadOffload
from holdfast.world.open_database import open_database

log = structlog.get_logger()

HEAVY_THREADS = 2
"""For checking receipts and rebuilding shards."""
REFRESH_SECONDS = 10.0
"""How often the fleet looks for what other coordinator processes changed."""


@dataclass(frozen=True, kw_only=True)
class Outside:
    """The parts of the world a coordinator stands in."""

    clock: Clock
    chance: Chance
    network: Network
    offload: Offload
    database: Database


class Rooms:
    """Everything a coordinator is made of, wired; nothing runs by itself before `start_passes`."""

    def __init__(
        self, settings: CoordinatorSettings, outside: Outside, *, master: Master, issuer_key: SigningKey
    ) -> None:
        self.settings = settings
        self.clock = outside.clock
        self.chance = outside.chance
        self._outside = outside
        self._issuer_key = issuer_key
        database, clock, chance = outside.database, outside.clock, outside.chance
        self.people = People(database, clock, chance)
        self.users = Users(database, clock, chance)
        self.keys = Keys(database, master, clock, chance)
        self.classes = Classes(default=settings.default_class)
        self.fleet = Fleet(database, clock, heartbeat_seconds=settings.heartbeat_seconds)
        self.issuer = Issuer(issuer_key, clock, chance)
        self.roster = Roster(
            database=database,
            fleet=self.fleet,
            clock=clock,
            chance=chance,
            issuer=self.issuer,
            heartbeat_seconds=settings.heartbeat_seconds,
        )
        self.places = FleetPlaces(fleet=self.fleet, classes=self.classes, issuer=self.issuer, chance=chance)
        self._carrier = NodeCarrier(network=outside.network, clock=clock, chance=chance)
        self._handlers = self._file_handlers()
        self.control = ControlDoor({**self._handlers, **self._other_handlers()}, clock)

    def open_s3(self, offload: Offload) -> S3Rooms:
        """What the S3 door is made of, to be closed by the caller; `offload` seals, opens and digests."""
        return S3Rooms(self, self._outside, self._handlers, offload)

    def _file_handlers(self) -> dict[type[control.Operation], Handler]:
        return dict(
            file_operations(
                database=self._outside.database,
                places=self.places,
                journal=journal_deletions,
                clock=self.clock,
                chance=self.chance,
                offload=self._outside.offload,
            )
        )

    def _other_handlers(self) -> dict[type[control.Operation], Handler]:
        return {
            control.TenantShow: self._show_tenant,
            control.KeyRegister: self._register_key,
            control.NodeList: self._list_nodes,
            control.NodeInvite: self._invite_node,
        }

    async def _show_tenant(self, tenant_id: str, _request: control.TenantShow) -> control.TenantInfo:
        tenant = await self.people.find(tenant_id)
        return control.TenantInfo(
            tenant_id=tenant_id,
            display_name=tenant.display_name,
            keys=[
                control.ClientKey(key_id=known.key_id, created=known.created)
                for known in await self.keys.client_keys(tenant_id)
            ],
            classes=[self.fleet.class_info(known) for known in self.classes],
            default_class=self.classes.default,
            server_time=self.clock.now(),
            relay=relay_address(self.settings),
        )

    async def _register_key(self, tenant_id: str, request: control.KeyRegister) -> control.Done:
        await self.keys.register_client_key(tenant_id, request.key_id, add=request.add)
        return control.Done()

    async def _list_nodes(self, _tenant_id: str, request: control.NodeList) -> control.Nodes:
        return await self.roster.page(after=request.after, limit=request.limit)

    async def _invite_node(self, tenant_id: str, request: control.NodeInvite) -> control.Invitation:
        return await self.roster.invite(tenant_id, lifetime_seconds=request.lifetime_seconds)

    async def check_database(self) -> None:
        """Raises Trouble if the database does not answer."""
        await self._outside.database.read(_nothing)

    # --- what runs beside the requests -------------------------------------------------------------------

    async def open_relay(self) -> Relay | None:
        """Opens the relay that the settings name, if any; raises Trouble("node.unreachable") if it cannot."""
        if not relay_address(self.settings):
            return None
        return await open_relay(
            self._outside.network,
            parse_address(self.settings.relay_listen),
            issuers=lambda: {key_id(public): public for public in self.issuer.publics()},
            lookup=self._addresses_of,
            clock=self.clock,
            chance=self.chance,
            key=self._issuer_key,
        )

    async def _addresses_of(self, node_id: bytes) -> tuple[str, ...]:
        alias = self.fleet.alias_of(node_id)
        member = None if alias is None else self.fleet.member(alias)
        return member.addresses if member else ()

    def loops(self) -> list[Loop]:
        """Every background pass in its loop, not started."""
        period = self.settings.pass_seconds
        return [
            Loop(self.expire(), period_seconds=period, chance=self.chance),
            Loop(self.losses(), period_seconds=period, chance=self.chance),
            Loop(self.repair(), period_seconds=period, chance=self.chance),
        ]

    def expire(self) -> Expire:
        """The pass that ends what is over."""
        settings = self.settings
        trash = Trash(database=self._outside.database, journal=journal_deletions, clock=self.clock)
        rules = ExpireRules(
            trash_period=settings.trash_seconds * MICROSECONDS,
            upload_idle=settings.upload_idle_seconds * MICROSECONDS,
        )
        return Expire(trash=trash, clock=self.clock, rules=rules)

    def losses(self) -> TakeLosses:
        """The pass that believes nodes when they report a loss."""
        return TakeLosses(losses=Losses(self._outside.database), mending=self._mending())

    def _mending(self) -> Mending:
        return Mending(database=self._outside.database, journal=journal_deletions, clock=self.clock)

    def repair(self) -> Repair:
        """The pass that brings chunks back to full strength."""
        return Repair(
            mending=self._mending(),
            places=self.places,
            carrier=self._carrier,
            erasure=best_erasure(),
            clock=self.clock,
            offload=self._outside.offload,
            rules=RepairRules(
                containment=self.settings.containment_seconds * MICROSECONDS,
                grace=self.settings.repair_grace_seconds * MICROSECONDS,
            ),
        )

    def outbox(self) -> Outbox:
        """Events that are still to be told, and those that were given up."""
        return Outbox(self._outside.database, self.clock)

    async def keep_fleet_fresh(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.fleet.refresh()
            except Failure as failure:
                log.warning("fleet refresh failed", code=failure.code, why=failure.message)

    async def close(self) -> None:
        """Finishes what is under way."""
        await self._carrier.close()
        await self.roster.close()


@contextlib.asynccontextmanager
async def open_rooms(home: Path) -> AsyncIterator[Rooms]:
    """The rooms of the coordinator in `home`, its database upgraded, its secrets made if missing."""
    settings = load_settings(home)
    chance = SystemChance()
    url = database_url(settings, home)
    await asyncio.to_thread(upgrade_schema, url)
    database = open_database(url)
    offload = ThreadOffload(HEAVY_THREADS, "heavy")
    outside = Outside(
        clock=SystemClock(), chance=chance, network=SystemNetwork(), offload=offload, database=database
    )
    rooms = Rooms(settings, outside, master=load_master(home, chance), issuer_key=load_issuer(home, chance))
    try:
        await rooms.fleet.load()
        yield rooms
    finally:
        await rooms.close()
        await database.close()
        offload.close()


def _nothing(_connection: Connection) -> None:
    """Asks a database whether it is there."""
