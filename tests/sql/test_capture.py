from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from uuid import RFC_4122, UUID

import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import LONG_AGO, Doors
from tests.waiting import until


async def test_a_failure_becomes_a_retry_that_shows_all_it_came_with(sql: Doors) -> None:
    number = await sql.capture(
        "work.mail.failed",
        payload='{"to": "ann"}',
        event_id="e1",
        source="shop",
        correlation_id="order-7",
        error_type="SMTPError",
        error_message="mailbox full",
        error_stack="at line 1",
        priority=2,
        ordering_key="ann",
        attributes='{"tenant": "x"}',
    )
    (claim,) = await sql.acquire()
    assert claim["id"] == number
    shown = {
        "event_id": "e1",
        "event_type": "work.mail.failed",
        "operation": "work.mail",
        "handler": "work",
        "policy": "default",
        "source": "shop",
        "correlation_id": "order-7",
        "payload": '{"to": "ann"}',
        "attributes": '{"tenant": "x"}',
        "error_type": "SMTPError",
        "error_message": "mailbox full",
        "last_error_type": None,
        "last_error_message": None,
        "priority": 2,
        "attempt": 1,
        "lost_attempts": 0,
        "snoozes": 0,
        "max_retries": 3,
        "life": 1,
    }
    assert {name: claim[name] for name in shown} == shown
    assert await sql.places() == {number: "live"}


async def test_the_defaults_are_an_empty_object_and_nothing_else(sql: Doors) -> None:
    row = await sql.row("retries", await sql.capture())
    assert row is not None
    assert (row["payload"], row["attributes"], row["source"], row["priority"]) == (
        "{}",
        "{}",
        "",
        5,
    )
    assert (row["correlation_id"], row["error_type"], row["ordering_key"]) == (None, None, None)


@pytest.mark.parametrize(
    ("event_type", "operation"),
    [
        ("sql.query.failed", "sql.query"),
        ("sql.query.error", "sql.query"),
        ("sql.query.timeout", "sql.query"),
        ("sql.query.failed.failed", "sql.query.failed"),
        ("sql.query", "sql.query"),
        ("failed", "failed"),
        ("x.Failed", "x.Failed"),
    ],
)
async def test_an_operation_is_the_event_type_without_one_suffix(
    event_type: str, operation: str, sql: Doors
) -> None:
    row = await sql.row("retries", await sql.capture(event_type))
    assert row is not None
    assert row["operation"] == operation


async def test_without_not_before_the_first_delay_lies_within_the_bounds_of_the_policy(
    sql: Doors, connection: Connection
) -> None:
    await sql.capture_all(*[{"event_type": "work.do.failed"}] * 200)
    (row,) = await connection.fetch(
        "select min(d), max(d), count(distinct d) from (select extract(epoch from"
        " r.next_attempt_at - r.captured_at)::float8 as d from retryd.retries r) delay"
    )
    low, high, different = row
    assert 1.5 <= low < high <= 2.6
    assert different > 150


async def test_not_before_is_kept_as_it_is(sql: Doors) -> None:
    row = await sql.row("retries", await sql.capture(not_before=LONG_AGO))
    assert row is not None
    assert row["next_attempt_at"] == LONG_AGO


async def test_the_same_source_and_event_id_are_stored_once(sql: Doors) -> None:
    first = await sql.capture(event_id="e", payload='{"n": 1}')
    assert await sql.capture(event_id="e", payload='{"n": 2}') == first
    assert await sql.capture("work.other.failed", event_id="e") == first
    assert await sql.capture_all({"event_type": "work.do", "event_id": "e"}) == [first]
    assert await sql.capture(event_id="e", source="elsewhere") != first
    assert await sql.count("failure_event") == 2
    row = await sql.row("retries", first)
    assert row is not None
    assert row["payload"] == '{"n": 1}'


async def test_without_an_event_id_nothing_is_deduplicated(sql: Doors) -> None:
    assert await sql.capture() != await sql.capture()


async def test_a_duplicate_returns_the_ids_wherever_they_are(sql: Doors) -> None:
    claim = await sql.held(event_id="e")
    assert await sql.capture(event_id="e") == claim["id"]
    assert await sql.one("fail_retry", **claim)
    assert await sql.capture(event_id="e") == claim["id"]
    claim = await sql.replayed(claim["id"])
    assert await sql.capture(event_id="e") == claim["id"]
    assert await sql.one("complete_retry", **claim)
    assert await sql.capture(event_id="e") == claim["id"]


@pytest.mark.forgets
async def test_a_duplicate_of_what_was_deleted_returns_nothing_and_stores_nothing(
    sql: Doors,
) -> None:
    number = await sql.dead(event_id="e")
    assert await sql.one("delete_dead_letter", id=number)
    assert await sql.capture_all({"event_type": "work.do", "event_id": "e"}) == []
    assert await sql.count("retry_queue") == 0


async def test_every_matching_handler_gets_a_retry(sql: Doors) -> None:
    await sql.register("all", "*")
    await sql.register("mail", "work.mail*")
    rows = await sql.rows("capture_failure", event_type="work.mail.failed", event_id="e")
    ids = [row[0] for row in rows]
    found = [await sql.row("retries", number) for number in ids]
    assert [row and row["handler"] for row in found] == ["all", "mail", "work"]
    again = await sql.rows("capture_failure", event_type="work.mail.failed", event_id="e")
    assert [row[0] for row in again] == ids


async def test_an_event_that_no_handler_takes_is_kept_and_never_claimed(sql: Doors) -> None:
    number = await sql.capture("stray.thing.failed")
    row = await sql.row("retries", number)
    assert row is not None
    assert (row["handler"], row["state"], row["place"]) == (None, "pending", "live")
    assert await sql.acquire() == []


async def test_the_policy_is_the_handlers_own_else_the_closest_match_else_the_default(
    sql: Doors,
) -> None:
    bounds = {"first_delay_low": 1, "first_delay_high": 1}
    policies = [
        {"name": "sqlish", "match": ["sql.*"], "max_retries": 7, **bounds},
        {"name": "reports", "match": ["sql.report*"], "max_retries": 8, "priority": 1, **bounds},
        {"name": "own", "max_retries": 9, **bounds},
    ]
    await sql.rows("publish_policies", policies=json.dumps(policies))
    await sql.register("mine", "mine.*", policy="own")
    expected = {
        "mine.sql.query": ("own", 9, 5),
        "sql.report.daily": ("reports", 8, 1),
        "sql.query": ("sql_operation", 3, 5),  # a tie: the smaller name
        "event.send": ("event_publish", 5, 5),
        "work.do": ("default", 3, 5),
    }
    for event_type, policy in expected.items():
        row = await sql.row("retries", await sql.capture(event_type))
        assert row is not None
        assert (row["policy"], row["max_retries"], row["priority"]) == policy


async def test_a_given_priority_goes_before_that_of_the_policy(sql: Doors) -> None:
    policy = {"name": "default", "max_retries": 3, "priority": 8}
    bounds = {"first_delay_low": 1, "first_delay_high": 1}
    await sql.rows("publish_policies", policies=json.dumps([policy | bounds]))
    priorities = []
    for given in (None, 0):
        row = await sql.row("retries", await sql.capture(priority=given))
        priorities.append(row and row["priority"])
    assert priorities == [8, 0]


async def test_a_bulk_returns_its_ids_in_the_order_of_the_events(sql: Doors) -> None:
    known = await sql.capture(event_id="known")
    await sql.register("also", "work.both")
    ids = await sql.capture_all(
        {"event_type": "work.z", "event_id": "z"},
        {"event_type": "work.do", "event_id": "known"},
        {"event_type": "work.both", "event_id": "b"},
        {"event_type": "work.z", "event_id": "z"},
    )
    z, duplicate, also, work, z_again = ids
    assert (duplicate, z_again) == (known, z)
    rows = [await sql.row("retries", number) for number in (z, also, work)]
    assert [row and (row["operation"], row["handler"]) for row in rows] == [
        ("work.z", "work"),
        ("work.both", "also"),
        ("work.both", "work"),
    ]


async def test_in_a_bulk_absent_and_null_keys_mean_the_default(sql: Doors) -> None:
    keys = ["payload", "event_id", "source", "priority", "attributes", "not_before", "ordering_key"]
    (number,) = await sql.capture_all({"event_type": "work.do"} | dict.fromkeys(keys))
    row = await sql.row("retries", number)
    assert row is not None
    assert (row["payload"], row["attributes"], row["source"], row["priority"]) == (
        "{}",
        "{}",
        "",
        5,
    )


async def test_an_id_is_made_for_an_event_without_one_a_uuid_in_the_order_of_time(
    sql: Doors, connection: Connection
) -> None:
    await sql.capture()
    await sql.capture_all(*[{"event_type": "work.do"}] * 50)
    await sql.capture()
    rows = await connection.fetch("select event_id from retryd.failure_event order by id")
    made = [row[0] for row in rows]
    assert len(set(made)) == 52
    assert all(str(UUID(text)) == text and UUID(text).version == 7 for text in made)
    assert all(UUID(text).variant == RFC_4122 for text in made)
    assert made[1:51] == sorted(made[1:51])
    milliseconds = [UUID(text).int >> 80 for text in made]
    assert milliseconds == sorted(milliseconds)
    captured = await connection.fetchval(
        "select floor(extract(epoch from captured_at) * 1000)::bigint"
        " from retryd.failure_event order by id limit 1"
    )
    assert abs(milliseconds[0] - captured) <= 1


async def test_a_bulk_takes_events_with_and_without_ids_in_any_mixture(sql: Doors) -> None:
    await sql.register("mail", "work.mail")
    known = await sql.capture(event_id="known")
    events: list[dict[str, object]] = [
        {"event_type": "work.do"},
        {"event_type": "work.mail", "event_id": "b", "ordering_key": "k"},
        {"event_type": "work.do", "event_id": "known"},
        {"event_type": "stray", "error_message": "x" * 9000, "priority": 1},
        {"event_type": "work.mail", "event_id": "a", "not_before": "2000-01-01", "source": "s"},
    ]
    ids = await sql.capture_all(*events)
    rows = [await sql.row("retries", number) for number in ids]
    assert [row and (row["operation"], row["handler"]) for row in rows] == [
        ("work.do", "work"),
        ("work.mail", "mail"),
        ("work.mail", "work"),
        ("work.do", "work"),
        ("stray", None),
        ("work.mail", "mail"),
        ("work.mail", "work"),
    ]
    assert ids[3] == known
    assert [row and row["state"] for row in rows] == ["pending"] * 7
    stray = rows[4]
    assert stray is not None
    assert stray["priority"] == 1
    assert str(stray["error_message"]).endswith("[cut]")


async def test_an_empty_bulk_is_fine(sql: Doors) -> None:
    assert await sql.capture_all() == []


async def test_a_checked_capture_tells_new_from_duplicate_from_conflict(sql: Doors) -> None:
    events = [
        {"event_type": "work.do", "event_id": "e", "payload": {"a": 1, "b": 2}},
        {"event_type": "work.do", "event_id": "e", "payload": {"b": 2, "a": 1}},
        {"event_type": "work.do", "event_id": "e", "payload": {"a": 2}},
        {"event_type": "work.other", "event_id": "e", "payload": {"a": 1, "b": 2}},
    ]
    rows = await sql.rows("capture_checked", events=json.dumps(events))
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert [row["outcome"] for row in rows] == ["new", "duplicate", "conflict", "conflict"]
    assert len({tuple(row["ids"]) for row in rows}) == 1
    assert await sql.count("failure_event") == 1


async def test_captures_of_one_event_at_once_store_one_retry_and_return_one_id(
    database: Database, sql: Doors
) -> None:
    others = [Doors(await database.connect()) for _ in range(8)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(other.capture(event_id="hot")) for other in others]
    assert len({task.result() for task in tasks}) == 1
    assert await sql.count("retry_queue") == 1


async def test_bulks_with_the_same_events_in_other_orders_do_not_deadlock(
    database: Database, sql: Doors
) -> None:
    events = [{"event_type": "work.do", "event_id": f"e{n}"} for n in range(300)]
    others = [Doors(await database.connect()) for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        for n, other in enumerate(others):
            group.create_task(other.capture_all(*events[:: -1 if n % 2 else 1]))
    assert await sql.count("retry_queue") == 300


async def test_what_was_captured_in_a_transaction_goes_with_its_rollback(
    sql: Doors, connection: Connection
) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await sql.capture()
    await transaction.rollback()
    assert await sql.places() == {}
    assert await sql.count("failure_event") == 0


async def test_long_error_texts_are_cut_between_characters_and_marked(sql: Doors) -> None:
    number = await sql.dead(error_message="é" * 5000, error_stack="x" + "é" * 40000)
    row = await sql.row("dead_letters", number)
    assert row is not None
    for text, limit in ((row["error_message"], 8192), (row["error_stack"], 65536)):
        assert limit - 2 < len(text.encode()) <= limit
        assert text.endswith("é… [cut]")


async def test_an_undecodable_event_is_dead_at_once_and_keeps_its_bytes(sql: Doors) -> None:
    arguments = {"event": '{"event_id": "e"}', "reason": "undecodable", "raw": b"\xff{"}
    number = await sql.one("capture_dead", **arguments)
    assert await sql.one("capture_dead", **arguments) == number
    row = await sql.row("dead_letters", number)
    assert row is not None
    assert (row["event_type"], row["status"], row["reason"]) == (
        "unknown.failed",
        "pending",
        "undecodable",
    )
    event = await sql.row("failure_event", number)
    assert event is not None
    assert event["raw"] == b"\xff{"
    assert await sql.places() == {number: "dead"}


async def test_a_loop_can_be_replayed_once_a_handler_takes_it(sql: Doors) -> None:
    event = json.dumps({"event_type": "round.failed"})
    number = await sql.one("capture_dead", event=event, reason="loop")
    await sql.register("round", "round")
    await sql.replayed(number)
    row = await sql.row("retries", number)
    assert row is not None
    assert (row["handler"], row["state"], row["life"]) == ("round", "processing", 2)


async def test_capture_rings_only_for_a_sleeper_that_would_oversleep(
    database: Database, sql: Doors, clock: Clock
) -> None:
    rings: list[str] = []
    listener = await database.connect()
    await listener.add_listener("retryd", lambda *arguments: rings.append(str(arguments[2])))

    await sql.capture()  # nobody sleeps
    await sql.one("mark_asleep", worker="ann", poll_seconds=5.0, handlers=["work"])
    await sql.capture(not_before=await sql.one("now") + timedelta(hours=1))
    assert not rings
    await sql.capture()
    await until(lambda: rings)
    await sql.one("mark_awake", worker="ann")
    await sql.capture()
    await clock.advance(60)
    await sql.one("mark_asleep", worker="ann", poll_seconds=5.0, handlers=["work"])
    await clock.advance(60)
    await sql.capture()  # she died in her sleep
    await listener.fetchval("select 1")
    assert rings == ["retryd"]


async def test_a_sleeper_is_told_the_seconds_until_something_is_due(sql: Doors) -> None:
    asleep = {"worker": "ann", "poll_seconds": 5.0}
    assert await sql.one("mark_asleep", **asleep, handlers=["work"]) == 5
    now = await sql.one("now")
    await sql.capture(not_before=now + timedelta(seconds=3), priority=9)
    await sql.capture(not_before=now + timedelta(seconds=4), priority=0)
    assert 2 < await sql.one("mark_asleep", **asleep, handlers=["work", "other"]) <= 3
    assert await sql.one("mark_asleep", **asleep, handlers=["other"]) == 5
    await sql.capture()
    assert await sql.one("mark_asleep", **asleep, handlers=["work"]) == 0
    assert await sql.one("pause_handler", name="work")
    assert await sql.one("mark_asleep", **asleep, handlers=["work"]) == 5
