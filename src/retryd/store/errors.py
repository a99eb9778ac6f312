"""From what the driver raises to our own errors: `RT…` is a refusal, a lost line an outage."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from retryd.domain.errors import (
    UNKNOWN,
    DatabaseRefused,
    DatabaseUnavailable,
    NotFound,
    Refused,
    RowLocked,
    SchemaOutdated,
    StatementAborted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_MISSING = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
)
REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)
UNFIT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
ABORTS = (
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,
)
# Whole classes of SQLSTATE: connections, shutdown, disk and memory.
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@contextmanager
def reaching_database() -> Iterator[None]:
    """Turn the driver's errors into ours.

    A refusal of a request becomes Refused, a missing schema SchemaOutdated; what waiting may cure
    becomes DatabaseUnavailable, whose text names the cause and never a password.
    """
    try:
        yield
    except SCHEMA_MISSING as error:
        message = f"the database has not the schema of this version ({error}): run `retryd migrate`"
        raise SchemaOutdated(message) from error
    except asyncpg.LockNotAvailableError as error:
        message = f"another transaction holds a lock for too long ({error}): it is tried again"
        raise RowLocked(message) from error
    except ABORTS as error:
        message = f"PostgreSQL gave up the statement ({error}): it is tried again"
        raise StatementAborted(message) from error
    except asyncpg.InsufficientPrivilegeError as error:
        message = f"PostgreSQL refused: {error.args[0]}; check the rights of its user"
        raise DatabaseRefused(message) from error
    except REFUSALS as error:
        message = f"PostgreSQL refused: {error.args[0]}; check the database URL, and that it exists"
        raise DatabaseRefused(message) from error
    except OUTAGES as error:
        raise DatabaseUnavailable(unreachable(error)) from error
    except UNFIT as error:  # without the detail, which shows values
        raise Refused(f"PostgreSQL refused a value: {error.args[0]}", error.sqlstate) from error
    except asyncpg.PostgresError as error:
        refusal = refused(error)
        if refusal is None:
            raise
        raise refusal from error


def unreachable(error: Exception) -> str:
    """Say what is wrong and what to do."""
    cause = str(error) or type(error).__name__
    return f"PostgreSQL cannot be reached ({cause}): check the database URL and that it is up"


def refused(error: asyncpg.PostgresError) -> Refused | None:
    """Return the refusal that a SQLSTATE of ours means, None for any other error."""
    state = error.sqlstate or ""
    if not state.startswith("RT"):
        return None
    message = error.args[0]
    return NotFound(message) if state == UNKNOWN else Refused(message, state)
