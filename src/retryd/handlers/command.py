"""Kind `command`: a program that gets the failure event as JSON and answers by its exit status."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, Field

from retryd.domain.errors import ConfigurationError
from retryd.domain.outcome import Failure, Reject, Success
from retryd.handlers.process import KILL_AFTER_SECONDS, Ended, Program, run
from retryd.handlers.stateless import Stateless
from retryd.handlers.variables import (
    Variables,
    environment,
    for_a_program,
    secrets,
    trace_variables,
)
from retryd.settings.block import told
from retryd.settings.handler import HandlerSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retryd.domain.outcome import Outcome
    from retryd.domain.retry import Retry
    from retryd.handlers.threads import Threads

LONGEST_KILL_AFTER_SECONDS: Final = 20  # less than the grace in which a lease is still renewed

EXITS: Final = {
    64: "EX_USAGE",
    65: "EX_DATAERR",
    66: "EX_NOINPUT",
    67: "EX_NOUSER",
    68: "EX_NOHOST",
    69: "EX_UNAVAILABLE",
    70: "EX_SOFTWARE",
    71: "EX_OSERR",
    72: "EX_OSFILE",
    73: "EX_CANTCREAT",
    74: "EX_IOERR",
    75: "EX_TEMPFAIL",
    76: "EX_PROTOCOL",
    77: "EX_NOPERM",
    78: "EX_CONFIG",
}
"""The names that sysexits.h gives to exit statuses."""
REJECTS: Final = frozenset({64, 65, 66, 67, 68, 76, 77, 78})
"""Those that say that it can never work."""


def _program_first(argv: tuple[str, ...]) -> tuple[str, ...]:
    if not argv or not argv[0]:
        raise told(' names no program, give one and its arguments, such as ["./rerun-report"]')
    return argv


class CommandHandlerSettings(HandlerSettings):
    """A program and how it is run."""

    kind: Literal["command"] = "command"
    argv: Annotated[
        tuple[Annotated[str, AfterValidator(for_a_program)], ...], AfterValidator(_program_first)
    ] = Field(description="The program, on the PATH or with a path, and its arguments.")
    cwd: Annotated[str, AfterValidator(for_a_program)] | None = Field(
        default=None, description="Where it runs; null: where the worker does."
    )
    env: Variables = Field(
        default={}, description="Variables of its environment, beside a few of the worker's."
    )
    kill_after_seconds: float = Field(
        default=KILL_AFTER_SECONDS,
        ge=0,
        le=LONGEST_KILL_AFTER_SECONDS,
        description="How long it may still take after SIGTERM, before SIGKILL.",
    )


def from_settings(name: str, settings: CommandHandlerSettings, threads: Threads) -> CommandHandler:
    """Look for the program. Raises ConfigurationError, which names the key and what is missing."""
    cwd = Path.cwd() / (settings.cwd or "")
    if not cwd.is_dir():
        message = f"handlers.{name}.cwd: {str(cwd)!r} is no directory"
        raise ConfigurationError(message)
    program = settings.argv[0]
    path = environment(settings.env).get("PATH", os.defpath)
    if shutil.which(cwd / program if os.sep in program else program, path=path) is None:
        where = f"in {str(cwd)!r}" if os.sep in program else f"on the PATH {path!r}"
        message = f"handlers.{name}.argv: there is no program {program!r} {where}"
        raise ConfigurationError(message)
    return CommandHandler(name, settings, cwd, threads)


class CommandHandler(Stateless):
    """Runs a program for each attempt; it can be stopped, and all that it started with it."""

    stoppable = True

    def __init__(
        self, name: str, settings: CommandHandlerSettings, cwd: Path, threads: Threads
    ) -> None:
        self.name = name
        self.definition: Mapping[str, object] = settings.definition(name)
        self._program = Program(
            settings.argv,
            cwd,
            environment(settings.env),
            settings.kill_after_seconds,
            secrets=secrets(settings.env),
        )
        self._threads = threads

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt; who runs it cancels it at its timeout."""
        del timeout_seconds
        given = {**variables_of(retry), **trace_variables()}
        program = replace(self._program, env={**self._program.env, **given})
        document = document_of(retry).encode()
        return outcome_of(await run(program, document, self._threads, f"retry-{retry.id}"))


def document_of(retry: Retry) -> str:
    """Write the failure event as JSON; payload and attributes stand in it as they are stored."""
    facts = {
        "id": retry.id,
        "event_id": retry.event_id,
        "event_type": retry.event_type,
        "operation": retry.operation,
        "handler": retry.handler,
        "source": retry.source,
        "correlation_id": retry.correlation_id,
        "original_error": retry.original_error and asdict(retry.original_error),
        "last_error": retry.last_error and asdict(retry.last_error),
        "attempt": retry.attempt,
        "life": retry.life,
        "max_retries": retry.max_retries,
        "created_at": retry.created_at.isoformat(),
    }
    head = json.dumps(facts, ensure_ascii=False).removesuffix("}")
    return f'{head}, "payload": {retry.payload_text}, "attributes": {retry.attributes_text}}}\n'


def variables_of(retry: Retry) -> dict[str, str]:
    """Return what a shell script wants to know without reading JSON; all of it is ASCII.

    The names do not begin with RETRYD_, where retryd itself expects its configuration.
    """
    return {
        "RETRY_ID": str(retry.id),
        "RETRY_EVENT_TYPE": retry.event_type,
        "RETRY_OPERATION": retry.operation,
        "RETRY_HANDLER": retry.handler,
        "RETRY_ATTEMPT": str(retry.attempt),
        "RETRY_LIFE": str(retry.life),
        "RETRY_MAX_RETRIES": str(retry.max_retries),
    }


def outcome_of(ended: Ended) -> Outcome:
    """Return what the exit code says: 0 success, some of sysexits.h never, all else a failure."""
    if ended.code == 0:
        return Success()
    name = EXITS.get(ended.code)
    message = ended.printed or f"ended with {ended.how}" + (f" ({name})" if name else "")
    if ended.code in REJECTS:
        return Reject(message)
    if ended.code < 0:
        return Failure(f"Signal{-ended.code}", message)
    return Failure(f"ExitStatus{ended.code}", message)
