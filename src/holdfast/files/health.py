"""How well a version's chunks are kept: pure functions of placements, faults and the fleet.

A shard is *live* where its node is online and nothing is known against the shard; *missing* where it was
never stored, or was taken out of the placement to be rebuilt; *unreachable* where its node misses heartbeats
or left; *lost* where it was reported or proven lost or corrupt. Only live shards count: a report is not
proof, but until it is checked nothing is promised on a shard that may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.files import placed
from holdfast.files.places import Holder
from holdfast.protocol.nouns import ChunkHealth, ShardPlace

HolderOf = Callable[[int], Holder | None]

LIVE, MISSING, UNREACHABLE, LOST = "live", "missing", "unreachable", "lost"


def shard_state(holder: Holder | None, *, suspect: bool) -> str:
    """The state of a shard that is in the placement."""
    if suspect:
        return LOST
    return LIVE if holder is not None and holder.online else UNREACHABLE


def chunk_health(
    number: int,
    placement: bytes,
    suspects: Collection[tuple[int, int, int]],
    lost: Mapping[tuple[int, int], int],
    holder_of: HolderOf,
) -> ChunkHealth:
    """One chunk, shard by shard.

    `suspects` holds (number, shard index, alias) of reported shards, `lost` who lost a shard that is in no
    placement now, by (number, shard index).
    """
    shards = []
    for index, alias in enumerate(placed.unpack(placement)):
        holder = holder_of(alias or lost.get((number, index), placed.NOT_STORED))
        if alias == placed.NOT_STORED:
            state = LOST if (number, index) in lost else MISSING
        else:
            state = shard_state(holder, suspect=(number, index, alias) in suspects)
        node_id, node_name = (b"", "") if holder is None else (holder.node_id, holder.node_name)
        shards.append(ShardPlace(index=index, node_id=node_id, node_name=node_name, state=state))
    live = sum(shard.state == LIVE for shard in shards)
    return ChunkHealth(number=number, live=live, shards=shards)


def fewest_live(
    placements: Sequence[tuple[int, bytes, int]],
    suspects: Collection[tuple[int, int, int]],
    holder_of: HolderOf,
    n: int,
) -> int:
    """The least number of live shards of any of the chunks (number, placement, shard length); n if none.

    The same count as `chunk_health`, made for versions of very many chunks: each node is asked about once.
    All placements are of n shards, the chunks in the order of their numbers.
    """
    if not placements:
        return n
    table = _table(placements, n)
    known, place = np.unique(table, return_inverse=True)
    live = np.array([_is_online(holder_of(int(alias))) if alias else False for alias in known])
    alive = live[place.reshape(table.shape)]
    rows = {number: row for row, (number, _, _) in enumerate(placements)} if suspects else {}
    for number, index, alias in suspects:
        row = rows.get(number)
        if row is not None and index < n and table[row, index] == alias:
            alive[row, index] = False
    return int(alive.sum(axis=1).min())


def stored_bytes(placements: Sequence[tuple[int, bytes, int]], n: int) -> int:
    """Bytes that the shards take on all nodes together."""
    if not placements:
        return 0
    lengths = np.array([length for _, _, length in placements], np.int64)
    return int(lengths @ (_table(placements, n) != placed.NOT_STORED).sum(axis=1))


def _table(placements: Sequence[tuple[int, bytes, int]], n: int) -> npt.NDArray[np.uint32]:
    return np.frombuffer(b"".join([packed for _, packed, _ in placements]), "<u4").reshape(-1, n)


def _is_online(holder: Holder | None) -> bool:
    return holder is not None and holder.online
