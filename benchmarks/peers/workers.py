"""Worker processes of a contender: what they report and cost, and how they end."""

from __future__ import annotations

import asyncio
import json
import signal
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.cost import cpu_seconds, peak_megabytes

POLL_SECONDS = 0.005
SCRAPE_SECONDS = 1.0
CELL_SECONDS = 120.0  # the longest that a drain may take
STOP_SECONDS = 15.0


class ContenderError(Exception):
    """A contender's program failed; the message has its last words."""


@dataclass(slots=True)
class Reports:
    """What the workers of a cell have reported so far."""

    folder: Path
    _read: dict[Path, int] = field(default_factory=dict)
    _calls: dict[Path, int] = field(default_factory=dict)
    first: float = 0.0
    starts: list[tuple[int, float]] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How often handlers were called."""
        return sum(self._calls.values())

    def look(self) -> int:
        """Read what is new; returns the calls."""
        for path in self.folder.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.splitlines():
                said = json.loads(line)
                self._calls[path] = said["calls"]
                self.first = min(filter(None, (self.first, said["first"])))
                self.starts += map(tuple, said["starts"])
        return self.calls


@dataclass(slots=True)
class Workers:
    """Worker processes of a contender that run."""

    processes: list[asyncio.subprocess.Process]
    reports: Reports
    log: Path
    port: int
    """Where their metrics are, if they have any."""

    @property
    def pids(self) -> list[int]:
        """The processes that were started; they may have children."""
        return [process.pid for process in self.processes]

    async def until(self, calls: int, within: float = CELL_SECONDS) -> bool:
        """Wait for so many calls; false when they did not come in time."""
        deadline = time.monotonic() + within
        while self.reports.look() < calls:
            if time.monotonic() > deadline:
                return False
            if any(process.returncode is not None for process in self.processes):
                raise ContenderError(f"a worker ended: {tail(self.log)}")
            await asyncio.sleep(POLL_SECONDS)
        return True

    def cpu_seconds(self) -> float:
        """Return their time on a processor."""
        return cpu_seconds(*self.pids)

    def peak_megabytes(self) -> float:
        """Return their largest resident size."""
        return peak_megabytes(*self.pids)


async def stop(process: asyncio.subprocess.Process) -> None:
    """End a process, by force if need be."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


async def scrape(port: int) -> None:
    """Read the metrics each second, as Prometheus would."""
    while True:
        await asyncio.sleep(SCRAPE_SECONDS)
        with suppress(OSError):
            await asyncio.to_thread(scraped, port)


def scraped(port: int) -> bytes:
    """Read the metrics once."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
        text: bytes = response.read()
        return text


def tail(log: Path) -> str:
    """Return the last words of a log."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
