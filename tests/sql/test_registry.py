from __future__ import annotations

import json
from datetime import timedelta

import asyncpg
import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import Doors, refused


async def handlers_of(sql: Doors, event_type: str) -> list[tuple[str | None, str]]:
    """Give handler and state of each live retry of an event type, by id."""
    rows = await sql.connection.fetch(
        "select handler, state from retryd.retries"
        " where event_type = $1 and place = 'live' order by id",
        event_type,
    )
    return [tuple(row) for row in rows]


async def test_registering_is_true_when_new_or_changed(sql: Doors) -> None:
    assert await sql.register("mail", "mail.*")
    assert not await sql.register("mail", "mail.*")
    assert await sql.register("mail", "mail.*", "post.*")
    assert await sql.register("mail", "mail.*", "post.*", policy="sql_operation")
    assert await sql.register("mail", "mail.*", "post.*", policy="sql_operation", dependency="smtp")
    assert await sql.register("mail", "mail.*", kind="python")


async def test_a_changed_handler_stays_paused(sql: Doors) -> None:
    assert await sql.one("pause_handler", name="work")
    assert await sql.register("work", "work.*", "more.*")
    await sql.capture("more.do")
    assert await sql.acquire() == []


async def test_a_new_handler_takes_what_waits_without_one(sql: Doors) -> None:
    number = await sql.capture("mail.send.failed")
    await sql.register("mail", policy="event_publish")
    (row,) = await sql.acquire()
    assert (row["id"], row["handler"]) == (number, "mail")
    assert (row["policy"], row["max_retries"]) == ("event_publish", 5)


async def test_a_handler_added_later_gets_nothing_of_events_that_have_one(sql: Doors) -> None:
    await sql.capture("work.do")
    await sql.register("late", "work.*")
    assert await handlers_of(sql, "work.do") == [("work", "pending")]
    await sql.capture("work.new")
    assert await handlers_of(sql, "work.new") == [("late", "pending"), ("work", "pending")]


async def test_handlers_published_together_share_an_unrouted_event(sql: Doors) -> None:
    number = await sql.capture("both.do", event_id="e")
    handlers = [{"name": name, "match": ["both.*"], "kind": "python"} for name in ("b", "a", "c")]
    rows = await sql.rows("publish_handlers", handlers=json.dumps(handlers))
    assert sorted(row[0] for row in rows) == ["a", "b", "c"]
    live = await handlers_of(sql, "both.do")
    assert sorted(live) == [("a", "pending"), ("b", "pending"), ("c", "pending")]
    first = await sql.row("retries", number)
    assert first is not None
    assert first["handler"] == "a"
    ids = await sql.rows("capture_failure", event_type="both.do", event_id="e")
    assert len(ids) == 3
    assert await sql.rows("publish_handlers", handlers=json.dumps(handlers)) == []


async def test_a_forgotten_handler_leaves_its_retries_to_the_next_that_matches(sql: Doors) -> None:
    number = await sql.capture()
    assert await sql.one("forget_handler", name="work")
    assert not await sql.one("forget_handler", name="work")
    assert await handlers_of(sql, "work.do.failed") == [(None, "pending")]
    assert await sql.acquire() == []
    await sql.register("successor", "work.*")
    assert [row["id"] for row in await sql.acquire()] == [number]


async def test_a_running_attempt_of_a_forgotten_handler_may_end(sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one("forget_handler", name="work")
    assert await sql.one("complete_retry", **claim)


async def test_a_rescheduled_retry_of_a_forgotten_handler_waits_for_another(sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one("forget_handler", name="work")
    assert await sql.one("reschedule_retry", **claim, delay=timedelta(0))
    await sql.register("successor", "work.*")
    assert [row["handler"] for row in await sql.acquire()] == ["successor"]


async def test_a_handler_never_gets_an_event_twice(sql: Doors) -> None:
    await sql.register("a", "both.*")
    await sql.register("b", "both.*")
    await sql.capture("both.do")
    assert await sql.one("forget_handler", name="a")
    assert await sql.one("route_unrouted") == 0
    assert await handlers_of(sql, "both.do") == [(None, "pending"), ("b", "pending")]
    await sql.register("c", "both.*")
    assert await handlers_of(sql, "both.do") == [("c", "pending"), ("b", "pending")]


async def test_two_orphans_of_one_event_go_to_two_handlers(sql: Doors) -> None:
    await sql.register("a", "both.*")
    await sql.register("b", "both.*")
    await sql.capture("both.do")
    assert await sql.one("forget_handler", name="a")
    assert await sql.one("forget_handler", name="b")
    await sql.register("c", "both.*")
    assert await handlers_of(sql, "both.do") == [("c", "pending"), (None, "pending")]
    await sql.register("d", "both.*")
    assert await handlers_of(sql, "both.do") == [("c", "pending"), ("d", "pending")]


@pytest.mark.parametrize("end", ["complete_retry", "fail_retry"])
async def test_a_handler_whose_retry_ended_does_not_get_the_event_again(
    end: str, sql: Doors
) -> None:
    await sql.register("b", "both.*")
    claim = await sql.held(event_type="both.do")
    await sql.register("a", "other.*")
    assert await sql.one(end, **claim)
    await sql.register("a", "both.*")
    assert await handlers_of(sql, "both.do") == []
    await sql.one("route_unrouted")
    assert await handlers_of(sql, "both.do") == []


async def test_a_dead_sibling_counts_when_an_orphan_is_routed(sql: Doors) -> None:
    await sql.register("a", "both.*")
    await sql.register("b", "both.*")
    await sql.capture("both.do")
    (b,) = await sql.acquire(handlers=["b"])
    assert await sql.one("fail_retry", id=b["id"], claim_token=b["claim_token"])
    assert await sql.one("forget_handler", name="a")
    await sql.register("a", "both.*")
    assert await handlers_of(sql, "both.do") == [("a", "pending")]


async def test_a_stricter_successor_leaves_one_attempt_to_what_was_tried(sql: Doors) -> None:
    bounds = {"max_retries": 1, "first_delay_low": 1, "first_delay_high": 1}
    await sql.rows("publish_policies", policies=json.dumps([{"name": "once", **bounds}]))
    claim = await sql.held()
    for _ in range(2):
        assert await sql.one("reschedule_retry", **claim, delay=timedelta(0))
        (row,) = await sql.acquire()
        claim["claim_token"] = row["claim_token"]
    assert await sql.one("release_retry", **claim)  # two attempts were made
    other = await sql.capture()
    assert await sql.one("forget_handler", name="work")
    await sql.register("work", policy="once")
    found = {row["id"]: (row["attempt"], row["max_retries"]) for row in await sql.acquire()}
    assert found == {claim["id"]: (3, 3), other: (1, 1)}


async def test_the_age_limit_counts_for_who_finds_a_handler_late(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await connection.execute(
        "update retryd.retry_policy set max_age = '1 h' where name = 'event_publish'"
    )
    await sql.capture("mail.send")
    await sql.register("mail", policy="event_publish")
    await clock.advance(3601)
    assert await sql.one("expire_retries", batch_size=10) == 1


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        ({"name": "-x", "match": ["a"]}, "handler name '-x'"),
        ({"name": "", "match": ["a"]}, "handler name"),
        ({"name": None, "match": ["a"]}, "handler name null"),
        ({"name": "x" * 201, "match": ["a"]}, "handler name"),
        ({"name": "x", "match": []}, "has no pattern"),
        ({"name": "x", "match": None}, "has no pattern"),
        ({"name": "x", "match": ["a", "b%"]}, "pattern 'b%'"),
        ({"name": "x", "match": ["*a*b*c*d*"]}, "at most four"),
        ({"name": "x", "match": ["a" * 201]}, "pattern"),
        ({"name": "x", "match": [None]}, "pattern null"),
        ({"name": "x", "match": ["a"], "kind": ""}, "no kind"),
    ],
)
async def test_a_handler_that_makes_no_sense_is_refused(
    arguments: dict[str, object], saying: str, sql: Doors
) -> None:
    with refused("RT400", saying):
        await sql.one("register_handler", **arguments)


async def test_an_unknown_policy_is_not_found(sql: Doors) -> None:
    with refused("RT404", "no policy 'ghost'"):
        await sql.register("x", policy="ghost")


async def test_publishing_policies_returns_what_changed_and_keeps_the_others(sql: Doors) -> None:
    policy = {"name": "new", "max_retries": 4, "first_delay_low": 1.0, "first_delay_high": 2.0}
    policies = json.dumps([policy])
    assert [row[0] for row in await sql.rows("publish_policies", policies=policies)] == ["new"]
    assert await sql.rows("publish_policies", policies=policies) == []
    assert await sql.count("retry_policy") == 4


async def test_pausing_and_resuming_tell_whether_they_changed_something(sql: Doors) -> None:
    assert await sql.one("pause_handler", name="work", reason="deploy", actor="eve")
    assert not await sql.one("pause_handler", name="work", actor="bob")
    row = await sql.connection.fetchrow("select paused_by, pause_reason from retryd.retry_handler")
    assert row is not None
    assert tuple(row) == ("eve", "deploy")
    assert await sql.one("resume_handler", name="work")
    assert not await sql.one("resume_handler", name="work")
    for verb in ("pause_handler", "resume_handler"):
        assert not await sql.one(verb, name="ghost")


@pytest.mark.parametrize(
    ("pattern", "subject", "taken"),
    [
        ("*", "", True),
        ("sql.*", "sql.query.long", True),
        ("sql.*", "sqlx", False),
        ("*.mail*", "a.b.mailer", True),
        ("a_c", "abc", False),
        ("a.c", "abc", False),
        ("A", "a", False),
    ],
)
async def test_a_star_takes_any_run_of_characters_and_nothing_else_is_special(
    pattern: str, subject: str, taken: bool, sql: Doors
) -> None:
    assert await sql.one("matches", pattern=pattern, subject=subject) is taken


async def test_a_policy_whose_retries_would_expire_at_once_is_refused(sql: Doors) -> None:
    policy = {"name": "old", "max_retries": 3, "first_delay_low": 1, "first_delay_high": 2}
    for age in (-1, 0):
        with pytest.raises(asyncpg.CheckViolationError, match="retry_policy_max_age_check"):
            await sql.one(
                "publish_policies", policies=json.dumps([policy | {"max_age_seconds": age}])
            )
    query = "select count(*) from retryd.retry_policy where name = 'old'"
    assert await sql.connection.fetchval(query) == 0


async def test_what_a_capture_leaves_a_forgotten_handler_is_freed_by_forgetting_it_again(
    sql: Doors, connection: Connection, database: Database
) -> None:
    other = Doors(await database.connect())
    async with connection.transaction():
        number = await sql.capture("work.do")
        assert await other.one("forget_handler", name="work")
    assert await handlers_of(sql, "work.do") == [("work", "pending")]
    assert await sql.one("forget_handler", name="work")
    assert not await sql.one("forget_handler", name="work")
    await sql.register("better", "work.*")
    assert [row["id"] for row in await sql.acquire()] == [number]
