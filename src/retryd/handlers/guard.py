"""Started for each program of a handler: leads its process group, and outlives neither it nor us.

A program of its own, of the standard library only, since it starts with every attempt. The worker's
end of the `control` socket tells it to end the group, by shutting down or by dying itself, and
hears the exit code of the program, negative for a signal.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

REPORT = 3
"""The file descriptor at which a program finds its pipe for a report, if it has one."""
NOT_FOUND = 127
NOT_RUN = 126

# What a program may send to its whole group, such as `kill 0` in a shell's trap.
_TO_THE_GROUP = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGALRM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


def guard(control: int, report: int, kill_after: float, argv: list[str]) -> None:
    """Run a program until it ends or nobody wants it any more; then kill what is left, oneself too.

    `report` is the pipe's descriptor, -1 for none; `kill_after` are the seconds from SIGTERM to
    SIGKILL.
    """
    wake = _woken_by_signals()
    child = os.fork()
    if child == 0:
        os.close(control)
        become(argv, report)
    code = _code_of(child, control, wake, kill_after)
    with suppress(OSError):  # the worker is gone
        os.write(control, str(code).encode())
    os.killpg(0, signal.SIGKILL)


def become(argv: list[str], report: int) -> None:
    """Turn this process into the program, with nothing of Python's but the pipe for the report."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    try:
        if report not in {-1, REPORT}:
            os.dup2(report, REPORT)
            os.close(report)
        os.execvp(argv[0], argv)  # noqa: S606  (that it is a program of the operator is the point)
    except OSError as error:
        os.write(2, f"{argv[0]} cannot be run: {error.strerror}\n".encode())
        os._exit(NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUN)


def _woken_by_signals() -> int:
    """Return what becomes readable at a signal; none of them ends this process from now on."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, *_TO_THE_GROUP):
        # A handler, not SIG_IGN: the program starts with the default again.
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return read


def _code_of(child: int, control: int, wake: int, kill_after: float) -> int:
    """Wait for the end of the program, and bring it about when the control is shut down."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    kill_at: float | None = None
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        left = None if kill_at is None else max(0.0, kill_at - time.monotonic())
        if left == 0:
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ready = [fd for fd, _ in poll.poll(None if left is None else left * 1000 + 1)]
        if wake in ready:
            os.read(wake, select.PIPE_BUF)
        if control in ready:
            poll.unregister(control)
            kill_at = time.monotonic() + kill_after
            os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    guard(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
