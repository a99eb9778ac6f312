"""The shop's partners: a real service on a socket that fails as partners do."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

ADDRESS_VARIABLE = "SHOP_PARTNERS"


class Partners:
    """Answers one JSON line per connection, `ok` or what went wrong.

    The post loses the first two letters of each order, the bank is away for three calls, the
    warehouse does not answer its first call at all, and the printer refuses until it is repaired.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.called: asyncio.Condition = asyncio.Condition()
        self.repaired = False

    async def waited_for(self, operation: str) -> None:
        """Wait until an operation has been called."""
        async with self.called:
            await self.called.wait_for(lambda: self.calls[operation] > 0)

    async def answer(self, operation: str, key: str) -> str | None:
        """Serve one call; None is no answer."""
        async with self.called:
            self.calls[operation] += 1
            self.calls[key] += 1
            self.called.notify_all()
        nth = self.calls[key]
        match operation:
            case "mail.send" if nth <= 2:  # noqa: PLR2004 - the story
                return "mailbox busy"
            case "payment.charge" if nth <= 3:  # noqa: PLR2004 - the story
                return "bank is away"
            case "stock.sync" if nth == 1:
                return None
            case "invoice.print" if not self.repaired:
                return "printer out of paper"
        return "ok"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            call = json.loads(await reader.readline())
            said = await self.answer(call["operation"], f"{call['operation']} {call['order']}")
            if said is None:
                await reader.read()  # until the caller is gone
                return
            writer.write(f"{said}\n".encode())
            await writer.drain()
        except ConnectionError:
            pass  # the caller was killed: that is part of the story
        finally:
            writer.close()


@asynccontextmanager
async def open_partners() -> AsyncIterator[tuple[Partners, str]]:
    """Open the service on a free port of this machine; yields it and its address."""
    partners = Partners()
    server = await asyncio.start_server(partners.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield partners, f"127.0.0.1:{port}"
    finally:
        server.close()


async def call_partner(address: str, operation: str, order: str) -> None:
    """Call a partner. Raises ConnectionError when it says no."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(json.dumps({"operation": operation, "order": order}).encode() + b"\n")
        said = (await reader.readline()).decode().strip()
    finally:
        writer.close()
    if said != "ok":
        raise ConnectionError(said or "no answer")
