"""Migrating while workers run: nobody is stopped for long, and nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from retryd.domain.errors import StatementAborted
from retryd.store import revisions, schema
from tests.postgres import Connection, Database
from tests.waiting import until

MIGRATING = "select count(*) from pg_stat_activity where application_name = 'retryd/migrate'"
LOCKED_OUT = f"{MIGRATING} and wait_event_type = 'Lock'"
READ = "select count(*) from retryd.retries"


class Worker:
    """Captures, claims and completes one retry after the other until it is stopped."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.rounds = 0
        self.stopped = False

    async def run(self) -> None:
        while not self.stopped:
            await self.round()
            self.rounds += 1

    async def round(self) -> None:
        ask = self.connection.fetchval
        await ask("select retryd.capture_failure('work.do.failed', not_before => now())")
        await ask(
            "select retryd.complete_retry(id, claim_token) from retryd.acquire_retry_batch('w', 1)"
        )


async def prepared(database: Database) -> Worker:
    """Migrate, register a handler, and give a worker that waits for no lock longer than 1 s."""
    await schema.migrate(database.dsn)
    await database.open_books()
    connection = await database.connect()
    await connection.execute("select retryd.register_handler('work', array['work.*'])")
    await connection.execute("set lock_timeout = '1s'")
    return Worker(connection)


async def test_a_worker_goes_on_while_the_schema_is_migrated(plain_database: Database) -> None:
    worker = await prepared(plain_database)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        for _ in range(3):
            before = worker.rounds
            await schema.migrate(plain_database.dsn)
            assert worker.rounds > before
        worker.stopped = True
    places = await worker.connection.fetch("select place, count(*) from retryd.place group by 1")
    assert [tuple(row) for row in places] == [("done", worker.rounds)]


async def test_captures_go_on_from_one_revision_to_the_next(plain_database: Database) -> None:
    worker = await prepared(plain_database)
    await schema.migrate(plain_database.dsn, "-1")
    captured: list[int] = []

    async def capture() -> None:
        while not worker.stopped:
            query = "select retryd.capture_failure('work.do.failed')"
            captured.append(await worker.connection.fetchval(query))

    async with asyncio.TaskGroup() as group:
        group.create_task(capture())
        await schema.migrate(plain_database.dsn)
        worker.stopped = True
    assert captured
    assert await worker.connection.fetchval("select count(*) from retryd.place") == len(captured)


async def test_a_migration_waits_for_a_reader_in_turns_and_stops_no_worker(
    plain_database: Database,
) -> None:
    worker = await prepared(plain_database)
    reader, watch = await plain_database.connect(), await plain_database.connect()
    async with reader.transaction():
        await reader.fetchval(READ)
        migrating = asyncio.create_task(schema.migrate(plain_database.dsn))
        await until(lambda: watch.fetchval(LOCKED_OUT))
        await worker.round()
    await migrating
    await revisions.check(watch)


async def test_a_migration_that_never_gets_its_turn_changes_nothing_and_says_why(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "TURNS", 1)
    await prepared(plain_database)
    reader = await plain_database.connect()
    async with reader.transaction():
        await reader.fetchval(READ)
        with pytest.raises(StatementAborted, match="end long transactions"):
            await schema.migrate(plain_database.dsn)


async def test_a_cancelled_migration_leaves_no_session_and_no_lock(
    plain_database: Database,
) -> None:
    worker = await prepared(plain_database)
    reader, watch = await plain_database.connect(), await plain_database.connect()
    async with reader.transaction():
        await reader.fetchval(READ)
        migrating = asyncio.create_task(schema.migrate(plain_database.dsn))
        await until(lambda: watch.fetchval(LOCKED_OUT))
        migrating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await migrating

        async def gone() -> bool:
            return bool(await watch.fetchval(MIGRATING) == 0)

        await until(gone)
        assert await watch.fetchval(READ) == 0
        await worker.round()
    await schema.migrate(plain_database.dsn)
