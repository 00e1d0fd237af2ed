"""What a request's Host says: nothing, a bucket (virtual-host style), or a website."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

REMEMBERED_MAX: Final = 4096
NAME_MAX: Final = 300
"""Characters of a host with its port; longer ones are nobody's, and are not remembered."""


class Place(NamedTuple):
    """`bucket`: the one that the host names; None where the path names it. `website`: pages are served."""

    bucket: str | None = None
    website: bool = False


class Hosts:
    """Reads Host headers by the configured domains. Pure, but for remembering what it read."""

    def __init__(self, domains: Sequence[str], website_domains: Sequence[str] = ()) -> None:
        self._domains = _longest_first(domains)
        self._website_domains = _longest_first(website_domains)
        self._known: dict[str, Place] = {}

    def place(self, host: str) -> Place:
        """What this Host header stands for; what no domain matches names no bucket."""
        if len(host) > NAME_MAX:
            return Place()
        found = self._known.get(host)
        if found is None:
            found = self._read(_name_of(host))
            if len(self._known) >= REMEMBERED_MAX:
                # Strangers may send any number of names.
                self._known.clear()
            self._known[host] = found
        return found

    def _read(self, name: str) -> Place:
        for domain in self._website_domains:
            if name.endswith("." + domain):
                return Place(name[: -len(domain) - 1], website=True)
        for domain in self._domains:
            if name == domain:
                return Place()
            if name.endswith("." + domain):
                return Place(name[: -len(domain) - 1])
        return Place()


def _longest_first(domains: Sequence[str]) -> tuple[str, ...]:
    names = {_name_of(domain.strip()).strip(".") for domain in domains}
    return tuple(sorted(names - {""}, key=lambda name: (-len(name), name)))


def _name_of(host: str) -> str:
    """The name in lower case, without port and without the dot that may end it."""
    name = host.lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].removesuffix(".")
