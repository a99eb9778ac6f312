"""One worker's life in this process: a reload begins the next one, and lets this one drain."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retryd.compose.worker import open_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.compose.process import Process
    from retryd.ports import OwnedHandler
    from retryd.settings.models import Configuration
    from retryd.worker.supervisor import Worker


@dataclass(frozen=True, slots=True)
class Generation:
    """A worker that runs, and its task, which ends with it."""

    worker: Worker
    task: asyncio.Task[None]


async def begin(
    configuration: Configuration,
    handlers: Sequence[OwnedHandler],
    dsn: str,
    process: Process,
    **ends: bool,
) -> Generation:
    """Start a worker and return when it works; takes and raises what `open_worker` does."""
    opened: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with open_worker(configuration, handlers, dsn, process, **ends) as worker:
            opened.set_result(worker)
            await worker.run()

    task = asyncio.create_task(work(), name="worker")
    try:
        await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
    except BaseException:  # nobody will know of the worker
        task.cancel()
        await asyncio.wait((task,))
        raise
    if not opened.done():
        await task  # raises why
    return Generation(opened.result(), task)
