"""A server of HTTP that does what servers do, the bad ones too, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import SecretStr

Answer: TypeAlias = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class Request:
    """What came; names of headers in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Receiver:
    """Where it listens, what came, and how many connections were made."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        """An address at it."""
        return f"http://127.0.0.1:{self.port}/retry"


@asynccontextmanager
async def receiving(
    answer: Answer, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Serve, each request with this answer, while the context lasts."""
    receiver = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    receiver.requests.append(await read_request(reader))
                    await answer(reader, writer)
        finally:
            writer.transport.abort()

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is resets_at_once:
            receiver.connections += 1
            await reset(writer)
            return
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # in which what was aborted is closed


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Read one request whose length is told."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (it.partition(":") for it in lines)
    }
    return Request(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def says(status: str, body: bytes = b"", *headers: str) -> Answer:
    """Answer with this status and body, and these headers beside the length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole)
        await writer.drain()

    return answer


async def reset(writer: asyncio.StreamWriter) -> None:
    """Reset a connection."""
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def resets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request, and reset the connection."""
    await reset(writer)
    raise ConnectionResetError


async def resets_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reset the connection before a byte of the request is read."""
    await resets(_, writer)


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take the request, and say nothing until the client has gone."""
    await reader.read()
    raise ConnectionResetError


def drips(head: bytes, rest: bytes = b"x") -> Answer:
    """Answer with this head, and then a little of the rest again and again without an end."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(rest)

    return answer


async def never_ends_its_headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a status and then headers, as fast as they are taken."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        await writer.drain()
        writer.write(b"X-A: b\r\n" * 1000)
        await asyncio.sleep(0)


def says_bytes(whole: bytes) -> Answer:
    """Answer with these bytes and the end of the connection."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole)
        await writer.drain()
        writer.close()
        raise ConnectionResetError

    return answer


def floods(status: str, sent: list[int]) -> Answer:
    """Answer with a gigabyte; what of it was taken off our hands is in `sent`."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        for _chunk in range(1 << 14):
            writer.write(b"\0" * (1 << 16))
            await writer.drain()
            sent.append(1 << 16)

    return answer


KEYS = (
    SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    SecretStr("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazYBx1yq6Xw="),
)
"""Two keys that sign."""
