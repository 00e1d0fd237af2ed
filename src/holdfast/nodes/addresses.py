"""Where nodes say they answer: checked, and turned into the subnet they share with others. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from holdfast.world.errors import Refusal
from holdfast.world.network import parse_address

ADDRESSES_MAX: Final = 8
ADDRESS_CHARACTERS_MAX: Final = 200
PORT_MAX: Final = 65535

_PREFIX: Final = {4: 24, 6: 64}


def check_addresses(addresses: Sequence[str]) -> None:
    """Raises Refusal("request.invalid") for addresses that nobody could dial. None at all is fine.

    A node without any is reached through a relay only.
    """
    if len(addresses) > ADDRESSES_MAX:
        raise _invalid(f"{len(addresses)} addresses are more than {ADDRESSES_MAX}")
    for text in addresses:
        if len(text) > ADDRESS_CHARACTERS_MAX:
            raise _invalid(f"'{text[:40]}...' is too long for an address")
        try:
            address = parse_address(text)
        except Refusal as refusal:
            raise _invalid(refusal.message.removesuffix(".")) from refusal
        if not 0 < address.port <= PORT_MAX:
            raise _invalid(f"'{text}' names no port that can be dialled")
        literal = _literal(address.host)
        if literal is not None and (literal.is_unspecified or literal.is_multicast):
            raise _invalid(f"'{text}' is an address to listen at, not one to dial")
        if literal is not None and literal.is_link_local:
            # Of no use beyond the next cable; in data centres, where machines are told their credentials.
            raise _invalid(f"'{text}' is good on its own link only")


def subnet_of(addresses: Sequence[str]) -> str:
    """The /24 (IPv4) or /64 (IPv6) of the first address; its host name if it has one; "" without any.

    A name says nothing about the network behind it, so each name counts as a subnet of its own.
    """
    if not addresses:
        return ""
    host = parse_address(addresses[0]).host
    literal = _literal(host)
    if literal is None:
        return host.lower()
    return str(ipaddress.ip_network((literal, _PREFIX[literal.version]), strict=False))


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = literal.ipv4_mapped if isinstance(literal, ipaddress.IPv6Address) else None
    return mapped or literal


def _invalid(why: str) -> Refusal:
    return Refusal(
        "request.invalid",
        f"The node's addresses cannot be used: {why}.",
        advice="Advertise addresses like tls://203.0.113.7:7420.",
    )
