"""The registry of handlers in an application's code; `retryd run --app module:app` serves it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from retryd.client.resilient import Decorator, Resilient
from retryd.domain.errors import ConfigurationError, Refused
from retryd.domain.patterns import check_event_type, check_pattern, operation_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retryd.domain.retry import Retry

HandlerFunction: TypeAlias = "Callable[[Retry], object] | Callable[[Retry], Awaitable[object]]"
Function = TypeVar("Function", bound="HandlerFunction")

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")


@dataclass(frozen=True, slots=True)
class Registration:
    """A function and what it is registered for."""

    name: str
    match: tuple[str, ...]
    function: HandlerFunction
    policy: str | None = None
    dependency: str | None = None


class App:
    """Handlers by name. Nothing is opened and nothing is read before a worker runs the app.

    `database_url` is used where neither a flag nor the environment names a database.
    """

    def __init__(self, database_url: str | None = None) -> None:
        self.database_url = database_url
        self._handlers: dict[str, Registration] = {}

    @property
    def handlers(self) -> Mapping[str, Registration]:
        """What is registered, by name."""
        return MappingProxyType(self._handlers)

    def handler(
        self,
        *patterns: str,
        name: str | None = None,
        policy: str | None = None,
        dependency: str | None = None,
    ) -> Callable[[Function], Function]:
        """Register a function, async or plain, for the operations that a pattern matches.

        The name is durable: retries carry it. Without one the function's name is taken, `_` as `-`.
        Raises ConfigurationError for a bad name or pattern, for a name that is taken, and for what
        is no function that can be run.
        """
        for pattern in patterns:
            try:
                check_pattern(pattern)
            except Refused as refused:
                message = f"@app.handler(…): {refused}, such as @app.handler('invoice.*')"
                raise ConfigurationError(message) from refused

        def register(function: Function) -> Function:
            given = name_of(function) if name is None else name
            check_function(given, function)
            self._add(Registration(given, patterns, function, policy, dependency))
            return function

        return register

    def resilient(
        self,
        operation: str,
        *,
        name: str | None = None,
        policy: str | None = None,
        dependency: str | None = None,
        reraise: bool = False,
    ) -> Decorator:
        """Make a function, async or plain, the operation itself: its failures become retries.

        Called, it runs at once. On an Exception `<operation>.failed` is captured, `.timeout` for a
        TimeoutError, with the call's arguments as payload, on a connection of its own; the call
        then returns None, or raises with `reraise`. If nothing could be captured it raises with a
        note that says why; arguments that are no JSON values are Refused. Inside an attempt
        nothing is captured: it raises, and the attempt fails.

        The function is also registered as handler, see `handler`. Raises ConfigurationError.
        """
        check_operation(operation)

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            given = name_of(function) if name is None else name
            check_function(given, function)
            signature = signature_of(given, function)
            made = Resilient(operation, function, signature, self.database_url, reraise)
            self._add(Registration(given, (operation,), made.handler(), policy, dependency))
            return made.caller()

        return cast("Decorator", register)

    def _add(self, registration: Registration) -> None:
        name = registration.name
        if not NAME.fullmatch(name):
            message = (
                f"handler name {name!r} must begin with a letter or digit and hold 1 to 200 "
                "letters, digits and _ . : - only; pass name="
            )
            raise ConfigurationError(message)
        if name in self._handlers:
            message = f"handler {name!r} is registered twice; give one of them another name="
            raise ConfigurationError(message)
        if not registration.match:
            message = f"handler {name!r} has no pattern; name its operations, such as 'invoice.*'"
            raise ConfigurationError(message)
        self._handlers[name] = registration


def check_function(name: str, function: object) -> None:
    """Refuse what nothing would run. Raises ConfigurationError."""
    if (
        not callable(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    ):
        message = f"handler {name!r} is no function, or a generator, which nothing would run"
        raise ConfigurationError(message)


def signature_of(name: str, function: Callable[..., Any]) -> inspect.Signature:
    """Return the function's arguments, which name what is captured. Raises ConfigurationError."""
    try:
        return inspect.signature(function)
    except ValueError as error:
        message = f"handler {name!r} does not tell its arguments: wrap it in a function of yours"
        raise ConfigurationError(message) from error


def check_operation(operation: object) -> None:
    """Refuse what cannot be the event type's part before the suffix. Raises ConfigurationError."""
    try:
        check_event_type(operation)
        check_event_type(f"{operation}.timeout")
    except Refused as refused:
        message = f"@app.resilient(…): {refused}; name one operation, such as 'invoice.remind'"
        raise ConfigurationError(message) from refused
    if operation_of(str(operation)) != operation:
        message = (
            f"@app.resilient({operation!r}): that is an event type; name the operation,"
            f" {operation_of(str(operation))!r}"
        )
        raise ConfigurationError(message)


def name_of(function: object) -> str:
    """Return the durable name that a function's own name gives; empty where it has none."""
    return str(getattr(function, "__name__", "")).replace("_", "-")
