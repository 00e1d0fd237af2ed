"""How well a version's chunks are kept: pure functions of placements, faults and the fleet.

A shard is *live* where its node is online and nothing is known against the shard; *missing* where it was
never stored, or was taken out of the placement to be rebuilt; *unreachable* where its node misses heartbeats
or left; *lost* where it was reported or proven lost or corrupt. Only live shards count: a report is not
proof, but until it is checked nothing is promised on a shard that may be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

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
    reported: Collection[tuple[int, int, int]],
    holder_of: HolderOf,
    n: int,
) -> int:
    """The least number of live shards of any of the chunks (number, placement, shard length); n if none.

    The same count as `chunk_health`, made for versions of very many chunks: each node is asked about once.
    """
    online: dict[int, bool] = {placed.NOT_STORED: False}
    suspects: dict[int, set[tuple[int, int]]] = {}
    for number, index, alias in reported:
        suspects.setdefault(number, set()).add((index, alias))
    fewest = n
    for number, placement, _ in placements:
        aliases = placed.unpack(placement)
        live = 0
        wrong = suspects.get(number, ())
        for index, alias in enumerate(aliases):
            if alias not in online:
                holder = holder_of(alias)
                online[alias] = holder is not None and holder.online
            live += online[alias] and (index, alias) not in wrong
        fewest = min(fewest, live)
    return fewest


def stored_bytes(placements: Sequence[tuple[int, bytes, int]]) -> int:
    """Bytes that the shards take on all nodes together."""
    return sum(
        length * sum(alias != placed.NOT_STORED for alias in placed.unpack(placement))
        for _, placement, length in placements
    )
