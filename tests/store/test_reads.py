"""The read side: every file of `sql/queries` has its method, and people find what they look for."""

from __future__ import annotations

import inspect
import json
from collections.abc import AsyncIterator

import pytest

from retryd.store.files import home
from retryd.store.operators import Operators
from retryd.store.pool import Pool, open_pool
from retryd.store.reads import Reads, text_of
from tests.postgres import Connection, Database

MANY = 10_000
PAGE_BUFFERS = 1_000
METHODS = {name for name, _ in inspect.getmembers(Reads, inspect.iscoroutinefunction)}


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """Connections with the rights of a reader."""
    separator = "&" if "?" in database.dsn else "?"
    dsn = f"{database.dsn}{separator}role=retryd_reader"
    async with open_pool(dsn, size=2, application="retryd/test") as pool:
        yield pool


@pytest.fixture
def reads(pool: Pool) -> Reads:
    """The read side of the database."""
    return Reads(pool)


async def capture(connection: Connection, event_type: str, number: int = 0) -> int:
    """Capture a failure with a number as payload, due at once; return the id of its retry."""
    found: int = await connection.fetchval(
        "select retryd.capture_failure($1, to_jsonb($2::int), not_before => retryd.now())",
        event_type,
        number,
    )
    return found


async def settle(connection: Connection, decision: str, reason: str | None = None) -> int:
    """Claim the one retry that is due and write a decision about it; return its id."""
    row = await connection.fetchrow("select * from retryd.acquire_retry_batch('ann', 1)")
    assert row is not None
    outcome = await connection.fetchval(
        "select outcome from retryd.settle_retries(array[$1::bigint], array[$2::bigint],"
        " array[$3], array[0.0], array[$4], array[$5], array['E'], array['no'])",
        *(row["id"], row["claim_token"], decision, reason),
        "success" if decision == "complete" else "failure",
    )
    assert outcome == "settled"
    number: int = row["id"]
    return number


def test_every_file_has_its_method_and_every_method_its_file() -> None:
    files = {path.stem for path in (home("sql") / "queries").iterdir()}
    assert {name for name in METHODS if not name.startswith("_")} == files


@pytest.mark.parametrize("name", sorted(name for name in METHODS if not name.startswith("_")))
def test_a_file_is_a_promise_and_one_statement_with_named_columns(name: str) -> None:
    text = text_of(name)
    statement = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert text.startswith("-- ")
    assert statement.strip().endswith(";")
    assert statement.count(";") == 1
    assert "*" not in statement


async def test_a_reader_may_ask_everything(reads: Reads) -> None:
    arguments: dict[str, tuple[object, ...]] = {
        "any_live": (["mail"],),
        "find_retry": (1,),
        "find_dead_letter": (1,),
        "explain_retry": (1,),
        "timeline": (1,),
    }
    for name in METHODS:
        if not name.startswith("_"):
            found = await getattr(reads, name)(*arguments.get(name, ()))
            # The presets are there from the start.
            assert bool(found) == (name in {"policies", "rights", "server"})


async def test_pages_follow_one_another_without_gap_or_overlap(
    reads: Reads, connection: Connection
) -> None:
    ids = [await capture(connection, "a.failed", number) for number in range(5)]
    seen: list[int] = []
    before = None
    while page := await reads.list_retries(before=before, limit=2):
        assert len(page) <= 2
        seen += [row["id"] for row in page]
        before = seen[-1]
    assert seen == ids[::-1]


async def test_json_comes_decoded_and_times_with_their_zone(
    reads: Reads, connection: Connection
) -> None:
    number = await capture(connection, "a.failed", 7)
    row = await reads.find_retry(number)
    assert row is not None
    assert (row["payload"], row["attributes"]) == (7, {})
    assert row["captured_at"].utcoffset() is not None


async def test_a_retry_is_found_wherever_it_is(reads: Reads, connection: Connection) -> None:
    await connection.execute("select retryd.register_handler('mail', '{a}')")
    dead = await capture(connection, "a.failed")
    assert await settle(connection, "bury", "exhausted") == dead
    done = await capture(connection, "a.failed")
    assert await settle(connection, "complete") == done
    live = await capture(connection, "a.failed")
    for number, place in ((dead, "dead"), (done, "done"), (live, "live")):
        row = await reads.find_retry(number)
        assert row is not None
        assert (row["id"], row["place"], row["operation"]) == (number, place, "a")
    assert await reads.find_retry(live + 1) is None
    assert {row["id"] for row in await reads.list_retries()} == {done, live}
    assert [row["id"] for row in await reads.list_dead_letters()] == [dead]


@pytest.mark.forgets
async def test_what_retention_removed_has_no_place_though_its_case_file_stands(
    reads: Reads, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{a}')")
    number = await capture(connection, "a.failed")
    await settle(connection, "bury", "rejected")
    await connection.execute("select retryd.replay_dead_letter($1)", number)
    await settle(connection, "complete")
    await connection.execute("delete from retryd.retry_archive")
    row = await reads.find_retry(number)
    assert row is not None
    assert (row["id"], row["place"], row["life"]) == (number, None, 1)


async def test_dead_letters_are_filtered_by_status_reason_handler_and_operation(
    reads: Reads, connection: Connection, database: Database
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    first = await capture(connection, "mail.send.failed")
    await settle(connection, "bury", "rejected")
    second = await capture(connection, "mail.copy.failed")
    await settle(connection, "bury", "exhausted")
    async with open_pool(database.dsn, size=1, application="retryd/test") as pool:
        assert await Operators(pool).resolve_dead_letter(first, "known")

    async def found(**filters: object) -> list[int]:
        rows = await reads.list_dead_letters(**filters)  # type: ignore[arg-type]
        return [row["id"] for row in rows]

    assert await found() == [second, first]
    assert await found(statuses=["pending", "failed"]) == [second]
    assert await found(reason="rejected") == [first]
    assert await found(handler="mail", operation="*.copy") == [second]
    assert await found(handler="other") == []
    assert await found(before=second) == [first]


async def test_the_timeline_tells_both_lives_in_order(reads: Reads, connection: Connection) -> None:
    await connection.execute("select retryd.register_handler('mail', '{a}')")
    number = await capture(connection, "a.failed")
    await settle(connection, "reschedule")
    await settle(connection, "bury", "rejected")
    await connection.execute("select retryd.replay_dead_letter($1, 'again', 'eve')", number)
    await settle(connection, "complete")
    steps = await reads.timeline(number)
    assert [(step["step"], step["life"], step["attempt"], step["outcome"]) for step in steps] == [
        ("captured", 1, None, None),
        ("attempt", 1, 1, "failure"),
        ("attempt", 1, 2, "failure"),
        ("buried", 1, 2, None),
        ("replayed", 2, None, None),
        ("attempt", 2, 1, "success"),
        ("completed", 2, 1, None),
    ]
    assert (steps[4]["actor"], steps[4]["reason"]) == ("eve", "again")
    assert (steps[3]["reason"], steps[3]["error_type"]) == ("rejected", "E")


async def test_the_timeline_of_one_that_died_again_and_was_resolved_ends_with_the_person(
    reads: Reads, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{a}')")
    number = await capture(connection, "a.failed")
    await settle(connection, "bury", "rejected")
    await connection.execute("select retryd.replay_dead_letter($1)", number)
    await settle(connection, "bury", "exhausted")
    await connection.execute("select retryd.resolve_dead_letter($1, 'gone', 'eve')", number)
    steps = [(step["step"], step["life"]) for step in await reads.timeline(number)]
    assert steps == [
        ("captured", 1),
        ("attempt", 1),
        ("replayed", 2),
        ("attempt", 2),
        ("buried", 2),
        ("resolved", 2),
    ]


async def test_any_live_counts_what_is_parked_or_not_due_and_no_other_handler(
    reads: Reads, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('mail', '{a}')")
    assert not await reads.any_live(["mail"])
    await connection.execute(
        "select retryd.capture_failure('a.failed', not_before => '2100-01-01', ordering_key => 'k')"
    )
    assert await reads.any_live(["other", "mail"])
    await connection.execute("update retryd.retry_queue set state = 'parked'")
    assert await reads.any_live(["other", "mail"])
    assert not await reads.any_live(["other"])
    assert not await reads.any_live([])


async def test_a_page_costs_the_same_however_many_there_are(
    connection: Connection,
) -> None:
    events = json.dumps([{"event_type": "a.failed"}] * MANY)
    for _ in range(2):
        await connection.fetch("select retryd.capture_failures($1::text::jsonb)", events)
    await connection.execute("analyze")
    [row] = await connection.fetch(
        f"explain (analyze, buffers, format json) {text_of('list_retries').rstrip().rstrip(';')}",
        *(None, None, None, None, MANY, 50),
    )
    plan = json.loads(row[0])[0]["Plan"]
    assert plan["Actual Rows"] == 50
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= PAGE_BUFFERS


async def test_the_last_minute_is_found_without_reading_the_hours_before(
    reads: Reads, connection: Connection
) -> None:
    await connection.execute(
        "insert into retryd.retry_attempt (retry, life, claim_token, attempt, handler, worker,"
        " ended_at, outcome)"
        " select n, 1, n, 1, 'mail', 'ann', retryd.now() - interval '1 h' + n * interval '1 ms',"
        f" 'failure' from generate_series(1, {20 * MANY}) n"
    )
    await connection.execute(
        "insert into retryd.retry_attempt (retry, life, claim_token, attempt, handler, worker,"
        " ended_at, outcome) values (0, 1, 1, 1, 'mail', 'ann', retryd.now(), 'success')"
    )
    await connection.execute("vacuum analyze retryd.retry_attempt")
    [row] = await reads.handler_activity()
    assert (row["handler"], row["kind"]) == ("mail", None)
    assert (row["attempts_1m"], row["succeeded_1m"], row["failed_1m"]) == (1, 1, 0)
    [plan] = await connection.fetch(
        "explain (analyze, buffers, format json) select * from retryd.handler_activity"
    )
    plan = json.loads(plan[0])[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= PAGE_BUFFERS
