"""A running `retryd run`, and its log as it is written."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.canary import hide_password, sings


@dataclass
class Running:
    """The process, and the lines that it has logged."""

    process: asyncio.subprocess.Process
    log: list[dict[str, Any]] = field(default_factory=list)

    async def read(self) -> None:
        """Collect the log to its end."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(json.loads(line))

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of the log with this event."""
        return [line for line in self.log if line["event"] == event]


@asynccontextmanager
async def running(
    folder: Path, dsn: str, *options: str, **variables: str
) -> AsyncIterator[Running]:
    """Run the application in `billing.py` of a folder; kills it at the end if need be."""
    hide_password(dsn)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "retryd", "run", "--app", "billing:app", *options),
        cwd=folder,
        env={**os.environ, "RETRYD_HTTP__PORT": "0", "RETRYD_DATABASE_URL": dsn, **variables},
        stderr=asyncio.subprocess.PIPE,
    )
    worker = Running(process)
    reading = asyncio.create_task(worker.read())
    try:
        yield worker
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
        assert [line for line in worker.log if sings(json.dumps(line))] == []
