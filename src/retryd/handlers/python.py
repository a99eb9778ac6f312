"""Kind `python`: a function, async on the event loop, plain in a thread of its own.

With `isolation: "process"` it is `retryd.handlers.isolation` that runs it.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import logging
import re
import time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from retryd.client.app import Registration
from retryd.client.attempt import Attempt
from retryd.domain.errors import ConfigurationError
from retryd.domain.limits import MAX_DELAY_SECONDS
from retryd.domain.outcome import Cancel, Reject, Snooze, Success, failure_of
from retryd.handlers.stateless import Stateless
from retryd.handlers.threads import Threads
from retryd.handlers.variables import Variables
from retryd.settings.block import told
from retryd.settings.handler import HandlerSettings
from retryd.settings.schema import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from retryd.client.app import HandlerFunction
    from retryd.domain.outcome import Outcome
    from retryd.domain.retry import Retry

logger = logging.getLogger("retryd.worker")


LEAST_MEMORY_MB: Final = 64
MOST_MEMORY_MB: Final = 1024 * 1024


SAID: Final = (Reject, Snooze, Cancel)


TARGET: Final = re.compile(r"[\w.]+:[\w.]+")


def _module_and_function(target: str) -> str:
    if not TARGET.fullmatch(target):
        seen = shown(target, {"type": "string"})
        raise told(f" is {seen}, give module:function, such as billing.retries:send_invoice")
    return target


class PythonHandlerSettings(HandlerSettings):
    """A function named in the configuration, and the process it may have for itself."""

    kind: Literal["python"] = "python"
    target: Annotated[str, AfterValidator(_module_and_function)] = Field(
        description="The function that runs it, as module:function.",
        json_schema_extra={"pattern": f"^{TARGET.pattern}$"},
    )
    isolation: Literal["none", "process"] = Field(
        default="none", description="process: each attempt runs in a process of its own."
    )
    memory_mb: int | None = Field(
        default=None,
        ge=LEAST_MEMORY_MB,
        le=MOST_MEMORY_MB,
        description="The most memory that this process may address, in MiB.",
    )
    cpu_seconds: int | None = Field(
        default=None,
        ge=1,
        le=int(MAX_DELAY_SECONDS),
        description="The most processor time that it may take.",
    )
    env: Variables = Field(
        default={}, description="Variables of its environment, beside a few of the worker's."
    )

    @model_validator(mode="after")
    def _only_a_process_is_limited(self) -> Self:
        if self.isolation == "none":
            for key in ("memory_mb", "cpu_seconds", "env"):
                if getattr(self, key):
                    raise told(f'.{key} needs a process: give isolation "process" as well')
        return self


def from_settings(name: str, settings: PythonHandlerSettings, threads: Threads) -> PythonHandler:
    """Import the function. Raises ConfigurationError, which names the handler and the cause."""
    try:
        function = import_function(settings.target)
    except ConfigurationError as error:
        message = f"handlers.{name}.target: {error}"
        raise ConfigurationError(message) from error
    return PythonHandler(
        Registration(name, settings.match, function, settings.policy, settings.dependency), threads
    )


def import_function(target: str) -> HandlerFunction:
    """Import `module:function`. Raises ConfigurationError."""
    function = import_target(target)
    if not callable(function):
        message = f"{target!r} is no function"
        raise ConfigurationError(message)
    return cast("HandlerFunction", function)


def import_target(target: str) -> Any:
    """Import `module:name`. Raises ConfigurationError."""
    module_name, _, path = target.partition(":")
    if not path:
        message = f"{target!r} is not of the form module:name"
        raise ConfigurationError(message)
    try:
        found: object = importlib.import_module(module_name)
        for name in path.split("."):
            found = getattr(found, name)
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        message = f"{target!r} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigurationError(message) from error
    return found


class PythonHandler(Stateless):
    """Calls a function with the retry.

    An exception is a failure; Reject, Snooze and Cancel may be raised or returned; any other
    return is success. A plain function cannot be stopped: it keeps its slot until it ends or the
    runner gives it up, and what it says by then counts, since its effect has happened.
    """

    def __init__(self, registration: Registration, threads: Threads | None = None) -> None:
        self.name = registration.name
        self.definition: Mapping[str, object] = {
            "name": registration.name,
            "match": list(registration.match),
            "policy": registration.policy,
            "dependency": registration.dependency,
            "kind": "python",
        }
        function = registration.function
        self.stoppable = is_async(function)
        self._run = (
            on_loop(function) if self.stoppable else in_thread(function, threads or Threads())
        )

    async def run(self, retry: Retry, timeout_seconds: float) -> Outcome:
        """Make one attempt."""
        with Attempt():
            return await self._run(retry, timeout_seconds)


def is_async(function: HandlerFunction) -> bool:
    """Tell whether calling it gives a coroutine."""
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with `async def __call__`
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def on_loop(function: HandlerFunction) -> Callable[[Retry, float], Awaitable[Outcome]]:
    """Run a coroutine function here; who runs the attempt cancels it at its timeout."""
    call = cast("Callable[[Retry], Awaitable[object]]", function)

    async def run(retry: Retry, timeout_seconds: float) -> Outcome:
        del timeout_seconds
        try:
            return outcome_of(await call(retry))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a handler's fault is data, SystemExit too
            return said_by(error)

    return run


def in_thread(
    function: HandlerFunction, threads: Threads
) -> Callable[[Retry, float], Awaitable[Outcome]]:
    """Run a plain function in a thread.

    What it returns to be awaited, as a decorated coroutine function may, is awaited here.
    """

    async def run(retry: Retry, timeout_seconds: float) -> Outcome:
        context = contextvars.copy_context()

        def call() -> Outcome | Awaitable[object]:
            try:
                value = context.run(function, retry)
                return value if inspect.isawaitable(value) else outcome_of(value)
            except BaseException as error:  # noqa: BLE001 - a handler's fault is data, SystemExit too
                return said_by(error)

        started = time.monotonic()
        said = await threads.start(call, name=f"retry-{retry.id}", timeout_seconds=timeout_seconds)
        seconds = time.monotonic() - started
        if seconds > timeout_seconds:
            logger.warning(
                "attempt_overran", extra={"retry": retry.id, "seconds": round(seconds, 1)}
            )
        if inspect.isawaitable(said):
            async with asyncio.timeout(timeout_seconds):
                return await on_loop(lambda _: said)(retry, timeout_seconds)
        return said

    return run


def outcome_of(value: object) -> Outcome:
    """Return what a handler's return value says."""
    return plain(value) if isinstance(value, SAID) else Success()


def said_by(error: BaseException) -> Outcome:
    """Return what a handler's exception says."""
    return plain(error) if isinstance(error, SAID) else failure_of(error)


def plain(said: Reject | Snooze | Cancel) -> Outcome:
    """Return it without frames, and checked: a subclass may forget what it inherits."""
    try:
        match said:
            case Snooze():
                return Snooze(said.delay)
            case Reject():
                return Reject(said.why)
            case Cancel():
                return Cancel(said.why)
    except Exception as error:  # noqa: BLE001 - a handler's fault is data
        return failure_of(error)
