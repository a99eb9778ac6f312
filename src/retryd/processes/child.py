"""One of the parent's children: started, listened to, started again when it crashed."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from retryd.processes.messages import LONGEST_LINE, Report, Welcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retryd.telemetry.shared import MergedMetrics

DONE = 0
PROBLEM = 1
MISUSED = 2
NOT_STARTED = 126
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0
SILENT_SECONDS = 5.0

logger = logging.getLogger("retryd.processes")


@dataclass(slots=True)
class Life:
    """A process that runs, and what it reported last."""

    process: Process
    report: Report | None = None
    reported_at: float = 0.0
    reloads: int = 0


class Child:
    """A place that a process fills, one after the other; may be asked from any thread."""

    def __init__(
        self, argv: Sequence[str], welcome: Welcome, metrics: MergedMetrics, *, endless: bool
    ) -> None:
        self.number = welcome.number
        self._argv = argv
        self._welcome = welcome
        self._metrics = metrics
        self._endless = endless
        self._was_ready = False
        self._life: Life | None = None
        self._restarts = 0
        self._last_exit: int | None = None

    async def keep(self, ending: asyncio.Event) -> int:
        """Run it until it is done, or ends after `ending` was set; returns its exit code.

        Final are 0, but not for one that is to work endlessly, and 1 or 2 before it was ever ready,
        which it never will be. All else is a crash: it is started again, each time later, as if for
        the first time when it had lived a while.
        """
        crashes = 0
        while not ending.is_set():
            began_at = time.monotonic()
            try:
                code = await self._run(ending)
            except OSError as error:  # no process or file is to be had just now
                logger.warning("child_not_started", extra={"reason": str(error)})
                code = NOT_STARTED
            self._last_exit = code
            if ending.is_set() or self._is_final(code):
                return code
            steady = time.monotonic() - began_at >= STEADY_SECONDS
            crashes = 1 if steady else crashes + 1
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(crashes - 1, 10))
            pause = random.uniform(0, longest)  # full jitter: they must not come back as one
            logger.warning(
                "child_restarted",
                extra={"child": self.number, "exit_code": code, "in_seconds": round(pause, 3)},
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await ending.wait()
            self._restarts += 1
        return DONE  # nothing runs that could drain

    def _is_final(self, code: int) -> bool:
        if code == DONE:
            return not self._endless
        return code in (PROBLEM, MISUSED) and not self._was_ready

    def signal(self, number: int) -> None:
        """Send a signal; but for the end, only to a process that is far enough to expect it."""
        life = self._life
        final = number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
        if life is not None and (final or life.report is not None):
            if number == signal.SIGHUP and life.report is not None:
                life.reloads = life.report.state.get("reloads", 0) + 1
            with suppress(ProcessLookupError):
                # Not Process.send_signal: it may reap a dead child, whose exit code is lost then.
                os.kill(life.process.pid, number)

    def reloading(self) -> bool:
        """Whether it has yet to read the configuration again, as a signal told it to."""
        life = self._life
        if life is None or life.report is None:
            return False
        told = life.report.state
        return bool(told.get("reloads", 0) < life.reloads or told.get("reloading"))

    def kill(self) -> None:
        """End it by force, and what it started in its session."""
        if self._life is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._life.process.pid, signal.SIGKILL)

    def problems(self) -> tuple[str, ...]:
        """Tell why it takes no work; nothing if it does."""
        life = self._life
        if life is None and self._last_exit is not None:
            return (f"it ended with {self._last_exit}",)
        if life is None or life.report is None:
            return ("it is starting",)
        silent = time.monotonic() - life.reported_at
        if silent > SILENT_SECONDS:
            return (f"it has been silent for {silent:.0f} s",)
        return () if life.report.ready else life.report.reasons or ("it is not ready",)

    def state(self) -> dict[str, Any]:
        """Tell how it is, for people."""
        life = self._life
        report = life.report if life else None
        return {
            "child": self.number,
            "pid": life.process.pid if life else None,
            "restarts": self._restarts,
            "last_exit": self._last_exit,
            "problems": self.problems(),
            **(report.state if report else {}),
        }

    async def _run(self, ending: asyncio.Event) -> int:
        """Start a process and listen to it until it ends; returns its exit code."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(self._welcome.line())
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                "--child",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C reaches the parent alone
            )
            theirs.close()
            self._life = life = Life(process)
            logger.info("child_started", extra={"child": self.number, "pid": process.pid})
            listening = asyncio.create_task(self._listen(ours, life))
            if ending.is_set():  # too late for the signal that all others got
                self.signal(signal.SIGTERM)
            try:
                code = await process.wait()
            finally:
                self._life = None
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                self._metrics.gone(self.number)
        # One that had not begun yet had nothing to drain, and no handler for the signal.
        unbegun = ending.is_set() and life.report is None and code == -signal.SIGTERM
        return DONE if unbegun else code

    async def _listen(self, line: socket.socket, life: Life) -> None:
        """Take in what a child reports until it ends."""
        reader, writer = await asyncio.open_connection(sock=line, limit=LONGEST_LINE)
        try:
            async for told in reader:
                life.report = Report.read(told)
                life.reported_at = time.monotonic()
                self._was_ready |= life.report.ready
        finally:
            writer.transport.abort()
