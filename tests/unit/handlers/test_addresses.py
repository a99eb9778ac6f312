"""Which addresses may be dialled: it counts where a host leads to, however it is spelled."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from retryd.domain.outcome import Failure
from retryd.handlers.addresses import may_dial
from retryd.handlers.http import HttpHandlerSettings
from tests.unit.handlers.deliveries import delivered
from tests.unit.handlers.receiver import receiving, says

ALL = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def spelled() -> list[str]:
    text = (Path(__file__).parents[2] / "data" / "private_addresses.txt").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("host", spelled())
async def test_no_spelling_of_a_private_address_is_dialled(host: str) -> None:
    async with receiving(says("200 OK")) as receiver:
        settings = HttpHandlerSettings(
            match=("a.*",), url=SecretStr(f"http://{host}:{receiver.port}/")
        )
        outcome = await delivered(settings)
    assert isinstance(outcome, Failure)
    # What the system does not take for an address is a name, and leads nowhere.
    assert outcome.error_type in {"http.address", "http.dns"}
    assert receiver.connections == 0


async def test_a_private_address_is_dialled_where_its_network_is_allowed() -> None:
    async with receiving(says("200 OK")) as receiver:
        refused = await delivered(HttpHandlerSettings(match=("a.*",), url=SecretStr(receiver.url)))
        assert receiver.connections == 0
        for host in ("127.0.0.1", "localhost", "0x7f.1"):
            settings = HttpHandlerSettings(
                match=("a.*",),
                url=SecretStr(f"http://{host}:{receiver.port}/"),
                allow_cidrs=("127.0.0.0/8", "::1/128"),
            )
            assert not isinstance(await delivered(settings), Failure)
    assert isinstance(refused, Failure)
    assert "handlers.hook.allow_cidrs" in refused.message


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001::200e",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_public_addresses_are_dialled(address: str) -> None:
    assert may_dial(address, ())


@given(st.ip_addresses(v=4))
def test_what_may_be_dialled_is_global_by_the_standard_library_as_well(
    address: IPv4Address,
) -> None:
    assert not may_dial(str(address), ()) or address.is_global


@given(st.ip_addresses(v=4))
def test_an_address_that_carries_another_is_judged_by_it(address: IPv4Address) -> None:
    number = int(address)
    carriers = [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0xFFFF << 48 | number),
        IPv6Address((0x64FF9B << 96) | number),
        IPv6Address((0x2002 << 112) | number << 80 | 1),
        IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (~number & 0xFFFFFFFF)),
    ]
    for carrier in carriers:
        assert may_dial(str(carrier), ()) == may_dial(str(address), ())


@given(st.ip_addresses())
def test_an_allowed_network_opens_what_is_in_it(address: IPv4Address | IPv6Address) -> None:
    assert may_dial(str(address), ALL)
    assert may_dial(str(address), (ipaddress.ip_network(address),))


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "::g", "127.0.0.1/8"])
def test_what_is_no_address_is_not_dialled(text: str) -> None:
    assert not may_dial(text, ALL)
