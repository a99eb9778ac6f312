"""Kind `sql` in a real worker: the effect and the end of its retry are one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import retryd
from retryd.domain.errors import ConfigurationError
from retryd.domain.json_text import read_json
from tests.postgres import Connection, Database
from tests.waiting import until
from tests.worker.conftest import Bench
from tests.worker.test_deliveries import PLAN

STATEMENT = "insert into shop.effect (sku, number) values (:sku, :number)"
SHOP = """
    create schema shop;
    create table shop.effect (sku text, number numeric, at timestamptz default now());
    grant usage on schema shop to public;
    grant all on shop.effect to public;
    create table shop.retryd_inbox (
        delivery text primary key, at timestamptz not null default now());
"""


@asynccontextmanager
async def running(home: Database, statement: str, **settings: Any) -> AsyncIterator[None]:
    """Run a worker whose one handler runs a statement."""
    handler = {"kind": "sql", "match": ["job.*"], "statement": statement, **settings}
    config = {"database": {"url": home.dsn}, "retry": PLAN, "handlers": {"restock": handler}}
    async with retryd.running(retryd.App(), config):
        yield


@pytest.fixture(autouse=True)
async def shop(connection: Connection) -> None:
    """What the statements change."""
    await connection.execute(SHOP)


@pytest.fixture(params=["here", "elsewhere"])
def target(request: pytest.FixtureRequest, database: Database) -> dict[str, Any]:
    """The settings of retryd's own database, and of one that it takes for another."""
    if request.param == "here":
        return {}
    return {"database": database.dsn, "inbox": "shop.retryd_inbox"}


async def effects(connection: Connection) -> list[tuple[Any, ...]]:
    rows = await connection.fetch("select sku, number::text from shop.effect order by 1, 2")
    return [tuple(row) for row in rows]


async def test_the_statement_runs_with_values_of_the_payload(
    bench: Bench, connection: Connection, target: dict[str, Any]
) -> None:
    odd = "'; drop table shop.effect; -- \u00fc $1 :number"
    first = await bench.capture(payload={"sku": odd, "number": 12345678901234567890})
    second = await bench.capture(payload={"sku": None, "number": 1})
    async with running(bench.database, STATEMENT, **target):
        await bench.reached("done", first, second)
    assert await effects(connection) == [(odd, "12345678901234567890"), (None, "1")]
    assert await bench.outcomes(first) == ["success"]


async def test_every_digit_arrives(bench: Bench, connection: Connection) -> None:
    number = "0.10000000000000000555111512312578270211815834045410156250"
    [retry_id] = [
        row[0]
        for row in await connection.fetch(
            "select * from"
            " retryd.capture_failure('job.run.failed', $1::jsonb, not_before => retryd.now())",
            f'{{"sku": "a", "number": {number}}}',
        )
    ]
    async with running(bench.database, STATEMENT):
        await bench.reached("done", retry_id)
    assert await effects(connection) == [("a", number)]


async def test_values_are_found_by_pointer_and_take_the_types_of_the_statement(
    bench: Bench, connection: Connection
) -> None:
    retry_id = await bench.capture(
        payload={"item": {"sku/no": "x"}, "counts": [1, 2.5], "when": "2026-01-01T00:00:00Z"}
    )
    statement = """
        insert into shop.effect (sku, number, at)
        select :sku || (:all -> 'item' ->> 'sku/no'), :count::numeric * 2, :when::timestamptz
    """
    fields = {"sku": "/item/sku~1no", "count": "/counts/1", "all": ""}
    async with running(bench.database, statement.replace(":all", ":all::jsonb"), fields=fields):
        await bench.reached("done", retry_id)
    assert await effects(connection) == [("xx", "5.0")]


async def test_a_whole_number_with_a_point_is_one_for_a_parameter_of_an_integer_type(
    bench: Bench, connection: Connection, target: dict[str, Any]
) -> None:
    await connection.execute("""
        create table shop.counted (
            small smallint, usual int, large bigint, exact numeric, text text);
        grant all on shop.counted to public;
    """)
    statement = "insert into shop.counted values (:small, :usual, :large, :exact, :text)"
    whole = {"small": 3, "usual": -70, "large": 2**53 + 1, "exact": 4, "text": "5.0"}
    pointed = (
        "{'small': 3.0, 'usual': -70.00, 'large': 9007199254740993.0, 'exact': 4.0, 'text': 5.0}"
    )
    first = await bench.capture(payload=whole)
    second = await bench.capture(payload=read_json(pointed.replace("'", '"')))
    fraction = await bench.capture(payload=whole | {"usual": 3.5})
    async with running(bench.database, statement, **target):
        await bench.reached("done", first, second)
        await bench.reached("dead", fraction)
    rows = await connection.fetch("select exact::text, small, usual, large, text from shop.counted")
    numbers = (3, -70, 2**53 + 1, "5.0")
    assert {tuple(row) for row in rows} == {("4", *numbers), ("4.0", *numbers)}
    dead = await bench.dead_letter(fraction)
    assert (dead["reason"], dead["error_type"]) == ("rejected", "sql.22P02")


async def test_a_list_is_bound_as_json_and_is_no_array(
    bench: Bench, connection: Connection
) -> None:
    retry_id = await bench.capture(payload={"numbers": [3, 4]})
    statement = """
        insert into shop.effect (number)
        select value::numeric from jsonb_array_elements_text(:numbers)
    """
    async with running(bench.database, statement):
        await bench.reached("done", retry_id)
    assert await effects(connection) == [(None, "3"), (None, "4")]
    wrong = await bench.capture(payload={"numbers": [3]})
    async with running(bench.database, "select unnest(:numbers::int[])"):
        await bench.reached("dead", wrong)
    assert (await bench.dead_letter(wrong))["error_type"] == "sql.22P02"


async def test_a_payload_without_a_value_is_dead_and_says_which(
    bench: Bench, connection: Connection
) -> None:
    retry_id = await bench.capture(payload={"sku": "a"})
    async with running(bench.database, STATEMENT):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["attempt"]) == ("rejected", 1)
    assert dead["error_message"] == "the payload has nothing at '/number' for :number"
    assert await effects(connection) == []


async def test_a_value_that_fits_no_column_is_dead_at_once(
    bench: Bench, target: dict[str, Any]
) -> None:
    retry_id = await bench.capture(payload={"sku": "a", "number": "many"})
    async with running(bench.database, STATEMENT, **target):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["error_type"], dead["attempt"]) == ("rejected", "sql.22P02", 1)


@pytest.mark.parametrize("state", ["40001", "40P01", "P0001"])
async def test_what_may_pass_is_tried_again_and_leaves_nothing(
    bench: Bench, connection: Connection, target: dict[str, Any], state: str
) -> None:
    await connection.execute(f"""
        create sequence shop.calls;
        grant all on sequence shop.calls to public;
        create function shop.unlucky(sku text) returns void language plpgsql as $$
        begin
            insert into shop.effect (sku, number) values (sku, 1);
            if nextval('shop.calls') < 3 then
                raise exception 'not yet' using errcode = '{state}';
            end if;
        end $$
    """)
    retry_id = await bench.capture(payload={"sku": "a"})
    async with running(bench.database, "select shop.unlucky(:sku)", **target):
        await bench.reached("done", retry_id)
    assert await bench.outcomes(retry_id) == ["failure", "failure", "success"]
    assert await effects(connection) == [("a", "1")]


async def test_transactions_that_cannot_be_serialized_are_made_again(
    bench: Bench, connection: Connection
) -> None:
    await connection.execute("""
        create table shop.stock (sku text primary key, number int);
        insert into shop.stock values ('a', 0);
    """)
    there = bench.database.dsn + ("&" if "?" in bench.database.dsn else "?")
    target = {
        "database": f"{there}default_transaction_isolation=serializable",
        "inbox": "shop.retryd_inbox",
        "policy": "patient",
    }
    statement = """
        with seen as (select number from shop.stock, pg_sleep(0.02) where sku = :sku)
        update shop.stock set number = seen.number + 1 from seen where sku = :sku
    """
    ids = [await bench.capture(payload={"sku": "a"}) for _ in range(20)]
    async with running(bench.database, statement, **target):
        await until(lambda: all_done(bench, ids), within=30)
    assert await connection.fetchval("select number from shop.stock") == len(ids)
    errors = await connection.fetch(
        "select distinct error_type from retryd.retry_attempt order by 1"
    )
    assert [row[0] for row in errors] == ["sql.40001", None]


async def test_a_statement_that_takes_too_long_is_ended_in_postgresql_too(
    bench: Bench, connection: Connection, target: dict[str, Any]
) -> None:
    retry_id = await bench.capture(payload={"sku": "a"})
    async with running(bench.database, "select pg_sleep(60), :sku::text", **target):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert dead["error_type"] in {"TimeoutError", "sql.57014"}
    sleeping = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%'"

    async def awake() -> bool:
        return bool(
            await connection.fetchval(
                f"{sleeping} and pid <> pg_backend_pid() and state = 'active'"
            )
            == 0
        )

    await until(awake)


async def test_values_take_types_that_have_a_length_with_all_they_hold(
    bench: Bench, connection: Connection
) -> None:
    await connection.execute(
        "create table shop.price (currency char(3), flags bit(4), names text[], at timestamptz);"
        " grant all on shop.price to public"
    )
    payload = {"currency": "CHF", "flags": "1010", "names": "{a,b}", "at": "2026-01-01T00:00:00Z"}
    retry_id = await bench.capture(payload=payload)
    async with running(
        bench.database, "insert into shop.price values (:currency, :flags, :names, :at)"
    ):
        await bench.reached("done", retry_id)
    row = await connection.fetchrow("select currency, flags::text, names from shop.price")
    assert row is not None
    assert tuple(row) == ("CHF", "1010", ["a", "b"])


async def test_what_the_commit_refuses_is_a_failure_like_any_other(
    bench: Bench, connection: Connection, target: dict[str, Any]
) -> None:
    await connection.execute("""
        create table shop.item (sku text primary key);
        alter table shop.effect add foreign key (sku) references shop.item
            deferrable initially deferred;
    """)
    retry_id = await bench.capture(payload={"sku": "secret", "number": 1})
    async with running(bench.database, STATEMENT, **target):
        await bench.reached("dead", retry_id)
    dead = await bench.dead_letter(retry_id)
    assert (dead["reason"], dead["error_type"]) == ("exhausted", "sql.23503")
    attempts = await connection.fetch("select error_message, error_stack from retryd.retry_attempt")
    assert not [row for row in attempts if "secret" in f"{row[0]}{row[1]}"]


async def test_what_a_role_deferred_runs_as_that_role(bench: Bench, connection: Connection) -> None:
    await connection.execute("""
        create function shop.sign() returns trigger language plpgsql as $$
        begin insert into shop.effect (sku) values (current_user); return null; end $$;
        create table shop.wish (sku text);
        grant all on shop.wish to public;
        create constraint trigger sign after insert on shop.wish deferrable initially deferred
        for each row execute function shop.sign();
    """)
    retry_id = await bench.capture(payload={"sku": "a"})
    async with running(bench.database, "insert into shop.wish values (:sku)", role="retryd_reader"):
        await bench.reached("done", retry_id)
    assert await effects(connection) == [("retryd_reader", None)]


@pytest.mark.timeout(60)
async def test_an_attempt_waits_for_its_turn_and_its_answer_as_long_as_it_may_take(
    bench: Bench, connection: Connection, target: dict[str, Any]
) -> None:
    # Longer than the pool of connections waits for a connection, and for an answer.
    statement = "insert into shop.effect (number) select 1 from pg_sleep(:seconds)"
    slow = {"policy": "slow", "connections": 1}
    ids = [await bench.capture(payload={"seconds": seconds}) for seconds in (11, 0)]
    async with running(bench.database, statement, **target, **slow):
        await until(lambda: all_done(bench, ids), within=30)
    assert await bench.outcomes(ids[0]) == ["success"]
    assert await bench.outcomes(ids[1]) == ["success"]


async def all_done(bench: Bench, ids: list[int]) -> bool:
    return {await bench.place(retry_id) for retry_id in ids} == {"done"}


async def test_the_effect_of_who_lost_the_lease_is_undone(
    bench: Bench, connection: Connection
) -> None:
    async with running(bench.database, STATEMENT), bench.pool.connection() as other:
        async with other.transaction():
            await other.execute("lock table shop.effect in exclusive mode")
            retry_id = await bench.capture(payload={"sku": "a", "number": 1})
            await until(lambda: held(bench, retry_id))
            await connection.execute(
                "update retryd.retry_queue set claimed_by = 'thief', claim_token = 999999,"
                " lease_expires_at = retryd.now() + interval '1 h' where id = $1",
                retry_id,
            )
        await until(lambda: stale(connection))
    assert await effects(connection) == []
    assert (await bench.row(retry_id))["claimed_by"] == "thief"


async def held(bench: Bench, retry_id: int) -> bool:
    query = "select count(*) from pg_locks where relation = 'shop.effect'::regclass and not granted"
    return bool(await bench.connection.fetchval(query))


async def stale(connection: Connection) -> bool:
    query = "select count(*) from pg_locks where relation = 'shop.effect'::regclass"
    return bool(await connection.fetchval(query) == 0)


@pytest.mark.parametrize("at", ["the statement", "the commit"])
async def test_connections_that_break_make_no_effect_twice(
    bench: Bench, connection: Connection, target: dict[str, Any], at: str
) -> None:
    waits = "pg_sleep(0.002)"
    statement = f"insert into shop.effect (sku, number) select :sku, :number from {waits}"
    if at == "the commit":
        await connection.execute("""
            create function shop.slow() returns trigger language plpgsql as $$
            begin perform pg_sleep(0.002); return null; end $$;
            create constraint trigger slow after insert on shop.effect deferrable initially deferred
            for each row execute function shop.slow();
        """)
        statement = STATEMENT
    ids = [await bench.capture(payload={"sku": "a", "number": n}) for n in range(60)]
    async with running(bench.database, statement, **target, policy="patient"):
        async with asyncio.timeout(20):
            while await bench.place(ids[-1]) != "done":
                await connection.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name like 'retryd/restock%' and random() < 0.3"
                )
                await asyncio.sleep(0.02)
        await bench.reached("done", *ids)
    assert sorted(int(number) for _, number in await effects(connection)) == list(range(60))


async def test_it_runs_as_the_role_that_is_named(bench: Bench, connection: Connection) -> None:
    statement = "insert into shop.effect (sku) select current_user || :sku"
    retry_id = await bench.capture(payload={"sku": "!"})
    async with running(bench.database, statement, role="retryd_reader"):
        await bench.reached("done", retry_id)
    assert await effects(connection) == [("retryd_reader!", None)]


async def test_who_runs_it_elsewhere_needs_to_write_and_read_the_inbox_and_no_more(
    bench: Bench, connection: Connection
) -> None:
    await connection.execute("""
        create table shop.inbox (delivery text primary key, at timestamptz not null default now());
        grant insert, select on shop.inbox to retryd_reader;
    """)
    target = {"database": bench.database.dsn, "inbox": "shop.inbox", "role": "retryd_reader"}
    retry_id = await bench.capture(payload={"sku": "a", "number": 1})
    async with running(bench.database, STATEMENT, **target):
        await bench.reached("done", retry_id)
    assert await effects(connection) == [("a", "1")]
    await connection.execute("revoke insert on shop.inbox from retryd_reader")
    refused = await bench.capture(payload={"sku": "b", "number": 2})
    async with running(bench.database, STATEMENT, **target):
        await bench.reached("dead", refused)
    assert (await bench.dead_letter(refused))["error_type"] == "sql.42501"
    assert await effects(connection) == [("a", "1")]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("select from where", "syntax error"),
        ("select shop.nothing(:a)", "does not exist"),
        ("select 1; select 2", "multiple commands"),
        ("select $1, :a", "give values names"),
        ("select :sku, :userId", "a-z 0-9 _"),
    ],
)
async def test_a_statement_that_postgresql_does_not_understand_is_refused_at_the_start(
    bench: Bench, statement: str, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"handlers\.restock\.statement") as refusal:
        async with running(bench.database, statement):
            pass
    assert told in str(refusal.value)


@pytest.mark.parametrize("settings", [{"role": "nobody"}, {"database": "wrong password"}])
async def test_a_role_or_login_that_does_not_exist_is_refused_at_the_start(
    bench: Bench, settings: dict[str, Any]
) -> None:
    if "database" in settings:
        there = bench.database.dsn.partition("@")[2]
        settings = {"database": f"postgresql://retryd:wrong@{there}"}
    with pytest.raises(ConfigurationError, match=r"handlers\.restock"):
        async with running(bench.database, "select 1", **settings):
            pass


async def test_another_database_that_is_away_is_asked_with_the_first_attempt(bench: Bench) -> None:
    retry_id = await bench.capture(payload={"sku": "a", "number": 1})
    away = {"database": "postgresql://127.0.0.1:9/shop", "inbox": "shop.retryd_inbox"}
    async with running(bench.database, STATEMENT, **away):
        await bench.reached("dead", retry_id)
    assert (await bench.dead_letter(retry_id))["error_type"] == "sql.connection"


async def test_another_database_without_inbox_is_refused_at_the_start(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="retryd_inbox"):
        async with running(bench.database, STATEMENT, database=bench.database.dsn):
            pass
