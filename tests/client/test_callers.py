"""The same sentences for every kind of connection: the capture is a part of his transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import retryd
from tests.client.callers import CALLERS, Caller, opened
from tests.client.test_capture import EVENT, stored
from tests.postgres import Connection, Database


@pytest.fixture(params=CALLERS)
async def caller(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Caller]:
    """A connection of each kind, in a transaction."""
    async with opened(request.param, database.dsn) as caller:
        yield caller


async def captured(connection: Connection) -> list[str]:
    """Return the event types that are committed."""
    rows = await connection.fetch("select event_type from retryd.failure_event order by id")
    return [row[0] for row in rows]


async def test_a_commit_keeps_what_was_captured(caller: Caller, connection: Connection) -> None:
    await caller.run("create table shop_order (n int)")
    [single] = await caller.capture(**EVENT)
    bulk, other = await caller.capture_many(
        [{**EVENT, "event_id": "e-2"}, {"event_type": "b.failed"}]
    )
    assert await captured(connection) == []
    await caller.commit()
    assert await stored(connection, single) == EVENT
    assert await stored(connection, bulk) == {**EVENT, "event_id": "e-2"}
    assert (await stored(connection, other))["event_type"] == "b.failed"
    assert await connection.fetchval("select count(*) from shop_order") == 0


async def test_a_rollback_drops_what_was_captured(caller: Caller, connection: Connection) -> None:
    await caller.capture("a.failed")
    await caller.capture_many([{"event_type": "b.failed"}])
    await caller.rollback()
    await caller.commit()
    assert await captured(connection) == []


async def test_a_savepoint_takes_back_its_own_captures_only(
    caller: Caller, connection: Connection
) -> None:
    await caller.capture("kept.failed")
    await caller.run("savepoint s")
    await caller.capture("dropped.failed")
    await caller.run("rollback to savepoint s")
    await caller.commit()
    assert await captured(connection) == ["kept.failed"]


async def test_an_aborted_transaction_says_what_to_do_and_then_takes_captures_again(
    caller: Caller, connection: Connection
) -> None:
    await caller.run("savepoint s")
    with pytest.raises(Exception, match="division by zero"):
        await caller.run("select 1/0")
    with pytest.raises(retryd.TransactionAborted, match="rolling back, to a savepoint"):
        await caller.capture("a.failed")
    with pytest.raises(retryd.TransactionAborted):
        await caller.capture_many([])
    await caller.rollback()
    await caller.capture("b.failed")
    await caller.commit()
    assert await captured(connection) == ["b.failed"]


async def test_a_refusal_is_raised_before_anything_is_sent(
    caller: Caller, connection: Connection
) -> None:
    await caller.capture("good.failed")
    with pytest.raises(retryd.Refused, match="NaN"):
        await caller.capture("bad.failed", {"n": float("nan")})
    with pytest.raises(retryd.Refused, match=r"^event 1: priority"):
        await caller.capture_many(
            [{"event_type": "a.failed"}, {"event_type": "b.failed", "priority": 10}]
        )
    await caller.commit()
    assert await captured(connection) == ["good.failed"]


async def test_a_refusal_of_the_server_has_its_words_and_its_code(
    caller: Caller, connection: Connection
) -> None:
    await connection.execute(
        "create or replace function retryd.check_events(events jsonb) returns void"
        " language plpgsql as $$ begin"
        " raise 'not %', 'today' using errcode = case when events = '[]' then 'RT404' else 'RT400'"
        " end, detail = 'a detail', hint = 'a hint'; end $$"
    )
    with pytest.raises(retryd.Refused) as caught:
        await caller.capture_many([{"event_type": "a.failed", "payload": "a secret"}])
    assert (str(caught.value), caught.value.sqlstate) == ("not today", "RT400")
    await caller.rollback()
    with pytest.raises(retryd.NotFound, match=r"^not today$"):
        await caller.capture_many([])


async def test_an_error_that_is_not_ours_stays_that_of_the_driver(
    caller: Caller, connection: Connection
) -> None:
    await connection.execute("drop function retryd.capture_failures(jsonb)")
    with pytest.raises(Exception, match="capture_failures") as caught:
        await caller.capture_many([])
    assert not isinstance(caught.value, retryd.RetrydError)
    assert type(caught.value).__module__.partition(".")[0] in {
        "asyncpg",
        "psycopg",
        "psycopg2",
        "sqlalchemy",
    }


async def test_the_same_event_id_finds_the_first_capture(
    caller: Caller, connection: Connection
) -> None:
    first = await retryd.capture(connection, "a.failed", event_id="e-1", source="shop")
    assert await caller.capture("a.failed", event_id="e-1", source="shop") == first
    await caller.commit()
    assert await captured(connection) == ["a.failed"]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(10**300), 10**300) | st.floats(-1e300, 1e300).filter(
    lambda number: number == 0 or abs(number) > 1e-200
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def exact(text: str) -> Any:
    """Decode JSON with every digit of its numbers."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


@given(value=VALUES, note=TEXT | st.just("%s %(p1)s ? :1 :p1 $1 {} \\"))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_payload_and_text_arrives_as_it_was(
    caller: Caller, connection: Connection, value: Any, note: str
) -> None:
    ids = await caller.capture("a.failed", [value], error_message=note)
    ids += await caller.capture_many(
        [{"event_type": "a.failed", "payload": [value], "error_message": note}]
    )
    await caller.commit()
    rows = await connection.fetch(
        "select payload::text, error_message from retryd.failure_event order by id desc limit 2"
    )
    assert [(exact(row[0]), row[1]) for row in rows] == 2 * [(exact(json.dumps([value])), note)]
    assert len(ids) == 2
