"""A child for the tests: `program.py BEHAVIOUR FOLDER --child FD`; leaves its pid in the folder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from retryd.ports import Readiness
from retryd.processes.link import ChildLink
from retryd.telemetry.metrics import Metrics, Vitals
from retryd.telemetry.shared import shared_values


class Working:
    """Says that it works, and how often it was told to reload."""

    def __init__(self, *, ready: bool) -> None:
        self.is_ready = ready
        self.reloads = 0

    async def ready(self) -> Readiness:
        return Readiness(self.is_ready, () if self.is_ready else ("PostgreSQL is away",))

    def state(self) -> Mapping[str, object]:
        return {"reloads": self.reloads}

    def reload(self) -> None:
        self.reloads += 1


async def work(behaviour: str, folder: Path, link: ChildLink) -> int:
    """Do as the behaviour says; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    health = Working(ready=behaviour != "away")
    loop.add_signal_handler(signal.SIGHUP, health.reload)
    loop.add_signal_handler(signal.SIGTERM, stop_once, loop, stop)
    with shared_values(link.metrics, link.number):
        metrics = Metrics("test")
    metrics.watch(lambda: Vitals(1, 2, 3, 10, ready=True))
    metrics.refresh()
    metrics.rescued(1)
    lives = len(list(folder.glob(f"{link.number}-*")))
    (folder / f"{link.number}-{os.getpid()}").touch()
    if behaviour == "done":
        return 0
    if behaviour == "misused" and link.number == 0:
        return 2
    if behaviour == "refused":
        return 1
    if behaviour == "crash twice" and lives < 2:
        os._exit(70)
    reporting = asyncio.create_task(link.run(health, stop.set))
    if behaviour == "misused later":
        await parent_knows(folder)
        return 2
    if behaviour == "deaf":
        await asyncio.sleep(0)
        while True:
            time.sleep(60)
    await stop.wait()
    if behaviour == "slow":
        (folder / "stopping").touch()
        await asyncio.Event().wait()
    reporting.cancel()
    await asyncio.gather(reporting, return_exceptions=True)
    return 0


async def parent_knows(folder: Path) -> None:
    """Wait until the test has seen that the parent takes this child for ready."""
    while not (folder / "seen").exists():
        await asyncio.sleep(0.02)


def stop_once(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop; a second signal has its usual effect."""
    stop.set()
    loop.remove_signal_handler(signal.SIGTERM)


if __name__ == "__main__":
    _, behaviour, folder, _, fd = sys.argv
    sys.exit(asyncio.run(work(behaviour, Path(folder), ChildLink.from_fd(int(fd)))))
