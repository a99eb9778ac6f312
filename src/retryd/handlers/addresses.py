"""Which addresses a handler may dial: public ones, and what its configuration allows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

CLOSED: Final[tuple[Network, ...]] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this host, on Linux
            "10.0.0.0/8",
            "100.64.0.0/10",  # behind a provider's translation
            "127.0.0.0/8",
            "168.63.129.16/32",  # the host's services, in Azure
            "169.254.0.0/16",  # link-local: the metadata of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            "2001::/23",  # protocol assignments
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, but for what it carries
            "3fff::/20",  # documentation
        ),
    )
)
"""What the registries of special purposes (IANA, RFC 6890) do not let the internet route."""

OPEN_V6: Final = IPv6Network("2000::/3")
"""All unicast that is routed in IPv6; local, loopback, multicast and reserved lie outside."""

CARRIES_V4: Final = (
    (IPv6Network("::/96"), 0),  # IPv4-compatible, given up
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
)
"""Networks whose addresses carry one of IPv4, which is what is reached, and its place in bits."""

TEREDO: Final = IPv6Network("2001::/32")


def may_dial(address: str, allowed: Collection[Network]) -> bool:
    """Tell whether this address, as the system dials it, is public or in an allowed network.

    An address that carries another is judged by the one that is reached.
    """
    try:
        dialled = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    reached: list[Address] = [*carried_by(dialled)] or [dialled]
    return all(
        any(each in network for network in allowed)
        or any(dialled in network for network in allowed)
        or is_public(each)
        for each in reached
    )


def is_public(address: Address) -> bool:
    """Tell whether the internet routes it."""
    if isinstance(address, IPv6Address) and address not in OPEN_V6:
        return False
    return not any(address in network for network in CLOSED)


def carried_by(address: Address) -> Iterator[IPv4Address]:
    """Yield the addresses of IPv4 to which one of IPv6 leads."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    for network, shift in CARRIES_V4:
        if address in network and int(address) > 1:  # :: and ::1 carry nothing
            yield IPv4Address(number >> shift & 0xFFFFFFFF)
    if address in TEREDO:
        yield IPv4Address(number >> 64 & 0xFFFFFFFF)  # the server
        yield IPv4Address(~number & 0xFFFFFFFF)  # the client
