"""Free ports on this machine's loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from holdfast.world.chance import SystemChance

LOOPBACK = "127.0.0.1"
FIRST, COUNT = 12_000, 20_000
"""Linux gives outgoing connections ports from 32,768 up."""
DRAWS_MAX = 100


def port_is_free(port: int) -> bool:
    """Whether something could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(wanted: Iterable[int]) -> list[int]:
    """The wanted ports, each replaced by another where it is 0 or taken. All different."""
    found: list[int] = []
    held: list[socket.socket] = []
    try:
        for port in wanted:
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(probe)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(probe, port)
            found.append(probe.getsockname()[1])
    finally:
        for probe in held:
            probe.close()
    return found


def _bind(probe: socket.socket, wanted: int) -> None:
    """To the wanted port, or to one of those that no outgoing connection is given.

    What the system picks for port 0 may be gone again, to any connection that begins, before who asked for
    it listens there.
    """
    chance = SystemChance()
    drawn = (FIRST + int.from_bytes(chance.bytes(4)) % COUNT for _ in range(DRAWS_MAX))
    for port in (wanted, *drawn):
        try:
            if port:
                probe.bind((LOOPBACK, port))
                return
        except OSError:
            continue
    probe.bind((LOOPBACK, 0))
