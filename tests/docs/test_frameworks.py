"""Runs the examples for SQLAlchemy, Django and FastAPI as a person would: commands, processes."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.postgres import Connection, Database
from tests.waiting import until

EXAMPLES = Path(__file__).parents[2] / "examples"
RUN = ("-m", "retryd", "run", "--until-empty", "--app")


async def start(example: str, dsn: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start Python in the folder of an example."""
    url = urlsplit(dsn)._replace(query="").geturl()
    return await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=EXAMPLES / example,
        env={**os.environ, "DATABASE_URL": url, "RETRYD_HTTP__PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def printed(example: str, database: Database, *arguments: str) -> str:
    """Run Python to its end, which must be well; returns what it printed."""
    process = await start(example, database.dsn, *arguments)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def ended(connection: Connection) -> bool:
    """Say whether the order is kept, and its mail was sent at the first attempt of a worker."""
    orders = await connection.fetchval("select count(*) from shop_order")
    rows = await connection.fetch("select operation, state, attempt from retryd.retries")
    return (orders, [tuple(row) for row in rows]) == (1, [("order.mail", "completed", 1)])


async def test_a_session_of_sqlalchemy_captures_beside_its_order(
    database: Database, connection: Connection
) -> None:
    assert await printed("sqlalchemy", database, "shop.py", "17") == "1\n"
    assert await printed("sqlalchemy", database, *RUN, "shop:app") == "mailed order 17\n"
    assert await ended(connection)


async def test_django_captures_in_its_atomic_block_and_its_orm_works_in_a_handler(
    database: Database, connection: Connection
) -> None:
    await printed("django", database, "manage.py", "migrate", "--run-syncdb")
    place = "from shop.orders import place; print(*place(17))"
    assert (
        await printed("django", database, "manage.py", "shell", "--no-imports", "-c", place)
        == "1\n"
    )
    assert await printed("django", database, *RUN, "shop.retries:app") == "mailed order 17\n"
    assert await ended(connection)


async def test_a_request_of_fastapi_captures_and_the_worker_inside_runs_it_again(
    database: Database, connection: Connection
) -> None:
    process = await start("fastapi", database.dsn, "-m", "uvicorn", "shop:api", "--port", "0")
    assert process.stderr is not None
    try:
        address = None
        while address is None:
            line = await process.stderr.readline()
            assert line, "it ended before it listened"
            address = re.search(r"running on (http://\S+)", line.decode())
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{address[1]}/orders/17")
        assert answer.json() == {"retries": [1]}
        await until(lambda: ended(connection), within=30)
        process.terminate()
        out, err = await process.communicate()
        assert "mailed order 17\n" in out.decode(), err.decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
