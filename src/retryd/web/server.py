"""The HTTP server: on a thread and a loop of its own, where no handler can hold it up."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from typing_extensions import override

from retryd.own_thread import OwnThread
from retryd.web.protocol import LAST_SECONDS, PatientProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.types import ASGIApp

AGAIN_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 5
HEAD_BYTES = 16 * 1024
BACKLOG = 128

logger = logging.getLogger("retryd.web")


class HttpServer:
    """Serves `app` between `start` and `stop`. A port that is taken is tried again and again.

    `on_listening` hears, in the server's thread, each address and port that it listens at.
    """

    def __init__(
        self,
        host: str,
        port: int,
        app: ASGIApp,
        *,
        on_listening: Callable[[Sequence[tuple[str, int]]], None] = lambda _: None,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._host = host
        self._port = port
        self._app = app
        self._on_listening = on_listening
        self._again_seconds = again_seconds
        self._address: tuple[str, int] | None = None
        self._thread: OwnThread | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens: the address and the port; None while it does not."""
        return self._address

    def start(self) -> None:
        """Begin, once; returns before it listens."""
        self._thread = OwnThread("http", self._work)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, let answers that are under way end, and wait for that: some seconds."""
        if self._thread is not None:
            self._thread.join()

    async def _work(self, stopping: asyncio.Event) -> None:
        complained = False
        while not stopping.is_set():
            try:
                sockets = listen(self._host, self._port)
            except (OSError, UnicodeError) as error:  # a name that cannot be one, for the latter
                if not complained:
                    complained = True
                    self._complain(error)
                await self._rest(stopping)
                continue
            complained = False
            try:
                await self._serve(sockets, stopping)
            except Exception:  # a worker without its server still works
                logger.exception("http_failed")
                await self._rest(stopping)

    async def _serve(self, sockets: list[socket.socket], stopping: asyncio.Event) -> None:
        config = uvicorn.Config(
            self._app,
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            workers=1,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=LAST_SECONDS,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        server = Server(config, lambda: self._listening(sockets))
        ending = asyncio.create_task(self._end(server, stopping))
        try:
            await server.serve(sockets)
        finally:
            ending.cancel()
            self._address = None
            for each in sockets:
                each.close()

    def _listening(self, sockets: list[socket.socket]) -> None:
        addresses = [each.getsockname()[:2] for each in sockets]
        self._address = addresses[0]
        logger.info("http_listening", extra={"address": url_of(addresses[0])})
        self._on_listening(addresses)

    async def _end(self, server: uvicorn.Server, stopping: asyncio.Event) -> None:
        await stopping.wait()
        server.should_exit = True

    async def _rest(self, stopping: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._again_seconds):
                await stopping.wait()

    def _complain(self, error: OSError | UnicodeError) -> None:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        logger.error(
            "http_port_taken" if taken else "http_not_listening",
            extra={
                "host": self._host,
                "port": self._port,
                "reason": str(error),
                "remedy": "free the port, or set http.port (0: any that is free) or http.host; "
                "meanwhile the worker works, and the server tries again",
            },
        )


class Server(uvicorn.Server):
    """Tells when it takes connections, and not before."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:  # it is for a thread to end, not for a process
            raise RuntimeError("what the server needs could not be opened") from error
        if self.started:
            self._on_started()


def url_of(address: tuple[str, int]) -> str:
    """Return where something listens as a browser takes it."""
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen at each address that `host` has here, on one port; port 0: any that is free.

    Raises OSError if the port is taken at one of them, or there is none to listen at.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    problem: OSError | None = None
    for family, *_, address in found:
        try:
            listener = socket.create_server(
                (str(address[0]), port),
                family=family,
                dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
            )
        except OSError as error:
            problem = error
            if error.errno == errno.EADDRINUSE:
                break
            continue  # such as ::1, a name of localhost also where there is no IPv6
        # Connections inherit it. asyncio sets it only on sockets that name their protocol; without
        # it every answer on a connection that is kept waits 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets.append(listener)
        port = listener.getsockname()[1]
    if problem is not None and (not sockets or problem.errno == errno.EADDRINUSE):
        for each in sockets:
            each.close()
        raise problem
    return sockets
