"""`retryd migrate`: up, down, and printed."""

from __future__ import annotations

from retryd.store.revisions import revisions
from tests.acceptance.commands import Shell
from tests.postgres import Database

TABLES = (
    "select count(*) from pg_tables where schemaname = 'retryd' and tablename <> 'alembic_version'"
)


async def test_migrate_goes_to_head_and_down_goes_one_step(
    bare_shell: Shell, plain_database: Database
) -> None:
    connection = await plain_database.connect()
    shell = Shell(bare_shell.folder, {"DATABASE_URL": plain_database.dsn})
    up = await shell("migrate")
    assert (up.status, up.err) == (0, "")
    assert up.out.startswith("the schema is at ")
    assert await connection.fetchval(TABLES) > 0
    again = await shell("migrate")
    assert (again.status, again.out) == (0, up.out)
    for head in (*revisions()[1:], None):
        down = await shell("migrate", "down")
        assert (down.status, down.err) == (0, "")
        found = await connection.fetchval("select max(version_num) from retryd.alembic_version")
        assert found == head
    assert await connection.fetchval(TABLES) == 0
    assert "cannot be brought" in (await shell("migrate", "down")).refused(2)


async def test_the_printed_sql_makes_the_schema(
    bare_shell: Shell, plain_database: Database
) -> None:
    printed = await bare_shell("migrate", "--sql", "--no-roles")
    assert (printed.status, printed.err) == (0, "")
    connection = await plain_database.connect()
    await connection.execute(printed.out)
    assert await connection.fetchval("select count(*) from retryd.retries") == 0
