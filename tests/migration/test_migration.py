"""The schema comes and goes as a whole, whoever asks for it and how many at once."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from typing import Any

import pytest

from retryd.domain.errors import DatabaseUnavailable, SchemaOutdated
from retryd.embedded.binaries import find
from retryd.store import revisions, schema
from tests.postgres import Connection, Database

CATALOGUE = """
    select 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'retryd'::regnamespace and a.attnum > 0 and not a.attisdropped
    union all
    select 'constraint', conname, pg_get_constraintdef(oid), null, null
    from pg_constraint where connamespace = 'retryd'::regnamespace
    union all
    select 'index', indexname, indexdef, null, null from pg_indexes where schemaname = 'retryd'
    union all
    select 'function', oid::regprocedure::text, md5(prosrc), prosecdef::text, proconfig::text
    from pg_proc where pronamespace = 'retryd'::regnamespace
    union all
    select 'view', viewname, md5(definition), null, null from pg_views where schemaname = 'retryd'
    union all
    select 'policy', name, match::text, max_retries::text, first_delay_low::text
    from retryd.retry_policy
    order by 1, 2, 3
"""


async def catalogue(connection: Connection) -> list[tuple[Any, ...]]:
    """Return all that the schema consists of."""
    return [tuple(row) for row in await connection.fetch(CATALOGUE)]


async def has_schema(connection: Connection) -> bool:
    """Tell whether the tables are there."""
    query = "select to_regclass('retryd.retry_queue') is not null"
    return bool(await connection.fetchval(query))


async def test_migrating_twice_changes_nothing(plain_database: Database) -> None:
    connection = await plain_database.connect()
    await schema.migrate(plain_database.dsn)
    first = await catalogue(connection)
    await schema.migrate(plain_database.dsn)
    assert await catalogue(connection) == first


async def test_four_processes_may_migrate_at_once(plain_database: Database) -> None:
    program = (
        "import asyncio, sys; from retryd.store.schema import migrate;"
        " asyncio.run(migrate(sys.argv[1]))"
    )
    starting = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, plain_database.dsn)
        for _ in range(4)
    ]
    assert [await process.wait() for process in starting] == [0, 0, 0, 0]
    connection = await plain_database.connect()
    version = await connection.fetchval("select version_num from retryd.alembic_version")
    assert version == revisions.head()


async def test_the_whole_way_down_takes_everything_away_and_up_brings_it_back(
    plain_database: Database,
) -> None:
    connection = await plain_database.connect()
    await schema.migrate(plain_database.dsn)
    before = await catalogue(connection)
    await schema.migrate(plain_database.dsn, "base")
    left = await connection.fetch(
        "select relname from pg_class"
        " where relnamespace = 'retryd'::regnamespace and relkind <> 'i'"
    )
    assert [row[0] for row in left] == ["alembic_version"]
    assert not await connection.fetchval(
        "select count(*) from pg_proc where pronamespace = 'retryd'::regnamespace"
    )
    await schema.migrate(plain_database.dsn)
    assert await catalogue(connection) == before


async def test_steps_down_and_up_again_make_the_same_schema(plain_database: Database) -> None:
    connection = await plain_database.connect()
    await schema.migrate(plain_database.dsn)
    before = await catalogue(connection)

    async def step_down() -> set[str]:
        await schema.migrate(plain_database.dsn, "-1")
        lost = set(before) - set(await catalogue(connection))
        return {row[1].removeprefix("retryd.").partition("(")[0] for row in lost}

    gone = await step_down()
    assert gone >= {"api_token", "api_tokens", "api_token_scopes_check"}
    assert gone >= {"create_token", "revoke_token", "live_tokens"}
    assert all("token" in name for name in gone)
    assert await step_down() == gone | {"dead_letter_depths"}
    claiming = {"claim_retries", "claim_row", "look_ahead", "rescue_retries"}
    assert await step_down() == gone | {"dead_letter_depths"} | claiming
    assert await step_down() >= {"handler_activity", "retry_attempt_ended_at_idx", "workers"}
    gone = await step_down()
    assert gone >= {"lease_length", "worker", "retry_queue_alerts"}
    assert gone >= {"renew_leases", "adopt_claims", "settled_under"}
    assert gone >= {"note_lease", "clamp_leases", "worker_alert"}
    await schema.migrate(plain_database.dsn)
    assert await catalogue(connection) == before


async def test_leases_that_run_while_lengths_are_first_noted_are_not_cut(
    plain_database: Database,
) -> None:
    connection = await plain_database.connect()
    await schema.migrate(plain_database.dsn)
    await connection.execute("select retryd.register_handler('work', array['work.*'])")
    await connection.execute("select retryd.capture_failure('work.do', not_before => now())")
    await connection.execute("select retryd.acquire_retry_batch('far', 1, '20 h')")
    await schema.migrate(plain_database.dsn, "-1")
    await schema.migrate(plain_database.dsn)
    await connection.execute("select retryd.acquire_retry_batch('near', 1, '30 s')")
    assert await connection.fetchval("select retryd.clamp_leases(10)") == 0
    left = "select lease_expires_at - clock_timestamp() > '19 h' from retryd.retry_queue"
    assert await connection.fetchval(left)


async def test_the_printed_sql_makes_the_same_schema_with_psql(
    plain_database: Database, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(schema.offline_sql)
    script = capsys.readouterr().out
    psql = find().directory / "psql"
    played = subprocess.run(
        [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", plain_database.dsn],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stderr
    migrated = await catalogue(await database.connect())
    printed = await catalogue(await plain_database.connect())
    clock = ("function", "retryd.now()")  # the tests have one of their own
    assert [row for row in printed if row[:2] != clock] == [
        row for row in migrated if row[:2] != clock
    ]


async def test_without_roles_nothing_of_the_cluster_is_touched(plain_database: Database) -> None:
    await schema.migrate(plain_database.dsn, roles=False)
    connection = await plain_database.connect()
    owners = await connection.fetch(
        "select distinct relowner::regrole::text from pg_class"
        " where relnamespace = 'retryd'::regnamespace"
    )
    assert [row[0] for row in owners] == [await connection.fetchval("select current_user::text")]
    granted = await connection.fetch(
        "select proname from pg_proc, aclexplode(proacl) a"
        " where pronamespace = 'retryd'::regnamespace and a.grantee <> proowner"
    )
    assert granted == []


async def test_a_revision_that_fails_leaves_nothing_behind(
    plain_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = {
        **schema.objects("views"),
        "place": "create view retryd.place as select no_such_column",
    }
    kinds = {"views": views, "functions": schema.objects("functions")}
    monkeypatch.setattr(schema, "objects", kinds.__getitem__)
    with pytest.raises(Exception, match="no_such_column"):
        await schema.migrate(plain_database.dsn)
    assert not await has_schema(await plain_database.connect())


async def test_a_missing_schema_is_named_with_its_remedy(plain_database: Database) -> None:
    connection = await plain_database.connect()
    with pytest.raises(SchemaOutdated, match="retryd migrate"):
        await revisions.check(connection)


async def test_the_current_schema_and_a_newer_one_are_good_enough(database: Database) -> None:
    connection = await database.connect()
    await revisions.check(connection)
    await connection.execute("update retryd.alembic_version set version_num = 'from-the-future'")
    await revisions.check(connection)


async def test_an_unreachable_server_is_named_without_the_password() -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot be reached") as caught:
        await schema.migrate("postgresql://someone:sesame@127.0.0.1:1/nowhere")
    assert "sesame" not in str(caught.value)


def test_every_object_says_what_it_promises_and_who_may_use_it() -> None:
    for kind in ("functions", "views"):
        for name, text in schema.objects(kind).items():
            assert text.startswith("-- "), name
            assert re.search(rf"(function|view) retryd\.{name}\b", text), name
            if kind == "functions":
                assert "\nrevoke all on function" in text, name
