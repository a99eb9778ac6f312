"""The pool: connections that go back as they are, and come back after they broke."""

from __future__ import annotations

import asyncio

import pytest

from retryd.domain.errors import DatabaseUnavailable
from retryd.store.pool import open_pool
from tests.postgres import Database


async def test_connections_are_named_and_speak_utc(database: Database) -> None:
    async with open_pool(database.dsn, size=1, application="retryd/test") as pool:
        assert await pool.fetchval("show application_name") == "retryd/test"
        assert await pool.fetchval("show timezone") == "UTC"


async def test_no_connection_is_made_before_the_first_question() -> None:
    async with open_pool("postgresql://127.0.0.1:1/x", size=1, application="a") as pool:
        with pytest.raises(DatabaseUnavailable):
            await pool.fetchval("select 1")


async def test_a_broken_connection_is_replaced(database: Database) -> None:
    async with open_pool(database.dsn, size=1, application="retryd/test") as pool:
        first = await pool.fetchval("select pg_backend_pid()")
        with pytest.raises(DatabaseUnavailable):
            await pool.fetchval("select pg_terminate_backend(pg_backend_pid())")
        assert await pool.fetchval("select pg_backend_pid()") != first


async def test_a_cancelled_question_gives_its_connection_back(database: Database) -> None:
    async with open_pool(database.dsn, size=1, application="retryd/test") as pool:
        first = await pool.fetchval("select pg_backend_pid()")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.fetchval("select pg_sleep(60)")
        assert await pool.fetchval("select pg_backend_pid()") == first


async def test_a_transaction_left_open_does_not_go_back_to_the_pool(database: Database) -> None:
    async with open_pool(database.dsn, size=1, application="retryd/test") as pool:
        async with pool.connection() as connection:
            await connection.execute("begin; create table left_open ()")
        assert await pool.fetchval("select to_regclass('left_open')") is None
