"""`isolation: "process"`: a python function whose every attempt is a process of its own."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter

from retryd.domain.errors import ConfigurationError
from retryd.domain.outcome import Cancel, Failure, Outcome, Reject, Snooze, Success
from retryd.domain.retry import Retry
from retryd.handlers.kept import without
from retryd.handlers.process import Ended, Program, run, supervise
from retryd.handlers.stateless import Stateless
from retryd.handlers.variables import environment, secrets, trace_variables

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from retryd.handlers.python import PythonHandlerSettings
    from retryd.handlers.threads import Threads

DIED: Final = "ProcessDied"
IMPORT_SECONDS: Final = 60.0
AS_IT_DIES: Final = ("-u", "-X", "faulthandler")  # it prints at once, and where it crashed


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the process is to do; without a retry it only imports the function."""

    target: str
    path: tuple[str, ...]
    memory_mb: int | None
    cpu_seconds: int | None
    timeout_seconds: float = IMPORT_SECONDS
    retry: Retry | None = None


ASSIGNMENT: Final = TypeAdapter(Assignment)


def from_settings(name: str, settings: PythonHandlerSettings, threads: Threads) -> IsolatedHandler:
    """Let a process import the function. Raises ConfigurationError with the handler and cause."""
    handler = IsolatedHandler(name, settings, threads)
    said = handler.try_import()
    if isinstance(said, Failure):
        died = f"{settings.target!r} cannot be imported: " if said.error_type == DIED else ""
        message = f"handlers.{name}.target: {died}{said.message}"
        raise ConfigurationError(message)
    return handler


class IsolatedHandler(Stateless):
    """Calls a function with the retry in a process of its own, which can be stopped.

    What it does to its process, such as crash, exit or use up what it may have, is a failure.
    """

    stoppable = True

    def __init__(self, name: str, settings: PythonHandlerSettings, threads: Threads) -> None:
        self.name = name
        self.definition: Mapping[str, object] = settings.definition(name)
        self._assignment = Assignment(
            settings.target, tuple(sys.path), settings.memory_mb, settings.cpu_seconds
        )
        self._program = Program(
            (sys.executable, *AS_IT_DIES, "-m", "retryd.handlers.isolated"),
            Path.cwd(),
            environment(settings.env),
            reports=True,
            secrets=secrets(settings.env),
        )
        self._threads = threads

    def try_import(self) -> Outcome:
        """Let a process import the function, and nothing else; blocks."""
        given = ASSIGNMENT.dump_json(self._assignment)
        ended = supervise(self._program, given, within=IMPORT_SECONDS)
        return outcome_of(ended, self._program.secrets)

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt."""
        assignment = replace(self._assignment, retry=retry, timeout_seconds=timeout_seconds)
        given = ASSIGNMENT.dump_json(assignment)
        program = replace(self._program, env={**self._program.env, **trace_variables()})
        ended = await run(program, given, self._threads, f"retry-{retry.id}")
        return outcome_of(ended, self._program.secrets)


def outcome_of(ended: Ended, hidden: Collection[str]) -> Outcome:
    """Return what the process reported without what is to be hidden; no report is a failure."""
    try:
        said = json.loads(ended.report)
    except (ValueError, RecursionError):
        said = None
    match said:
        case {"outcome": "success"}:
            return Success()
        case {
            "outcome": "failure",
            "error_type": str(error_type),
            "message": str(message),
            "stack": str() | None as stack,
        }:
            shown = None if stack is None else without(stack, hidden)
            return Failure(error_type, without(message, hidden), shown)
        case {"outcome": "snooze", "delay": float(delay)}:
            return Snooze(delay)
        case {"outcome": "reject", "why": str(why)}:
            return Reject(without(why, hidden))
        case {"outcome": "cancel", "why": str(why)}:
            return Cancel(without(why, hidden))
        case _:
            return Failure(DIED, _obituary(ended))


def report_of(outcome: Outcome) -> bytes:
    """Write what `outcome_of` reads."""
    said: dict[str, object]
    match outcome:
        case Failure():
            said = {
                "outcome": "failure",
                "error_type": outcome.error_type,
                "message": outcome.message,
                "stack": outcome.stack,
            }
        case Snooze(delay=delay):
            said = {"outcome": "snooze", "delay": delay}
        case Reject(why=why):
            said = {"outcome": "reject", "why": why}
        case Cancel(why=why):
            said = {"outcome": "cancel", "why": why}
        case _:
            said = {"outcome": "success"}
    return json.dumps(said).encode()


def _obituary(ended: Ended) -> str:
    return f"the process ended with {ended.how} and no report: {ended.printed}".rstrip(": ")
