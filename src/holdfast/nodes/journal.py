"""What is to be deleted on nodes, in order, and what nodes say they lost.

Deletions are journalled in the transaction that makes shards unneeded, so none is forgotten. Each node has
its own sequence, growing by one; it is told a few entries with every answer to a heartbeat until it confirms
them, and then they are dropped. Should a node skip some (its owner put an old copy of its home back), the
sweep for orphans finds what is left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from holdfast.nodes import store
from holdfast.nodes.store import DeletionHead, DeletionRow, LossRow
from holdfast.protocol.fleet import Deletion
from holdfast.protocol.messages import SHARD_ID_BYTES
from holdfast.world.database import Database

ENTRY_SHARDS_MAX: Final = 1000
ENTRIES_TOLD_MAX: Final = 16
"""Entries in one answer: at most 16,000 shard ids, 288 KB."""
LOSSES_PAGE: Final = 1000
SEQUENCE_MAX: Final = 1 << 62


class Loss(NamedTuple):
    """A shard that its node itself said it lost; `noted` in microseconds."""

    alias: int
    shard_id: bytes
    noted: int


def journal_deletions(connection: Connection, doomed: Sequence[tuple[int, bytes]], _now: int) -> None:
    """Notes, in the caller's transaction, that each (node alias, shard id) is to be deleted.

    Aliases without a node are passed over: nobody is left to tell.
    """
    by_alias: dict[int, list[bytes]] = {}
    for alias, shard_id in doomed:
        assert len(shard_id) == SHARD_ID_BYTES, "a shard id is 18 bytes"
        by_alias.setdefault(alias, []).append(shard_id)
    if not by_alias:
        return
    heads = store.find_deletion_heads(connection, sorted(by_alias))
    rows: list[DeletionRow] = []
    for alias, head in sorted(heads.items()):
        shard_ids = by_alias[alias]
        issued = head.issued
        for start in range(0, len(shard_ids), ENTRY_SHARDS_MAX):
            issued += 1
            entry = b"".join(shard_ids[start : start + ENTRY_SHARDS_MAX])
            rows.append(DeletionRow(alias, issued, entry))
        heads[alias] = head._replace(issued=issued)
    # The heads first: of two transactions that number on from the same head, one waits here and is run again.
    store.set_deletion_heads(connection, [heads[alias] for alias in sorted(heads)])
    store.add_deletions(connection, rows)


def awaits_deletion(connection: Connection, alias: int, shard_id: bytes) -> bool:
    """Whether the node is still to delete this shard, or has not yet said that it did.

    What it holds under the id now, or is given now, may be gone the next moment. (A yes may be wrong, where
    the id happens to stand across two others; then a shard goes elsewhere for nothing.)
    """
    head = store.find_deletion_heads(connection, [alias]).get(alias)
    if head is None or head.issued <= head.done:
        return False
    return store.is_in_deletions(connection, alias, head.done, shard_id)


def settle_deletions(connection: Connection, confirmed: Mapping[int, int]) -> dict[int, list[Deletion]]:
    """Drops what the nodes (by alias) confirmed up to a sequence; answers what each is to be told next."""
    told: dict[int, list[Deletion]] = {}
    moved: list[DeletionHead] = []
    for alias, head in store.find_deletion_heads(connection, list(confirmed)).items():
        done = max(head.done, min(confirmed[alias], SEQUENCE_MAX))
        if done > head.done:
            # Ahead of what was issued means that this database came back from an older copy: number on from
            # there, or the node would take the next entries for old ones.
            moved.append(DeletionHead(alias, max(head.issued, done), done))
            store.drop_deletions(connection, alias, done)
        if head.issued > done:
            rows = store.find_deletions(connection, alias, done, ENTRIES_TOLD_MAX)
            told[alias] = [Deletion(sequence=row.sequence, shard_ids=_split(row.shard_ids)) for row in rows]
    store.set_deletion_heads(connection, moved)
    return told


def note_losses(connection: Connection, alias: int, shard_ids: Sequence[bytes], now: int) -> None:
    """Keeps what a node said it lost until `Losses.settle`."""
    rows = [LossRow(alias, shard_id, now) for shard_id in dict.fromkeys(shard_ids)]
    for start in range(0, len(rows), LOSSES_PAGE):
        store.add_losses(connection, rows[start : start + LOSSES_PAGE])


class Losses:
    """Shards that nodes said they lost, for whoever repairs them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, after: Loss | None = None, limit: int = LOSSES_PAGE) -> list[Loss]:
        """Up to `limit` losses beyond `after`, by alias and shard id; empty at the end."""
        key = (after.alias, after.shard_id) if after else (0, b"")
        rows = await self._database.read(store.list_losses, key, max(1, min(limit, LOSSES_PAGE)))
        return [Loss(*row) for row in rows]

    @staticmethod
    def settle(connection: Connection, loss: Loss) -> None:
        """Forgets a loss, in the transaction that dealt with it."""
        store.drop_loss(connection, loss.alias, loss.shard_id)


def _split(shard_ids: bytes) -> list[bytes]:
    return [shard_ids[at : at + SHARD_ID_BYTES] for at in range(0, len(shard_ids), SHARD_ID_BYTES)]
