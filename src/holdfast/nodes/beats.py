"""What heartbeats do to the stored roster: many in one transaction.

A heartbeat is answered only once it is durable, so a node's sequence and last heartbeat survive any restart,
and what it confirmed stays confirmed. That costs one row update per node and interval; those that arrive
while a transaction runs share the next one, so the cost of committing does not grow with the fleet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from holdfast.nodes import states, store
from holdfast.nodes.journal import note_losses, settle_deletions
from holdfast.nodes.states import Event, State
from holdfast.nodes.store import NodeRow
from holdfast.protocol.fleet import Deletion, NodeFacts
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

BATCH_MAX: Final = 512


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat whose signature and time were found good, and when it arrived (microseconds)."""

    facts: NodeFacts
    arrived: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a heartbeat: the node as it is stored now, and what it is to delete; or a refusal."""

    row: NodeRow | None = None
    refusal: Refusal | None = None
    deletions: list[Deletion] = field(default_factory=list)


class Beats:
    """Gathers heartbeats into transactions. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Beat, asyncio.Future[Answer]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def take(self, beat: Beat) -> Answer:
        """The answer, once the heartbeat is durable; raises Trouble as the database does."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((beat, answer))
        if self._writer is None:
            # A task of its own: the caller whose heartbeat began a batch may hang up before it ends.
            self._writer = asyncio.get_running_loop().create_task(self._write())
        return await answer

    async def close(self) -> None:
        """Returns when all heartbeats taken have been answered."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:BATCH_MAX]
                del self._waiting[:BATCH_MAX]
                await self._write_batch(batch)
        finally:
            self._writer = None

    async def _write_batch(self, batch: Sequence[tuple[Beat, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._database.transact(take_beats, [beat for beat, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who await the batch
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
            return
        except BaseException:
            for _, waiting in (*batch, *self._waiting):
                waiting.cancel()
            self._waiting.clear()
            raise
        for (_, waiting), answer in zip(batch, answers, strict=True):
            if not waiting.done():
                waiting.set_result(answer)


def take_beats(connection: Connection, beats: Sequence[Beat]) -> list[Answer]:
    """Stores heartbeats; an answer for each, in order."""
    rows = {row.node_id: row for row in store.find_nodes(connection, [beat.facts.node_id for beat in beats])}
    before = dict(rows)
    refusals: list[Refusal | None] = []
    confirmed: dict[int, int] = {}
    for beat in beats:
        row = rows.get(beat.facts.node_id)
        refusal = _objection(row, beat.facts)
        refusals.append(refusal)
        if row is not None and refusal is None:
            rows[row.node_id] = told_row(row, beat.facts, beat.arrived, Event.HEARTBEAT)
            confirmed[row.alias] = beat.facts.deletions_done
            note_losses(connection, row.alias, beat.facts.lost, beat.arrived)
    moved = [rows[node_id] for node_id in rows if rows[node_id] is not before[node_id]]
    store.set_heartbeats(connection, moved)
    store.set_descriptions(connection, [row for row in moved if _moved_house(row, before[row.node_id])])
    deletions = settle_deletions(connection, confirmed) if confirmed else {}
    return [
        Answer(refusal=refusal)
        if refusal is not None
        else Answer(row=rows[beat.facts.node_id], deletions=deletions.get(rows[beat.facts.node_id].alias, []))
        for beat, refusal in zip(beats, refusals, strict=True)
    ]


def told_row(row: NodeRow, facts: NodeFacts, now: int, event: Event) -> NodeRow:
    """The row after the node told its facts; raises Refusal("node.state") if the event cannot happen."""
    return row._replace(
        state=str(states.after(State(row.state), event)),
        node_name=facts.node_name,
        version=facts.version,
        zone=facts.zone,
        addresses=tuple(facts.addresses),
        allocated=facts.allocated,
        used=facts.used,
        free=facts.free,
        shard_count=facts.shard_count,
        stopping=facts.stopping,
        sequence=facts.sequence,
        last_heartbeat=now,
        changed=max(now, row.changed),
    )


def _objection(row: NodeRow | None, facts: NodeFacts) -> Refusal | None:
    if row is None:
        return Refusal(
            "node.unknown",
            f"No node {facts.node_id.hex()[:16]} is registered here.",
            advice="Register it with an invitation: holdfast node init.",
        )
    if (State(row.state), Event.HEARTBEAT) not in states.TRANSITIONS:
        return Refusal(
            "node.unknown",
            f"The node {facts.node_id.hex()[:16]} has left this fleet ({row.state}).",
            advice="To come back, register it with a new invitation: holdfast node init.",
        )
    if facts.sequence <= row.sequence:
        return Refusal(
            "request.invalid",
            f"A heartbeat with the sequence {facts.sequence} comes after one with {row.sequence}: a replay.",
            advice="Is the node's folder a copy, or put back from one? Run a node from one folder only.",
            sequence=facts.sequence,
            known=row.sequence,
        )
    return None


def _moved_house(row: NodeRow, before: NodeRow) -> bool:
    return (row.node_name, row.zone, row.addresses) != (before.node_name, before.zone, before.addresses)
