"""The process of one attempt: reads its assignment, calls the function, reports, and is gone."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from typing import TYPE_CHECKING

from retryd.client.app import Registration
from retryd.domain.outcome import Outcome, Success, failure_of
from retryd.handlers.guard import REPORT
from retryd.handlers.isolation import ASSIGNMENT, report_of
from retryd.handlers.python import PythonHandler, import_function

if TYPE_CHECKING:
    from retryd.handlers.isolation import Assignment

MEGABYTE = 1024 * 1024


def main() -> None:
    """Do what standard input asks for.

    The end comes at once: a thread that a function leaves behind does not delay it.
    """
    owner = os.getpid()
    os.set_inheritable(REPORT, False)  # noqa: FBT003  (it takes no names)
    assignment = ASSIGNMENT.validate_json(sys.stdin.buffer.read())
    limit(assignment)
    sys.path[:] = [os.getcwd(), *assignment.path]  # noqa: PTH109  (a path for imports is text)
    outcome = attempt(assignment)
    if os.getpid() == owner:  # a function may have forked, and both came back
        with open(REPORT, "wb") as report:  # noqa: PTH123  (a descriptor, no path)
            report.write(report_of(outcome))
    os._exit(0)


def limit(assignment: Assignment) -> None:
    """Let the kernel keep this process within its limits; it leaves no core behind."""
    lower(resource.RLIMIT_CORE, 0, 0)
    if assignment.memory_mb is not None:
        lower(resource.RLIMIT_AS, *[assignment.memory_mb * MEGABYTE] * 2)
    if assignment.cpu_seconds is not None:  # SIGXCPU, and SIGKILL for who does not mind
        lower(resource.RLIMIT_CPU, assignment.cpu_seconds, assignment.cpu_seconds + 1)


def lower(kind: int, soft: int, hard: int) -> None:
    """Set a limit for good, but never above the one that there is already."""
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    resource.setrlimit(kind, (soft, hard))


def attempt(assignment: Assignment) -> Outcome:
    """Import the function and call it; whatever it does is an outcome."""
    try:
        function = import_function(assignment.target)
        if assignment.retry is None:
            return Success()
        handler = PythonHandler(Registration("isolated", (), function))
        call = handler.run(assignment.retry, assignment.timeout_seconds)
        return asyncio.new_event_loop().run_until_complete(call)
    except BaseException as error:  # noqa: BLE001 - a handler's fault is data, SystemExit too
        return failure_of(error)


if __name__ == "__main__":
    main()
