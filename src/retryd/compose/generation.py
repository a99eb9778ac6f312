"""One worker's life in this process: a reload begins the next one, and lets this one drain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from retryd.compose.worker import open_worker

if TYPE_CHECKING:
    from retryd.client.app import App
    from retryd.ports import Observer
    from retryd.settings.models import Configuration
    from retryd.store.reach import Reach
    from retryd.worker.supervisor import Worker


class Generation:
    """A worker that runs as a task of its own."""

    def __init__(self, worker: Worker, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        self.worker = worker
        self.task = task
        self._stop = stop

    def stop(self) -> None:
        """Let the worker drain; its task ends after that."""
        self._stop.set()


async def begin(
    configuration: Configuration,
    dsn: str,
    app: App | None,
    observer: Observer,
    reach: Reach,
    *,
    until_empty: bool = False,
) -> Generation:
    """Start a worker and return when it works; raises what `open_worker` raises."""
    stop = asyncio.Event()
    opened: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with open_worker(
            configuration, dsn, app, observer, reach, until_empty=until_empty
        ) as worker:
            opened.set_result(worker)
            await worker.run(stop)

    task = asyncio.create_task(work(), name="worker")
    await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
    if not opened.done():
        await task  # raises why
    return Generation(opened.result(), stop, task)
