"""What a listing answers, decided from keys alone.

The law: a listing shows *entries* in byte order. Without a delimiter an entry is a key. With one, all keys
that share what comes up to the first delimiter after the prefix are rolled up into that common prefix, which
is one entry. A page holds at most `limit` entries and continues after the last entry shown; a marker that
lies inside a common prefix skips the whole of it, so a common prefix is never shown twice.

A `Page` says what it wants to read next (`want`) and is given rows (`feed`), until it is full or the keys
have ended. Rows that the entry of the row before stands for may be left out of what it is given; once it has
met a common prefix it seeks past it itself: the work depends on the entries shown, not on the keys in the
bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

_ROWS_MIN = 4
"""Rows read after a seek past a prefix: often the next key lies under yet another prefix."""


class Keyed(Protocol):
    """A row with its key."""

    @property
    def key(self) -> bytes:
        """UTF-8."""
        ...


RowT = TypeVar("RowT", bound=Keyed)


class Want(NamedTuple):
    """The next rows to read: the first `rows` with start <= key < end (no end: None), in byte order."""

    start: bytes
    end: bytes | None
    rows: int


def after_all(prefix: bytes) -> bytes | None:
    """The least string greater than every string that begins with `prefix`; None if there is none."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else None


def rolled_up(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """The common prefix that stands for `key`, or None if the key is an entry of its own."""
    if not delimiter or not key.startswith(prefix):
        return None
    cut = key.find(delimiter, len(prefix))
    return None if cut < 0 else key[: cut + len(delimiter)]


class Page(Generic[RowT]):
    """One page in the making. `rows` and `prefixes` are what it shows; `after` is how to go on, or None."""

    def __init__(self, *, prefix: bytes, delimiter: bytes, after: bytes | None, limit: int) -> None:
        self.prefix = prefix
        self.delimiter = delimiter
        self._limit = limit
        self._end = after_all(prefix)
        self._start: bytes | None = prefix
        self._burst = limit + 1
        self._last = b""
        self.rows: list[RowT] = []
        self.prefixes: list[bytes] = []
        self.after: bytes | None = None
        if after is not None:
            common = rolled_up(after, prefix, delimiter)
            beyond = after + b"\0" if common is None else after_all(common)
            self._start = None if beyond is None else max(prefix, beyond)

    def want(self) -> Want | None:
        """What to read next; None when the page is complete."""
        if self._start is None or self._limit == 0 or (self._end is not None and self._start >= self._end):
            return None
        return Want(self._start, self._end, self._burst)

    def feed(self, rows: Sequence[RowT]) -> None:
        """Takes the rows that `want` asked for: fewer than asked for means that the keys have ended."""
        wanted, self._start = self._burst, None
        skip_to: bytes | None = b""
        taken = 0
        for row in rows:
            if skip_to is None or row.key < skip_to:
                continue
            taken += 1
            if len(self.rows) + len(self.prefixes) == self._limit:
                # The entry that no longer fits only proves that there is more.
                self.after = self._last
                return
            common = rolled_up(row.key, self.prefix, self.delimiter)
            if common is None:
                self.rows.append(row)
                self._last = row.key
            else:
                self.prefixes.append(common)
                self._last = common
                skip_to = after_all(common)
        if len(rows) == wanted and skip_to is not None:
            self._start = max(rows[-1].key + b"\0", skip_to)
            # Reads as far as the last read was of use: a burst that fell under one prefix is not repeated.
            room = self._limit + 1 - len(self.rows) - len(self.prefixes)
            self._burst = min(room, max(_ROWS_MIN, 2 * taken))


WithinT = TypeVar("WithinT")


class WantWithin(NamedTuple, Generic[WithinT]):
    """The next rows to read where a key has several: those of the key `start` that come after `within`
    (None: all of them), then those of the keys after it, below `end`.
    """

    start: bytes
    within: WithinT | None
    end: bytes | None
    rows: int
    skim: bool = False
    """Rows under the common prefix of the row before may be left out, and a key of its own may end it."""


class HistoryPage(Generic[RowT, WithinT]):
    """A page of rows of which a key may have several, each an entry; `order` says where one stands in its
    key.

    The law is that of `Page`. It begins after `key_marker`, or inside it after `within`. When it is full,
    `more` is True, and the last entry shown is `last_row`, or the last common prefix where that is None.
    """

    def __init__(
        self,
        *,
        prefix: bytes,
        delimiter: bytes,
        key_marker: bytes | None,
        within: WithinT | None,
        limit: int,
        order: Callable[[RowT], WithinT],
    ) -> None:
        self.prefix = prefix
        self.delimiter = delimiter
        self._limit = limit
        self._order = order
        self._end = after_all(prefix)
        self._start: bytes | None = prefix
        self._within: WithinT | None = None
        self._burst = limit + 1
        self._skim = bool(delimiter)
        self.rows: list[RowT] = []
        self.prefixes: list[bytes] = []
        self.last_row: RowT | None = None
        self.more = False
        if key_marker is not None:
            self._begin(key_marker, within)

    def _begin(self, marker: bytes, within: WithinT | None) -> None:
        common = rolled_up(marker, self.prefix, self.delimiter)
        if common is not None:
            beyond = after_all(common)
            self._start = None if beyond is None else max(self.prefix, beyond)
        elif within is None or marker < self.prefix:
            self._start = max(self.prefix, marker + b"\0")
        else:
            self._start, self._within = marker, within

    def want(self) -> WantWithin[WithinT] | None:
        """What to read next; None when the page is complete."""
        if self._start is None or self._limit == 0 or (self._end is not None and self._start >= self._end):
            return None
        skim = self._skim and self._within is None
        return WantWithin(self._start, self._within, self._end, self._burst, skim)

    def feed(self, rows: Sequence[RowT]) -> None:
        """Takes the rows that `want` asked for: fewer than asked for means that they have ended."""
        wanted, self._start = self._burst, None
        skimmed = self._skim and self._within is None
        skip_to: bytes | None = b""
        taken = 0
        for row in rows:
            if skip_to is None or row.key < skip_to:
                continue
            taken += 1
            if len(self.rows) + len(self.prefixes) == self._limit:
                self.more = True
                return
            common = rolled_up(row.key, self.prefix, self.delimiter)
            if common is None:
                self.rows.append(row)
                self.last_row = row
            else:
                self.prefixes.append(common)
                self.last_row = None
                skip_to = after_all(common)
        own = self.last_row is not None
        if rows and (len(rows) == wanted or (skimmed and own)) and skip_to is not None:
            last = rows[-1].key
            self._start, self._within = (skip_to, None) if skip_to > last else (last, self._order(rows[-1]))
            self._skim = bool(self.delimiter) and not own
            room = self._limit + 1 - len(self.rows) - len(self.prefixes)
            self._burst = min(room, max(_ROWS_MIN, 2 * taken))
