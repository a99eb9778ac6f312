"""What the tests of the door for events send, and what they find in PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import asyncpg
import httpx

from tests.web.serving import TOKEN, Served

PATH: Final = "/api/v1/events"
JSON: Final = {"content-type": "application/json"}
BATCH: Final = {"content-type": "application/cloudevents-batch+json"}
STRUCTURED: Final = {"content-type": "application/cloudevents+json"}
EVENT: Final = {"event_type": "order.sync.failed", "source": "shop"}


def cloudevent(id: str, data: object = None, **said: object) -> dict[str, object]:
    """Make a CloudEvent."""
    required = {"specversion": "1.0", "id": id, "source": "/shop", "type": "order.sync.failed"}
    return {**required, "data": data, **said}


async def post(
    served: Served, body: object, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Post events."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await served.client.post(PATH, content=sent, headers=headers or JSON)


def outcomes(answer: httpx.Response) -> list[str]:
    """Return what became of each event."""
    return [each["outcome"] for each in answer.json()["events"]]


def errors(answer: httpx.Response) -> list[list[Any]]:
    """Return index and pointer of what is wrong."""
    return [[each["index"], each["pointer"]] for each in answer.json().get("errors", [])]


async def stored(connection: asyncpg.Connection) -> int:
    """Count what is in the books: retries and dead letters."""
    return int(await connection.fetchval("select count(*) from retryd.place"))


class Raw:
    """A client that says what it wants, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, served: Served) -> Raw:
        """Connect."""
        return cls(*await asyncio.open_connection(*served.address))

    async def say(self, text: str | bytes) -> None:
        """Send something."""
        self.writer.write(text.encode() if isinstance(text, str) else text)
        await self.writer.drain()

    async def status(self) -> int:
        """Read the line of the status of an answer."""
        async with asyncio.timeout(10):
            return int((await self.reader.readline()).split()[1])

    async def ended(self) -> bool:
        """Wait until the server has ended the connection."""
        async with asyncio.timeout(30):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
        return True

    def close(self) -> None:
        """Go away."""
        self.writer.transport.abort()


def head(*lines: str, path: str = PATH) -> str:
    """Write the head of a post."""
    ours = ("host: x", f"authorization: Bearer {TOKEN}", "content-type: application/json")
    said = "\r\n".join((*ours, *lines))
    return f"POST {path} HTTP/1.1\r\n{said}\r\n\r\n"
