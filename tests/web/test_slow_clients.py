"""Clients who send slowly, too much, or other than they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from starlette.requests import Request
from starlette.types import Message

from retryd.web import protocol
from retryd.web.body import BODY_BYTES, Bodies
from retryd.web.problem import RequestRefused
from tests.postgres import Connection
from tests.web.posting import EVENT, Raw, head, post, stored
from tests.web.serving import Served

DRIPPING = 200
SMALL = b'{"event_type": "a.failed"}'


@pytest.fixture
async def raw(taking: Served) -> AsyncIterator[Raw]:
    """A client that says what it wants."""
    client = await Raw.to(taking)
    yield client
    client.close()


async def test_a_body_that_is_announced_as_too_large_is_refused_unread(raw: Raw) -> None:
    await raw.say(head(f"content-length: {BODY_BYTES + 1}"))
    assert await raw.status() == 413
    assert await raw.ended()


async def test_a_body_of_an_absurd_length_is_refused(raw: Raw) -> None:
    await raw.say(head(f"content-length: {10**30}"))
    assert await raw.status() in {400, 413}


async def test_a_body_as_large_as_is_allowed_is_read(
    taking: Served, connection: Connection
) -> None:
    answer = await post(taking, SMALL.ljust(BODY_BYTES))
    assert answer.status_code == 201
    assert (await post(taking, SMALL.ljust(BODY_BYTES + 1))).status_code == 413
    assert await stored(connection) == 1


async def test_a_body_without_end_is_refused_while_it_streams_and_the_connection_ends(
    raw: Raw,
) -> None:
    sent = 0

    async def stream() -> None:
        nonlocal sent
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        while True:
            await raw.say(chunk)
            sent += len(chunk)

    await raw.say(head("transfer-encoding: chunked"))
    streaming = asyncio.create_task(stream())
    assert await raw.status() == 413
    assert await raw.ended()
    streaming.cancel()
    await asyncio.gather(streaming, return_exceptions=True)
    assert sent >= BODY_BYTES


async def test_a_body_that_is_shorter_than_it_says_brings_nothing(
    taking: Served, connection: Connection, raw: Raw
) -> None:
    await raw.say(head("content-length: 1000"))
    await raw.say(SMALL)
    raw.close()
    assert (await post(taking, EVENT)).status_code == 201
    assert await stored(connection) == 1


async def test_what_comes_behind_the_body_is_a_request_of_its_own(
    connection: Connection, raw: Raw
) -> None:
    await raw.say(head(f"content-length: {len(SMALL)}").encode() + SMALL + SMALL + b"\r\n\r\n")
    assert await raw.status() == 201
    async with asyncio.timeout(10):
        assert b"HTTP/1.1 400" in await raw.reader.read()  # up to the end of the connection
    assert await stored(connection) == 1


@pytest.mark.parametrize(
    "lines",
    [
        ("content-length: 5", "content-length: 6"),
        ("content-length: -5",),
        ("content-length: 5, 6",),
        ("transfer-encoding: gzip, chunked",),
    ],
)
async def test_two_lengths_or_none_that_can_be_are_refused(
    connection: Connection, raw: Raw, lines: tuple[str, ...]
) -> None:
    await raw.say(head(*lines).encode() + SMALL)
    assert await raw.status() in {400, 501}
    assert await raw.ended()
    assert await stored(connection) == 0


async def test_both_ways_of_giving_the_length_hide_no_second_request(
    connection: Connection, raw: Raw
) -> None:
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMALL), SMALL)
    await raw.say(head("content-length: 4", "transfer-encoding: chunked").encode() + chunked)
    assert await raw.status() in {201, 400}
    assert await stored(connection) <= 1


@pytest.mark.parametrize("sent", ["POST", head("content-length: 1000") + "{", head()[:-2]])
async def test_a_request_that_is_not_whole_in_time_is_not_waited_for(
    taking: Served, connection: Connection, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    monkeypatch.setattr(protocol, "EXCHANGE_SECONDS", 0.2)
    raw = await Raw.to(taking)
    await raw.say(sent)
    dripping = asyncio.create_task(drip(raw))
    async with asyncio.timeout(10):
        assert await raw.ended()
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    raw.close()
    assert await stored(connection) == 0


async def drip(client: Raw) -> None:
    """Send a byte now and then, for as long as the server takes it."""
    try:
        while True:
            await client.say("x")
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass


@pytest.mark.parametrize("sent", ["POST /", head("content-length: 1000")])
async def test_healthy_requests_are_answered_beside_two_hundred_that_drip(
    taking: Served, connection: Connection, sent: str
) -> None:
    clients = [await Raw.to(taking) for _ in range(DRIPPING)]
    for client in clients:
        with suppress(ConnectionError):  # it had to make room for another one
            await client.say(sent)
    dripping = [asyncio.create_task(drip(client)) for client in clients]
    try:
        took = []
        for number in range(40):
            began = time.monotonic()
            answer = await post(taking, {**EVENT, "event_id": str(number)})
            took.append(time.monotonic() - began)
            assert answer.status_code == 201
        assert max(took) < 1, took
    finally:
        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)
        for client in clients:
            client.close()
    assert await stored(connection) == 40


async def test_a_body_that_does_not_come_is_hardly_waited_for_at_the_end(
    taking: Served, raw: Raw
) -> None:
    await raw.say(head("content-length: 1000") + "{")
    assert (await taking.client.get("/livez")).status_code == 200
    began = time.monotonic()
    await asyncio.to_thread(taking.server.stop)
    assert time.monotonic() - began < 3


async def test_bodies_that_together_are_too_much_have_to_come_one_after_the_other() -> None:
    def request(*parts: bytes) -> Request:
        left = [{"type": "http.request", "body": part, "more_body": True} for part in parts]

        async def receive() -> Message:
            return left.pop(0) if left else {"type": "http.request", "body": b""}

        return Request({"type": "http", "method": "POST", "headers": []}, receive)

    bodies = Bodies(most=100, most_held=150)
    async with bodies.of(request(b"x" * 100)):
        with pytest.raises(RequestRefused) as refused:
            async with bodies.of(request(b"x" * 40, b"x" * 40)):
                pass
        assert refused.value.status == 429
    async with bodies.of(request(b"x" * 100)) as body:
        assert len(body) == 100
