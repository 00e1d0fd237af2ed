"""Milliseconds for a page of a large bucket beside the same page of a small one, on both databases.

The large bucket holds `KEYS` keys under `PREFIXES` common prefixes, one key with `HISTORY` versions, and
`DELETED` keys that delete markers hide; the small one has a fortieth of each, which is more than a page of
1000 entries shows. What a page costs must depend on the page: the two columns should be alike.

Run: `python -m bench listing`. PostgreSQL is started by scripts/postgresql and left out if that fails.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import uvloop
from sqlalchemy import Connection, text

from bench.metadata import server
from holdfast.files.bucket_records import BucketRecords
from holdfast.files.histories import Histories
from holdfast.files.records import Bucket
from holdfast.world.chance import SystemChance
from holdfast.world.clock import SystemClock
from holdfast.world.database import Database
from holdfast.world.migrations.upgrade import upgrade_schema
from holdfast.world.open_database import open_database

KEYS: Final = 1_000_000
PREFIXES: Final = 100_000
HISTORY: Final = 50_000
DELETED: Final = 50_000
SMALLER: Final = 40
ROUNDS: Final = 7

COLUMNS: Final = (
    "tenant, bucket_id, key, version_id, sequence, size, checksum, storage_class, k, n, repair_at,"
    " chunk_size, chunk_count, envelope_mode, envelope_key_id, envelope_wrapped, closing, sealed_as,"
    " part_count, user_metadata, etag, attributes, created, modified, state, is_null, marker"
)
ATTRIBUTES: Final = "81a868656164657273" + "81ac636f6e74656e742d74797065aa746578742f706c61696e"


class _Words:
    """What the two databases write differently."""

    def __init__(self, dialect: str) -> None:
        self.postgresql = dialect == "postgresql"

    def count_to(self, last: int) -> str:
        if self.postgresql:
            return f"(SELECT i FROM generate_series(1, {last}) AS t(i)) AS numbers"
        return (
            "(WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t"
            f" WHERE i < {last}) SELECT i FROM t) AS numbers"
        )

    def number(self, expression: str, digits: int) -> str:
        if self.postgresql:
            return f"lpad(({expression})::text, {digits}, '0')"
        return f"printf('%0{digits}d', {expression})"

    def bytes_of(self, expression: str) -> str:
        return f"convert_to({expression}, 'UTF8')" if self.postgresql else f"CAST({expression} AS BLOB)"

    def hexadecimal(self, digits: str) -> str:
        return f"'\\x{digits}'::bytea" if self.postgresql else f"x'{digits}'"


def _insert(
    words: _Words, bucket_id: int, *, key: str, sequence: str, state: str, rows: int, tag: str
) -> str:
    """Rows 1..rows of one kind; `key`, `sequence` and `state` are expressions of the number i."""
    empty = words.bytes_of("''")
    return (
        f"INSERT INTO versions ({COLUMNS}) SELECT 'bench', {bucket_id}, {words.bytes_of(key)},"
        f" '{tag}{bucket_id}-' || {words.number('i', 9)}, {sequence}, 4096, 'crc64nvme:0000000000000000',"
        f" 'standard', 2, 5, 4, 65536, 1, 'gateway', {words.bytes_of(repr('k' * 32))},"
        f" {words.bytes_of(repr('w' * 60))}, {words.bytes_of(repr('c' * 120))}, '', 0, {empty},"
        f" '0123456789abcdef0123456789abcdef', {words.hexadecimal(ATTRIBUTES)}, i, i, {state},"
        f" {'false' if words.postgresql else 0},"
        f" {'(' + state + ') = ' + repr('marker')} FROM {words.count_to(rows)}"
    )


def fill(connection: Connection, bucket_id: int, share: int) -> None:
    """Puts the rows of a bucket in, a `share`-th of the largest."""
    words = _Words(connection.dialect.name)
    prefixes = PREFIXES // share
    kinds = (
        (f"'p/' || {words.number(f'i % {prefixes}', 6)} || '/' || {words.number('i', 9)}", KEYS // share),
        ("'m/history'", HISTORY // share),
        (f"'m/gone/' || {words.number('i', 9)}", DELETED // share),
        (f"'m/gone/' || {words.number('i', 9)}", DELETED // share),
    )
    states = (
        ("1", "'current'"),
        ("i", f"CASE WHEN i = {HISTORY // share} THEN 'current' ELSE 'noncurrent' END"),
        ("1", "'noncurrent'"),
        ("2", "'marker'"),
    )
    for tag, (key, rows), (sequence, state) in zip("abcd", kinds, states, strict=True):
        connection.execute(
            text(
                _insert(
                    words, bucket_id, key=key, sequence=sequence, state=state, rows=rows, tag=tag
                ).replace(":", "\\:")
            )
        )


def pages(histories: Histories, bucket: Bucket, share: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What is asked for, by name."""
    prefixes = PREFIXES // share
    middle = f"p/{prefixes // 2:06}/"
    newest = f"b{bucket.id}-{HISTORY // share // 2:09}"
    return {
        "first keys": lambda: histories.list(bucket),
        "keys from the middle": lambda: histories.list(bucket, after=middle),
        "keys of a deep prefix": lambda: histories.list(bucket, prefix=middle, delimiter="/"),
        "keys where all are deleted": lambda: histories.list(bucket, prefix="m/gone/"),
        "common prefixes": lambda: histories.list(bucket, prefix="p/", delimiter="/"),
        "common prefixes from the middle": lambda: histories.list(
            bucket, prefix="p/", delimiter="/", after=middle
        ),
        "versions from the middle": lambda: histories.list_versions(bucket, key_marker=middle),
        "versions of one key": lambda: histories.list_versions(bucket, prefix="m/history"),
        "versions of one key from the middle": lambda: histories.list_versions(
            bucket, key_marker="m/history", version_marker=newest
        ),
        "versions, all of them deleted": lambda: histories.list_versions(bucket, prefix="m/gone/"),
        "versions with common prefixes": lambda: histories.list_versions(bucket, prefix="p/", delimiter="/"),
    }


async def timed(database: Database) -> dict[str, dict[str, float]]:
    """Milliseconds for each page, of the large bucket and of the small one: the median of several."""
    clock, chance = SystemClock(), SystemChance()
    buckets, histories = BucketRecords(database, clock), Histories(database, clock, chance)
    found: dict[str, dict[str, float]] = {}
    for size, share in (("small", SMALLER), ("large", 1)):
        bucket = await buckets.create("bench", f"bench-{size}", "standard", versioning="on")
        began = time.perf_counter()
        await database.transact(fill, bucket.id, share)
        print(f"  {size} bucket filled in {time.perf_counter() - began:.1f} s", flush=True)
        await database.transact(_analyze)
        for name, ask in pages(histories, bucket, share).items():
            seconds = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await ask()
                seconds.append(time.perf_counter() - began)
            found.setdefault(name, {})[size] = statistics.median(seconds) * 1000
    return found


def _analyze(connection: Connection) -> None:
    """PostgreSQL does it by itself after a while; SQLite is left to plan without statistics, as it runs."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("ANALYZE versions"))


async def _measure(url: str) -> dict[str, dict[str, float]]:
    database = open_database(url)
    try:
        return await timed(database)
    finally:
        await database.close()


def measure() -> dict[str, Any]:
    """All figures, as `database.page.size` in milliseconds; prints them as tables."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        # The server's own user must be able to reach its folder in here.
        folder.chmod(0o711)
        with server(folder / "postgresql") as postgresql:
            for kind, url in (("sqlite", f"sqlite:///{folder / 'bench.db'}"), ("postgresql", postgresql)):
                if not url:
                    continue
                upgrade_schema(url)
                figures[kind] = uvloop.run(_measure(url))
                _print(kind, figures[kind])
    return figures


def _print(kind: str, found: dict[str, dict[str, float]]) -> None:
    print(f"  {kind + ', ms a page of 1000':40} {'small':>8} {'large':>8}")
    for name, sizes in found.items():
        print(f"  {name:40} {sizes['small']:8.1f} {sizes['large']:8.1f}")
