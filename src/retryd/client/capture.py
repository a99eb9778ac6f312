"""Hand a failure to retryd on your own connection, in your own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from retryd.client.calls import call_of, call_of_many
from retryd.client.connections import ask, ask_sync
from retryd.client.driver_errors import own_errors
from retryd.client.event import Details


async def capture(
    connection: object, event_type: str, payload: Any = None, **details: Unpack[Details]
) -> list[int]:
    """Capture a failure event in the connection's transaction; return the ids of its retries.

    The connection is one of asyncpg or its pool, a psycopg.AsyncConnection, or an AsyncConnection
    or AsyncSession of SQLAlchemy; nothing on it is committed. `payload` is any JSON value, None
    means `{}`. The details are those of the SQL function (event_id, source, correlation_id,
    error_type, error_message, error_stack, priority, ordering_key, not_before, attributes), and
    `error`, an exception, which fills the error_… that are not given.

    Values are checked before anything is sent: a Refused leaves the transaction usable. Raises
    TransactionAborted if the transaction had failed before, TypeError for another kind of
    connection, and what the driver raises.
    """
    call = call_of({"event_type": event_type, "payload": payload, **details})
    with own_errors():
        return await ask(connection, call)


def capture_sync(
    connection: object, event_type: str, payload: Any = None, **details: Unpack[Details]
) -> list[int]:
    """Do what `capture` does on a blocking connection.

    That is a Connection or Session of SQLAlchemy, or a DB-API connection or cursor, such as those
    of psycopg and psycopg2.
    """
    call = call_of({"event_type": event_type, "payload": payload, **details})
    with own_errors():
        return ask_sync(connection, call)


async def capture_many(connection: object, events: Iterable[Mapping[str, Any]]) -> list[int]:
    """Capture up to 10,000 failure events, mappings with the arguments of `capture`, or none.

    Returns the ids of their retries in the order of the events. Raises what `capture` raises; a
    Refused names the index of the bad event, and no event is captured then.
    """
    call = call_of_many(events)
    with own_errors():
        return await ask(connection, call)


def capture_many_sync(connection: object, events: Iterable[Mapping[str, Any]]) -> list[int]:
    """Do what `capture_many` does on a blocking connection."""
    call = call_of_many(events)
    with own_errors():
        return ask_sync(connection, call)
