"""The shop: an application like any other, and the handlers that its workers serve."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import retryd
from retryd.cli.demo.partners import ADDRESS_VARIABLE, call_partner

if TYPE_CHECKING:
    from retryd.store.pool import Pool

app = retryd.App()

SETTINGS: Mapping[str, str] = {
    "RETRYD_RETRY__LEASE_SECONDS": "2",
    "RETRYD_RETRY__POLL_INTERVAL_SECONDS": "0.5",
    "RETRYD_LOG__FORMAT": "console",
    "RETRYD_LOG__LEVEL": "error",
    "RETRYD_RETRY__RETRY_POLICIES": '{"demo": {"match": ["demo.*"], "max_retries": 4,'
    ' "initial_delay_seconds": 0.4, "backoff_multiplier": 2.0, "jitter": 0.1}}',
}

TABLE = """
create schema if not exists demo;
create table if not exists demo.orders (
    number text primary key, customer text not null, placed_at timestamptz not null default now());
"""


@app.handler("demo.*", name="demo-partner", policy="demo")
async def call_again(retry: retryd.Retry) -> None:
    """Call the partner again for whom the call failed."""
    operation = retry.operation.removeprefix("demo.")
    await call_partner(os.environ[ADDRESS_VARIABLE], operation, retry.payload["order"])


async def open_shop(pool: Pool) -> None:
    """Make the shop's own table."""
    async with pool.connection() as connection:
        await connection.execute(TABLE)


async def place_order(
    pool: Pool, address: str, number: str, event_type: str, *, cancelled: bool = False
) -> list[int]:
    """Store an order and call a partner; hand the failure to retryd in the same transaction.

    Returns the ids of the retries. A cancelled order raises RuntimeError after the capture, and
    its transaction rolls back.
    """
    operation = event_type.removeprefix("demo.").rpartition(".")[0]
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("insert into demo.orders values ($1, 'a customer')", number)
        error: Exception | None = None
        if not event_type.endswith(".timeout"):
            try:
                await call_partner(address, operation, number)
            except ConnectionError as refused:
                error = refused
        ids = await retryd.capture(
            connection,
            event_type,
            {"order": number},
            event_id=f"{number}-{operation}",
            source="shop",
            correlation_id=number,
            error=error or TimeoutError("no answer within 2 s"),
        )
        if cancelled:
            message = f"order {number} was cancelled while it was placed"
            raise RuntimeError(message)
    return ids
