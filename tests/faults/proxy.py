"""A TCP proxy before PostgreSQL that loses answers, falls silent and breaks connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.faults.wire import Messages, Statements
from tests.waiting import until

CHUNK = 65_536


@dataclass(slots=True, eq=False)
class Link:
    """One connection: its client, the server behind it, and what was done to it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    listens: bool = False
    deaf: bool = False  # the answer that comes next is lost

    def reset(self) -> None:
        """Break both ends with RST; a silent link notices as well."""
        self.flowing.set()
        for writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Stands between clients and one port of this machine. All it did is counted."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.answers_lost = 0
        self.swallowed = 0  # bytes that came in while their connection was silent
        self._behind = port
        self._links: set[Link] = set()
        self._open = True
        self._silent = False
        self._to_lose: tuple[bytes, int] = (b"", 0)
        self._listening: asyncio.Server | None = None

    @classmethod
    @asynccontextmanager
    async def before(cls, port: int) -> AsyncIterator[Proxy]:
        """Open a proxy before a port."""
        proxy = cls(port)
        proxy._listening = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        try:
            yield proxy
        finally:
            proxy._listening.close()
            proxy.reset()
            await until(lambda: not proxy._links)

    def dsn(self, dsn: str) -> str:
        """Return the same address by way of the proxy; without TLS, which it could not read."""
        assert self._listening is not None
        parts = urlsplit(dsn)
        user, _, _ = parts.netloc.rpartition("@")
        port = self._listening.sockets[0].getsockname()[1]
        netloc = f"{user}@127.0.0.1:{port}"
        return parts._replace(netloc=netloc, query="sslmode=disable").geturl()

    def drop(self, *, only_listening: bool = False, new_too: bool = False) -> int:
        """Fall silent with every socket open, as a router does that forgot the connection.

        Returns how many connections are silent; `new_too` lets later ones be the same.
        """
        chosen = [link for link in self._links if link.listens or not only_listening]
        for link in chosen:
            link.flowing.clear()
        self._silent = new_too
        return len(chosen)

    def resume(self) -> None:
        """Copy again what was held back, accept and pass everything."""
        self._open, self._silent = True, False
        for link in self._links:
            link.flowing.set()

    def reset(self, *, closed: bool = False) -> int:
        """Break every connection with RST, and with `closed` each new one too; returns how many."""
        self._open = not closed
        chosen = list(self._links)
        for link in chosen:
            link.reset()
        return len(chosen)

    def lose_answers(self, statement: str, times: int = 1) -> None:
        """Let the server run a statement with this text, and break the connection, so often.

        The answer is lost: the client cannot know that the statement was committed.
        """
        self._to_lose = statement.encode(), times

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not self._open:
            Link(writer, writer).reset()
            return
        try:
            behind, server = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            Link(writer, writer).reset()
            return
        link = Link(writer, server)
        if not self._silent:
            link.flowing.set()
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._up(link, reader))
                tasks.create_task(self._down(link, behind))
        except* OSError:
            pass
        finally:
            self._links.discard(link)
            for end in (writer, server):
                end.close()

    async def _up(self, link: Link, reader: asyncio.StreamReader) -> None:
        """Pass on what the client says; know the statements in it."""
        messages, statements = Messages(typeless=True), Statements()
        async for data in self._chunks(link, reader):
            for letter, body in messages.feed(data):
                text = statements.run_by(letter, body)
                link.listens |= text.lower().startswith(b"listen")
                wanted, times = self._to_lose
                if times and wanted in text:
                    self._to_lose = wanted, times - 1
                    link.deaf = True
            link.server.write(data)
            await link.server.drain()

    async def _down(self, link: Link, reader: asyncio.StreamReader) -> None:
        """Pass on what the server says, or lose it."""
        messages = Messages(typeless=False)
        async for data in self._chunks(link, reader):
            heard = [letter for letter, _ in messages.feed(data)]
            if link.deaf:
                if b"Z" in heard:  # ready for the next: the statement is committed
                    self.answers_lost += 1
                    link.reset()
                    return
                continue
            link.client.write(data)
            await link.client.drain()

    async def _chunks(self, link: Link, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Yield what comes in while the link flows; its end ends the other direction too."""
        while data := await reader.read(CHUNK):
            if not link.flowing.is_set():
                self.swallowed += len(data)
                await link.flowing.wait()
            yield data
        raise ConnectionResetError
