"""From what the driver raises to our own errors: `RT…` is a refusal, a lost line an outage."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from retryd.domain.errors import UNKNOWN, DatabaseUnavailable, NotFound, Refused, SchemaOutdated

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whole classes of SQLSTATE: connections, shutdown and cancellation, disk and memory, deadlocks.
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
SCHEMA_MISSING = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedFunctionError,
)


@contextmanager
def reaching_database() -> Iterator[None]:
    """Turn the driver's errors into ours.

    A refusal becomes Refused, a missing schema SchemaOutdated, an outage, which waiting may cure,
    DatabaseUnavailable; the text of the latter names the cause, never a password.
    """
    try:
        yield
    except SCHEMA_MISSING as error:
        message = f"the database has not the schema of this version ({error}): run `retryd migrate`"
        raise SchemaOutdated(message) from error
    except OUTAGES as error:
        cause = str(error) or type(error).__name__
        message = (
            f"PostgreSQL cannot be reached ({cause}): check the database URL and that it is up"
        )
        raise DatabaseUnavailable(message) from error
    except asyncpg.PostgresError as error:
        refusal = refused(error)
        if refusal is None:
            raise
        raise refusal from error


def refused(error: asyncpg.PostgresError) -> Refused | None:
    """Return the refusal that a SQLSTATE of ours means, None for any other error."""
    state = error.sqlstate or ""
    if not state.startswith("RT"):
        return None
    message = error.args[0]
    return NotFound(message) if state == UNKNOWN else Refused(message, state)
