"""What the driver raises, in our own words: refusals, outages, faults."""

from __future__ import annotations

import socket

import asyncpg
import pytest

from retryd.domain.errors import DatabaseUnavailable, NotFound, Refused, SchemaOutdated
from retryd.store.errors import reaching_database
from tests.postgres import Connection


async def fail(connection: Connection, sqlstate: str, message: str = "no") -> None:
    """Have PostgreSQL raise this SQLSTATE."""
    with reaching_database():
        await connection.execute(
            f"do $$ begin raise exception '{message}' using errcode = '{sqlstate}'; end $$"
        )


@pytest.mark.parametrize("sqlstate", ["RT400", "RT409", "RT412"])
async def test_a_refusal_keeps_its_code_and_its_words(
    connection: Connection, sqlstate: str
) -> None:
    with pytest.raises(Refused, match=r"^payload is odd$") as caught:
        await fail(connection, sqlstate, "payload is odd")
    assert caught.value.sqlstate == sqlstate


async def test_what_is_unknown_was_not_found(connection: Connection) -> None:
    with pytest.raises(NotFound, match=r"^there is no x$"):
        await fail(connection, "RT404", "there is no x")


@pytest.mark.parametrize(
    "sqlstate",
    [
        "08006",
        "40001",
        "40P01",
        "53100",
        "53200",
        "53300",
        "55P03",
        "57014",
        "57P01",
        "58030",
        "25006",
    ],
)
async def test_what_passes_by_itself_is_an_outage(connection: Connection, sqlstate: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="no"):
        await fail(connection, sqlstate)


@pytest.mark.parametrize("statement", ["select retryd.nothing()", "table retryd.nothing"])
async def test_what_is_missing_asks_for_a_migration(connection: Connection, statement: str) -> None:
    with pytest.raises(SchemaOutdated, match="retryd migrate"), reaching_database():
        await connection.execute(statement)


@pytest.mark.parametrize(
    ("query", "argument"),
    [("select $1::text", 7), ("select $1::text", "\ud800"), ("select $1::int", "x")],
)
async def test_an_argument_that_cannot_be_sent_is_refused_and_no_outage(
    connection: Connection, query: str, argument: object
) -> None:
    with pytest.raises(Refused, match="invalid input"), reaching_database():
        await connection.fetchval(query, argument)


async def test_a_fault_of_a_statement_stays_what_it_is(connection: Connection) -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError), reaching_database():
        await connection.execute("select (")


async def test_a_value_that_breaks_a_rule_is_refused_and_not_shown(connection: Connection) -> None:
    await connection.execute("create temporary table t (secret text unique)")
    with pytest.raises(Refused) as caught, reaching_database():
        await connection.execute("insert into t values ('sesame'), ('sesame')")
    assert (caught.value.sqlstate, "sesame" in str(caught.value)) == ("23505", False)


async def test_a_value_that_is_nested_too_deep_is_refused(connection: Connection) -> None:
    with pytest.raises(Refused, match="stack depth") as caught, reaching_database():
        await connection.execute("select $1::text::jsonb", "[" * 100_000)
    assert caught.value.sqlstate == "54001"


async def test_a_closed_connection_is_an_outage(connection: Connection) -> None:
    await connection.close()
    with pytest.raises(DatabaseUnavailable, match="closed"), reaching_database():
        await connection.execute("select 1")


async def test_a_port_where_nobody_listens_is_an_outage_that_hides_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dsn = f"postgresql://me:sesame@127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(DatabaseUnavailable) as caught, reaching_database():
            await asyncpg.connect(dsn)
    assert "sesame" not in str(caught.value)


async def test_an_address_of_another_form_is_an_outage_to_be_named() -> None:
    with pytest.raises(DatabaseUnavailable, match="check the database URL"), reaching_database():
        await asyncpg.connect("mysql://localhost/x")
