"""The child's end of the link: it reports how it is, and ends when its parent is gone."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from retryd.own_thread import OwnThread
from retryd.processes.messages import Report, Welcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from retryd.ports import Health, Readiness

LOOK_SECONDS = 0.2
REPORT_SECONDS = 1.0

logger = logging.getLogger("retryd.processes")


class ChildLink:
    """Speaks on a thread and a loop of its own, so that no handler can silence it."""

    def __init__(self, line: socket.socket, welcome: Welcome) -> None:
        self._socket = line
        self._welcome = welcome

    @classmethod
    def from_fd(cls, fd: int) -> ChildLink:
        """Take over the file descriptor that the parent named. Raises OSError if it is none."""
        line = socket.socket(fileno=fd)
        line.set_inheritable(False)  # programs that handlers start must not keep it open
        told = b""
        while not told.endswith(b"\n"):  # it was written before this process was started
            part = line.recv(4096)
            if not part:
                line.close()
                raise ConnectionResetError("the parent is gone")
            told += part
        return cls(line, Welcome.read(told))

    @property
    def number(self) -> int:
        """Which child this is, from 0; who takes its place has the same number."""
        return self._welcome.number

    @property
    def metrics(self) -> Path:
        """The directory that this child shares its metrics in."""
        return self._welcome.metrics

    async def run(self, health: Health, stop: Callable[[], None]) -> None:
        """Report until cancelled. When the parent is gone call `stop`; returns then.

        A process that does not end by itself in the time that its parent gave it is ended then.
        """
        here = asyncio.get_running_loop()

        def on_gone() -> None:
            with suppress(RuntimeError):  # the loop is closed: the process is ending anyway
                here.call_soon_threadsafe(stop)

        async def talk(stopping: asyncio.Event) -> None:
            await self._talk(health, on_gone, stopping)

        thread = OwnThread("parent-link", talk)
        thread.start()
        try:
            await thread.ended()
        finally:
            thread.join()

    async def _talk(
        self, health: Health, on_gone: Callable[[], None], stopping: asyncio.Event
    ) -> None:
        reader, writer = await asyncio.open_connection(sock=self._socket)
        reporting = asyncio.create_task(self._report(health, writer))
        gone = asyncio.create_task(ended(reader))
        ending = asyncio.create_task(stopping.wait())
        await asyncio.wait((gone, ending), return_when=asyncio.FIRST_COMPLETED)
        reporting.cancel()
        writer.transport.abort()
        if stopping.is_set():
            return
        on_gone()
        end = threading.Timer(self._welcome.end_within_seconds, os._exit, (1,))
        end.daemon = True
        end.start()
        shutil.rmtree(self._welcome.metrics, ignore_errors=True)
        logger.error("parent_gone")

    async def _report(self, health: Health, writer: asyncio.StreamWriter) -> None:
        """Tell every second, and at once when the readiness is another."""
        told: Readiness | None = None
        told_at = 0.0
        clock = asyncio.get_running_loop().time
        while True:
            readiness = await health.ready()
            if readiness.ready != (told and told.ready) or clock() - told_at >= REPORT_SECONDS:
                told, told_at = readiness, clock()
                report = Report(readiness.ready, readiness.reasons, dict(health.state()))
                writer.write(report.line())
                with suppress(OSError):
                    await writer.drain()
            await asyncio.sleep(LOOK_SECONDS)


async def ended(reader: asyncio.StreamReader) -> None:
    """Wait for the end of the parent, which says nothing more before it."""
    with suppress(OSError):
        await reader.read()
