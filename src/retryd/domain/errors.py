"""The errors that retryd raises, one tree; what stands alone (embedded, demo) adds leaves to it.

    RetrydError
    ├── ConfigurationError     settings, a policy or a pattern cannot be used
    ├── Refused                a request was turned down, nothing was written (SQLSTATE RT…)
    │   ├── NotFound           it names something that does not exist (RT404)
    │   └── EventConflict      another event has the source and event_id of one (RT409)
    ├── PayloadUndecodable     what is stored with a retry is not readable JSON
    ├── TransactionAborted     the caller's transaction had failed before the capture
    ├── DatabaseUnavailable    PostgreSQL cannot be reached
    │   ├── DatabaseRefused    it refuses the login or a right, or has no such database
    │   └── StatementAborted   it answers, and gave up one statement: a timeout, a deadlock
    │       └── RowLocked      another transaction keeps what the statement needs
    ├── SchemaOutdated         the schema is not the one that this version needs
    ├── SpoolUnavailable       a record is not kept on the local disk
    ├── StatementFailed        a statement of a handler failed in its database
    └── LeaseLost              the retry is another worker's by now

A message says what, where and what to do; without one the first line of the docstring stands in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

BAD_INPUT: Final = "RT400"
UNKNOWN: Final = "RT404"
CONFLICT: Final = "RT409"
SPENT: Final = "RT412"


class RetrydError(Exception):
    """Something in retryd failed."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])


class ConfigurationError(RetrydError):
    """The configuration cannot be used: `problems` names each key, its value, what is allowed."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))


class Refused(RetrydError):
    """The request was turned down and nothing was written; `sqlstate` is the code of the SQL door.

    RT400 bad input, RT404 unknown, RT409 conflict, RT412 spent: no attempt is left. `pointer` leads
    to what is wrong within a value (RFC 6901), empty for the value itself.
    """

    def __init__(self, message: str, sqlstate: str = BAD_INPUT, pointer: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate
        self.pointer = pointer


class NotFound(Refused):
    """The request names something that does not exist."""

    def __init__(self, message: str, sqlstate: str = UNKNOWN) -> None:
        super().__init__(message, sqlstate)


class EventConflict(Refused):
    """Events of a batch, `indexes`, meet others of their source and event_id with other content."""

    def __init__(self, indexes: Sequence[int]) -> None:
        named = ", ".join(map(str, indexes))
        super().__init__(
            f"event {named}: another event has this source and event_id, with other content",
            CONFLICT,
        )
        self.indexes = tuple(indexes)


class PayloadUndecodable(RetrydError):
    """The JSON stored with a retry cannot be decoded; `retry_id` tells which retry."""

    def __init__(self, message: str = "", retry_id: int | None = None) -> None:
        super().__init__(message)
        self.retry_id = retry_id


class TransactionAborted(RetrydError):
    """The transaction has failed: roll back first, or capture on another connection."""


class DatabaseUnavailable(RetrydError):
    """PostgreSQL cannot be reached: check the database URL and that the server is up."""


class DatabaseRefused(DatabaseUnavailable):
    """PostgreSQL refuses the login or a right, or has no such database: check the database URL."""


class StatementAborted(DatabaseUnavailable):
    """PostgreSQL gave up a statement, for a timeout or for another transaction: try it again."""


class RowLocked(StatementAborted):
    """Another transaction keeps locked what the statement needs: try again once that has ended."""


class SchemaOutdated(RetrydError):
    """The schema is not the one that this version needs: run `retryd migrate`."""


class SpoolUnavailable(RetrydError):
    """The record is not kept: the spool is full, not writable, or its disk failed."""


class StatementFailed(RetrydError):
    """A statement of a handler failed; `sqlstate` is what its database says of it."""

    def __init__(self, message: str, sqlstate: str | None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate or "XX000"


class LeaseLost(RetrydError):
    """The lease was lost meanwhile, and with it what was done: another worker does it."""
