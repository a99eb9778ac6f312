from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import Doors, refused
from tests.waiting import until

VERBS = {
    "complete_retry": {},
    "reschedule_retry": {"delay": timedelta(0)},
    "fail_retry": {},
    "release_retry": {},
}
DUMP = """
    select jsonb_agg(t order by t.what, t.row::text) from (
        select 'queue' as what, to_jsonb(q) as row from retryd.retry_queue q
        union all select 'archive', to_jsonb(a) from retryd.retry_archive a
        union all select 'dead', to_jsonb(d) from retryd.dead_letter d
        union all select 'attempt', to_jsonb(a) from retryd.retry_attempt a) t
"""


@pytest.mark.parametrize("verb", VERBS)
async def test_a_stale_token_changes_nothing(verb: str, sql: Doors, connection: Connection) -> None:
    claim = await sql.held()
    await sql.held()
    before = await connection.fetchval(DUMP)
    for wrong in (claim["claim_token"] - 1, claim["claim_token"] + 1, None):
        stale = claim | {"claim_token": wrong}
        assert not await sql.one(verb, **stale, **VERBS[verb])
    assert not await sql.one(verb, id=12345, claim_token=claim["claim_token"], **VERBS[verb])
    assert await connection.fetchval(DUMP) == before


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("first", VERBS)
async def test_a_claim_is_settled_once(verb: str, first: str, sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one(first, **claim, **VERBS[first])
    assert await sql.one(verb, **claim, **VERBS[verb]) is False


async def test_a_completed_retry_is_done_and_keeps_its_counts(sql: Doors) -> None:
    claim = await sql.held()
    assert await sql.one("complete_retry", **claim)
    assert await sql.places() == {claim["id"]: "done"}
    row = await sql.row("retries", claim["id"])
    assert row is not None
    assert (row["state"], row["attempt"], row["claimed_by"]) == ("completed", 1, None)
    assert row["ended_at"] is not None


LEFT_BY = """
    select jsonb_agg(
        t.row - '{ended_at,started_at,resolved_at}'::text[] || jsonb_build_object(
            'took', (t.row ->> 'ended_at')::timestamptz - (t.row ->> 'started_at')::timestamptz)
        order by t.row::text)
    from (
        select to_jsonb(q) as row from retryd.retry_queue q
        union all select to_jsonb(a) from retryd.retry_archive a
        union all select to_jsonb(d) from retryd.dead_letter d
        union all select to_jsonb(a) from retryd.retry_attempt a) t
"""
ONE = "select retryd.complete_one($1, $2, 2.5)"
MANY = """
    select outcome = 'settled'
    from retryd.settle_retries(
        array[$1::bigint], array[$2::bigint], array['complete'], seconds => array[2.5::float8])
"""


@pytest.mark.parametrize("kind", ["plain", "replayed", "in order", "rescued", "fanned out"])
async def test_completing_one_leaves_what_completing_many_leaves(
    kind: str, sql: Doors, connection: Connection, clock: Clock
) -> None:
    if kind == "fanned out":
        await sql.register("also", "work.*")
    key = {"ordering_key": "one"} if kind == "in order" else {}
    claim = await sql.held(**key)
    await sql.capture(**key)
    if kind == "replayed":
        assert await sql.one("fail_retry", **claim)
        claim = await sql.replayed(claim["id"])
    if kind == "rescued":
        await clock.advance(120)
        (row,) = [row for row in await sql.rescue() if row["id"] == claim["id"]]
        claim["claim_token"] = row["claim_token"]
    left = []
    for complete in (ONE, MANY):
        transaction = connection.transaction()
        await transaction.start()
        assert await connection.fetchval(complete, *claim.values())
        assert not await connection.fetchval(complete, *claim.values())
        left.append(json.loads(await connection.fetchval(LEFT_BY)))
        await transaction.rollback()
    assert left[0] == left[1]


async def test_a_rescheduled_retry_waits_for_its_delay_and_shows_the_error(
    sql: Doors, clock: Clock
) -> None:
    claim = await sql.held(error_type="Old")
    assert await sql.one(
        "reschedule_retry",
        **claim,
        delay=timedelta(seconds=30),
        error_type="Timeout",
        error_message="x" * 9000,
    )
    row = await sql.row("retries", claim["id"])
    assert row is not None
    assert (row["state"], row["attempt"], row["error_type"]) == ("pending", 1, "Timeout")
    assert len(row["error_message"].encode()) <= 8192
    assert await sql.acquire() == []
    await clock.advance(31)
    assert [row["attempt"] for row in await sql.acquire()] == [2]


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (timedelta(days=-1), 0),
        (timedelta(days=10_000), 366 * 86_400),
        (timedelta(seconds=1.5), 1.5),
        (None, 0),
    ],
)
async def test_a_delay_is_clamped_to_0_to_366_days(
    delay: timedelta | None, seconds: float, sql: Doors
) -> None:
    claim = await sql.held()
    before = await sql.one("now")
    assert await sql.one("reschedule_retry", **claim, delay=delay)
    row = await sql.row("retries", claim["id"])
    assert row is not None
    assert 0 <= (row["next_attempt_at"] - before).total_seconds() - seconds < 10


@pytest.mark.parametrize("delay", [float("nan"), float("inf"), float("-inf"), 1e300, -1e300])
async def test_a_delay_that_is_no_number_of_seconds_harms_nothing(delay: float, sql: Doors) -> None:
    claim = await sql.held()
    rows = await sql.rows(
        "settle_retries",
        ids=[claim["id"]],
        tokens=[claim["claim_token"]],
        decisions=["reschedule"],
        delays=[delay],
        seconds=[delay],
    )
    assert [row["outcome"] for row in rows] == ["settled"]


async def test_a_spent_retry_cannot_be_rescheduled_by_anyone(sql: Doors) -> None:
    claim = await sql.held()
    for _ in range(2):
        assert await sql.one("reschedule_retry", **claim, delay=timedelta(0))
        (row,) = await sql.acquire()
        claim["claim_token"] = row["claim_token"]
        assert row["max_retries"] == 3
    with refused("RT412", "spent"):
        await sql.one("reschedule_retry", **claim, delay=timedelta(0))
    assert await sql.one("fail_retry", **claim, reason="exhausted")


async def test_a_failed_retry_is_dead_with_its_reason_and_last_error(sql: Doors) -> None:
    claim = await sql.held(error_type="Old", error_message="old", error_stack="old")
    error = {"error_type": "New", "error_message": "new"}
    assert await sql.one("fail_retry", **claim, reason="exhausted", **error)
    row = await sql.row("dead_letters", claim["id"])
    assert row is not None
    assert (row["place"], row["status"], row["reason"]) == ("dead", "pending", "exhausted")
    assert (row["error_type"], row["error_message"], row["error_stack"]) == ("New", "new", None)
    assert (row["attempt"], row["life"], row["replays"]) == (1, 1, 0)


async def test_without_an_error_a_dead_letter_shows_the_one_that_came_in(sql: Doors) -> None:
    row = await sql.row("dead_letters", await sql.dead(error_type="Old", error_stack="here"))
    assert row is not None
    assert (row["reason"], row["error_type"], row["error_stack"]) == ("rejected", "Old", "here")


@pytest.mark.parametrize("reason", ["because", "", None])
async def test_a_reason_that_nobody_knows_is_refused(reason: str | None, sql: Doors) -> None:
    claim = await sql.held()
    with refused("RT400", "not one of exhausted, rejected"):
        await sql.one("fail_retry", **claim, reason=reason)


async def test_a_released_attempt_is_given_back(sql: Doors) -> None:
    claim = await sql.held()
    due = await sql.row("retries", claim["id"])
    assert await sql.one("release_retry", **claim)
    row = await sql.row("retries", claim["id"])
    assert row is not None
    assert due is not None
    assert (row["state"], row["attempt"]) == ("pending", 0)
    assert row["next_attempt_at"] == due["next_attempt_at"]
    assert await sql.count("retry_attempt") == 0


async def test_a_snoozed_attempt_is_given_back_a_thousand_times(
    sql: Doors, connection: Connection
) -> None:
    claim = await sql.held()
    await connection.execute("update retryd.retry_queue set snoozes = 999")
    for answer in ("settled", "spent"):
        rows = await sql.rows(
            "settle_retries",
            ids=[claim["id"]],
            tokens=[claim["claim_token"]],
            decisions=["snooze"],
            delays=[0.0],
        )
        assert [row["outcome"] for row in rows] == [answer]
        if answer == "settled":
            (row,) = await sql.acquire()
            assert (row["attempt"], row["snoozes"]) == (1, 1000)
            claim["claim_token"] = row["claim_token"]


async def test_in_a_batch_each_item_is_settled_for_itself(sql: Doors) -> None:
    words = ["complete", "cancel", "bury", "reschedule", "snooze", "release"]
    claims = [await sql.held() for _ in words]
    ids = [claim["id"] for claim in claims]
    tokens = [claim["claim_token"] for claim in claims]
    rows = await sql.rows(
        "settle_retries",
        ids=[ids[0], 999, *ids, ids[1]],
        tokens=[-1, 7, *tokens, tokens[1]],
        decisions=["bury", "complete", *words, "complete"],
        reasons=["rejected", *[None] * 3, "exhausted", *[None] * 4],
    )
    assert [tuple(row) for row in rows] == [
        (ids[0], "stale"),
        (999, "stale"),
        *((number, "settled") for number in ids),
        (ids[1], "stale"),
    ]
    states = [await sql.row("retries", number) for number in ids]
    assert [row and row["state"] for row in states] == [
        "completed",
        "cancelled",
        None,
        "pending",
        "pending",
        "pending",
    ]
    assert (await sql.places())[ids[2]] == "dead"


async def test_an_empty_batch_is_fine(sql: Doors) -> None:
    assert await sql.rows("settle_retries", ids=[], tokens=[], decisions=[]) == []


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        ({"tokens": []}, "one length"),
        ({"decisions": ["explode"]}, "decision 'explode' is not one of"),
        ({"decisions": [None]}, "decision null"),
        ({"decisions": ["bury"], "reasons": ["because"]}, "reason 'because'"),
        ({"decisions": ["bury"]}, "reason null"),
        ({"outcomes": ["fine"]}, "outcome 'fine'"),
    ],
)
async def test_a_settlement_that_makes_no_sense_is_refused_and_changes_nothing(
    arguments: dict[str, object], saying: str, sql: Doors, connection: Connection
) -> None:
    claim = await sql.held()
    before = await connection.fetchval(DUMP)
    good = {"ids": [claim["id"]], "tokens": [claim["claim_token"]], "decisions": ["complete"]}
    with refused("RT400", saying):
        await sql.rows("settle_retries", **good | arguments)
    assert await connection.fetchval(DUMP) == before


async def test_every_ended_attempt_has_one_line_in_the_log(sql: Doors) -> None:
    claim = await sql.held()
    await sql.rows(
        "settle_retries",
        ids=[claim["id"]],
        tokens=[claim["claim_token"]],
        decisions=["reschedule"],
        delays=[0.0],
        outcomes=["failure"],
        error_types=["Timeout"],
        error_messages=["too late"],
        error_stacks=["line 1"],
        seconds=[2.5],
    )
    (row,) = await sql.acquire()
    assert await sql.one("complete_retry", id=claim["id"], claim_token=row["claim_token"])
    first, second = await sql.connection.fetch(
        "select *, ended_at - started_at as ran from retryd.retry_attempt order by claim_token"
    )
    names = ["attempt", "outcome", "worker", "handler", "error_type", "error_stack", "ran"]
    assert [first[name] for name in names] == [
        1,
        "failure",
        "ann",
        "work",
        "Timeout",
        "line 1",
        timedelta(seconds=2.5),
    ]
    assert [second[name] for name in names] == [2, "success", "ann", "work", None, None, None]
    assert first["next_attempt_at"] - first["ended_at"] < timedelta(seconds=1)
    assert second["next_attempt_at"] is None


@pytest.mark.parametrize(
    ("decision", "resolved_by", "place"),
    [("complete", "success", "done"), ("cancel", "cancellation", "done")],
)
async def test_the_end_of_a_replayed_life_closes_its_case(
    decision: str, resolved_by: str, place: str, sql: Doors
) -> None:
    claim = await sql.replayed(await sql.dead())
    await sql.rows(
        "settle_retries",
        ids=[claim["id"]],
        tokens=[claim["claim_token"]],
        decisions=[decision],
    )
    row = await sql.row("dead_letters", claim["id"])
    assert row is not None
    assert (row["status"], row["resolved_by"], row["place"]) == ("resolved", resolved_by, place)
    assert await sql.places() == {claim["id"]: place}


async def test_who_dies_again_has_one_case_that_shows_the_new_life(sql: Doors) -> None:
    number = await sql.dead(error_type="Old")
    claim = await sql.replayed(number)
    assert await sql.one("fail_retry", **claim, reason="exhausted", error_type="New")
    row = await sql.row("dead_letters", number)
    assert row is not None
    assert (row["status"], row["reason"], row["error_type"]) == ("failed", "exhausted", "New")
    assert (row["life"], row["replays"], row["attempt"]) == (2, 1, 1)
    assert await sql.count("dead_letter") == 1


async def test_batches_that_share_items_wait_for_one_another_and_settle_each_once(
    database: Database, sql: Doors
) -> None:
    claims = [await sql.held() for _ in range(20)]
    ids = [claim["id"] for claim in claims]
    tokens = [claim["claim_token"] for claim in claims]
    other = Doors(await database.connect())
    watcher = await database.connect()
    async with sql.connection.transaction():
        first = await sql.rows(
            "settle_retries", ids=ids, tokens=tokens, decisions=["complete"] * 20
        )
        second = asyncio.create_task(
            other.rows(
                "settle_retries",
                ids=ids[::-1],
                tokens=tokens[::-1],
                decisions=["bury"] * 20,
                reasons=["rejected"] * 20,
            )
        )
        await until(
            lambda: watcher.fetchval(
                "select count(*) = 1 from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            )
        )
    assert {row["outcome"] for row in first} == {"settled"}
    assert {row["outcome"] for row in await second} == {"stale"}
    assert set((await sql.places()).values()) == {"done"}


async def test_a_settlement_is_known_by_its_token_afterwards(sql: Doors, clock: Clock) -> None:
    done, again, held = [await sql.held() for _ in range(3)]
    assert await sql.one("complete_retry", **done)
    assert await sql.one("reschedule_retry", **again, delay=timedelta(0))
    lost = await sql.held()
    await clock.advance(61)
    await sql.rescue()
    asked = [done, again, held, lost, {**done, "claim_token": lost["claim_token"]}]
    rows = await sql.rows(
        "settled_under",
        ids=[claim["id"] for claim in asked],
        tokens=[claim["claim_token"] for claim in asked],
    )
    assert {row[0] for row in rows} == {done["claim_token"], again["claim_token"]}
    assert len(rows) == 2
