"""The fleet in memory: who the nodes are, how they fare, and the snapshot that placement draws from.

What is here was committed before: `Roster` tells of every change made by this process, `refresh` reads those
that other processes made. A heartbeat costs a few microseconds; a snapshot is made anew when something turned
or a second has passed, in large fleets more seldom (bench/placement.py has the figures).

A node is online while its last heartbeat is at most three intervals old. Its zone may be written
"region/rest": what stands before the slash is its region, the whole is its failure zone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from holdfast.nodes import store
from holdfast.nodes.addresses import subnet_of
from holdfast.nodes.classes import StorageClass
from holdfast.nodes.columns import Columns, Names
from holdfast.nodes.snapshot import Flags, Snapshot
from holdfast.nodes.states import READABLE, State
from holdfast.nodes.store import NodeRow
from holdfast.protocol.fleet import HEARTBEAT_SECONDS
from holdfast.protocol.nouns import ClassInfo, RedundancyInfo
from holdfast.world.clock import MICROSECONDS, Clock
from holdfast.world.database import Database

ONLINE_INTERVALS: Final = 3
TRICKLE: Final = 0.05
"""The share of its weight that a new node is drawn with, next to nodes that have proven themselves."""
TRICKLE_SECONDS: Final = 72 * 3600
LOAD_PAGE: Final = 5000
REFRESH_OVERLAP_SECONDS: Final = 60
"""How far clocks and commits of several coordinator processes may be apart and still miss nothing."""
SMALL_FLEET: Final = 2000
SNAPSHOT_SECONDS: Final = 1.0
SNAPSHOT_SECONDS_PER_NODE: Final = 10e-6

_STATES: Final = tuple(State)
_STATE_NUMBER: Final = {state: number for number, state in enumerate(_STATES)}


class Member(NamedTuple):
    """One node as it stands now."""

    alias: int
    node_id: bytes
    node_name: str
    addresses: tuple[str, ...]
    state: State
    online: bool
    last_heartbeat: int
    """Microseconds since the epoch."""


class Count(NamedTuple):
    """How many nodes belong to the fleet, and how many of them are online."""

    known: int
    online: int


class Fleet:
    """All nodes by alias. All but `load` and `refresh` answer at once, and may be asked from any thread."""

    def __init__(
        self, database: Database, clock: Clock, *, heartbeat_seconds: int = HEARTBEAT_SECONDS
    ) -> None:
        self._database = database
        self._clock = clock
        self._silence = ONLINE_INTERVALS * heartbeat_seconds * MICROSECONDS
        self._aliases: dict[bytes, int] = {}
        # Entry 0 is nobody, in these lists as in the columns.
        self._node_ids: list[bytes] = [b""]
        self._node_names: list[str] = [""]
        self._addresses: list[tuple[str, ...]] = [()]
        self._columns = Columns()
        self._providers, self._subnets, self._zones, self._regions = Names(), Names(), Names(), Names()
        # Plans are made in worker threads while heartbeats arrive on the event loop.
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        # What was said of the classes by that snapshot: every small object asks.
        self._said: tuple[Snapshot | None, dict[StorageClass, ClassInfo]] = (None, {})
        self._turned = True
        self._read_until = 0

    # --- keeping up --------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Reads the whole roster. To be called once, before anything is asked."""
        self._read_until = 0
        await self.refresh()

    async def refresh(self) -> None:
        """Reads what other processes changed since the last time."""
        since = self._read_until - REFRESH_OVERLAP_SECONDS * MICROSECONDS
        until, after = self._clock.now(), 0
        while rows := await self._database.read(store.nodes_changed_since, since, after, LOAD_PAGE):
            self.note(rows)
            after = rows[-1].alias
        self._read_until = until

    def note(self, rows: Iterable[NodeRow]) -> None:
        """Takes over nodes as they were committed; what is older than what is known is passed over."""
        now = self._clock.now()
        with self._lock:
            for row in rows:
                self._make_room(row.alias)
                if row.changed >= self._columns.changed[row.alias]:
                    self._put(row, now)

    def rate(self, alias: int, quality: float) -> None:
        """Sets how good a node is (0: takes nothing, 1: as good as any); draws follow it."""
        assert 0.0 <= quality <= 1.0, "quality is a share"
        assert alias in self, "only nodes are rated"
        self._columns.quality[alias] = quality
        self._turned = True

    def _make_room(self, alias: int) -> None:
        missing = alias + 1 - len(self._node_ids)
        if missing > 0:
            # The ids come last: an alias is looked up elsewhere once its id is there.
            self._columns.grow(alias)
            self._node_names.extend([""] * missing)
            self._addresses.extend([()] * missing)
            self._node_ids.extend([b""] * missing)

    def _put(self, row: NodeRow, now: int) -> None:
        alias, columns = row.alias, self._columns
        state = _STATE_NUMBER[State(row.state)]
        self._turned = (
            self._turned
            or state != columns.state[alias]
            or row.stopping != columns.stopping[alias]
            or (row.free > 0) != (columns.free[alias] > 0)
            or now - columns.heartbeat[alias] > self._silence
        )
        if self._addresses[alias] != row.addresses:
            self._addresses[alias] = row.addresses
            columns.subnet[alias] = self._subnets.number(subnet_of(row.addresses))
            self._turned = True
        self._node_names[alias] = row.node_name
        columns.provider[alias] = self._providers.number(row.provider)
        columns.zone[alias] = self._zones.number(row.zone)
        region, slash, _ = row.zone.partition("/")
        columns.region[alias] = self._regions.number(region if slash else "")
        columns.state[alias] = state
        columns.stopping[alias] = row.stopping
        columns.free[alias] = row.free
        columns.heartbeat[alias] = row.last_heartbeat
        columns.registered[alias] = row.registered
        columns.changed[alias] = row.changed
        if not self._node_ids[alias]:
            self._node_ids[alias] = row.node_id
            self._aliases[row.node_id] = alias

    # --- looking up --------------------------------------------------------------------------------------

    def __contains__(self, alias: int) -> bool:
        """Whether a node has this alias."""
        return 0 < alias < len(self._node_ids) and bool(self._node_ids[alias])

    def __len__(self) -> int:
        return len(self._aliases)

    def alias_of(self, node_id: bytes) -> int | None:
        """The alias of a node that belongs to the fleet."""
        alias = self._aliases.get(node_id)
        return alias if alias is not None and self._belongs(alias) else None

    def member(self, alias: int) -> Member | None:
        """The node of this alias; None if it left the fleet or never was."""
        if alias not in self or not self._belongs(alias):
            return None
        last_heartbeat = int(self._columns.heartbeat[alias])
        return Member(
            alias=alias,
            node_id=self._node_ids[alias],
            node_name=self._node_names[alias],
            addresses=self._addresses[alias],
            state=_STATES[int(self._columns.state[alias])],
            online=self.heard_lately(last_heartbeat),
            last_heartbeat=last_heartbeat,
        )

    def heard_lately(self, last_heartbeat: int) -> bool:
        """Whether a node whose last heartbeat came at this time counts as online."""
        return self._clock.now() - last_heartbeat <= self._silence

    def count(self) -> Count:
        """How many nodes there are."""
        belongs = self._all_belonging()
        heard = self._columns.heartbeat >= self._clock.now() - self._silence
        return Count(int(belongs.sum()), int((belongs & heard).sum()))

    def class_info(self, storage_class: StorageClass) -> ClassInfo:
        """The class as clients see it, and whether the fleet has nodes enough for it now."""
        snapshot = self.snapshot()
        if self._said[0] is not snapshot:
            self._said = snapshot, {}
        said = self._said[1]
        if storage_class not in said:
            said[storage_class] = self._class_info(storage_class, snapshot)
        return said[storage_class]

    def _class_info(self, storage_class: StorageClass, snapshot: Snapshot) -> ClassInfo:
        redundancy = storage_class.redundancy
        usable = len(snapshot.view(storage_class.chunk_size // redundancy.k))
        return ClassInfo(
            class_name=storage_class.class_name,
            redundancy=RedundancyInfo(k=redundancy.k, n=redundancy.n, repair_at=redundancy.repair_at),
            ack_at=storage_class.ack_at,
            chunk_size=storage_class.chunk_size,
            usable=usable >= redundancy.n,
            missing_nodes=max(0, redundancy.n - usable),
        )

    def _belongs(self, alias: int) -> bool:
        return _STATES[int(self._columns.state[alias])] in READABLE

    def _all_belonging(self) -> Flags:
        readable = [number for state, number in _STATE_NUMBER.items() if state in READABLE]
        return np.isin(self._columns.state, readable)

    # --- the snapshot ------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The fleet as placement sees it, seconds old at most."""
        now = self._clock.now()
        with self._lock:
            taken = self._snapshot
            if taken is None or self._outdated(taken, now):
                taken = self._snapshot = self._take(now)
                self._turned = False
        return taken

    def _outdated(self, taken: Snapshot, now: int) -> bool:
        if self._turned and len(self) <= SMALL_FLEET:
            return True
        seconds = max(SNAPSHOT_SECONDS, SNAPSHOT_SECONDS_PER_NODE * len(self))
        return not 0 <= now - taken.taken < seconds * MICROSECONDS

    def _take(self, now: int) -> Snapshot:
        columns, size = self._columns, len(self._node_ids)
        free = columns.free[:size].copy()
        usable = columns.state[:size] == _STATE_NUMBER[State.ACTIVE]
        usable &= ~columns.stopping[:size]
        usable &= columns.heartbeat[:size] >= now - self._silence
        weight = np.where(usable, free * columns.quality[:size], 0.0)
        weight[columns.registered[:size] > now - TRICKLE_SECONDS * MICROSECONDS] *= TRICKLE
        return Snapshot(
            taken=now,
            free=free,
            weight=weight,
            domains=(
                columns.provider[:size].copy(),
                columns.subnet[:size].copy(),
                columns.zone[:size].copy(),
            ),
            names=(self._providers.words, self._subnets.words, self._zones.words),
            region=columns.region[:size].copy(),
            region_names=self._regions.words,
        )
