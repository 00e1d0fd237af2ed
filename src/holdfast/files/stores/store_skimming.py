"""The SQL that lists entries rather than rows: each found from the one before by a seek, in one statement.

A listing with a delimiter shows a common prefix for all keys under it. The first row under it is enough to
know it, and the next entry begins where all of them end: what such a page costs depends on its entries, not
on the keys that they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from holdfast.files.listing import after_all
from holdfast.files.records import Listed, Version
from holdfast.files.stores.store import HIDDEN
from holdfast.files.stores.store_prepared import Prepared

NO_KEY_ABOVE = b"\xff"
"""Greater than all keys: no UTF-8 begins with it."""

# The queries are put together from the pieces that stand here, never from what anybody says.
_SPAN = "bucket_id = :bucket_id AND key >= {start} AND key < :end"
_HEAD = f"SELECT {{columns}} FROM versions WHERE state = 'current' AND {_SPAN} ORDER BY key LIMIT 1"  # noqa: S608
"""The first current version from a key on."""

_PLACED = "{columns}, key AS by_key, sequence AS by_age"
_HEAD_OF_BOTH = (
    "SELECT {columns} FROM ("  # noqa: S608
    f"SELECT * FROM (SELECT {_PLACED} FROM versions WHERE state = 'current' AND {_SPAN}"
    " ORDER BY key LIMIT 1) AS one UNION ALL "
    f"SELECT * FROM (SELECT {_PLACED} FROM versions WHERE {HIDDEN} AND {_SPAN}"
    " ORDER BY key, sequence DESC LIMIT 1) AS other"
    ") AS heads ORDER BY by_key, by_age DESC LIMIT 1"
)
"""The first version from a key on, current or hidden."""

# Where the entry after that of `v` begins. An entry that is a key of its own ends the walk, or is followed by
# the next key: no key holds the NUL character, so none lies between a key and the same with a 1 after it.
_FOUND = {
    "sqlite": "instr(substr(v.key, :after), :delimiter)",
    "postgresql": "position(:delimiter IN substring(v.key FROM :after))",
}
_BEYOND = {
    "sqlite": f"CAST(substr(v.key, 1, :before + {_FOUND['sqlite']}) || :successor AS BLOB)",
    "postgresql": f"substring(v.key FROM 1 FOR :before + {_FOUND['postgresql']}) || :successor",
}
_NEXT_KEY = {"sqlite": "CAST(v.key || x'01' AS BLOB)", "postgresql": "v.key || decode('01', 'hex')"}
_MORE = "walk.step < :rows AND walk.following IS NOT NULL"


def _following(dialect: str, *, ending: bool) -> str:
    otherwise = "NULL" if ending else _NEXT_KEY[dialect]
    return f"CASE WHEN {_FOUND[dialect]} > 0 THEN {_BEYOND[dialect]} ELSE {otherwise} END"


def _on_sqlite(columns: Sequence[str], head: str, *, ending: bool) -> str:
    """The walk holds numbers of rows: SQLite joins with what lies to the left only by an expression."""
    following = _following("sqlite", ending=ending)
    first, then = (head.format(columns="id", start=start) for start in (":start", "walk.following"))
    shown = ", ".join(f"v.{name}" for name in columns)
    return (
        f"WITH RECURSIVE walk(step, id, following) AS (SELECT 1, v.id, {following}"  # noqa: S608
        f" FROM versions AS v WHERE v.id = ({first})"
        f" UNION ALL SELECT walk.step + 1, v.id, {following}"
        f" FROM walk CROSS JOIN versions AS v ON v.id = ({then}) WHERE {_MORE})"
        f" SELECT {shown} FROM walk CROSS JOIN versions AS v ON v.id = walk.id ORDER BY walk.step"
    )


def _on_postgresql(columns: Sequence[str], head: str, *, ending: bool) -> str:
    """The walk holds whole rows: a join with numbers might be planned as one with the whole table."""
    following = _following("postgresql", ending=ending)
    names = ", ".join(columns)
    first, then = (head.format(columns=names, start=start) for start in (":start", "walk.following"))
    return (
        f"WITH RECURSIVE walk AS (SELECT 1 AS step, {following} AS following, v.* FROM ({first}) AS v"  # noqa: S608
        f" UNION ALL SELECT walk.step + 1, {following}, v.*"
        f" FROM walk CROSS JOIN LATERAL ({then}) AS v WHERE {_MORE})"
        f" SELECT {names} FROM walk ORDER BY step"
    )


def _skimming(columns: Sequence[str], head: str, *, ending: bool) -> Prepared:
    return Prepared(
        {
            "sqlite": text(_on_sqlite(columns, head, ending=ending)),
            "postgresql": text(_on_postgresql(columns, head, ending=ending)),
        }
    )


OF_KEYS = _skimming(Listed._fields, _HEAD, ending=False)
"""The first row of each entry of a listing of keys."""

OF_OBJECTS = _skimming(Version._fields, _HEAD, ending=False)
"""The same, with all columns."""

OF_HISTORIES = _skimming(Listed._fields, _HEAD_OF_BOTH, ending=True)
"""The first row of each entry of a listing of versions, up to the first key that is an entry of its own."""


def skim(
    connection: Connection,
    query: Prepared,
    bucket_id: int,
    span: tuple[bytes, bytes | None, int],
    prefix: bytes,
    delimiter: bytes,
) -> list[Any]:
    """The first `rows` entries with start <= key < end, all of whose keys begin with the prefix."""
    start, end, rows = span
    return query(
        connection,
        bucket_id=bucket_id,
        start=start,
        end=NO_KEY_ABOVE if end is None else end,
        rows=rows,
        delimiter=delimiter,
        successor=after_all(delimiter),
        after=len(prefix) + 1,
        before=len(prefix) - 1,
    ).fetchall()
