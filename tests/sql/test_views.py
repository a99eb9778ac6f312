from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import MINUTE, Doors

COMMON = """
    id event_id event_type operation handler policy source correlation_id payload attributes
    error_type error_message priority ordering_key place attempt lost_attempts max_retries
    life captured_at
"""
LIVE = "state next_attempt_at claimed_by lease_expires_at ended_at"
DEAD = "status reason error_stack replays replayed_at dead_at resolved_by"


async def alerts(sql: Doors) -> dict[str, list[str]]:
    """Give the subjects of each kind of alert."""
    found: dict[str, list[str]] = {}
    for row in await sql.connection.fetch("select * from retryd.retry_queue_alerts"):
        found.setdefault(row["kind"], []).append(row["subject"])
    return found


async def one(sql: Doors, view: str, **values: object) -> dict[str, Any]:
    """Read the one row of a view that has these values."""
    rows = [dict(row) for row in await sql.connection.fetch(f"select * from retryd.{view}")]
    (row,) = [row for row in rows if values.items() <= row.items()]
    return row


async def test_the_views_for_people_have_the_columns_of_the_contract(
    connection: Connection,
) -> None:
    rows = await connection.fetch(
        "select table_name, string_agg(column_name, ' ' order by ordinal_position)"
        " from information_schema.columns where table_schema = 'retryd'"
        " and table_name in ('retries', 'dead_letters', 'place', 'retry_queue_alerts') group by 1"
    )
    shown = {name: columns.split() for name, columns in rows}
    assert set(shown["retries"]) == {*COMMON.split(), *LIVE.split()}
    assert set(shown["dead_letters"]) >= {*COMMON.split(), *DEAD.split()}
    assert shown["place"] == ["id", "place"]
    assert shown["retry_queue_alerts"] == ["kind", "severity", "subject", "detail", "since"]


async def test_payload_and_attributes_are_jsonb(connection: Connection) -> None:
    rows = await connection.fetch(
        "select data_type from information_schema.columns where table_schema = 'retryd'"
        " and table_name in ('retries', 'dead_letters')"
        " and column_name in ('payload', 'attributes')"
    )
    assert [row[0] for row in rows] == ["jsonb"] * 4


async def test_the_queue_is_counted_per_operation_handler_and_state(sql: Doors) -> None:
    await sql.held()
    await sql.capture()
    await sql.capture("stray.do")
    rows = await sql.connection.fetch("select * from retryd.retry_queue_stats")
    found = {(row["operation"], row["handler"], row["state"]): row for row in rows}
    assert {key: (row["count"], row["attempts"]) for key, row in found.items()} == {
        ("work.do", "work", "processing"): (1, 1),
        ("work.do", "work", "pending"): (1, 0),
        ("stray.do", None, "pending"): (1, 0),
    }
    assert found["work.do", "work", "pending"]["oldest_due"] is not None


async def test_dead_letters_are_counted_per_reason(sql: Doors) -> None:
    await sql.dead()
    await sql.dead()
    row = await one(sql, "dead_letter_stats", operation="work.do", reason="rejected")
    assert (row["count"], row["status"], row["replays"]) == (2, "pending", 0)
    row = await one(sql, "dead_letter_depths", status="pending")
    assert row["count"] == 2


async def test_failures_that_differ_in_digits_only_are_one_group(sql: Doors) -> None:
    for n in (17, 4711):
        await sql.dead(error_type="Timeout", error_message=f"order {n} took too long")
    claim = await sql.held()
    error = {"error_type": "Timeout", "error_message": "order 9 took too long"}
    await sql.one("reschedule_retry", **claim, delay=timedelta(0), **error)
    row = await one(sql, "failure_groups")
    assert (row["dead"], row["failing"], row["error_type"]) == (2, 1, "Timeout")
    await sql.dead(error_type="Timeout", error_message="something else")
    assert await sql.count("failure_groups") == 2


async def test_a_handler_shows_its_retries_and_its_last_hour(sql: Doors, clock: Clock) -> None:
    assert await sql.one("complete_retry", **await sql.held())
    await sql.dead()
    await sql.held()
    await sql.capture(ordering_key="k")
    await sql.capture(ordering_key="k")
    await sql.capture(not_before=await sql.one("now") + MINUTE)
    row = await one(sql, "handler_stats", handler="work")
    names = ["due", "waiting", "processing", "parked", "dead", "succeeded_1h", "failed_1h"]
    assert [row[name] for name in names] == [1, 1, 1, 1, 1, 1, 1]
    await clock.advance(3601)
    row = await one(sql, "handler_stats", handler="work")
    assert (row["succeeded_1h"], row["failed_1h"]) == (0, 0)


async def test_a_lane_says_why_it_is_held(sql: Doors) -> None:
    await sql.capture(priority=1)
    assert (await one(sql, "lanes", handler="work", priority=1))["held"] is None
    await sql.one("pause_handler", name="work", reason="deploy", actor="eve")
    row = await one(sql, "lanes", handler="work", priority=1)
    assert (row["held"], row["held_by"], row["held_reason"]) == ("paused", "eve", "deploy")
    assert (row["due"], row["waiting"]) == (1, 0)


async def test_nothing_wrong_raises_no_alert(sql: Doors) -> None:
    await sql.one("ensure_partitions")
    assert await sql.one("complete_retry", **await sql.held())
    await sql.capture(not_before=await sql.one("now"))
    assert await alerts(sql) == {}


async def test_each_alert_names_its_subject(
    sql: Doors, clock: Clock, database: Database, connection: Connection
) -> None:
    await sql.one("ensure_partitions")
    await sql.register("inner", kind="python")
    await sql.register("held")
    claim = await sql.held()
    for _ in range(2):
        await sql.one("reschedule_retry", **claim, delay=timedelta(0))
        (row,) = await sql.acquire()
        claim["claim_token"] = row["claim_token"]
    await sql.one("release_retry", **claim)
    dead = await sql.capture("inner.die")
    (row,) = await sql.acquire(handlers=["inner"])
    await sql.one("fail_retry", id=dead, claim_token=row["claim_token"])
    await sql.capture("inner.do", not_before=await sql.one("now"))
    await sql.capture("stray.do")
    await sql.capture("held.do")
    await sql.one("pause_handler", name="held")
    for worker in ("ann", "bob"):
        seen = {"host": "h", "pid": 1, "version": "1", "handlers": json.dumps({"work": worker})}
        await sql.one("worker_seen", worker=worker, **seen)
    assert await alerts(sql) == {
        "dead_letters_growing": ["inner"],
        "handler_conflict": ["work"],
        "lane_held": ["held"],
        "nearly_exhausted": ["work"],
        "unrouted": ["stray.do"],
    }
    await clock.advance(61)
    found = await alerts(sql)
    assert found["no_worker"] == ["inner"]
    assert sorted(found["overdue"]) == ["inner", "work"]
    assert "handler_conflict" not in found


async def test_an_old_transaction_and_rows_in_a_default_partition_raise_an_alert(
    sql: Doors, clock: Clock, database: Database
) -> None:
    other = await database.connect()
    await other.execute("set application_name = 'report'")
    async with other.transaction():
        await other.fetchval("select 1")
        await clock.advance(16 * 60)
        assert (await alerts(sql))["old_transaction"][0] == "report"
    await clock.advance(100 * 86_400)
    assert await sql.one("complete_retry", **await sql.held())
    assert set((await alerts(sql))["default_partition"]) == {
        "retry_archive_default",
        "retry_attempt_default",
    }


async def test_the_worst_alert_comes_first(sql: Doors) -> None:
    await sql.dead()
    await sql.capture()
    await sql.one("pause_handler", name="work")
    await sql.capture("stray.do")
    rows = await sql.connection.fetch("select severity from retryd.retry_queue_alerts")
    ranks = [["critical", "warning", "info"].index(row[0]) for row in rows]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


async def test_what_troubles_a_live_worker_is_an_alert_until_it_takes_it_back(
    sql: Doors, clock: Clock
) -> None:
    seen = {"worker": "ann", "host": "h", "pid": 1, "version": "1", "handlers": "{}"}
    await sql.one("worker_alert", worker="ann", alert="nobody knows this worker yet")
    await sql.one("worker_seen", **seen)
    assert await alerts(sql) == {}
    await sql.one("worker_alert", worker="ann", alert="config.json: no such policy")
    found = await one(sql, "retry_queue_alerts", kind="worker_alert")
    assert (found["severity"], found["subject"]) == ("warning", "ann")
    assert found["detail"] == "config.json: no such policy"
    await clock.advance(59)
    await sql.one("worker_seen", **seen)
    await sql.one("worker_alert", worker="ann", alert="config.json: no such policy")
    assert (await one(sql, "retry_queue_alerts", kind="worker_alert"))["since"] == found["since"]
    await clock.advance(61)
    assert "worker_alert" not in await alerts(sql)
    await sql.one("worker_seen", **seen)
    assert (await alerts(sql))["worker_alert"] == ["ann"]
    await sql.one("worker_alert", worker="ann", alert=None)
    assert "worker_alert" not in await alerts(sql)
