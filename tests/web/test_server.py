"""The server itself: its thread, its port, and clients that take their time."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import httpx
import pytest

from retryd.compose.ingesting import CLOSING_SECONDS, COMMAND_SECONDS, ingesting
from retryd.processes.parent import MARGIN_SECONDS
from retryd.settings.models import Configuration, HttpSettings
from retryd.telemetry.metrics import Metrics
from retryd.web import protocol
from retryd.web.access import Access
from retryd.web.app import Api, build_app
from retryd.web.ingest import Ingest
from retryd.web.server import HttpServer, listen
from tests.waiting import until
from tests.web.serving import Served, Told, serving

SILENT = 200


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Closes at the end what a test opened."""
    with ExitStack() as stack:
        yield stack


def connect(served: Served, sockets: ExitStack, said: bytes = b"") -> socket.socket:
    """Connect, say something and no more."""
    client = sockets.enter_context(socket.create_connection(served.address))
    client.sendall(said)
    client.settimeout(5)
    return client


def make_server(port: int, again_seconds: float = 0.05) -> HttpServer:
    """Return a server that is not started."""
    app = build_app(Told(), Metrics().exposition, "test")
    return HttpServer("127.0.0.1", port, app, again_seconds=again_seconds)


async def test_a_handler_that_blocks_the_workers_loop_changes_nothing(served: Served) -> None:
    url = served.client.base_url.join("/livez")
    answered = threading.Event()

    def ask() -> None:
        if httpx.get(url, trust_env=False).status_code == 200:
            answered.set()

    asker = threading.Thread(target=ask)
    asker.start()
    assert answered.wait(5)  # this test's loop is blocked until the answer is there
    asker.join()


async def test_an_answer_on_a_kept_connection_does_not_wait(served: Served) -> None:
    await served.client.get("/livez")
    began = time.monotonic()
    for _ in range(50):
        await served.client.get("/livez")
    assert time.monotonic() - began < 50 * 0.03


async def test_an_answer_comes_in_one_piece(served: Served, sockets: ExitStack) -> None:
    client = connect(served, sockets)
    for _ in range(20):
        client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await asyncio.to_thread(client.recv, 4096)).endswith(b"\r\n\r\nok\n")
    client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert (await asyncio.to_thread(client.recv, 4096)).endswith(b"\r\n\r\nok\n")
    assert await asyncio.to_thread(client.recv, 1) == b""


async def test_clients_who_only_connect_keep_nobody_out(served: Served, sockets: ExitStack) -> None:
    clients = [connect(served, sockets) for _ in range(SILENT)]
    async with httpx.AsyncClient(base_url=served.client.base_url) as client:
        for _ in range(3):
            assert (await client.get("/livez", timeout=3)).status_code == 200
    refused = [client for client in clients if is_closed(client)]
    assert len(refused) >= SILENT - protocol.CONNECTIONS


async def test_clients_whose_answers_take_long_keep_nobody_out(
    served: Served, sockets: ExitStack
) -> None:
    served.health.hangs = True
    asked = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"
    clients = [connect(served, sockets, asked) for _ in range(protocol.CONNECTIONS)]
    async with httpx.AsyncClient(base_url=served.client.base_url) as client:
        assert (await client.get("/livez", timeout=1)).status_code == 200
    assert [is_closed(each) for each in clients].count(True) <= 1, "and the oldest has to go"


def is_closed(client: socket.socket) -> bool:
    """Tell whether the server has ended this connection."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("said", [b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nhost: x\r\nx: "])
async def test_a_request_that_does_not_come_is_not_waited_for(
    served: Served, sockets: ExitStack, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(protocol, "EXCHANGE_SECONDS", 0.1)
    client = connect(served, sockets, said)
    await until(lambda: is_closed(client), within=3)


async def test_a_second_request_that_does_not_come_is_not_waited_for_either(
    served: Served, sockets: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "EXCHANGE_SECONDS", 0.3)
    client = connect(served, sockets, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await asyncio.to_thread(client.recv, 4096)).startswith(b"HTTP/1.1 200")
    client.sendall(b"GET /livez HT")
    await until(lambda: is_closed(client), within=3)


async def test_a_head_without_end_is_refused(served: Served, sockets: ExitStack) -> None:
    client = connect(served, sockets, b"GET /livez HTTP/1.1\r\nx: " + b"x" * 20_000)
    assert (await asyncio.to_thread(client.recv, 4096)).startswith(b"HTTP/1.1 400")


async def test_what_is_no_http_is_logged_by_us_and_by_nobody_else(
    served: Served, sockets: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(served, sockets, b"\x16\x03\x01 this is TLS\r\n\r\n")
    assert (await asyncio.to_thread(client.recv, 4096)).startswith(b"HTTP/1.1 400")
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.name for record in loud} == {"retryd.web.uvicorn"}


async def test_a_taken_port_is_told_once_and_had_when_it_is_free(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken = listen("127.0.0.1", 0)[0]
    port = taken.getsockname()[1]
    tries: list[str] = []
    server = make_server(port)
    server.start()
    try:
        await until(lambda: "http_port_taken" in [each.getMessage() for each in caplog.records])
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 0.3)  # several more attempts
        assert server.address is None
        taken.close()
        assert await until(lambda: server.address) == ("127.0.0.1", port)
        answer = await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}/livez")
        assert answer.status_code == 200
    finally:
        await asyncio.to_thread(server.stop)
    tries = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert tries == ["http_port_taken"]
    [told] = [each for each in caplog.records if each.getMessage() == "http_port_taken"]
    assert vars(told)["port"] == port
    assert "http.port" in vars(told)["remedy"]


async def test_a_host_that_is_not_ours_is_told_and_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = HttpServer("192.0.2.1", 0, build_app(Told(), Metrics().exposition, "test"))
    server.start()
    await until(lambda: "http_not_listening" in [each.getMessage() for each in caplog.records])
    await asyncio.to_thread(server.stop)
    assert server.address is None


async def test_the_address_is_logged_and_gone_after_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "retryd")
    async with serving() as served:
        port = served.address[1]
    [told] = [each for each in caplog.records if each.getMessage() == "http_listening"]
    assert vars(told)["address"] == f"http://127.0.0.1:{port}"
    assert served.server.address is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_the_end_does_not_wait_for_clients(served: Served, sockets: ExitStack) -> None:
    connect(served, sockets)
    connect(served, sockets, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
    served.health.hangs = True
    connect(served, sockets, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
    await served.client.get("/livez")
    began = time.monotonic()
    await asyncio.to_thread(served.server.stop)
    assert time.monotonic() - began < 5
    await asyncio.to_thread(served.server.stop)  # once more changes nothing
    assert "http" not in {thread.name for thread in threading.enumerate()}


async def test_an_answer_that_is_under_way_is_given_before_the_end(served: Served) -> None:
    served.health.hangs = True
    asking = asyncio.create_task(served.client.get("/readyz"))
    await until(lambda: served.health.asked)
    await asyncio.to_thread(served.server.stop)
    assert (await asking).json()["reasons"] == ["no answer within 2 s"]


def test_an_answer_under_way_may_take_as_long_as_a_capture_before_the_end() -> None:
    assert COMMAND_SECONDS < protocol.LAST_SECONDS < MARGIN_SECONDS - CLOSING_SECONDS


def test_a_server_that_never_started_can_be_stopped() -> None:
    make_server(0).stop()


def has_ipv6() -> bool:
    """Tell whether this machine has the loopback of IPv6."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "::1", "::"])  # noqa: S104
async def test_every_way_to_write_an_address_is_understood(host: str) -> None:
    if ":" in host and not has_ipv6():
        with pytest.raises(OSError, match=r"."):
            listen(host, 0)
        return
    async with serving(host) as served:
        assert (await served.client.get("/livez")).status_code == 200


@pytest.mark.parametrize("host", ["localhost", "::"])
async def test_a_name_with_several_addresses_listens_at_all_on_one_port(host: str) -> None:
    if not has_ipv6():
        host = "127.0.0.1"
    sockets = listen(host, 0)
    port = sockets[0].getsockname()[1]
    for each in sockets:
        assert each.getsockname()[1] == port
        each.close()


async def test_a_server_whose_needs_cannot_be_opened_tries_again() -> None:
    tries = []
    access, metrics = Access(HttpSettings()), Metrics()
    opened = ingesting(Configuration(), "postgresql://", metrics.captures.count, access)

    @asynccontextmanager
    async def opened_late() -> AsyncIterator[Ingest]:
        tries.append(time.monotonic())
        if len(tries) < 3:
            message = "not yet"
            raise OSError(message)
        async with opened() as ingest:
            yield ingest

    app = build_app(Told(), metrics.exposition, "test", Api(access, opened_late))
    server = HttpServer("127.0.0.1", 0, app, again_seconds=0.1)
    server.start()
    try:
        await until(lambda: server.address)
        assert len(tries) == 3
        assert tries[2] - tries[0] >= 0.2
    finally:
        await asyncio.to_thread(server.stop)


async def test_what_listens_is_told_with_each_of_its_addresses() -> None:
    heard: list[tuple[str, int]] = []
    app = build_app(Told(), Metrics().exposition, "test")
    server = HttpServer("localhost", 0, app, on_listening=heard.extend)
    server.start()
    try:
        address = await until(lambda: server.address)
        await until(lambda: heard)
        assert heard[0] == address
        assert {port for _, port in heard} == {heard[0][1]}
    finally:
        await asyncio.to_thread(server.stop)
