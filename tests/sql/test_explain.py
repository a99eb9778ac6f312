"""`explain_retry` says why a retry is not running, whatever the reason."""

from __future__ import annotations

import json
from datetime import timedelta

import asyncpg

from tests.postgres import Clock, Connection
from tests.sql.doors import MINUTE, Doors


async def why(sql: Doors, number: int) -> list[str]:
    """Give the reasons, in their order."""
    return [row["reason"] for row in await sql.rows("explain_retry", id=number)]


async def the_reason(sql: Doors, number: int, reason: str) -> asyncpg.Record:
    """Give the only row, which has this reason."""
    (row,) = await sql.rows("explain_retry", id=number)
    assert row["reason"] == reason
    return row


async def alive(connection: Connection, *handlers: str) -> None:
    """Let a worker that serves these give a sign of life."""
    await connection.execute(
        "select retryd.worker_seen('ann', 'here', 1, '1', $1)",
        json.dumps(dict.fromkeys(handlers, "hash")),
    )


async def test_an_unknown_id_has_no_reason(sql: Doors) -> None:
    assert await why(sql, 17) == []


async def test_one_that_is_due_tells_how_many_come_before_it(
    sql: Doors, connection: Connection
) -> None:
    await sql.register("home", kind="python")
    await alive(connection, "home")
    for priority in (5, 9, 1):
        await sql.capture("home.do.failed", priority=priority)
    await sql.capture("work.do.failed")
    number = await sql.capture("home.do.failed", priority=5)
    row = await the_reason(sql, number, "due")
    assert row["detail"] == (
        "2 due retries of handler home are before it; live workers that serve it: 1"
    )
    assert row["since"] < await sql.one("now")


async def test_one_of_an_external_handler_says_that_a_worker_of_yours_claims_it(sql: Doors) -> None:
    row = await the_reason(sql, await sql.capture(), "due")
    assert row["detail"].startswith("0 due retries of handler work are before it; ")
    assert "a worker of yours" in row["detail"]


async def test_one_that_is_not_due_tells_when_and_which_attempt(sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one("reschedule_retry", **claim, delay=timedelta(hours=1))
    row = await the_reason(sql, claim["id"], "not_due")
    assert row["detail"] == "attempt 2 of 3 is due then"
    due = await sql.connection.fetchval("select next_attempt_at from retryd.retry_queue")
    assert row["until"] == due


async def test_one_that_is_never_due_tells_when_it_dies(
    sql: Doors, connection: Connection, clock: Clock
) -> None:
    await connection.execute("update retryd.retry_policy set max_age = '1 h'")
    tomorrow = await sql.one("now") + timedelta(days=1)
    number = await sql.capture(not_before=tomorrow)
    row = await the_reason(sql, number, "not_due")
    assert "age limit ends before" in row["detail"]
    assert row["until"] < tomorrow
    await clock.advance(3601)
    assert (await the_reason(sql, number, "too_old"))["since"] == row["until"]


async def test_one_whose_lane_is_held_tells_by_whom_and_why_as_the_view_does(
    sql: Doors, connection: Connection
) -> None:
    number = await sql.capture(priority=2)
    await sql.one("pause_handler", name="work", reason="maintenance", actor="eve")
    row = await the_reason(sql, number, "lane_held")
    assert row["detail"] == "handler work at priority 2 is paused by eve: maintenance"
    lane = await connection.fetchrow("select * from retryd.lanes")
    assert lane is not None
    assert row["since"] == lane["held_since"]
    await sql.one("resume_handler", name="work")
    assert await why(sql, number) == ["due"]


async def test_each_thing_in_the_way_has_its_row(sql: Doors, connection: Connection) -> None:
    await sql.register("home", kind="python")
    tomorrow = await sql.one("now") + timedelta(days=1)
    number = await sql.capture("home.do.failed", not_before=tomorrow)
    await sql.one("pause_handler", name="home")
    assert await why(sql, number) == ["not_due", "lane_held", "no_worker"]
    assert await sql.one("retry_now", id=number)
    await alive(connection, "other")
    assert await why(sql, number) == ["lane_held", "no_worker"]
    await alive(connection, "home")
    await sql.one("resume_handler", name="home")
    assert await why(sql, number) == ["due"]


async def test_a_worker_that_fell_silent_is_no_worker(
    sql: Doors, connection: Connection, clock: Clock
) -> None:
    await sql.register("home", kind="python")
    await alive(connection, "home")
    number = await sql.capture("home.do.failed")
    assert await why(sql, number) == ["due"]
    await clock.advance(61)
    assert await why(sql, number) == ["no_worker"]


async def test_one_without_a_handler_names_its_operation(sql: Doors) -> None:
    number = await sql.capture("other.do.failed")
    row = await the_reason(sql, number, "unrouted")
    assert row["detail"] == "no registered handler matches the operation other.do"
    assert row["since"] is not None
    kept = await sql.capture()
    await sql.one("forget_handler", name="work")
    assert await why(sql, kept) == ["unrouted"]


async def test_a_parked_one_names_whom_it_waits_for(sql: Doors) -> None:
    first = await sql.held(ordering_key="it's k")
    second = await sql.capture(ordering_key="it's k")
    third = await sql.capture(ordering_key="it's k")
    await sql.capture(ordering_key="l")
    row = await the_reason(sql, third, "parked")
    assert row["detail"] == (
        f"ordering key 'it''s k': waits until retry {first['id']}, which is processing, has ended;"
        " 1 parked before it"
    )
    assert (await the_reason(sql, second, "parked"))["detail"].endswith("; 0 parked before it")


async def test_one_that_is_stranded_says_that_it_goes_on_soon(
    sql: Doors, connection: Connection
) -> None:
    number = await sql.capture(ordering_key="k")
    await connection.execute("update retryd.retry_queue set state = 'parked'")
    row = await the_reason(sql, number, "parked")
    assert "nothing of it is live any more" in row["detail"]


async def test_a_running_one_names_the_worker_and_its_lease(sql: Doors, clock: Clock) -> None:
    claim = await sql.held()
    row = await the_reason(sql, claim["id"], "running")
    assert row["detail"] == "worker ann makes attempt 1 of 3"
    assert row["until"] - await sql.one("now") <= MINUTE
    await clock.advance(61)
    lapsed = await the_reason(sql, claim["id"], "lease_expired")
    assert "worker ann fell silent" in lapsed["detail"]
    assert lapsed["since"] == row["until"]
    await sql.rescue()
    rescued = await the_reason(sql, claim["id"], "running")
    assert rescued["detail"] == "worker bob settles an attempt that was lost"


async def test_a_running_one_does_not_mind_what_would_hold_it(sql: Doors) -> None:
    claim = await sql.held()
    await sql.one("pause_handler", name="work")
    assert await why(sql, claim["id"]) == ["running"]


async def test_a_done_one_tells_how_it_ended(sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one("complete_retry", **claim)
    row = await the_reason(sql, claim["id"], "completed")
    assert row["detail"] == "completed in life 1, attempt 1"
    number = await sql.capture()
    assert await sql.one("cancel_retry", id=number, reason="no use", actor="eve")
    row = await the_reason(sql, number, "cancelled")
    assert row["detail"] == "cancelled by eve: no use"


async def test_a_dead_one_tells_of_what_and_a_replayed_one_by_whom(
    sql: Doors, connection: Connection
) -> None:
    claim = await sql.held()
    assert await sql.one(
        "fail_retry", **claim, reason="exhausted", error_type="SmtpError", error_message="no box"
    )
    row = await the_reason(sql, claim["id"], "dead")
    assert row["detail"] == "exhausted in life 1 after 1 of 3 attempts; SmtpError: no box"
    assert await sql.one("replay_dead_letter", id=claim["id"], reason="box is back", actor="eve")
    rows = await sql.rows("explain_retry", id=claim["id"])
    assert [row["reason"] for row in rows] == ["due", "retrying"]
    assert rows[1]["detail"] == "life 2, replayed by eve: box is back"
    (again,) = await sql.acquire()
    assert await sql.one("complete_retry", id=again["id"], claim_token=again["claim_token"])
    assert await why(sql, claim["id"]) == ["completed"]


async def test_a_case_that_a_person_closed_names_the_person(sql: Doors) -> None:
    number = await sql.dead()
    assert await sql.one("resolve_dead_letter", id=number, reason="refunded", actor="eve")
    row = await the_reason(sql, number, "resolved")
    assert row["detail"] == "closed by eve: refunded; it died of: rejected"


async def test_an_attempt_that_was_lost_is_told_of_the_dead(sql: Doors, clock: Clock) -> None:
    claim = await sql.held()
    await clock.advance(61)
    (taken,) = await sql.rescue()
    assert await sql.one(
        "fail_retry", id=claim["id"], claim_token=taken["claim_token"], reason="worker_lost"
    )
    row = await the_reason(sql, claim["id"], "dead")
    assert row["detail"] == "worker_lost in life 1 after 0 of 3 attempts, 1 more lost"


async def test_a_reader_may_ask(sql: Doors, connection: Connection) -> None:
    number = await sql.capture()
    await connection.execute("set role retryd_reader")
    assert await why(sql, number) == ["due"]
