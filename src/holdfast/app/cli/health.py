"""An object's health in words and tables, for `holdfast stat`. Plain functions, but for the asking."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from holdfast.app.cli.output import shown, size_text, time_text

if TYPE_CHECKING:
    from holdfast.client.session import AsyncSession
    from holdfast.protocol.control import ObjectHealth

Table = tuple[list[str], list[list[str]]]

CHUNKS_SHOWN: Final = 20
NODE_RIGHT: Final = frozenset({2})
CHUNK_RIGHT: Final = frozenset({0, 1})


async def whole_health(session: AsyncSession, bucket: str, key: str, version_id: str | None) -> ObjectHealth:
    """The health of one version with all its chunks, however many."""
    import msgspec

    found = await session.stat(bucket, key, version_id=version_id)
    chunks = list(found.chunks)
    while found.chunks_after is not None:
        found = await session.stat(
            bucket, key, version_id=found.version.version_id, chunks_from=found.chunks_after
        )
        chunks += found.chunks
    return msgspec.structs.replace(found, chunks=chunks)


def summary_lines(found: ObjectHealth) -> list[str]:
    """What the object is, and the sentence that matters: how many more losses it survives."""
    version, rule = found.version, found.redundancy
    per_byte = f", {found.stored_bytes / version.size:.2f} stored bytes for each" if version.size else ""
    return [
        f"{version.bucket}/{shown(version.key)}",
        f"  size      {size_text(version.size)} ({version.size} bytes){per_byte}",
        f"  stored    {time_text(version.created)} UTC, version {version.version_id}",
        f"  checksum  {version.checksum}",
        f"  class     {version.storage_class}: any {rule.k} of {rule.n}, repair below {rule.repair_at}",
        f"  chunks    {version.chunk_count}",
        f"  survives  {survival(found)}",
    ]


def survival(found: ObjectHealth) -> str:
    """How the object stands, in a sentence."""
    if not found.version.chunk_count:
        return "any loss: it is empty, and lives in the metadata"
    if found.survives < 0:
        return "NOT READABLE NOW: too few shards of a chunk are live; bring nodes back"
    if found.survives == 0:
        return "no further loss: a chunk has only just enough live shards"
    whole = found.redundancy.n - found.redundancy.k
    strength = "full strength" if found.survives == whole else f"of {whole} at full strength"
    plural = "node" if found.survives == 1 else "nodes"
    return f"the loss of any {found.survives} more {plural} ({strength})"


def node_table(found: ObjectHealth) -> Table:
    """Which nodes hold how many shards, and how these are."""
    shards: Counter[tuple[str, str]] = Counter()
    states: dict[tuple[str, str], Counter[str]] = {}
    for chunk in found.chunks:
        for place in chunk.shards:
            if place.state == "missing":
                continue
            node = (place.node_name, place.node_id.hex()[:16])
            shards[node] += 1
            states.setdefault(node, Counter())[place.state] += 1
    rows = [
        [shown(name) or "-", node_id, str(shards[name, node_id]), _states_text(states[name, node_id])]
        for name, node_id in sorted(shards)
    ]
    return ["node", "id", "shards", "state"], rows


def chunk_table(found: ObjectHealth, limit: int | None) -> tuple[Table, int]:
    """A line for each chunk, the weakest first where not all are shown; and how many are left out."""
    chunks = found.chunks
    if limit is not None and len(chunks) > limit:
        chunks = sorted(chunks, key=lambda chunk: (chunk.live, chunk.number))[:limit]
    rows = []
    for chunk in chunks:
        wrong = Counter(place.state for place in chunk.shards if place.state != "live")
        rows.append([str(chunk.number), f"{chunk.live}/{found.redundancy.n}", _states_text(wrong)])
    return (["chunk", "live", "not live"], rows), len(found.chunks) - len(chunks)


def _states_text(states: Counter[str]) -> str:
    if list(states) == ["live"]:
        return "live"
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
