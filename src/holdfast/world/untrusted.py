"""Decoding bytes that somebody else chose."""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Every error that decoding them may end with: beside its own, the library lets through those of text that is
not UTF-8 and of nesting too deep.
"""
