"""What is known to be wrong with stored shards: reported, checked, taken out of the placement.

The law: a report is evidence, not proof. It makes the shard *suspect*, which keeps it from being counted and
sends readers elsewhere first; a check then confirms the loss or dismisses the report. A confirmed loss is
taken out of the placement by compare-and-swap on the chunk's revision, so that a racing repair or delete
wins. Evidence is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection

from holdfast.chunks.redundancy import SHARDS_MAX
from holdfast.files import placed, versions
from holdfast.files.places import Places
from holdfast.files.recording import CHUNKS_OF_VERSION_MAX, Journal
from holdfast.files.stores import store_chunks
from holdfast.files.stores.store_chunks import Chunk, Fault
from holdfast.protocol.control import Done, ShardReport
from holdfast.protocol.messages import shard_id
from holdfast.world.clock import Clock
from holdfast.world.database import Database
from holdfast.world.errors import Refusal

KINDS = frozenset({"corrupt", "missing"})


@dataclass(frozen=True, slots=True)
class Report:
    """Somebody says that shard `index` at node `alias` is `kind`; `evidence` says who and how they know."""

    index: int
    alias: int
    kind: str
    evidence: str


def note(connection: Connection, chunk: Chunk, report: Report, now: int) -> bool:
    """Makes the shard suspect; False (and nothing noted) if it is not placed there any more."""
    aliases = placed.unpack(chunk.placement)
    if report.index >= len(aliases) or aliases[report.index] != report.alias:
        return False
    known = store_chunks.fault_at(connection, chunk.stream, chunk.number, report.index, report.alias)
    store_chunks.put_fault(
        connection,
        Fault(
            stream=chunk.stream,
            number=chunk.number,
            shard_index=report.index,
            alias=report.alias,
            kind=report.kind,
            state="suspect",
            evidence=report.evidence,
            reports=1 if known is None else known.reports + 1,
            first_reported=now if known is None else known.first_reported,
            last_reported=now,
        ),
    )
    return True


def confirm(
    connection: Connection, chunk: Chunk, reports: list[Report], journal: Journal, now: int
) -> Chunk | None:
    """Takes lost shards out of the placement; the chunk as it is now, or None if it had changed meanwhile.

    What may be left of the shard on its node is journalled for deletion, so that it cannot come back.
    """
    moves = [(report.index, placed.NOT_STORED) for report in reports]
    placement = placed.change(chunk.placement, moves)
    if not store_chunks.swap_placement(connection, chunk, placement):
        return None
    for report in reports:
        _settle(connection, chunk, report, "confirmed", now)
    journal(connection, [(r.alias, shard_id(chunk.chunk_id, r.index)) for r in reports], now)
    return chunk._replace(placement=placement, revision=chunk.revision + 1)


def dismiss(connection: Connection, chunk: Chunk, report: Report, now: int) -> None:
    """The shard was checked and is good."""
    _settle(connection, chunk, report, "dismissed", now)


def _settle(connection: Connection, chunk: Chunk, report: Report, state: str, now: int) -> None:
    known = store_chunks.fault_at(connection, chunk.stream, chunk.number, report.index, report.alias)
    store_chunks.put_fault(
        connection,
        Fault(
            stream=chunk.stream,
            number=chunk.number,
            shard_index=report.index,
            alias=report.alias,
            kind=report.kind,
            state=state,
            evidence=report.evidence,
            reports=0 if known is None else known.reports,
            first_reported=now if known is None else known.first_reported,
            last_reported=now,
        ),
    )


def suspects_of(known: Iterable[Fault]) -> set[tuple[int, int, int]]:
    """(chunk number, shard index, alias) of each suspect: a shard stored anew elsewhere is not one."""
    return {(fault.number, fault.shard_index, fault.alias) for fault in known if fault.state == "suspect"}


def lost_of(known: Iterable[Fault]) -> dict[tuple[int, int], int]:
    """The alias that lost it last, by (chunk number, shard index), of shards proven lost."""
    confirmed = [fault for fault in known if fault.state == "confirmed"]
    ordered = sorted(confirmed, key=lambda fault: fault.last_reported)
    return {(fault.number, fault.shard_index): fault.alias for fault in ordered}


def report(connection: Connection, tenant: str, request: ShardReport, alias: int | None, now: int) -> None:
    """The transaction of `shard-report`; raises Refusal("bucket.unknown" | "object.unknown")."""
    _, version = versions.find_by_id(connection, tenant, request.bucket, request.version_id)
    chunk = store_chunks.chunk_numbered(connection, versions.stream_of(version), request.number)
    if chunk is not None and alias is not None:
        evidence = f"a reader of tenant {tenant} found it {request.fault}"
        note(connection, chunk, Report(request.index, alias, request.fault, evidence), now)


class Faults:
    """The operation `shard-report`, for one tenant a call."""

    def __init__(self, *, database: Database, places: Places, clock: Clock) -> None:
        self._database = database
        self._places = places
        self._clock = clock

    async def report(self, tenant: str, request: ShardReport) -> Done:
        """Notes the report; one about a shard that is no longer placed there is answered and forgotten.

        Raises Refusal("bucket.unknown" | "object.unknown" | "request.invalid").
        """
        if request.fault not in KINDS or not 0 <= request.index < SHARDS_MAX:
            raise Refusal("request.invalid", f"A shard's fault is one of {', '.join(sorted(KINDS))}.")
        if not 0 <= request.number < CHUNKS_OF_VERSION_MAX:
            raise Refusal("request.invalid", f"No object has a chunk {request.number}.")
        alias = self._places.alias_of(request.node_id)
        await self._database.transact(report, tenant, request, alias, self._clock.now())
        return Done()
