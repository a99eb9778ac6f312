"""What an attempt reports: facts, made by runner and rescuer, read by `decide`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from retryd.domain.limits import ERROR_MESSAGE_BYTES, ERROR_STACK_BYTES, KEY_BYTES, cut
from retryd.domain.stack import stack_of


@dataclass(frozen=True, slots=True)
class Success:
    """The operation worked; `settled`: that is on record already, together with its effect."""

    settled: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The operation failed; `retry_after`, in seconds, is the target's own wish.

    `permanent`: the target says that it will fail again, unless a policy knows better. Its texts
    are cut to what PostgreSQL stores, so no failure is too odd to be recorded.
    """

    error_type: str
    message: str = ""
    stack: str | None = None
    retry_after: float | None = None
    permanent: bool = False

    def __post_init__(self) -> None:
        """Make the texts storable."""
        object.__setattr__(self, "error_type", cut(self.error_type, KEY_BYTES))
        object.__setattr__(self, "message", cut(self.message, ERROR_MESSAGE_BYTES))
        if self.stack is not None:
            object.__setattr__(self, "stack", cut(self.stack, ERROR_STACK_BYTES))


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker vanished: the lease ran out before an outcome came."""


@dataclass(unsafe_hash=True)
class Snooze(Exception):
    """Again in `delay` seconds, without spending an attempt; returned or raised by a handler."""

    delay: float

    def __post_init__(self) -> None:
        """Refuse what is no number here, in the handler that says it."""
        self.delay = float(self.delay)
        self.args = (self.delay,)


@dataclass(unsafe_hash=True)
class Reject(Exception):
    """It can never work: to the dead letters; returned or raised by a handler."""

    why: str = ""

    def __post_init__(self) -> None:
        """Make the reason storable."""
        self.why = cut(str(self.why), ERROR_MESSAGE_BYTES)
        self.args = (self.why,)


@dataclass(unsafe_hash=True)
class Cancel(Exception):
    """It need not be done any more; returned or raised by a handler."""

    why: str = ""

    def __post_init__(self) -> None:
        """Make the reason storable."""
        self.why = cut(str(self.why), ERROR_MESSAGE_BYTES)
        self.args = (self.why,)


Outcome: TypeAlias = Success | Failure | Snooze | Reject | Cancel | Lost


def failure_of(exc: BaseException) -> Failure:
    """Describe an exception as text: nothing of it, its frames or their variables is kept."""
    kind = type(exc)
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return Failure(f"{prefix}{kind.__qualname__}", _message_of(exc), _stack_of(exc))


def _message_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # noqa: BLE001 - a handler's exception may be broken itself
        return f"(no message: its __str__ raised {type(broken).__name__})"


def _stack_of(exc: BaseException) -> str | None:
    try:
        return stack_of(exc)
    except Exception:  # noqa: BLE001 - notes, causes and group members may be broken as well
        return None
