"""Patterns of policies: `*` for any characters, `?` for one, `${name}` for a fact of the request.

Pure, and linear in pattern and text: nobody can write a pattern that takes long to match. What a variable
stands for is text: a `*` in it is a star. `${*}`, `${?}` and `${$}` are those characters themselves, and
`${name, 'otherwise'}` has a value for when there is no such fact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

Facts = Callable[[str], "str | Sequence[str] | None"]
"""The value of a condition key by its lower-case name; None if the request has none."""

_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")
_DEFAULT: Final = re.compile(r"\s*([^\s,]+)\s*(?:,\s*'([^']*)'\s*)?")
_LITERAL: Final = frozenset("*?$")


class _Variable(NamedTuple):
    """A place that a fact fills; `otherwise` is None if there must be one."""

    name: str
    otherwise: str | None


class _Any(NamedTuple):
    """A `*`."""


class _One(NamedTuple):
    """A `?`."""


_Part = str | _Variable | _Any | _One
_ANY: Final = _Any()
_ONE: Final = _One()


class Pattern:
    """A pattern, read once."""

    __slots__ = ("_parts", "_ready", "text")

    def __init__(self, text: str, *, wild: bool, variables: bool) -> None:
        """A pattern.

        Args:
            text: as the policy has it.
            wild: whether `*` and `?` are more than characters.
            variables: whether `${...}` is more than characters.
        """
        self.text = text
        self._parts = _parts_of(text, wild=wild, variables=variables)
        variable = any(isinstance(part, _Variable) for part in self._parts)
        self._ready = None if variable else _matcher(self._parts)

    @property
    def head(self) -> str:
        """The characters before the first that stands for others; all of them if `literal`."""
        first = self._parts[0] if self._parts else ""
        return first if isinstance(first, str) else ""

    @property
    def literal(self) -> bool:
        """Whether it matches one text only, whatever the request."""
        return all(isinstance(part, str) for part in self._parts)

    def matches(self, text: str, facts: Facts) -> bool:
        """Whether the whole text is matched; never, if a variable has no value."""
        if self._ready is not None:
            return self._ready(text)
        filled: list[_Part] = []
        for part in self._parts:
            if not isinstance(part, _Variable):
                filled.append(part)
                continue
            value = facts(part.name)
            if not isinstance(value, str):
                value = part.otherwise
            if value is None:
                return False
            filled.append(value)
        return _matcher(_joined(filled))(text)

    def folded(self) -> Pattern:
        """The same for texts in lower case."""
        return Pattern(self.text.lower(), wild=True, variables=False)


def glob_matches(pattern: str, text: str) -> bool:
    """Whether a pattern without variables matches the whole text."""
    return _glob(pattern)(text)


@lru_cache(1024)
def _glob(pattern: str) -> Callable[[str], bool]:
    return _matcher(_parts_of(pattern, wild=True, variables=False))


def _parts_of(text: str, *, wild: bool, variables: bool) -> tuple[_Part, ...]:
    parts: list[_Part] = []
    at = 0
    for found in _VARIABLE.finditer(text) if variables else ():
        parts += _wild_parts(text[at : found.start()], wild=wild)
        parts.append(_variable(found))
        at = found.end()
    parts += _wild_parts(text[at:], wild=wild)
    return _joined(parts)


def _variable(found: re.Match[str]) -> _Part:
    inside = found[1]
    if inside in _LITERAL:
        return inside
    read = _DEFAULT.fullmatch(inside)
    return found[0] if read is None else _Variable(read[1].lower(), read[2])


def _wild_parts(text: str, *, wild: bool) -> list[_Part]:
    if not wild:
        return [text]
    return [
        _ANY if piece == "*" else _ONE if piece == "?" else piece
        for piece in re.split(r"([*?])", text)
        if piece
    ]


def _joined(parts: Sequence[_Part]) -> tuple[_Part, ...]:
    """The same with neighbouring texts made one, without empty ones and repeated stars."""
    joined: list[_Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if part == "" or (isinstance(part, _Any) and isinstance(last, _Any)):
            continue
        if isinstance(part, str) and isinstance(last, str):
            joined[-1] = last + part
        else:
            joined.append(part)
    return tuple(joined)


def _matcher(parts: tuple[_Part, ...]) -> Callable[[str], bool]:
    """What matches these parts, none of them a variable."""
    if not parts:
        return lambda text: not text
    if any(isinstance(part, _One) for part in parts):
        return _Automaton(parts).matches
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0].__eq__
    if len(parts) == 1:
        return lambda _text: True
    texts = [part if isinstance(part, str) else "" for part in parts]
    head, tail = texts[0], texts[-1]
    middle = [text for text in texts[1:-1] if text]
    least = sum(map(len, texts))
    return lambda text: len(text) >= least and _in_order(text, head, middle, tail)


def _in_order(text: str, head: str, middle: list[str], tail: str) -> bool:
    """Whether the text begins with `head`, ends with `tail`, and has the others between, in order."""
    if not text.startswith(head) or not text.endswith(tail):
        return False
    at, end = len(head), len(text) - len(tail)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end


class _Automaton:
    """All ways to match at once, as bits of a number: bit n is set when the first n characters are matched.

    (Shift-and of Baeza-Yates and Gonnet, 1992, with a loop on the bits that a star stands before.)
    """

    __slots__ = ("_any", "_characters", "_last", "_loops")

    def __init__(self, parts: tuple[_Part, ...]) -> None:
        self._characters: dict[str, int] = {}
        self._any = 0
        self._loops = 0
        place = 0
        for part in parts:
            if isinstance(part, _Any):
                self._loops |= 1 << place
            elif isinstance(part, _One):
                self._any |= 1 << place
                place += 1
            elif isinstance(part, str):
                for character in part:
                    self._characters[character] = self._characters.get(character, 0) | 1 << place
                    place += 1
        self._last = 1 << place

    def matches(self, text: str) -> bool:
        """Whether the whole text is matched."""
        state = 1
        for character in text:
            state = ((state & (self._any | self._characters.get(character, 0))) << 1) | (state & self._loops)
            if not state:
                return False
        return bool(state & self._last)
