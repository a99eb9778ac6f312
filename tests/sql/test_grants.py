from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.postgres import Connection
from tests.sql.doors import Doors

SQL = Path(__file__).parents[2] / "sql"
PRODUCER = {"capture_failure", "capture_failures"}
OPERATOR = {
    "cancel_retry",
    "create_token",
    "delete_dead_letter",
    "delete_dead_letters",
    "import_dead_letters",
    "pause_handler",
    "replay_dead_letter",
    "replay_dead_letters",
    "resolve_dead_letter",
    "resume_handler",
    "retry_now",
    "revoke_token",
}
INLINED = {
    "claim_row",
    "cut_text",
    "matches",
    "shape_problem",
    "operation_of",
    "retries_of_event",
    "now",
    "event_id_prefix",
    "matches_any",
    "ordinary_event",
    "policies_of",
    "routes_of",
    "waiting_priorities",
}


async def may(connection: Connection, role: str) -> set[str]:
    """Give the functions that a role may execute."""
    rows = await connection.fetch(
        "select proname from pg_proc where pronamespace = 'retryd'::regnamespace"
        " and has_function_privilege($1, oid, 'execute')",
        role,
    )
    return {row[0] for row in rows}


@asynccontextmanager
async def acting_as(role: str, connection: Connection) -> AsyncIterator[None]:
    """Act as a role of the schema until the context ends."""
    await connection.execute(f"set role {role}")
    yield
    await connection.execute("reset role")


async def test_public_may_execute_nothing(connection: Connection) -> None:
    await connection.execute(
        "drop role if exists retryd_test_stranger; create role retryd_test_stranger"
    )
    try:
        assert await may(connection, "retryd_test_stranger") == set()
        assert not await connection.fetchval(
            "select has_schema_privilege('retryd_test_stranger', 'retryd', 'usage')"
        )
    finally:
        await connection.execute("drop role retryd_test_stranger")


async def test_a_producer_may_capture_and_nothing_else(connection: Connection) -> None:
    assert await may(connection, "retryd_producer") == PRODUCER


async def test_a_reader_may_call_nothing_that_writes(connection: Connection) -> None:
    assert await may(connection, "retryd_reader") == {
        *("explain_retry", "matches", "now", "operation_of")
    }


async def test_the_verbs_of_operators_are_theirs(connection: Connection) -> None:
    operator, worker = (
        await may(connection, "retryd_operator"),
        await may(connection, "retryd_worker"),
    )
    assert operator >= OPERATOR | PRODUCER
    assert worker & OPERATOR == {"pause_handler"}
    assert not operator & {"acquire_retry_batch", "settle_retries", "complete_retry", "fail_retry"}
    assert not operator & {"capture_checked", "capture_dead"}
    assert "live_tokens" in worker - operator


@pytest.mark.parametrize("role", ["worker", "producer", "operator", "reader"])
async def test_no_role_touches_a_table_or_a_sequence(role: str, connection: Connection) -> None:
    rows = await connection.fetch(
        "select relname, relkind::text from pg_class where relnamespace = 'retryd'::regnamespace"
        " and relname <> 'alembic_version'"  # says which version it is; anybody may look"
        " and case relkind when 'S' then has_sequence_privilege($1, oid, 'usage, select, update')"
        " when 'i' then false when 'I' then false when 'c' then false"
        " else has_table_privilege($1, oid, 'insert, update, delete, truncate, references')"
        " or (relkind <> 'v' and has_any_column_privilege($1, oid, 'select')) end",
        f"retryd_{role}",
    )
    assert [tuple(row) for row in rows] == []


async def test_every_role_can_do_its_work_through_the_functions(
    sql: Doors, connection: Connection
) -> None:
    async with acting_as("retryd_producer", connection):
        number = await sql.capture("work.do.failed", ordering_key="k")
        (second,) = await sql.capture_all({"event_type": "work.do"})
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql.acquire()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql.places()
    async with acting_as("retryd_worker", connection):
        (claim,) = await sql.acquire()
        assert await sql.one("fail_retry", id=claim["id"], claim_token=claim["claim_token"])
        assert await sql.one("ensure_partitions", days_ahead=9) > 0
        await sql.rows("prune_archive", older_than=claim["created_at"] - claim["created_at"])
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await sql.one("replay_dead_letter", id=number)
    async with acting_as("retryd_operator", connection):
        assert await sql.one("replay_dead_letter", id=number)
        assert await sql.places() == {number: "live", second: "live"}
    async with acting_as("retryd_reader", connection):
        for view in sorted(SQL.glob("views/*.sql")):
            await connection.fetch(f"select * from retryd.{view.stem}")


async def test_every_function_is_a_file_and_every_file_a_function(connection: Connection) -> None:
    rows = await connection.fetch(
        "select proname from pg_proc where pronamespace = 'retryd'::regnamespace"
    )
    names = [row[0] for row in rows]
    assert sorted(names) == sorted(path.stem for path in SQL.glob("functions/*.sql"))


async def test_every_view_is_a_file_and_every_file_a_view(connection: Connection) -> None:
    rows = await connection.fetch("select viewname from pg_views where schemaname = 'retryd'")
    assert {row[0] for row in rows} == {path.stem for path in SQL.glob("views/*.sql")}


async def test_every_function_has_a_search_path_of_its_own_but_those_that_are_inlined(
    connection: Connection,
) -> None:
    rows = await connection.fetch(
        "select proname, prosecdef, coalesce('search_path=retryd, pg_temp' = any(proconfig), false)"
        " from pg_proc where pronamespace = 'retryd'::regnamespace"
    )
    assert {name for name, _, path in rows if not path} <= INLINED
    assert {name for name, definer, path in rows if definer and not path} == set()


async def test_the_schema_belongs_to_its_owner_role(connection: Connection) -> None:
    rows = await connection.fetch(
        "select proname, proowner::regrole::text from pg_proc"
        " where pronamespace = 'retryd'::regnamespace union"
        " select relname, relowner::regrole::text from pg_class"
        " where relnamespace = 'retryd'::regnamespace"
    )
    assert {owner for _, owner in rows} == {"retryd_owner"}


@pytest.mark.parametrize("path", sorted(SQL.glob("functions/*.sql")), ids=lambda path: path.stem)
def test_a_file_says_its_promise_and_takes_the_function_from_public(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("-- ")
    assert re.search(rf"^create or replace function retryd\.{path.stem}\(", text, re.MULTILINE)
    assert f"revoke all on function retryd.{path.stem}(" in text


async def test_nobody_can_put_a_function_of_his_own_before_ours(
    sql: Doors, connection: Connection
) -> None:
    await connection.execute(
        "create function pg_temp.unnest(anyarray) returns setof anyelement language plpgsql"
        " as 'begin raise exception $$caught$$; end'"
    )
    await connection.execute("set search_path = pg_temp, public")
    assert await sql.capture()
