"""A process that starts a server and holds it until its input ends; prints what happens to it."""

from __future__ import annotations

import asyncio
import signal
import sys

from retryd.embedded import EmbeddedPostgres


async def hold(directory: str) -> None:
    interrupted = lambda: print("interrupted", flush=True)  # noqa: E731, T201
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted)
    async with EmbeddedPostgres(directory) as server:
        print(server.dsn, flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(hold(sys.argv[1]))
