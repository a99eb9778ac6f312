"""Two sessions want the same retry: one end, whoever comes first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import Doors
from tests.sql.rivals import Fate, Rivals, Verb, fate
from tests.waiting import until

RESOLVED = ("resolved", "success")
CANCELLED = ("resolved", "cancellation")
RETRYING = ("retrying", None)


@pytest.fixture
async def rivals(database: Database) -> Rivals:
    """Two sessions and one that watches."""
    return await Rivals.of(database)


@pytest.fixture
async def claim(sql: Doors) -> dict[str, int]:
    """A claim in a second life, so that there is a dead letter to be locked, too."""
    return await sql.replayed(await sql.dead())


def call(function: str, **arguments: object) -> Verb:
    """Call a function that answers with one value."""
    return lambda doors: doors.one(function, **arguments)


async def rescue(doors: Doors) -> list[dict[str, int]]:
    """Take over what lapsed; returns it as the verbs want it."""
    rows = await doors.rescue()
    return [{"id": row["id"], "claim_token": row["claim_token"]} for row in rows]


def settle(claim: dict[str, int], decision: str, **arguments: object) -> Verb:
    """Settle one claim; answers with the outcome."""

    async def settled(doors: Doors) -> object:
        (row,) = await doors.rows(
            "settle_retries",
            ids=[claim["id"]],
            tokens=[claim["claim_token"]],
            decisions=[decision],
            **arguments,
        )
        return row["outcome"]

    return settled


# --- complete x rescue, release x rescue ------------------------------------------------------


async def test_a_rescue_passes_by_a_completion_that_is_under_way(
    rivals: Rivals, sql: Doors, claim: dict[str, int], clock: Clock
) -> None:
    await clock.advance(61)
    assert await rivals.pass_by(call("complete_retry", **claim), rescue) == (True, [])
    assert await rescue(sql) == []
    end = Fate("done", "completed", RESOLVED, ("rejected", "success"))
    assert await fate(sql.connection, claim["id"]) == end


async def test_a_completion_that_is_rolled_back_leaves_the_lease_to_the_next_rescue(
    rivals: Rivals, sql: Doors, claim: dict[str, int], clock: Clock
) -> None:
    await clock.advance(61)
    transaction = rivals.first.connection.transaction()
    await transaction.start()
    assert await rivals.first.one("complete_retry", **claim)
    assert await rescue(rivals.second) == []
    await transaction.rollback()
    (taken,) = await rescue(sql)
    assert not await sql.one("complete_retry", **claim)
    assert await sql.one("complete_retry", **taken)
    end = Fate("done", "completed", RESOLVED, ("rejected", "lost"))
    assert await fate(sql.connection, claim["id"]) == end


@pytest.mark.parametrize("verb", ["complete_retry", "release_retry"])
async def test_a_settlement_that_waits_for_a_rescue_is_stale(
    verb: str, rivals: Rivals, sql: Doors, claim: dict[str, int], clock: Clock
) -> None:
    await clock.advance(61)
    taken, settled = await rivals.meet(rescue, call(verb, **claim))
    assert settled is False
    held = Fate("live", "processing", RETRYING, ("rejected", "lost"))
    assert await fate(sql.connection, claim["id"]) == held
    assert isinstance(taken, list)
    assert await sql.one(verb, **taken[0])


@pytest.mark.parametrize("verb", ["complete_retry", "release_retry"])
async def test_a_settlement_goes_through_when_the_rescue_that_it_waited_for_is_rolled_back(
    verb: str, rivals: Rivals, sql: Doors, claim: dict[str, int], clock: Clock
) -> None:
    await clock.advance(61)
    _, settled = await rivals.meet(rescue, call(verb, **claim), keep=False)
    assert settled is True
    assert await rescue(sql) == []
    assert "lost" not in (await fate(sql.connection, claim["id"])).log


async def test_a_rescue_passes_by_a_release_that_is_under_way(
    rivals: Rivals, sql: Doors, claim: dict[str, int], clock: Clock
) -> None:
    await clock.advance(61)
    assert await rivals.pass_by(call("release_retry", **claim), rescue) == (True, [])
    assert await rescue(sql) == []
    given_back = Fate("live", "pending", RETRYING, ("rejected",))
    assert await fate(sql.connection, claim["id"]) == given_back
    (again,) = await sql.acquire()
    assert (again["id"], again["attempt"], again["lost_attempts"]) == (claim["id"], 1, 0)


async def test_of_two_rescues_at_once_one_takes_the_lease(
    rivals: Rivals, sql: Doors, claim: dict[str, int], clock: Clock
) -> None:
    await clock.advance(61)
    first, second = await rivals.pass_by(rescue, rescue)
    assert isinstance(first, list)
    assert [taken["id"] for taken in first] == [claim["id"]]
    assert second == []
    held = Fate("live", "processing", RETRYING, ("rejected", "lost"))
    assert await fate(sql.connection, claim["id"]) == held


# --- renewal, by a keeper that waits for nobody -----------------------------------------------


async def test_a_keeper_passes_by_a_settlement_and_misses_it_afterwards(
    rivals: Rivals, claim: dict[str, int]
) -> None:
    async def renew(doors: Doors) -> list[tuple[Any, ...]]:
        rows = await doors.connection.fetch(
            "select * from retryd.renew_leases('ann', $1, $2, '1 min')",
            [claim["id"]],
            [claim["claim_token"]],
        )
        return [tuple(row) for row in rows]

    answers = await rivals.pass_by(call("complete_retry", **claim), renew)
    assert answers == (True, [(claim["id"], False)])
    assert await renew(rivals.second) == []


# --- complete x cancel ------------------------------------------------------------------------


async def test_a_cancel_that_waits_for_a_completion_comes_too_late(
    rivals: Rivals, sql: Doors, claim: dict[str, int]
) -> None:
    complete, cancel = call("complete_retry", **claim), call("cancel_retry", id=claim["id"])
    assert await rivals.meet(complete, cancel) == (True, False)
    end = Fate("done", "completed", RESOLVED, ("rejected", "success"))
    assert await fate(sql.connection, claim["id"]) == end


async def test_a_completion_that_waits_for_a_cancel_is_stale(
    rivals: Rivals, sql: Doors, claim: dict[str, int]
) -> None:
    complete, cancel = call("complete_retry", **claim), call("cancel_retry", id=claim["id"])
    assert await rivals.meet(cancel, complete) == (True, False)
    end = Fate("done", "cancelled", CANCELLED, ("rejected",))
    assert await fate(sql.connection, claim["id"]) == end


async def test_a_completion_goes_through_when_the_cancel_that_it_waited_for_is_rolled_back(
    rivals: Rivals, sql: Doors, claim: dict[str, int]
) -> None:
    complete, cancel = call("complete_retry", **claim), call("cancel_retry", id=claim["id"])
    assert await rivals.meet(cancel, complete, keep=False) == (True, True)
    end = Fate("done", "completed", RESOLVED, ("rejected", "success"))
    assert await fate(sql.connection, claim["id"]) == end


# --- replay x replay, replay x delete ---------------------------------------------------------


async def test_two_replays_make_one_new_life(rivals: Rivals, sql: Doors) -> None:
    number = await sql.dead()
    replay = call("replay_dead_letter", id=number)
    assert await rivals.meet(replay, replay) == (True, False)
    assert await fate(sql.connection, number) == Fate("live", "pending", RETRYING, ("rejected",))
    (row,) = await sql.acquire()
    assert (row["id"], row["life"]) == (number, 2)
    case = await sql.row("dead_letters", number)
    assert case is not None
    assert case["replays"] == 1


async def test_a_replay_takes_the_place_of_one_that_is_rolled_back(
    rivals: Rivals, sql: Doors
) -> None:
    number = await sql.dead()
    replay = call("replay_dead_letter", id=number)
    assert await rivals.meet(replay, replay, keep=False) == (True, True)
    assert await fate(sql.connection, number) == Fate("live", "pending", RETRYING, ("rejected",))


async def test_a_delete_that_waits_for_a_replay_is_refused(rivals: Rivals, sql: Doors) -> None:
    number = await sql.dead()
    replay, delete = call("replay_dead_letter", id=number), call("delete_dead_letter", id=number)
    assert await rivals.meet(replay, delete) == (True, False)
    assert await fate(sql.connection, number) == Fate("live", "pending", RETRYING, ("rejected",))


@pytest.mark.forgets
async def test_a_replay_that_waits_for_a_delete_finds_nothing(rivals: Rivals, sql: Doors) -> None:
    number = await sql.dead()
    replay, delete = call("replay_dead_letter", id=number), call("delete_dead_letter", id=number)
    assert await rivals.meet(delete, replay) == (True, False)
    assert await fate(sql.connection, number) == Fate(None, log=("rejected",))


# --- register x capture -----------------------------------------------------------------------


async def register(doors: Doors) -> object:
    """Register who runs the strays."""
    return await doors.register("stray")


async def capture_stray(doors: Doors) -> object:
    """Capture what nobody runs so far."""
    return await doors.capture("stray.do", event_id="s")


async def register_and_capture(doors: Doors) -> object:
    """Do both in one transaction."""
    async with doors.connection.transaction():
        await register(doors)
        return await capture_stray(doors)


async def routed(sql: Doors, number: object) -> None:
    """Check that the stray has come to its handler, once."""
    assert [row["id"] for row in await sql.acquire(handlers=["stray"])] == [number]
    assert await sql.count("retry_queue") == 1
    assert await sql.one("route_unrouted") == 0


async def test_an_event_captured_while_its_handler_registers_is_routed_by_the_sweep(
    rivals: Rivals, sql: Doors
) -> None:
    registered, number = await rivals.pass_by(register, capture_stray)
    assert registered is True
    assert await sql.acquire(handlers=["stray"]) == []
    assert await sql.one("route_unrouted") == 1
    await routed(sql, number)


async def test_a_handler_that_registers_while_its_event_comes_in_gets_it_by_the_sweep(
    rivals: Rivals, sql: Doors
) -> None:
    number, registered = await rivals.pass_by(capture_stray, register)
    assert registered is True
    assert await sql.acquire(handlers=["stray"]) == []
    assert await sql.one("route_unrouted") == 1
    await routed(sql, number)


async def test_who_registers_and_waits_for_a_capture_of_the_same_event_gets_its_id(
    rivals: Rivals, sql: Doors
) -> None:
    first, second = await rivals.meet(capture_stray, register_and_capture)
    assert first == second
    assert await sql.one("route_unrouted") == 1
    await routed(sql, first)


async def test_who_captures_and_waits_for_one_that_registers_gets_the_routed_id(
    rivals: Rivals, sql: Doors
) -> None:
    first, second = await rivals.meet(register_and_capture, capture_stray)
    assert first == second
    await routed(sql, first)


async def test_a_handler_passes_by_what_another_is_being_given(rivals: Rivals, sql: Doors) -> None:
    number = await capture_stray(sql)
    answers = await rivals.pass_by(register, lambda doors: doors.register("rival", "stray.*"))
    assert answers == (True, True)
    assert await sql.acquire(handlers=["rival"]) == []
    await routed(sql, number)


# --- capture x capture ------------------------------------------------------------------------


async def test_who_captures_what_is_being_captured_gets_the_same_id(
    rivals: Rivals, sql: Doors
) -> None:
    def capture(doors: Doors) -> Any:
        return doors.capture(event_id="e", source="s")

    first, second = await rivals.meet(capture, capture)
    assert first == second
    assert await sql.count("retry_queue") == 1
    assert await fate(sql.connection, int(str(first))) == Fate("live", "pending")


async def test_who_waited_for_a_capture_that_is_rolled_back_stores_the_event(
    rivals: Rivals, sql: Doors
) -> None:
    def capture(doors: Doors) -> Any:
        return doors.capture(event_id="e", source="s")

    first, second = await rivals.meet(capture, capture, keep=False)
    assert first != second
    assert await sql.places() == {second: "live"}


async def test_a_hundred_captures_of_one_event_at_once_give_one_retry_and_one_id(
    database: Database, sql: Doors
) -> None:
    others = [Doors(await database.connect()) for _ in range(100)]
    transaction = sql.connection.transaction()
    await transaction.start()
    await sql.capture(event_id="hot")
    calls = [asyncio.ensure_future(other.capture(event_id="hot")) for other in others]
    watch = await database.connect()

    async def all_wait() -> bool:
        waiting = await watch.fetchval(
            "select count(*) from pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        )
        return bool(waiting == len(others))

    await until(all_wait, within=30)
    await transaction.rollback()
    (number,) = set(await asyncio.gather(*calls))
    assert await sql.places() == {number: "live"}
    assert await sql.count("failure_event") == 1


# --- settle x expire --------------------------------------------------------------------------


async def test_an_expiry_passes_by_a_settlement_that_is_under_way_and_takes_it_later(
    rivals: Rivals, sql: Doors, claim: dict[str, int]
) -> None:
    await age(sql.connection)
    expire = call("expire_retries", batch_size=10)
    assert await rivals.pass_by(settle(claim, "reschedule"), expire) == ("settled", 0)
    assert await sql.one("expire_retries", batch_size=10) == 1
    end = Fate("dead", None, ("failed", None), ("rejected", "failure"))
    assert await fate(sql.connection, claim["id"]) == end


async def test_a_settlement_that_waits_for_an_expiry_is_stale(
    rivals: Rivals, sql: Doors, claim: dict[str, int]
) -> None:
    assert await sql.one("release_retry", **claim)
    await age(sql.connection)
    expire = call("expire_retries", batch_size=10)
    assert await rivals.meet(expire, settle(claim, "complete")) == (1, "stale")
    end = Fate("dead", None, ("failed", None), ("rejected",))
    assert await fate(sql.connection, claim["id"]) == end


async def test_an_expiry_passes_by_what_a_stale_settlement_looks_at_and_takes_it_later(
    rivals: Rivals, sql: Doors, claim: dict[str, int]
) -> None:
    assert await sql.one("release_retry", **claim)
    await age(sql.connection)
    expire = call("expire_retries", batch_size=10)
    assert await rivals.pass_by(settle(claim, "complete"), expire) == ("stale", 0)
    assert await sql.one("expire_retries", batch_size=10) == 1
    end = Fate("dead", None, ("failed", None), ("rejected",))
    assert await fate(sql.connection, claim["id"]) == end


async def age(connection: Connection) -> None:
    """Let every retry be older than its policy allows."""
    await connection.execute("update retryd.retry_queue set give_up_at = retryd.now()")
