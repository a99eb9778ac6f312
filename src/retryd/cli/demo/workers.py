"""Worker processes of the demo: real ones, started as a person would start them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from retryd.cli.demo.partners import ADDRESS_VARIABLE
from retryd.cli.demo.shop import SETTINGS

STOP_SECONDS = 20.0


@asynccontextmanager
async def open_worker(dsn: str, address: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `retryd run` for the shop; asks it to stop at the end, unless it is gone by then."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("RETRYD_")
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "retryd", "run", "--app", "retryd.cli.demo.shop:app"),
        env={**inherited, **SETTINGS, ADDRESS_VARIABLE: address, "RETRYD_DATABASE_URL": dsn},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
