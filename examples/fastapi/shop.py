"""An order by HTTP, and the mail about it that fails: `uvicorn shop:api`, a worker inside."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, Request

import retryd

app = retryd.App(database_url=os.environ["DATABASE_URL"])


# --8<-- [start:lifespan]
@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    """Hold a pool for requests, and a worker for what they could not do."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1) as pool:
        await pool.execute("create table if not exists shop_order (number int primary key)")
        api.state.pool = pool
        async with retryd.running(app, {"retry": {"worker_count": 2}}):
            yield


api = FastAPI(lifespan=lifespan)
# --8<-- [end:lifespan]


# --8<-- [start:capture]
@api.post("/orders/{number}")
async def place(request: Request, number: int) -> dict[str, list[int]]:
    """Keep the order, and what failed about it, in one transaction."""
    retries: list[int] = []
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        await connection.execute("insert into shop_order values ($1)", number)
        try:
            send_mail(number, mail_is_up=False)
        except ConnectionError as error:
            retries = await retryd.capture(
                connection, "order.mail.failed", {"order": number}, error=error
            )
    return {"retries": retries}


# --8<-- [end:capture]


@app.handler("order.mail")
async def mail_again(retry: retryd.Retry) -> None:
    """Send the mail that failed."""
    send_mail(retry.payload["order"], mail_is_up=True)


def send_mail(number: int, *, mail_is_up: bool) -> None:
    """Stand in for your own operation."""
    if not mail_is_up:
        raise ConnectionError("the mail server does not answer")
    print(f"mailed order {number}", flush=True)
