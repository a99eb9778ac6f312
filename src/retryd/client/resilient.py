"""What `@app.resilient` makes of a function: run it now, hand its failure to retryd.

The same function is the handler: the payload of a retry is the arguments of the call that failed.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from retryd.client.attempt import inside_attempt
from retryd.client.calls import call_of
from retryd.client.own_connection import ask_alone
from retryd.domain.errors import Refused
from retryd.domain.outcome import Cancel

if TYPE_CHECKING:
    from retryd.domain.retry import Retry

P = ParamSpec("P")
T = TypeVar("T")


class Decorator(Protocol):
    """Keeps the arguments of a function; what it returns may be None, too."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, T]], /
    ) -> Callable[P, Coroutine[Any, Any, T | None]]: ...

    @overload
    def __call__(self, function: Callable[P, T], /) -> Callable[P, T | None]: ...


@dataclass(frozen=True, slots=True)
class Resilient:
    """A function, the operation that it is, and where its failures go."""

    operation: str
    function: Callable[..., Any]
    signature: inspect.Signature
    app_url: str | None
    reraise: bool

    def caller(self) -> Callable[..., Any]:
        """Return what the application calls: the function, guarded."""
        if inspect.iscoroutinefunction(self.function):

            @functools.wraps(self.function)
            async def call(*args: Any, **kwargs: Any) -> Any:
                bound = self._bound(args, kwargs)
                return await self._guarded(bound, self.function(*args, **kwargs))

            return call

        @functools.wraps(self.function)
        def call_plain(*args: Any, **kwargs: Any) -> Any:
            bound = self._bound(args, kwargs)
            try:
                said = self.function(*args, **kwargs)
            except Exception as error:
                if inside_attempt() or not self._captured_in_thread(bound, error) or self.reraise:
                    raise
                return None
            # A decorated coroutine function may look like a plain one.
            return self._guarded(bound, said) if inspect.iscoroutine(said) else said

        return call_plain

    def handler(self) -> Callable[[Retry], Any]:
        """Return what runs an attempt: the function, with the arguments in the payload."""
        if inspect.iscoroutinefunction(self.function):

            @functools.wraps(self.function)
            async def handle(retry: Retry) -> object:
                bound = self._bound_again(retry.payload)
                return await self.function(*bound.args, **bound.kwargs)

            return handle

        @functools.wraps(self.function)
        def handle_plain(retry: Retry) -> object:
            bound = self._bound_again(retry.payload)
            return self.function(*bound.args, **bound.kwargs)

        return handle_plain

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """Name the arguments of a call. A call that does not fit raises TypeError at once."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def _bound_again(self, payload: object) -> inspect.BoundArguments:
        """Make a call of a payload.

        One that does not fit is a failure: a worker with a newer version may know the arguments.
        """
        parameters = self.signature.parameters
        if not isinstance(payload, dict):
            message = f"{self.operation}: its payload is no object of arguments"
            raise TypeError(message)
        if unknown := payload.keys() - parameters.keys():
            message = f"{self.operation}: the function has no argument {min(unknown)!r}"
            raise TypeError(message)
        known = OrderedDict((name, payload[name]) for name in parameters if name in payload)
        bound = inspect.BoundArguments(self.signature, known)
        return self._bound(bound.args, bound.kwargs)

    async def _guarded(self, bound: inspect.BoundArguments, said: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await said
        except Exception as error:
            if inside_attempt() or not await self._captured(bound, error) or self.reraise:
                raise
            return None

    def _captured_in_thread(self, bound: inspect.BoundArguments, error: Exception) -> bool:
        """Capture on a loop and thread of its own: this thread may have a loop that runs."""
        import asyncio  # noqa: PLC0415 - `import retryd` stays light

        said: list[bool | Refused] = []

        def capture() -> None:
            try:
                said.append(asyncio.run(self._captured(bound, error)))
            except Refused as refused:
                said.append(refused)

        # No pool of threads: those take no more work once the main thread has ended.
        context = contextvars.copy_context()  # in which a trace may be current
        thread = threading.Thread(target=context.run, args=(capture,), name="retryd-capture")
        try:
            thread.start()
        except RuntimeError as fault:
            self._note(error, fault)
            return False
        thread.join()
        if said and isinstance(said[0], Refused):
            raise said[0]
        return said == [True]

    async def _captured(self, bound: inspect.BoundArguments, error: Exception) -> bool:
        """Capture the call that failed; where that fails too, note it on the error.

        Raises Refused for arguments that are no JSON. A Cancel leaves nothing to be done.
        """
        if isinstance(error, Cancel):
            return True
        suffix = "timeout" if isinstance(error, TimeoutError) else "failed"
        event = {"event_type": f"{self.operation}.{suffix}", "payload": bound.arguments}
        try:
            await ask_alone(call_of({**event, "error": error}), self.app_url)
        except Refused as refused:
            message = f"the failed call of {self.operation} cannot be captured: {refused}"
            raise Refused(message, refused.sqlstate) from error
        except Exception as fault:  # noqa: BLE001 - the caller gets the error that it is about
            self._note(error, fault)
            return False
        return True

    def _note(self, error: Exception, fault: Exception) -> None:
        """Say on the error that nobody will try again."""
        cause = str(fault) or type(fault).__name__
        error.add_note(f"retryd: this failure of {self.operation} was not captured: {cause}")
