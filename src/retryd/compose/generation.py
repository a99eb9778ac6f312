"""One worker's life in this process: a reload begins the next one, and lets this one drain."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retryd.compose.worker import open_worker

if TYPE_CHECKING:
    from retryd.client.app import App
    from retryd.compose.process import Process
    from retryd.settings.models import Configuration
    from retryd.worker.supervisor import Worker


@dataclass(frozen=True, slots=True)
class Generation:
    """A worker that runs, and its task, which ends with it."""

    worker: Worker
    task: asyncio.Task[None]


async def begin(
    configuration: Configuration,
    dsn: str,
    app: App | None,
    process: Process,
    *,
    until_empty: bool = False,
) -> Generation:
    """Start a worker and return when it works; raises what `open_worker` raises."""
    opened: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with open_worker(configuration, dsn, app, process, until_empty=until_empty) as worker:
            opened.set_result(worker)
            await worker.run()

    task = asyncio.create_task(work(), name="worker")
    await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
    if not opened.done():
        await task  # raises why
    return Generation(opened.result(), task)
