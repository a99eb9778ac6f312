"""What keeps a lease, finds it again, and cuts it when the clock went wrong."""

from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest

from retryd.store.schema import migrate
from tests.postgres import Clock, Connection, Database
from tests.sql.doors import MINUTE, Doors, refused
from tests.waiting import until

HOUR = 3600
DAY = 86_400


async def renew(sql: Doors, *claims: dict[str, int], **arguments: object) -> dict[int, bool]:
    """Renew for one minute, as worker `ann`; says of each that is still held whether it was."""
    arguments = {"worker": "ann", "lease": MINUTE, **arguments}
    rows = await sql.rows(
        "renew_leases",
        ids=[claim["id"] for claim in claims],
        tokens=[claim["claim_token"] for claim in claims],
        **arguments,
    )
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["renewed"] for row in rows}


async def adopt(sql: Doors, after: int = 0, worker: str = "ann") -> list[asyncpg.Record]:
    """Adopt what `worker` holds above this token."""
    return await sql.rows("adopt_claims", worker=worker, after=after, lease=MINUTE)


async def lengths(sql: Doors) -> set[timedelta]:
    """Give the lengths on record."""
    rows = await sql.connection.fetch("select lease from retryd.lease_length")
    return {row[0] for row in rows}


async def seconds_left(sql: Doors, number: int) -> float:
    """Say how long a lease goes on."""
    left = await sql.connection.fetchval(
        "select extract(epoch from lease_expires_at - retryd.now())::float8"
        " from retryd.retry_queue where id = $1",
        number,
    )
    assert isinstance(left, float)
    return left


async def test_a_renewed_lease_runs_on_and_what_is_missing_was_lost(
    sql: Doors, clock: Clock
) -> None:
    kept, lost = await sql.held(), await sql.held()
    await clock.advance(50)
    assert await sql.one("cancel_retry", id=lost["id"])
    assert await renew(sql, lost, kept, kept, {"id": 999, "claim_token": 1}) == {kept["id"]: True}
    assert 55 < await seconds_left(sql, kept["id"]) <= 60
    await clock.advance(50)
    assert await sql.rescue() == []


async def test_a_lease_is_renewed_for_its_worker_and_token_alone(sql: Doors, clock: Clock) -> None:
    claim = await sql.held()
    await clock.advance(50)
    assert await renew(sql, claim, worker="bob") == {}
    assert await renew(sql, {**claim, "claim_token": claim["claim_token"] + 1}) == {}
    assert await seconds_left(sql, claim["id"]) <= 10


async def test_a_token_counts_with_its_own_id_only(sql: Doors) -> None:
    first, second = await sql.held(), await sql.held()
    crossed = [
        {"id": first["id"], "claim_token": second["claim_token"]},
        {"id": second["id"], "claim_token": first["claim_token"]},
    ]
    assert await renew(sql, *crossed) == {}


async def test_a_lease_that_ran_out_is_renewed_until_somebody_took_it(
    sql: Doors, clock: Clock
) -> None:
    claim = await sql.held()
    await clock.advance(70)
    assert await renew(sql, claim) == {claim["id"]: True}
    await clock.advance(70)
    assert len(await sql.rescue()) == 1
    assert await renew(sql, claim) == {}


async def test_a_renewal_waits_for_no_row_and_says_which_it_could_not_have(
    sql: Doors, database: Database, clock: Clock
) -> None:
    free, busy = await sql.held(), await sql.held()
    await clock.advance(30)
    await sql.connection.execute("set lock_timeout = '5s'")
    other = await database.connect()
    async with other.transaction():
        await other.execute("select from retryd.retry_queue where id = $1 for update", busy["id"])
        assert await renew(sql, busy, free) == {free["id"]: True, busy["id"]: False}
    assert await seconds_left(sql, busy["id"]) <= 30
    assert await renew(sql, busy) == {busy["id"]: True}


async def test_nothing_to_renew_is_no_error(sql: Doors) -> None:
    assert await renew(sql) == {}


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [({"worker": "rescue/ann"}, "rescue/"), ({"lease": timedelta(0)}, "lease")],
)
async def test_a_renewal_or_adoption_that_makes_no_sense_is_refused(
    arguments: dict[str, object], saying: str, sql: Doors
) -> None:
    with refused("RT400", saying):
        await renew(sql, **arguments)
    given = {"worker": "ann", "lease": MINUTE, **arguments}
    with refused("RT400", saying):
        await sql.rows("adopt_claims", after=0, **given)


async def test_a_claim_whose_answer_never_arrived_is_adopted_as_it_was_given(
    sql: Doors, clock: Clock
) -> None:
    known = await sql.held()
    await sql.capture(payload='{"n": 1}', priority=2)
    (unheard,) = await sql.acquire()
    await clock.advance(50)
    (row,) = await adopt(sql, known["claim_token"])
    same = set(row.keys()) - {"lease_expires_at"}
    assert {name: row[name] for name in same} == {name: unheard[name] for name in same}
    assert row["attempt"] == 1
    assert row["lease_expires_at"] - unheard["lease_expires_at"] >= timedelta(seconds=50)
    assert await sql.one("complete_retry", id=row["id"], claim_token=row["claim_token"])


async def test_a_worker_adopts_in_the_order_of_ids_all_that_it_was_never_told_of(
    sql: Doors,
) -> None:
    ids = await sql.capture_all(
        *({"event_type": "work.do", "not_before": f"2000-01-0{9 - n}"} for n in range(5))
    )
    for _ in ids:
        await sql.acquire(1)
    assert [row["id"] for row in await adopt(sql)] == ids


async def test_nothing_is_adopted_from_another_worker_or_from_a_rescue(
    sql: Doors, clock: Clock
) -> None:
    claim = await sql.held()
    assert await adopt(sql, worker="bob") == []
    await clock.advance(60)
    (taken,) = await sql.rescue()
    assert taken["id"] == claim["id"]
    assert await adopt(sql) == []
    assert await adopt(sql, worker="bob") == []


async def test_an_adoption_leaves_out_what_somebody_else_has_locked(
    sql: Doors, database: Database
) -> None:
    free, busy = await sql.held(), await sql.held()
    other = await database.connect()
    async with other.transaction():
        await other.execute("select from retryd.retry_queue where id = $1 for update", busy["id"])
        assert [row["id"] for row in await adopt(sql)] == [free["id"]]
    assert [row["id"] for row in await adopt(sql, free["claim_token"])] == [busy["id"]]


async def test_every_door_that_gives_a_lease_notes_its_length(sql: Doors, clock: Clock) -> None:
    claim = await sql.held()
    held = {"worker": "ann", "ids": [claim["id"]], "tokens": [claim["claim_token"]]}
    await sql.rows("extend_retry_leases", lease=timedelta(seconds=2), **held)
    await sql.rows("renew_leases", lease=timedelta(seconds=3), **held)
    await sql.rows("adopt_claims", worker="ann", after=0, lease=timedelta(seconds=4))
    await clock.advance(5)
    await sql.rescue(lease=timedelta(seconds=5))
    assert await lengths(sql) == {MINUTE, *(timedelta(seconds=n) for n in (2, 3, 4, 5))}


async def test_a_length_is_written_once_an_hour(sql: Doors, clock: Clock) -> None:
    async def notes() -> int:
        return int(await sql.connection.fetchval("select count(*) from retryd.lease_length"))

    await sql.acquire()
    await clock.advance(HOUR - 60)
    await sql.acquire()
    assert await notes() == 1
    await clock.advance(61)
    await sql.acquire()
    assert await notes() == 2


async def test_a_length_that_another_open_transaction_notes_is_noted_by_each_claim(
    sql: Doors, database: Database
) -> None:
    other = Doors(await database.connect())
    await sql.acquire()
    await sql.capture()
    async with other.connection.transaction():
        await other.acquire(handlers=[], lease=timedelta(hours=2))
        await sql.acquire(lease=timedelta(hours=2))
        assert await sql.one("clamp_leases", batch_size=100) == 0


async def test_a_claim_does_not_wait_for_a_transaction_that_notes_the_same_length(
    sql: Doors, database: Database
) -> None:
    other = Doors(await database.connect())
    await sql.capture()
    await sql.connection.execute("set lock_timeout = '5s'")
    async with other.connection.transaction():
        await other.acquire(handlers=[])
        assert len(await sql.acquire()) == 1


async def test_a_step_back_of_the_clock_does_not_prolong_a_dead_workers_lease(
    sql: Doors, clock: Clock
) -> None:
    claim = await sql.held()
    await clock.advance(-HOUR)
    assert await seconds_left(sql, claim["id"]) > HOUR
    assert await sql.one("clamp_leases", batch_size=10) == 1
    assert await seconds_left(sql, claim["id"]) <= 60
    assert await sql.one("clamp_leases", batch_size=10) == 0
    await clock.advance(60)
    assert [row["id"] for row in await sql.rescue()] == [claim["id"]]


async def test_the_longest_lease_on_record_is_never_cut(sql: Doors, clock: Clock) -> None:
    short = await sql.held()
    number = await sql.capture()
    await sql.acquire(worker="bob", lease=timedelta(hours=24))
    assert await sql.one("clamp_leases", batch_size=10) == 0
    assert await seconds_left(sql, number) > DAY - 60
    await clock.advance(-HOUR)
    assert await sql.one("clamp_leases", batch_size=10) == 1
    assert await seconds_left(sql, number) <= DAY
    assert HOUR < await seconds_left(sql, short["id"]) <= HOUR + 60


async def test_clamping_takes_the_longest_first_and_no_more_than_the_batch(
    sql: Doors, clock: Clock
) -> None:
    claims = [await sql.held() for _ in range(3)]
    await clock.advance(-HOUR)
    assert [await sql.one("clamp_leases", batch_size=2) for _ in range(3)] == [2, 1, 0]
    assert all([await seconds_left(sql, claim["id"]) <= 60 for claim in claims])


async def test_clamping_leaves_a_locked_lease_to_the_next_pass(
    sql: Doors, database: Database, clock: Clock
) -> None:
    claim = await sql.held()
    await clock.advance(-HOUR)
    other = await database.connect()
    async with other.transaction():
        await other.execute("select from retryd.retry_queue where id = $1 for update", claim["id"])
        assert await sql.one("clamp_leases", batch_size=10) == 0
    assert await sql.one("clamp_leases", batch_size=10) == 1


async def test_a_live_worker_renews_through_a_step_back_and_keeps_its_claim(
    sql: Doors, clock: Clock
) -> None:
    claim = await sql.held()
    await clock.advance(-HOUR)
    assert await renew(sql, claim) == {claim["id"]: True}
    assert await sql.one("clamp_leases", batch_size=10) == 0
    assert await sql.one("complete_retry", **claim)


async def test_a_step_ahead_lapses_every_lease_and_each_attempt_is_lost_once(
    sql: Doors, clock: Clock
) -> None:
    claims = [await sql.held() for _ in range(5)]
    await clock.advance(HOUR)
    taken = [row for _ in range(3) for row in await sql.rescue(2)]
    assert sorted(row["id"] for row in taken) == sorted(claim["id"] for claim in claims)
    assert {row["lost_attempts"] for row in taken} == {1}
    assert [await sql.one("complete_retry", **claim) for claim in claims] == [False] * 5
    assert await sql.count("retry_attempt") == 5
    await clock.advance(-HOUR)
    assert await sql.one("clamp_leases", batch_size=10) == 5
    for row in taken:
        assert await sql.one("complete_retry", id=row["id"], claim_token=row["claim_token"])


async def test_lengths_that_nobody_gives_any_more_are_forgotten(sql: Doors, clock: Clock) -> None:
    await sql.acquire(lease=timedelta(hours=24))
    await sql.acquire()
    await clock.advance(DAY + 59)
    assert await sql.one("clamp_leases", batch_size=10) == 0
    assert await lengths(sql) == {MINUTE, timedelta(hours=24)}
    await clock.advance(2)
    assert await sql.one("clamp_leases", batch_size=10) == 0
    assert await lengths(sql) == {timedelta(hours=24)}
    await clock.advance(DAY)
    assert await sql.one("clamp_leases", batch_size=10) == 0
    assert await lengths(sql) == set()


async def test_without_any_length_on_record_nothing_is_cut(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    await sql.held()
    await connection.execute("delete from retryd.lease_length")
    await clock.advance(-HOUR)
    assert await sql.one("clamp_leases", batch_size=10) == 0


async def test_a_lease_is_not_shorter_by_the_age_of_its_transaction(
    sql: Doors, database: Database, clock: Clock
) -> None:
    await sql.capture()
    await sql.capture()
    async with sql.connection.transaction():
        frozen = await sql.connection.fetchval("select now()")
        await clock.advance(40)
        for row in await sql.acquire(lease=timedelta(seconds=1)):
            assert 0 < await seconds_left(sql, row["id"]) <= 1
            assert row["lease_expires_at"] >= frozen + timedelta(seconds=40)
            claim = {"id": row["id"], "claim_token": row["claim_token"]}
            assert await renew(sql, claim) == {row["id"]: True}
            assert 59 < await seconds_left(sql, row["id"]) <= 60
        assert await sql.connection.fetchval("select now()") == frozen


async def test_the_clock_goes_on_within_a_transaction(plain_database: Database) -> None:
    await migrate(plain_database.dsn)
    connection = await plain_database.connect()
    async with connection.transaction():
        first = await connection.fetchval("select retryd.now()")

        async def later() -> bool:
            return bool(await connection.fetchval("select retryd.now()") > first)

        await until(later)
        assert await connection.fetchval("select now()") <= first
