"""The application that `retryd run` serves in the benchmarks; BENCH_MODE says what it does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import retryd
from benchmarks.peers.adapters.protocol import Report, Step, step_of

app = retryd.App()
report = Report(Path(os.environ.get("BENCH_REPORT", os.devnull)))
mode = os.environ.get("BENCH_MODE", "")
step: Step | None = None


def begun() -> Step:
    """Begin to report with the first call: a parent of processes imports this too."""
    global step  # noqa: PLW0603 - one per process
    report.begin()
    step = step_of(mode, report)
    return step


@app.handler("bench.noop")
async def noop(retry: retryd.Retry) -> None:
    """Do what the mode says."""
    (step or begun())(retry.id, lambda: retry.payload)
    if mode == "hold":
        await asyncio.Event().wait()


for number in range(int(os.environ.get("BENCH_LANES", "0"))):
    app.handler(f"bench.lane-{number}", name=f"lane-{number}")(noop)
