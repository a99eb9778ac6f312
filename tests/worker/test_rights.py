"""A worker needs the role retryd_worker and nothing more."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

import retryd
from retryd.store import revisions
from retryd.store.pool import open_pool
from retryd.store.reads import Reads
from tests.postgres import Connection, Database
from tests.worker.conftest import Bench, app_with


@pytest.fixture
async def worker_dsn(database: Database, connection: Connection) -> AsyncIterator[str]:
    """The address of the database for somebody who is no more than a worker."""
    name, password = f"retryd_test_{secrets.token_hex(6)}", secrets.token_hex(8)
    await connection.execute(f"create role {name} login password '{password}'")
    await connection.execute(f"grant retryd_worker to {name}")
    parts = urlsplit(database.dsn)
    yield parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}").geturl()
    await connection.execute(f"drop role {name}")


async def test_the_role_of_workers_is_enough_for_a_worker(bench: Bench, worker_dsn: str) -> None:
    async def job(retry: retryd.Retry) -> None:
        if retry.attempt == 1:
            raise ConnectionError

    retry_id = await bench.capture()
    async with open_pool(worker_dsn, size=4, application="retryd/test") as pool:
        async with pool.connection() as connection:
            await revisions.check(connection)
        bench.dsn = worker_dsn
        async with bench.working(app_with(job), listen_dsn=worker_dsn):
            await bench.reached("done", retry_id)
        assert not await Reads(pool).any_live(["job"])


async def test_the_role_of_workers_cannot_touch_the_tables(bench: Bench, worker_dsn: str) -> None:
    retry_id = await bench.capture()
    connection = await asyncpg.connect(worker_dsn)
    try:
        for statement in (
            "delete from retryd.retry_queue",
            "update retryd.retry_queue set attempt = 0",
            f"select retryd.cancel_retry({retry_id})",
            "select payload from retryd.failure_event",
            "create table retryd.mine (id int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
