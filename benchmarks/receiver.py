"""A receiver of HTTP that takes everything and costs little: what is measured is the client."""

from __future__ import annotations

import asyncio
import re
from multiprocessing.connection import Connection
from typing import cast

import uvloop
from typing_extensions import override

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
END = b"\r\n\r\n"


class Receiver(asyncio.Protocol):
    """Answers each request once it is there."""

    def __init__(self) -> None:
        self._got = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is no subclass

    @override
    def data_received(self, data: bytes) -> None:
        self._got += data
        while (head := self._got.find(END)) >= 0:
            length = LENGTH.search(self._got, 0, head)
            end = head + len(END) + (int(length[1]) if length else 0)
            if len(self._got) < end:
                return
            self._got = self._got[end:]
            self._transport.write(ANSWER)


def serve(told: Connection) -> None:
    """Tell the port, and answer until ended."""

    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())
