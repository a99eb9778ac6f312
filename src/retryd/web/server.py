"""The HTTP server: on a thread and a loop of its own, where no handler can hold it up."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from retryd.web.protocol import PatientProtocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

AGAIN_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 5
LAST_SECONDS = 3
HEAD_BYTES = 16 * 1024
BACKLOG = 128

logger = logging.getLogger("retryd.web")


class HttpServer:
    """Serves `app` between `start` and `stop`. A port that is taken is tried again and again."""

    def __init__(
        self, host: str, port: int, app: ASGIApp, *, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._host = host
        self._port = port
        self._app = app
        self._again_seconds = again_seconds
        self._address: tuple[str, int] | None = None
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens: the address and the port; None while it does not."""
        return self._address

    def start(self) -> None:
        """Begin, once; returns before it listens."""
        self._loop = loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, let answers that are under way end, and wait for that: some seconds."""
        if self._loop is None or self._thread is None:
            return
        with suppress(RuntimeError):  # its loop is closed: it was stopped before
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._work())

    async def _work(self) -> None:
        complained = False
        while not self._stopping.is_set():
            try:
                sockets = listen(self._host, self._port)
            except (OSError, UnicodeError) as error:  # a name that cannot be one, for the latter
                if not complained:
                    complained = True
                    self._complain(error)
                await self._rest()
                continue
            complained = False
            try:
                await self._serve(sockets)
            except Exception:  # a worker without its server still works
                logger.exception("http_failed")
                await self._rest()

    async def _serve(self, sockets: list[socket.socket]) -> None:
        config = uvicorn.Config(
            self._app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
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
        server = uvicorn.Server(config)
        self._address = sockets[0].getsockname()[:2]
        host, port = self._address
        shown = f"[{host}]" if ":" in host else host
        logger.info("http_listening", extra={"address": f"http://{shown}:{port}"})
        ending = asyncio.create_task(self._end(server))
        try:
            await server.serve(sockets)
        finally:
            ending.cancel()
            self._address = None
            for each in sockets:
                each.close()

    async def _end(self, server: uvicorn.Server) -> None:
        await self._stopping.wait()
        server.should_exit = True

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._again_seconds):
                await self._stopping.wait()

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
