"""Runs a program of a handler to its end: in a group of its own, and nothing of it is left."""

from __future__ import annotations

import asyncio
import math
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from retryd.handlers import guard
from retryd.handlers.kept import Kept

if TYPE_CHECKING:
    from retryd.handlers.threads import Threads

KILL_AFTER_SECONDS: Final = 5.0
REPORT_BYTES: Final = 1024 * 1024

_CHUNK: Final = 64 * 1024
_LATE_SECONDS: Final = 1.0  # what the guard may take for what it does at once


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, where, with which environment.

    `kill_after_seconds` lie between SIGTERM and SIGKILL when it has to end. One that `reports`
    finds a pipe for that at the descriptor `guard.REPORT`.
    """

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(repr=False)
    kill_after_seconds: float = KILL_AFTER_SECONDS
    reports: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code, negative for a signal, and the end of what it printed.

    That is standard error, else standard output, without the secrets.
    """

    code: int
    printed: str = ""
    report: bytes = b""

    @property
    def how(self) -> str:
        """The exit code in words: `exit status 3`, `signal 9 (SIGKILL)`."""
        if self.code >= 0:
            return f"exit status {self.code}"
        known = -self.code in set(signal.Signals)
        name = f" ({signal.Signals(-self.code).name})" if known else ""
        return f"signal {-self.code}{name}"


async def run(program: Program, given: bytes, threads: Threads, name: str) -> Ended:
    """Run a program to its end, with `given` on its standard input.

    A cancellation ends it: SIGTERM to its group, SIGKILL in time, at once at a second cancellation.
    When this returns or raises, no process of the group is left. Raises OSError when there is no
    room for another process.
    """
    stop, stopped = socket.socketpair()
    with stop:
        ended = threads.start(lambda: supervise(program, given, stopped), name=name)
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            while not ended.done():
                with suppress(OSError):  # it has just ended
                    stop.send(b"!")
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([ended])
            ended.exception()
            raise
        return ended.result()


def supervise(
    program: Program, given: bytes, stop: socket.socket | None = None, within: float = math.inf
) -> Ended:
    """Run a program to its end; blocks. A byte from `stop`, which is closed here, ends it.

    After `within` seconds it is killed. Raises OSError when there is no room for another process.
    """
    with ExitStack() as opened:
        if stop is not None:
            opened.enter_context(stop)
        control, far_control = map(opened.enter_context, socket.socketpair())
        report, far_report = map(opened.enter_context, socket.socketpair())
        process = opened.enter_context(_started(program, far_control, far_report))
        opened.callback(_kill, process.pid)  # before it is reaped
        far_control.close()
        far_report.close()
        selector = opened.enter_context(selectors.DefaultSelector())
        watch = _Watch(selector, control, program.kill_after_seconds)
        watch.feed(cast("IO[bytes]", process.stdin), given)
        output = watch.keep(process.stdout, Kept())
        errors = watch.keep(process.stderr, Kept())
        reported = watch.keep(report, Kept(REPORT_BYTES, head=True))
        if stop is not None:
            watch.obey(stop)
        code = watch.until_the_end(within)
        watch.drain()
        printed = errors.text(program.secrets) or output.text(program.secrets)
        return Ended(code, printed, reported.bytes)


def _started(
    program: Program, control: socket.socket, report: socket.socket
) -> subprocess.Popen[bytes]:
    """Start the guard, which starts the program."""
    kept = [control.fileno(), *([report.fileno()] if program.reports else [])]
    return subprocess.Popen(  # noqa: S603  (the operator's own program, and no shell)
        (
            *(sys.executable, "-I", "-S", guard.__file__),
            *(str(control.fileno()), str(report.fileno() if program.reports else -1)),
            *(str(program.kill_after_seconds), *program.argv),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=program.cwd,
        env=program.env,
        start_new_session=True,
        pass_fds=kept,
    )


def _kill(group: int) -> None:
    with suppress(OSError):  # nobody is left in it
        os.killpg(group, signal.SIGKILL)


class _Watch:
    """Serves the pipes of a program until its guard tells the end, which it asks for when told."""

    def __init__(
        self, selector: selectors.BaseSelector, control: socket.socket, kill_after_seconds: float
    ) -> None:
        self._selector = selector
        self._control = control
        self._kill_after_seconds = kill_after_seconds
        self._asked = False
        self._kill_at = math.inf
        self._code: int | None = None
        self._readers: list[Callable[[], bool]] = []
        selector.register(control, selectors.EVENT_READ, self._hear)

    def feed(self, pipe: IO[bytes], given: bytes) -> None:
        """Write to a pipe what the program reads, or does not."""
        left = memoryview(given)

        def write() -> None:
            nonlocal left
            try:
                left = left[os.write(pipe.fileno(), left[:_CHUNK]) :]
            except BrokenPipeError:
                left = left[:0]
            if not left:
                self._selector.unregister(pipe)
                pipe.close()

        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_WRITE, write)

    def keep(self, pipe: Any, kept: Kept) -> Kept:
        """Read a pipe to its end, whatever of it is kept."""

        def read() -> bool:
            try:
                chunk = os.read(pipe.fileno(), _CHUNK)
            except BlockingIOError:
                return False
            kept.add(chunk)
            if not chunk:
                self._selector.unregister(pipe)
                self._readers.remove(read)
            return bool(chunk)

        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, read)
        self._readers.append(read)
        return kept

    def obey(self, stop: socket.socket) -> None:
        """End the program when a byte comes, at once when a second one does."""

        def end() -> None:
            stop.recv(1)
            if self._asked:
                self._kill_at = -math.inf
            else:
                self._asked = True
                self._kill_at = time.monotonic() + self._kill_after_seconds + _LATE_SECONDS
                with suppress(OSError):  # the guard was killed
                    self._control.shutdown(socket.SHUT_WR)

        self._selector.register(stop, selectors.EVENT_READ, end)

    def until_the_end(self, within: float) -> int:
        """Serve; return the exit code."""
        self._kill_at = time.monotonic() + within
        while self._code is None:
            left = self._kill_at - time.monotonic()
            if left <= 0:
                return -signal.SIGKILL
            for key, _ in self._selector.select(None if left == math.inf else left):
                key.data()
        return self._code

    def drain(self) -> None:
        """Read what an ended program left; who still holds a pipe may write on for ever."""
        for read in tuple(self._readers):
            for _ in range(REPORT_BYTES // _CHUNK):
                if not read():
                    break

    def _hear(self) -> None:
        told = self._control.recv(16)
        self._code = int(told) if told else -signal.SIGKILL  # the guard was killed
