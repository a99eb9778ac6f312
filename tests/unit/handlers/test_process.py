"""The end of a program before its time: everything it started goes with it."""

from __future__ import annotations

import asyncio
import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from retryd.domain.outcome import Outcome
from retryd.handlers import open_handler
from retryd.handlers.command import CommandHandlerSettings
from retryd.handlers.kept import Kept
from retryd.handlers.process import REPORT_BYTES, _Watch
from retryd.ports import Handler
from tests.unit.handlers.attempts import alive, attempt, gone, pids_in
from tests.waiting import until

WORKER = """
import asyncio, sys
from retryd.handlers import open_handler
from retryd.handlers.command import CommandHandlerSettings
from tests.unit.handlers.attempts import attempt

settings = CommandHandlerSettings(
    match=("job.*",), argv=("sh", "-c", sys.argv[1]), kill_after_seconds=0.1
)
asyncio.run(attempt(open_handler("job", settings)))
"""

DEAF = 'trap "" TERM INT HUP;'


def shell(script: str, kill_after_seconds: float = 20) -> Handler:
    settings = CommandHandlerSettings(
        match=("job.*",), argv=("sh", "-c", script), kill_after_seconds=kill_after_seconds
    )
    return open_handler("job", settings)


def family(pids: Path, trap: str = "") -> str:
    """Write the script of a program with a child, which both run on and write their ids."""
    return (
        f"{trap} sh -c '{trap} echo $$ >> {pids}; while :; do sleep 1000; done' &"
        f" echo $$ >> {pids}; while :; do sleep 1000; done"
    )


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def children() -> int:
    """Count the children of this process, the `ps` that looks and those that nobody reaped too."""
    parents = subprocess.check_output(["ps", "-A", "-o", "ppid="], text=True).split()
    return parents.count(str(os.getpid()))


async def started(handler: Handler, pids: Path) -> tuple[asyncio.Task[Outcome], list[int]]:
    """Start an attempt; return it with the two processes that run."""
    running = asyncio.create_task(attempt(handler))
    return running, await until(lambda: pids_in(pids, 2))


async def test_a_cancelled_attempt_ends_the_program_and_its_children(tmp_path: Path) -> None:
    running, pids = await started(shell(family(tmp_path / "pids")), tmp_path / "pids")
    assert all(map(alive, pids))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await gone(*pids)


async def test_a_program_may_tidy_up_at_sigterm(tmp_path: Path) -> None:
    tidy = f"trap 'echo tidy > {tmp_path / 'tidy'}; exit 0' TERM;"
    script = f"{tidy} echo $$ > {tmp_path / 'pids'}; while :; do sleep 0.01; done"
    running = asyncio.create_task(attempt(shell(script)))
    await until(lambda: pids_in(tmp_path / "pids", 1))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (tmp_path / "tidy").read_text() == "tidy\n"


async def test_who_ignores_sigterm_is_killed_in_time(tmp_path: Path) -> None:
    script = family(tmp_path / "pids", DEAF)
    running, pids = await started(shell(script, 0.1), tmp_path / "pids")
    running.cancel()
    await until(running.cancelled)
    await gone(*pids)


async def test_a_second_cancellation_kills_at_once(tmp_path: Path) -> None:
    script = family(tmp_path / "pids", DEAF)
    running, pids = await started(shell(script), tmp_path / "pids")
    running.cancel()
    await asyncio.wait([running], timeout=0)
    running.cancel()
    await until(running.cancelled)
    await gone(*pids)


async def test_a_guard_that_was_stopped_or_killed_is_not_needed(tmp_path: Path) -> None:
    for number in (signal.SIGSTOP, signal.SIGKILL):
        path = tmp_path / number.name
        running, pids = await started(shell(family(path), 0.1), path)
        os.kill(os.getpgid(pids[0]), number)
        running.cancel()
        await until(running.done)
        await gone(*pids)


@pytest.mark.parametrize("trap", ["", DEAF], ids=["obedient", "deaf"])
async def test_no_program_outlives_a_worker_that_was_killed(tmp_path: Path, trap: str) -> None:
    pids = tmp_path / "pids"
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, family(pids, trap)), cwd=Path(__file__).parents[3]
    )
    running = await until(lambda: pids_in(pids, 2), within=30)
    guard = os.getpgid(running[0])
    worker.kill()
    await worker.wait()
    await gone(guard, *running)


async def test_an_ended_attempt_leaves_no_descriptor_and_no_child_behind() -> None:
    handler = shell("exit 0")
    await attempt(handler)
    before = descriptors(), children()
    for _ in range(5):
        await attempt(handler)
    assert (descriptors(), children()) == before


def test_what_an_ended_program_left_in_its_pipes_is_read() -> None:
    ours, theirs = socket.socketpair()
    control, far_control = socket.socketpair()
    with ours, theirs, control, far_control, selectors.DefaultSelector() as selector:
        watch = _Watch(selector, control, 0)
        kept = watch.keep(ours, Kept(REPORT_BYTES))
        theirs.send(b"x" * 150_000)
        watch.drain()
    assert kept.bytes == b"x" * 150_000
