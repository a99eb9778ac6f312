from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import MINUTE, Doors, refused


async def test_a_claim_takes_what_is_due_and_leaves_the_rest(sql: Doors, clock: Clock) -> None:
    due = await sql.capture()
    later = await sql.capture(not_before=await sql.one("now") + timedelta(seconds=30))
    assert [row["id"] for row in await sql.acquire()] == [due]
    await clock.advance(31)
    assert [row["id"] for row in await sql.acquire()] == [later]


async def test_a_claim_counts_the_attempt_and_says_how_long_it_holds(sql: Doors) -> None:
    await sql.capture()
    before = await sql.one("now")
    (row,) = await sql.acquire(lease=timedelta(seconds=90))
    assert row["attempt"] == 1
    assert timedelta(seconds=90) <= row["lease_expires_at"] - before < timedelta(seconds=100)
    held = await sql.row("retries", row["id"])
    assert held is not None
    assert (held["state"], held["claimed_by"]) == ("processing", "ann")
    assert held["lease_expires_at"] == row["lease_expires_at"]


async def test_no_token_is_given_twice(sql: Doors) -> None:
    tokens = []
    number = await sql.capture()
    for _ in range(5):
        (row,) = await sql.acquire()
        tokens.append(row["claim_token"])
        assert await sql.one("release_retry", id=number, claim_token=tokens[-1])
    assert sorted(set(tokens)) == tokens


@pytest.mark.parametrize("handlers", [2, 30])
async def test_smaller_priorities_go_first_whoever_handles_them(handlers: int, sql: Doors) -> None:
    names = [f"h{n}" for n in range(handlers)]
    for n, name in enumerate(names):
        await sql.register(name)
        event = {"event_type": f"{name}.do", "priority": 9 - n % 10}
        await sql.capture_all(*[event | {"not_before": f"2000-01-{n + 1:02}"}] * 3)
    for _ in range(10):  # the order of handlers is drawn in each claim
        rows = await sql.acquire(3, handlers=names)
        assert [row["priority"] for row in rows] == [9 - min(handlers - 1, 9)] * 3
        for row in rows:
            assert await sql.one("release_retry", id=row["id"], claim_token=row["claim_token"])


async def test_in_a_lane_the_longest_due_go_first(sql: Doors) -> None:
    events = [{"event_type": "work.do", "not_before": f"2000-01-{day:02}"} for day in (3, 1, 2, 1)]
    third, first, second, also_first = await sql.capture_all(*events)
    taken = [(await sql.acquire(1))[0]["id"] for _ in events]
    assert taken == [first, also_first, second, third]


async def test_no_handler_starves_while_another_has_much(sql: Doors) -> None:
    await sql.register("busy")
    await sql.capture_all(*[{"event_type": "busy.do", "not_before": "2000-01-01"}] * 300)
    await sql.capture()
    for _ in range(60):
        if "work" in {row["handler"] for row in await sql.acquire(5)}:
            return
    pytest.fail("300 of one handler were claimed, and not the only one of the other")


async def test_a_claim_takes_only_the_handlers_that_are_asked_for(sql: Doors) -> None:
    await sql.register("other")
    await sql.capture("other.do")
    number = await sql.capture()
    assert await sql.acquire(handlers=["unknown"]) == []
    assert await sql.acquire(handlers=[]) == []
    assert [row["id"] for row in await sql.acquire(handlers=["work", "work"])] == [number]


async def test_without_handlers_every_one_of_kind_external_is_served(sql: Doors) -> None:
    await sql.register("inner", kind="python")
    await sql.capture("inner.do")
    number = await sql.capture()
    assert [row["id"] for row in await sql.acquire()] == [number]
    assert [row["handler"] for row in await sql.acquire(handlers=["inner"])] == ["inner"]


async def test_a_paused_handler_is_left_out_until_it_is_resumed(sql: Doors) -> None:
    number = await sql.capture()
    assert await sql.one("pause_handler", name="work", reason="deploy", actor="eve")
    assert await sql.acquire() == []
    row = await sql.row("retries", number)
    assert row is not None
    assert row["attempt"] == 0
    assert await sql.one("resume_handler", name="work")
    assert len(await sql.acquire()) == 1


async def test_what_is_too_old_is_not_claimed_any_more(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await connection.execute("update retryd.retry_policy set max_age = '1 min'")
    number = await sql.capture()
    await clock.advance(61)
    assert await sql.acquire() == []
    assert await sql.one("expire_retries", batch_size=10) == 1
    row = await sql.row("dead_letters", number)
    assert row is not None
    assert (row["reason"], row["attempt"]) == ("expired", 0)


async def test_workers_at_once_never_hold_the_same_retry(database: Database, sql: Doors) -> None:
    await sql.capture_all(*[{"event_type": "work.do", "not_before": "2000-01-01"}] * 400)
    others = [Doors(await database.connect()) for _ in range(4)]
    taken: Counter[int] = Counter()

    async def drain(other: Doors, name: str) -> None:
        while rows := await other.acquire(7, worker=name):
            taken.update(row["id"] for row in rows)

    async with asyncio.TaskGroup() as group:
        for n, other in enumerate(others):
            group.create_task(drain(other, f"worker-{n}"))
    assert len(taken) == 400
    assert set(taken.values()) == {1}


async def test_a_claim_does_not_wait_for_a_row_that_somebody_else_looks_at(
    database: Database, sql: Doors
) -> None:
    busy, free = await sql.capture(), await sql.capture()
    other = await database.connect()
    async with other.transaction():
        await other.execute("select from retryd.retry_queue where id = $1 for update", busy)
        assert [row["id"] for row in await sql.acquire()] == [free]


async def test_a_lease_is_extended_for_its_worker_and_token_alone(sql: Doors, clock: Clock) -> None:
    claim = await sql.held()
    number, token = claim.values()
    await clock.advance(50)
    for worker, held in (("bob", token), ("ann", token + 1)):
        answer = await sql.rows(
            "extend_retry_leases", worker=worker, ids=[number], tokens=[held], lease=MINUTE
        )
        assert answer == []
    answer = await sql.rows(
        "extend_retry_leases",
        worker="ann",
        ids=[number, 999, number],
        tokens=[token, token, token],
        lease=MINUTE,
    )
    assert [row[0] for row in answer] == [number]
    await clock.advance(50)
    assert await sql.rescue() == []
    await clock.advance(11)
    assert len(await sql.rescue()) == 1
    late = await sql.rows(
        "extend_retry_leases", worker="ann", ids=[number], tokens=[token], lease=MINUTE
    )
    assert late == []


async def test_a_lapsed_lease_is_taken_over_and_the_attempt_counted_as_lost(
    sql: Doors, clock: Clock
) -> None:
    claim = await sql.held()
    assert await sql.rescue() == []
    await clock.advance(60)
    (row,) = await sql.rescue()
    assert (row["id"], row["attempt"], row["lost_attempts"]) == (claim["id"], 1, 1)
    assert row["claim_token"] > claim["claim_token"]
    assert not await sql.one("complete_retry", **claim)
    logged = await sql.connection.fetch(
        "select claim_token, worker, outcome from retryd.retry_attempt"
    )
    assert [tuple(line) for line in logged] == [(claim["claim_token"], "ann", "lost")]
    taken = {"id": row["id"], "claim_token": row["claim_token"]}
    assert await sql.one("reschedule_retry", **taken, delay=timedelta(0))
    assert await sql.count("retry_attempt") == 1
    (again,) = await sql.acquire()
    assert (again["attempt"], again["lost_attempts"]) == (2, 1)
    assert again["last_error_type"] == "WorkerLost"


async def test_the_expiry_of_a_rescue_lease_counts_nothing(sql: Doors, clock: Clock) -> None:
    await sql.held()
    for _ in range(3):
        await clock.advance(60)
        (row,) = await sql.rescue()
        assert (row["attempt"], row["lost_attempts"]) == (1, 1)
    assert await sql.count("retry_attempt") == 1


async def test_a_lost_attempt_is_not_given_back_under_the_rescue_lease(
    sql: Doors, clock: Clock
) -> None:
    claim = await sql.held()
    assert await sql.one("reschedule_retry", **claim, delay=timedelta(0))
    for verb in ("release", "snooze"):
        await sql.acquire()
        await clock.advance(60)
        (row,) = await sql.rescue()
        answers = await sql.rows(
            "settle_retries",
            ids=[row["id"]],
            tokens=[row["claim_token"]],
            decisions=[verb],
            delays=[0.0],
        )
        assert [answer["outcome"] for answer in answers] == ["settled"]
    found = await sql.row("retries", claim["id"])
    assert found is not None
    assert (found["attempt"], found["lost_attempts"]) == (3, 2)


async def test_a_first_attempt_that_was_lost_can_be_released(sql: Doors, clock: Clock) -> None:
    await sql.held()
    await clock.advance(60)
    (row,) = await sql.rescue()
    assert await sql.one("release_retry", id=row["id"], claim_token=row["claim_token"])


async def test_a_retry_that_was_lost_a_thousand_times_harms_no_other(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    sick = await sql.held()
    well = await sql.held()
    await connection.execute(
        "update retryd.retry_queue set attempt = 1000, lost_attempts = 999 where id = $1",
        sick["id"],
    )
    await clock.advance(60)
    rows = {row["id"]: row["claim_token"] for row in await sql.rescue()}
    assert set(rows) == {sick["id"], well["id"]}
    for verb in ("reschedule", "release", "snooze"):
        answers = await sql.rows(
            "settle_retries", ids=[sick["id"]], tokens=[rows[sick["id"]]], decisions=[verb]
        )
        assert [answer["outcome"] for answer in answers] == ["spent"]
    assert await sql.one("fail_retry", id=sick["id"], claim_token=rows[sick["id"]])


async def test_a_worker_is_told_the_last_error_of_this_life_and_the_first_of_all(
    sql: Doors,
) -> None:
    claim = await sql.held(error_type="First", error_message="one")
    await sql.one(
        "reschedule_retry",
        **claim,
        delay=timedelta(0),
        error_type="Second",
        error_message="two",
    )
    (row,) = await sql.acquire()
    names = ["error_type", "error_message", "last_error_type", "last_error_message"]
    assert [row[name] for name in names] == ["First", "one", "Second", "two"]
    assert await sql.one("fail_retry", id=row["id"], claim_token=row["claim_token"])
    assert await sql.one("replay_dead_letter", id=row["id"])
    (row,) = await sql.acquire()
    assert [row[name] for name in names] == ["First", "one", None, None]


async def test_a_later_life_gets_the_edited_payload(sql: Doors, connection: Connection) -> None:
    number = await sql.dead(payload='{"n": 1}')
    await connection.execute(
        "insert into retryd.payload_edit (retry, life, payload, actor, reason, at)"
        " values ($1, 2, '{\"n\": 2}', 'eve', 'typo', retryd.now())",
        number,
    )
    assert await sql.one("replay_dead_letter", id=number)
    (row,) = await sql.acquire()
    assert row["payload"] == '{"n": 2}'
    event = await sql.row("failure_event", number)
    assert event is not None
    assert event["payload"] == '{"n": 1}'


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        ({"worker": ""}, "worker"),
        ({"worker": None}, "worker"),
        ({"worker": "rescue/ann"}, "rescue/"),
        ({"worker": "x" * 256}, "255"),
        ({"size": 0}, "batch_size 0"),
        ({"size": 10_001}, "10000"),
        ({"size": None}, "batch_size"),
        ({"lease": timedelta(milliseconds=999)}, "lease"),
        ({"lease": timedelta(hours=25)}, "24 h"),
        ({"lease": None}, "lease"),
    ],
)
async def test_a_claim_that_makes_no_sense_is_refused(
    arguments: dict[str, object], saying: str, sql: Doors
) -> None:
    with refused("RT400", saying):
        await sql.acquire(**arguments)  # type: ignore[arg-type]
    with refused("RT400", saying):
        await sql.rescue(**arguments)  # type: ignore[arg-type]
