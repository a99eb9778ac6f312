"""Starts and ends programs that must not outlive this process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from retryd.embedded.account import Account

POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1


def spawn(
    command: Sequence[str | Path], account: Account, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Run `command` as `account`; on Linux it gets SIGINT when the calling thread ends.

    The kernel watches the thread that forked, not the process: call it on the thread that lives
    as long as the program shall, never in a pool's thread.
    """
    return subprocess.Popen(  # noqa: S603  (our own commands)
        command,
        stdout=output,
        stderr=subprocess.STDOUT,
        preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509  (takes no lock: all is looked up here)
        **account.options(),
    )


def _end_with(parent: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def before_exec() -> None:
        # A change of user clears the setting, and Popen has changed it before it calls this.
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return before_exec


async def exited(child: subprocess.Popen[bytes], within: float) -> bool:
    """Wait up to `within` seconds for the end of `child`."""
    deadline = time.monotonic() + within
    while child.poll() is None:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def end(child: subprocess.Popen[bytes], within: float) -> None:
    """Stop a server: a fast shutdown, after `within` seconds an immediate one, at last by force."""
    for stop in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if child.poll() is None:
            child.send_signal(stop)
        if await exited(child, within):
            return
