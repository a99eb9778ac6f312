"""The caller's connection, whatever its driver: how to run a call on it, known by its shape.

No driver is imported here. What a connection can do tells what it is; what its owner set on it,
row factories, cursor classes, codecs, is passed by.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from retryd.client.calls import Call

ASYNC: Final = (
    "an open asyncpg connection or pool, psycopg.AsyncConnection, or SQLAlchemy AsyncConnection or"
    " AsyncSession"
)
SYNC: Final = "an open SQLAlchemy Connection or Session, or a DB-API connection or cursor"


async def ask(connection: Any, call: Call) -> list[int]:
    """Run the call on an asynchronous connection, in its transaction. Raises TypeError."""
    if not is_async(connection):
        other = "use retryd.capture_sync or capture_many_sync" if is_sync(connection) else None
        wrong(connection, ASYNC, other)
    check_open(connection, ASYNC)
    if is_session(connection):
        connection = await connection.connection()
    if can(connection, "run_sync"):  # SQLAlchemy
        found: list[int] = await connection.run_sync(ask_sync, call)
        return found
    if can(connection, "fetch"):  # asyncpg
        return ids(await connection.fetch(call.written("numeric_dollar"), *call.values))
    driver, connection = driver_of(connection), connection_of(connection)  # psycopg
    async with driver.AsyncCursor(connection, row_factory=tuples) as cursor:
        await cursor.execute(call.written(driver.paramstyle), call.parameters(driver.paramstyle))
        return ids(await cursor.fetchall())


def ask_sync(connection: Any, call: Call) -> list[int]:
    """Run the call on a blocking connection, in its transaction. Raises TypeError."""
    if not is_sync(connection):
        other = "await retryd.capture or capture_many" if is_async(connection) else None
        wrong(connection, SYNC, other)
    check_open(connection, SYNC)
    if is_session(connection):
        connection = connection.connection()
    if can(connection, "exec_driver_sql"):  # SQLAlchemy
        style = connection.dialect.paramstyle
        rows = connection.exec_driver_sql(call.written(style), call.parameters(style))
        return ids(rows.all())
    connection = connection_of(connection)
    style = getattr(driver_of(connection), "paramstyle", "format")  # of a wrapper: the usual one
    with plain_cursor(connection) as cursor:
        cursor.execute(call.written(style), call.parameters(style))
        return ids(cursor.fetchall())


def is_async(thing: Any) -> bool:
    """Tell whether it is an asynchronous connection."""
    if isinstance(thing, type):
        return False
    if can(thing, "fetch") or can(thing, "run_sync"):
        return True
    executes = inspect.iscoroutinefunction(getattr(thing, "execute", None))
    return executes and (hasattr(driver_of(thing), "AsyncCursor") or is_session(thing))


def is_sync(thing: Any) -> bool:
    """Tell whether it is a blocking connection or cursor."""
    if isinstance(thing, type) or is_async(thing):
        return False
    cursor = can(thing, "execute") and can(thing, "fetchall")
    return is_session(thing) or can(thing, "exec_driver_sql") or can(thing, "cursor") or cursor


def is_session(thing: Any) -> bool:
    """Tell whether it is a session of SQLAlchemy."""
    return can(thing, "get_bind") and can(thing, "connection")


def can(thing: Any, method: str) -> bool:
    """Tell whether it has such a method."""
    return callable(getattr(thing, method, None))


def connection_of(thing: Any) -> Any:
    """Return the connection behind a cursor.

    A cursor of the caller may hold rows that he has not read, or may stand for a server-side one.
    """
    return thing if can(thing, "cursor") else getattr(thing, "connection", None) or thing


def plain_cursor(connection: Any) -> AbstractContextManager[Any]:
    """Open a cursor that gives tuples, whatever class and row factory the connection has set.

    A cursor that hides its connection is used itself and stays open.
    """
    driver = driver_of(connection)
    match driver and driver.__name__:
        case "psycopg":
            return closing(driver.Cursor(connection, row_factory=tuples))
        case "psycopg2":
            return closing(driver.extensions.cursor(connection))
        case _ if can(connection, "cursor"):
            return closing(connection.cursor())
        case _:
            return nullcontext(connection)


def tuples(_: object) -> type[tuple[Any, ...]]:
    """Make the rows of a psycopg cursor tuples."""
    return tuple


def ids(rows: Any) -> list[int]:
    """Return the ids in the rows; a codec of the caller may have made something else of them."""
    return [int(row[0]) for row in rows]


def driver_of(thing: object) -> Any:
    """Return the DB-API module that a connection or cursor is of, or that its class derives from.

    None where it hides its driver.
    """
    return next((module for module in modules(thing) if hasattr(module, "paramstyle")), None)


def modules(thing: object) -> Iterator[ModuleType]:
    """Name the modules of its classes, each with the packages around it."""
    for kind in thing.__class__.__mro__:
        name = kind.__module__
        while name:
            if name in sys.modules:
                yield sys.modules[name]
            name = name.rpartition(".")[0]


def check_open(thing: Any, wanted: str) -> None:
    """Refuse what its driver says is closed. Raises TypeError."""
    for name in ("closed", "is_closed", "is_closing"):
        state = getattr(thing, name, False)
        state = state() if callable(state) else state
        if isinstance(state, int) and state:
            wrong(thing, wanted, "it is closed")


def wrong(thing: object, wanted: str, remedy: str | None) -> NoReturn:
    """Say what to pass instead."""
    kind = thing if isinstance(thing, type) else type(thing)
    what = f"{'the class ' if thing is kind else ''}{kind.__module__}.{kind.__qualname__}"
    end = f"; {remedy}" if remedy else ": pass a connection of yours, such as your transaction's"
    raise TypeError(f"this takes {wanted}, not {what}{end}")
