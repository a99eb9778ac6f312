"""From what the caller's driver raises to our own errors, known by SQLSTATE alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from retryd.domain.errors import UNKNOWN, NotFound, Refused, TransactionAborted

IN_FAILED_TRANSACTION: Final = "25P02"
# SQLAlchemy keeps the failure of a transaction in mind and sends nothing more.
PENDING_ROLLBACK: Final = "PendingRollbackError"
ABORTED: Final = (
    "the transaction had failed before the capture: capture after rolling back, to a savepoint or"
    " on another connection"
)


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn a refusal into Refused and a failed transaction into TransactionAborted.

    All else is the caller's: it is raised as his driver raised it.
    """
    try:
        yield
    except Exception as error:
        state, message = told_by(error)
        pending = any(kind.__name__ == PENDING_ROLLBACK for kind in type(error).__mro__)
        if pending or state == IN_FAILED_TRANSACTION:
            raise TransactionAborted(ABORTED) from error
        if state == UNKNOWN:
            raise NotFound(message) from error
        if state.startswith("RT"):
            raise Refused(message, state) from error
        raise


def told_by(error: BaseException) -> tuple[str, str]:
    """Return SQLSTATE and message of the server, whose error SQLAlchemy wraps once or twice."""
    state, message = "", ""
    cause: BaseException | None = error
    while cause is not None:
        found = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
        if found:
            state, message = found, primary(cause)
        cause = cause.__cause__
    return state, message


def primary(error: BaseException) -> str:
    """Return the message without detail, hint and context."""
    diagnosis = getattr(error, "diag", None)
    return str(getattr(diagnosis, "message_primary", None) or error.args[0])
