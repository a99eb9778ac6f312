"""The databases that tests get are apart, migrated, and have a clock that moves."""

from __future__ import annotations

import time

import asyncpg
import pytest

from tests.postgres import Clock, Cluster, Connection, Database
from tests.waiting import until


@pytest.mark.parametrize("turn", [1, 2])
async def test_what_a_test_makes_is_gone_in_the_next(connection: Connection, turn: int) -> None:
    await connection.execute("create table public.trace (turn int)")


async def test_a_database_has_the_schema_and_a_plain_one_has_not(
    database: Database, plain_database: Database
) -> None:
    assert database.dsn != plain_database.dsn
    query = "select to_regnamespace('retryd') is not null"
    assert await (await database.connect()).fetchval(query) is True
    assert await (await plain_database.connect()).fetchval(query) is False


async def test_the_clock_moves_for_every_connection(database: Database, clock: Clock) -> None:
    connection = await database.connect()
    ahead = "select extract(epoch from retryd.now() - clock_timestamp())::float8"
    assert await connection.fetchval(ahead) == pytest.approx(0, abs=0.1)
    await clock.advance(3600)
    await clock.advance(0.5)
    assert await connection.fetchval(ahead) == pytest.approx(3600.5, abs=0.1)


async def test_the_movable_clock_has_the_owner_and_the_grants_of_the_real_one(
    connection: Connection,
) -> None:
    found = await connection.fetch(
        """
        select p.proowner = n.nspowner, has_function_privilege('public', p.oid, 'execute')
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'retryd' and p.proname = 'now'
        """
    )
    assert [tuple(row) for row in found] == [(True, False)]


async def test_a_database_is_dropped_although_somebody_is_connected(cluster: Cluster) -> None:
    async with cluster.database() as database:
        stranger = await asyncpg.connect(database.dsn)
    await until(stranger.is_closed)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(database.dsn)


async def test_waiting_ends_with_the_condition_or_with_a_failure_that_names_it() -> None:
    asked = iter([0, None, "", "here"])
    assert await until(lambda: next(asked)) == "here"

    async def never() -> bool:
        return False

    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"never did not come true within 0\.1 s.*False"):
        await until(never, within=0.1)
    assert time.monotonic() - began < 5
