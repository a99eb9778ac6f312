"""How a process is reached from outside: over HTTP, or by the parent that has started it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import retryd
from retryd.compose.daemon import Daemon
from retryd.compose.ingesting import ingesting
from retryd.compose.systemd import announcing
from retryd.processes.link import ChildLink
from retryd.processes.parent import Parent
from retryd.telemetry.captures import Captures
from retryd.telemetry.log import bear
from retryd.telemetry.shared import shared_values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from retryd.client.app import App
    from retryd.compose.systemd import Systemd
    from retryd.ports import Health
    from retryd.settings.models import Configuration


SERVER_REMEDY: Final = "pip install 'retryd[server]' brings health and metrics over HTTP"

logger = logging.getLogger("retryd.web")


def can_serve() -> bool:
    """Tell whether the extra `server` is installed."""
    return all(find_spec(name) is not None for name in ("cloudevents", "fastapi", "uvicorn"))


@asynccontextmanager
async def serving(
    configuration: Configuration,
    dsn: str,
    health: Health,
    exposition: Callable[[str], tuple[bytes, str]],
    captures: Captures,
) -> AsyncIterator[None]:
    """Answer over HTTP while the context lasts, if the extra `server` is installed.

    Events that come in are captured in the database at `dsn`, and counted in `captures`.
    """
    if not can_serve():
        logger.warning("http_not_served", extra={"remedy": SERVER_REMEDY})
        yield
        return
    from retryd.web.access import Access  # noqa: PLC0415 - a child of a parent needs no web server
    from retryd.web.app import Api, build_app  # noqa: PLC0415 - the same
    from retryd.web.server import HttpServer  # noqa: PLC0415 - the same

    access = Access(configuration.http)
    api = Api(access, ingesting(configuration, dsn, captures.count, access))
    app = build_app(health, exposition, retryd.__version__, api)
    server = HttpServer(
        configuration.http.host, configuration.http.port, app, on_listening=access.listening
    )
    server.start()
    try:
        yield
    finally:
        server.stop()  # blocks for some seconds at most; nothing else is left to do here


@asynccontextmanager
async def reporting(link: ChildLink, daemon: Daemon) -> AsyncIterator[None]:
    """Tell the parent how the daemon is while the context lasts; end it when the parent is gone."""
    task = asyncio.create_task(link.run(daemon, daemon.stop), name="parent-link")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def open_daemon(
    configuration: Configuration,
    load: Callable[[], Configuration],
    dsn: str,
    app: App | None,
    child: int | None,
    *,
    systemd: Systemd,
    until_empty: bool,
) -> AsyncIterator[Daemon]:
    """Make the daemon of this process, reachable over HTTP or, if it is a child, by its parent.

    `child` is the file descriptor of the link that the parent has given to it. A child is not
    announced to systemd, which knows the parent alone.
    """
    if child is None:
        daemon = Daemon(configuration, load, dsn, app, until_empty=until_empty)
        async with (
            serving(configuration, dsn, daemon, daemon.exposition, daemon.captures),
            announcing(systemd, daemon),
        ):
            yield daemon
        return
    link = ChildLink.from_fd(child)
    bear(child=link.number)
    try:
        with shared_values(link.metrics, link.number):
            daemon = Daemon(configuration, load, dsn, app, until_empty=until_empty)
    except FileNotFoundError:  # a sibling was faster to notice, and has cleaned up
        logger.error("parent_gone")  # noqa: TRY400 - where it was noticed tells nothing
        raise SystemExit(1) from None
    async with reporting(link, daemon):
        yield daemon


class Fleet:
    """Several processes that work alike, and their parent, which speaks for them.

    `argv` runs one of them; all find the database at `dsn`.
    """

    def __init__(
        self,
        argv: Sequence[str],
        count: int,
        configuration: Configuration,
        dsn: str,
        *,
        systemd: Systemd,
        until_empty: bool,
    ) -> None:
        os.environ["RETRYD_DATABASE_URL"] = dsn  # the children's; on no command line for all to see
        self._configuration = configuration
        self._dsn = dsn
        self._systemd = systemd
        self._shutdown_seconds = configuration.retry.shutdown_timeout_seconds
        self._parent = Parent(
            argv,
            count,
            shutdown_seconds=self._shutdown_seconds,
            endless=not until_empty,
        )
        with shared_values(self._parent.directory, count):  # its children have the numbers below
            self._captures = Captures()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Run them until stopped, or until all are done; returns the exit status."""
        async with (
            serving(
                self._configuration,
                self._dsn,
                self._parent,
                self._parent.exposition,
                self._captures,
            ),
            announcing(self._systemd, self),
        ):
            return await self._parent.run(self._stopping)

    @property
    def shutdown_seconds(self) -> float:
        """How long the attempts of all may still take once they are to stop."""
        return self._shutdown_seconds

    def state(self) -> dict[str, object]:
        """Tell how they are, for people."""
        return self._parent.state()

    def stop(self) -> None:
        """Let all drain and end."""
        self._stopping.set()

    def hurry(self) -> None:
        """End all at once."""
        self._parent.forward(signal.SIGTERM)

    def reload(self) -> None:
        """Let each read the configuration again."""
        self._parent.forward(signal.SIGHUP)

    def dump(self) -> None:
        """Let each write to the log what it has in flight."""
        self._parent.forward(signal.SIGUSR1)
