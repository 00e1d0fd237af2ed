"""Keys that something on the way may take for something else."""

from __future__ import annotations

from typing import Final

ODD_KEYS: Final[dict[str, str]] = {
    "space": "a key with  two spaces",
    "space at the ends": " padded ",
    "plus": "1+1=2",
    "percent": "100%",
    "percent escape": "a%2Fb%20c%25",
    "question mark": "what?now=yes&then",
    "hash": "a#fragment",
    "ampersand and angle": '<a>&"quotes"\'</a>',
    "star": "glob*?[x]{y}",
    "backslash": "back\\slash",
    "colon": "C:\\x:y",
    "tilde": "~user/~",
    "leading slash": "/rooted",
    "two slashes": "a//b",
    "slash at the end": "folder/inside/",
    "dot": "a/./b",
    "dots": "a/../b",
    "leading dots": "../../etc/passwd",
    "three dots": "...",
    "emoji": "\U0001f33f holdfast \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1f8\U0001f1ea",
    "accents": "caf\N{LATIN SMALL LETTER E WITH ACUTE} cafe\N{COMBINING ACUTE ACCENT}",
    "japanese": "\N{CJK UNIFIED IDEOGRAPH-65E5}\N{CJK UNIFIED IDEOGRAPH-672C}/\N{HIRAGANA LETTER A}",
    "beyond the first plane": "\U00010000\U0010fffd",
    "last of the first plane": "\N{REPLACEMENT CHARACTER}\ue000",
    "1024 bytes": "k" * 1024,
    "1024 bytes of emoji": "\U0001f33f" * 256,
    "tab": "a\tb",
    "newline": "a\nb",
    "control": "a\x01b\x1fc",
    "carriage return": "a\rb",
    "delete": "a\x7fb",
    "no-break space": "a\N{NO-BREAK SPACE}b",
}
