from __future__ import annotations

from datetime import timedelta

import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import Doors, refused

DAY = timedelta(days=1)


async def cleanup(sql: Doors, older_than: timedelta) -> dict[str, int]:
    rows = await sql.rows("cleanup_old_retries", older_than=older_than)
    return {row["object"]: row["rows"] for row in rows}


async def partitions(connection: Connection) -> int:
    counted = await connection.fetchval("select count(*) from pg_inherits")
    assert isinstance(counted, int)
    return counted


@pytest.mark.forgets
async def test_cleanup_forgets_what_has_ended_and_keeps_what_is_open(
    sql: Doors, clock: Clock
) -> None:
    done = await sql.held(event_id="done")
    resolved = await sql.dead(event_id="resolved")
    open_case = await sql.dead(event_id="open")
    retried = await sql.dead(event_id="retried")
    waiting = await sql.capture(event_id="waiting")
    assert await sql.one("complete_retry", **done)
    assert await sql.one("resolve_dead_letter", id=resolved)
    assert await sql.one("replay_dead_letter", id=retried)

    assert set((await cleanup(sql, DAY)).values()) == {0}
    await clock.advance(2 * 86_400)
    assert await cleanup(sql, DAY) == {
        "retry_attempt": 4,
        "retry_archive": 1,
        "dead_letter": 1,
        "failure_event": 2,
    }
    assert await sql.places() == {open_case: "dead", retried: "live", waiting: "live"}
    assert await sql.capture(event_id="waiting") == waiting
    assert await sql.capture(event_id="done") not in {done["id"], waiting}


@pytest.mark.forgets
async def test_an_age_of_nothing_forgets_all_that_has_ended(sql: Doors) -> None:
    assert await sql.one("complete_retry", **await sql.held())
    assert await cleanup(sql, timedelta(0)) == {
        "retry_attempt": 1,
        "retry_archive": 1,
        "dead_letter": 0,
        "failure_event": 1,
    }
    assert await sql.places() == {}


@pytest.mark.parametrize("age", [timedelta(seconds=-1), None])
async def test_a_negative_age_is_refused(age: timedelta | None, sql: Doors) -> None:
    with refused("RT400", "at least 0"):
        await sql.rows("cleanup_old_retries", older_than=age)


@pytest.mark.forgets
async def test_an_event_stays_while_one_of_its_retries_does(sql: Doors, clock: Clock) -> None:
    await sql.register("b", "work.*")
    await sql.capture(event_id="e")
    first, second = await sql.acquire()
    for row, verb in ((first, "complete_retry"), (second, "fail_retry")):
        assert await sql.one(verb, id=row["id"], claim_token=row["claim_token"])
    await clock.advance(86_400)
    assert (await cleanup(sql, timedelta(hours=1)))["failure_event"] == 0
    assert await sql.capture(event_id="e") == second["id"]


@pytest.mark.forgets
async def test_dead_letters_go_by_their_own_age_but_never_one_being_retried(
    sql: Doors, clock: Clock
) -> None:
    old, retried = await sql.dead(), await sql.dead()
    assert await sql.one("replay_dead_letter", id=retried)
    await clock.advance(91 * 86_400)
    assert await sql.one("prune_dead_letters", older_than=90 * DAY) == 1
    assert await sql.places() == {retried: "live"}
    assert await sql.row("dead_letters", old) is None


@pytest.mark.forgets
async def test_whole_days_are_dropped_as_partitions(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await sql.one("ensure_partitions")
    assert await sql.one("complete_retry", **await sql.held())
    await clock.advance(9 * 86_400)
    before = await partitions(connection)
    assert await sql.one("prune_archive", older_than=7 * DAY) == 1
    assert await sql.one("prune_attempts", older_than=7 * DAY) == 1
    assert await partitions(connection) < before
    assert await sql.places() == {}
    assert await sql.one("prune_events", older_than=7 * DAY, batch_size=10) == 1


async def test_less_than_a_day_old_is_not_dropped(sql: Doors, clock: Clock) -> None:
    await sql.one("ensure_partitions")
    assert await sql.one("complete_retry", **await sql.held())
    await clock.advance(7 * 86_400)
    assert await sql.one("prune_archive", older_than=7 * DAY) == 0


async def test_partitions_are_made_once_and_catch_what_fell_into_the_default(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await sql.one("ensure_partitions")
    assert await sql.one("ensure_partitions") == 0
    await clock.advance(30 * 86_400)
    claim = await sql.held()
    assert await sql.one("complete_retry", **claim)
    assert await sql.count("retry_archive_default") == 1
    assert await sql.one("ensure_partitions") == 16
    assert await sql.count("retry_archive_default") == 0
    assert await sql.places() == {claim["id"]: "done"}


@pytest.mark.forgets
async def test_a_partition_that_somebody_reads_stays_for_the_next_time(
    database: Database, sql: Doors, clock: Clock
) -> None:
    await sql.one("ensure_partitions")
    assert await sql.one("complete_retry", **await sql.held())
    await clock.advance(8 * 86_400)
    reader = await database.connect()
    async with reader.transaction():
        await reader.fetch("select from retryd.retry_archive")
        assert await sql.one("prune_archive", older_than=7 * DAY) == 0
    assert await sql.one("prune_archive", older_than=7 * DAY) == 1


@pytest.mark.forgets
async def test_events_are_forgotten_in_batches(sql: Doors, clock: Clock) -> None:
    for _ in range(3):
        assert await sql.one("complete_retry", **await sql.held())
    await clock.advance(9 * 86_400)
    await sql.one("prune_archive", older_than=DAY)
    counts = [await sql.one("prune_events", older_than=DAY, batch_size=2) for _ in range(3)]
    assert counts == [2, 1, 0]


async def test_pruning_goes_on_behind_a_thousand_events_that_stay(
    sql: Doors, connection: Connection, clock: Clock
) -> None:
    await sql.capture_all(*[{"event_type": "work.do"}] * 1_100)
    await connection.execute(  # what ended and went from the archive leaves such events: no books
        "alter table retryd.failure_event disable trigger books;"
        "insert into retryd.failure_event"
        " (id, event_id, event_type, operation, payload, attributes, captured_at)"
        " select nextval('retryd.retry_id_seq'), 'e' || g, 'gone', 'gone', '{}', '{}', retryd.now()"
        " from generate_series(1, 1100) g"
    )
    assert await sql.one("prune_events", older_than=DAY, batch_size=None) == 0
    await clock.advance(2 * DAY.total_seconds())
    assert await sql.one("prune_events", older_than=DAY, batch_size=700) == 700
    assert await sql.one("prune_events", older_than=DAY, batch_size=None) == 400
    assert await sql.count("failure_event") == 1_100
