from __future__ import annotations

from datetime import timedelta

import pytest

from tests.postgres import Clock, Connection
from tests.sql.doors import Doors


async def test_a_replay_is_a_new_life_of_the_same_id_due_at_once(sql: Doors) -> None:
    claim = await sql.held(priority=2)
    assert await sql.one("reschedule_retry", **claim, delay=timedelta(0))
    (row,) = await sql.acquire()
    assert await sql.one("fail_retry", id=claim["id"], claim_token=row["claim_token"])
    assert await sql.one("replay_dead_letter", id=claim["id"], reason="fixed", actor="eve")
    (again,) = await sql.acquire()
    assert again["id"] == claim["id"]
    assert (again["life"], again["attempt"], again["lost_attempts"], again["snoozes"]) == (
        2,
        1,
        0,
        0,
    )
    assert again["claim_token"] > row["claim_token"]
    assert again["priority"] == 2
    case = await sql.row("dead_letters", claim["id"])
    assert case is not None
    assert (case["status"], case["place"], case["replays"]) == ("retrying", "live", 1)
    assert case["replayed_at"] is not None
    assert await sql.places() == {claim["id"]: "live"}


async def test_a_replay_for_a_forgotten_handler_goes_to_who_matches(sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one("fail_retry", **claim)
    assert await sql.one("forget_handler", name="work")
    await sql.register("successor", "work.*")
    assert await sql.one("replay_dead_letter", id=claim["id"])
    assert [row["handler"] for row in await sql.acquire()] == ["successor"]


async def test_a_token_of_an_earlier_life_stays_stale(sql: Doors) -> None:
    first = await sql.held()
    assert await sql.one("fail_retry", **first)
    second = await sql.replayed(first["id"])
    assert not await sql.one("complete_retry", **first)
    assert await sql.one("complete_retry", **second)


async def test_the_age_of_a_replayed_life_is_counted_anew(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await connection.execute("update retryd.retry_policy set max_age = '1 h'")
    number = await sql.capture()
    await clock.advance(3601)
    assert await sql.one("expire_retries", batch_size=10) == 1
    assert await sql.one("replay_dead_letter", id=number)
    assert await sql.one("expire_retries", batch_size=10) == 0
    await clock.advance(3601)
    assert await sql.one("expire_retries", batch_size=10) == 1
    row = await sql.row("dead_letters", number)
    assert row is not None
    assert (row["status"], row["reason"], row["life"]) == ("failed", "expired", 2)


async def test_an_expired_retry_shows_its_last_error(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await connection.execute("update retryd.retry_policy set max_age = '1 h'")
    claim = await sql.held(error_type="First")
    later = await sql.capture(error_type="Only")
    await sql.one("reschedule_retry", **claim, delay=timedelta(hours=2), error_type="Last")
    await clock.advance(3601)
    assert await sql.one("expire_retries", batch_size=10) == 2
    rows = [await sql.row("dead_letters", number) for number in (claim["id"], later)]
    assert [row and row["error_type"] for row in rows] == ["Last", "Only"]


async def test_a_running_attempt_is_not_expired(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await connection.execute("update retryd.retry_policy set max_age = '1 min'")
    claim = await sql.held()
    await clock.advance(61)
    assert await sql.one("expire_retries", batch_size=10) == 0
    assert await sql.one("complete_retry", **claim)


async def test_cancelling_a_running_retry_fences_its_worker(sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one("cancel_retry", id=claim["id"], reason="not wanted", actor="eve")
    assert not await sql.one("complete_retry", **claim)
    row = await sql.row("retries", claim["id"])
    assert row is not None
    assert (row["state"], row["place"]) == ("cancelled", "done")
    archived = await sql.row("retry_archive", claim["id"])
    assert archived is not None
    assert (archived["cancelled_by"], archived["cancel_reason"]) == ("eve", "not wanted")


async def test_cancelling_a_replayed_life_closes_its_case(sql: Doors) -> None:
    number = await sql.dead()
    assert await sql.one("replay_dead_letter", id=number)
    assert await sql.one("cancel_retry", id=number, actor="eve")
    row = await sql.row("dead_letters", number)
    assert row is not None
    assert (row["status"], row["resolved_by"], row["place"]) == ("resolved", "cancellation", "done")
    assert await sql.places() == {number: "done"}


async def test_a_retry_that_waits_runs_at_once_when_told(sql: Doors) -> None:
    number = await sql.capture(not_before=await sql.one("now") + timedelta(days=1))
    assert await sql.acquire() == []
    assert await sql.one("retry_now", id=number)
    assert [row["id"] for row in await sql.acquire()] == [number]


async def test_what_a_person_resolved_stays_dead_and_cannot_be_replayed(sql: Doors) -> None:
    number = await sql.dead()
    assert await sql.one("resolve_dead_letter", id=number, reason="refunded", actor="eve")
    assert not await sql.one("replay_dead_letter", id=number)
    row = await sql.row("dead_letters", number)
    assert row is not None
    assert (row["status"], row["resolved_by"], row["place"]) == ("resolved", "person", "dead")
    assert await sql.places() == {number: "dead"}


@pytest.mark.forgets
async def test_a_deleted_dead_letter_is_in_no_place(sql: Doors) -> None:
    number = await sql.dead()
    assert await sql.one("delete_dead_letter", id=number)
    assert await sql.places() == {}
    assert await sql.acquire() == []


@pytest.mark.parametrize("verb", ["delete_dead_letter", "resolve_dead_letter"])
async def test_a_dead_letter_that_is_being_retried_is_neither_deleted_nor_resolved(
    verb: str, sql: Doors
) -> None:
    number = await sql.dead()
    assert await sql.one("replay_dead_letter", id=number)
    assert await sql.one(verb, id=number) is False
    assert await sql.places() == {number: "live"}


async def test_the_actor_is_the_role_of_the_session_unless_it_is_named(
    sql: Doors, connection: Connection
) -> None:
    numbers = [await sql.dead(), await sql.dead()]
    assert await sql.one("resolve_dead_letter", id=numbers[0])
    assert await sql.one("resolve_dead_letter", id=numbers[1], actor="eve")
    rows = await connection.fetch("select resolved_actor from retryd.dead_letter order by id")
    user = await connection.fetchval("select session_user::text")
    assert [row[0] for row in rows] == [user, "eve"]


async def test_a_replay_runs_under_the_policy_of_the_last_life(sql: Doors) -> None:
    number = await sql.dead()
    assert await sql.one("replay_dead_letter", id=number)
    assert await sql.one("forget_handler", name="work")
    await sql.register("work", policy="event_publish")
    (row,) = await sql.acquire()
    assert (row["policy"], row["max_retries"]) == ("event_publish", 5)
    assert await sql.one("fail_retry", id=number, claim_token=row["claim_token"])
    assert await sql.one("replay_dead_letter", id=number)
    (row,) = await sql.acquire()
    assert (row["policy"], row["max_retries"], row["life"]) == ("event_publish", 5, 3)
