"""No two calls wait for each other: one order of locks, or no waiting at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random

import asyncpg
import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import LONG_AGO, MINUTE, Doors
from tests.sql.rivals import Rivals
from tests.waiting import until

KEYED = {"ordering_key": "k"}
SESSIONS = 6
CALLS = 150


@pytest.fixture
async def rivals(database: Database) -> Rivals:
    """Two sessions and one that watches."""
    return await Rivals.of(database)


async def is_locked(connection: Connection, table: str, key: str, value: object) -> bool:
    """Tell whether somebody holds this row of a table."""
    free = await connection.fetch(
        f"select from retryd.{table} where {key} = $1 for update skip locked", value
    )
    return not free


# --- followers of an ordering key -------------------------------------------------------------


@pytest.mark.parametrize("end", ["complete", "cancel", "expire"])
async def test_an_end_waits_for_no_follower_that_is_locked_and_leaves_it_to_the_sweep(
    end: str, rivals: Rivals, sql: Doors
) -> None:
    claim = await sql.held(**KEYED)
    follower = await sql.capture(**KEYED)
    if end == "expire":
        assert await sql.one("release_retry", **claim)
        await sql.connection.execute(
            "update retryd.retry_queue set give_up_at = retryd.now() where state = 'pending'"
        )

    async def look(doors: Doors) -> object:
        (row,) = await doors.rows(
            "settle_retries", ids=[follower], tokens=[claim["claim_token"]], decisions=["complete"]
        )
        return row["outcome"]

    async def finish(doors: Doors) -> object:
        match end:
            case "complete":
                return await doors.one("complete_retry", **claim)
            case "cancel":
                return await doors.one("cancel_retry", id=claim["id"])
        return await doors.one("expire_retries", batch_size=10)

    assert await rivals.pass_by(look, finish) == ("stale", True)
    assert await sql.acquire() == []
    assert await sql.one("unpark_stranded", batch_size=10) == 1
    assert [row["id"] for row in await sql.acquire()] == [follower]


# --- rows that many write at once -------------------------------------------------------------


async def test_a_bulk_locks_its_events_in_one_order_whether_the_source_is_null_or_empty(
    rivals: Rivals, database: Database
) -> None:
    empty = {"event_type": "work.do", "event_id": "a"}
    named = {"event_type": "work.do", "event_id": "b", "source": "x"}
    third = Doors(await database.connect())
    await third.connection.execute("set lock_timeout = '20s'")

    def capture(*events: object) -> Callable[[Doors], Awaitable[list[int]]]:
        return lambda doors: doors.capture_all(*events)

    transaction = third.connection.transaction()
    await transaction.start()
    await third.capture_all(named)
    first = asyncio.ensure_future(capture({**empty, "source": ""}, named)(rivals.first))
    await until(lambda: blocked_by(rivals.watch, rivals.first, third))
    second = asyncio.ensure_future(capture(named, empty)(rivals.second))
    await until(lambda: blocked_by(rivals.watch, rivals.second, rivals.first, third))
    assert await blocked_by(rivals.watch, rivals.second, rivals.first)
    await transaction.rollback()
    assert await first == sorted(await second)


async def blocked_by(watch: Connection, doors: Doors, *others: Doors) -> bool:
    """Tell whether a session waits for one of these."""
    return bool(
        await watch.fetchval(
            "select pg_blocking_pids($1) && $2::int[]",
            doors.connection.get_server_pid(),
            [other.connection.get_server_pid() for other in others],
        )
    )


async def test_handlers_are_published_in_one_order(rivals: Rivals, sql: Doors) -> None:
    def publish(*names: str) -> Callable[[Doors], Awaitable[object]]:
        handlers = [{"name": name, "match": [f"{name}.*"], "kind": "python"} for name in names]
        return lambda doors: doors.rows("publish_handlers", handlers=json.dumps(handlers))

    await publish("alpha", "beta")(sql)
    transaction = rivals.first.connection.transaction()
    await transaction.start()
    await rivals.first.one("pause_handler", name="beta")
    waiting = asyncio.ensure_future(publish("beta", "alpha")(rivals.second))
    await until(lambda: rivals.second_waits(waiting))
    assert await is_locked(sql.connection, "retry_handler", "name", "alpha")
    await transaction.commit()
    await waiting


@pytest.mark.forgets
async def test_dead_letters_are_pruned_in_the_order_of_their_ids(
    rivals: Rivals, sql: Doors, clock: Clock
) -> None:
    early, late = await sql.held(), await sql.held()
    for claim in (late, early):
        assert await sql.one("fail_retry", **claim)
    await clock.advance(60)
    transaction = rivals.first.connection.transaction()
    await transaction.start()
    assert await rivals.first.one("resolve_dead_letter", id=late["id"])
    waiting = asyncio.ensure_future(
        rivals.second.one("prune_dead_letters", older_than=timedelta(seconds=1))
    )
    await until(lambda: rivals.second_waits(waiting))
    assert await is_locked(sql.connection, "dead_letter", "id", early["id"])
    await transaction.commit()
    assert await waiting == 2


@pytest.mark.forgets
async def test_who_waited_for_a_prune_finds_its_partitions_gone_and_goes_on(
    rivals: Rivals, sql: Doors, clock: Clock
) -> None:
    await sql.connection.execute(
        "alter function retryd.drop_partitions(text, interval, boolean) set lock_timeout = '20s'"
    )
    await sql.one("ensure_partitions")
    assert await sql.one("complete_retry", **await sql.held())
    await clock.advance(3 * 86_400)

    def prune(doors: Doors) -> Awaitable[object]:
        return doors.one("prune_archive", older_than=timedelta(days=1))

    assert await rivals.meet(prune, prune) == (1, 0)
    assert await sql.count("retry_archive") == 0


# --- everybody at once ------------------------------------------------------------------------


class Storm:
    """What the sessions of a storm know of the retries that they fight for."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ids: list[int] = []
        self.claims: list[tuple[int, int]] = []
        self.deleted: set[int] = set()
        self.calls = 0
        self.turn = asyncio.Lock()  # of the one connection that moves the clock
        self.met = False  # a call was seen that waited for another one's lock

    async def capture(self, doors: Doors, draw: Random) -> None:
        keys = [None, "k", "l"]
        events = [
            {"event_type": "work.do", "ordering_key": key, "not_before": str(LONG_AGO)}
            for key in draw.choices(keys, k=4)
        ]
        self.ids += await doors.capture_all(*events)

    async def acquire(self, doors: Doors, draw: Random) -> None:
        rows = await doors.acquire(8, worker=draw.choice(["ann", "bob"]))
        self.claims += [(row["id"], row["claim_token"]) for row in rows]

    async def rescue(self, doors: Doors, draw: Random) -> None:
        rows = await doors.rescue(8, worker=draw.choice(["ann", "bob"]))
        self.claims += [(row["id"], row["claim_token"]) for row in rows]

    async def settle(self, doors: Doors, draw: Random) -> None:
        claims = draw.choices(self.claims[-60:], k=12) if self.claims else []
        words = draw.choices(["complete", "cancel", "reschedule", "bury", "release"], k=len(claims))
        await doors.rows(
            "settle_retries",
            ids=[number for number, _ in claims],
            tokens=[token for _, token in claims],
            decisions=words,
            reasons=["rejected"] * len(claims),
        )

    async def renew(self, doors: Doors, draw: Random) -> None:
        claims = draw.choices(self.claims[-60:], k=12) if self.claims else []
        await doors.rows(
            draw.choice(["renew_leases", "extend_retry_leases"]),
            worker=draw.choice(["ann", "bob"]),
            ids=[number for number, _ in claims],
            tokens=[token for _, token in claims],
            lease=MINUTE,
        )

    async def operate(self, doors: Doors, draw: Random) -> None:
        verbs = ["cancel_retry", "replay_dead_letter", "resolve_dead_letter", "retry_now"]
        for number in draw.sample(self.ids, min(len(self.ids), 10)):
            await doors.one(draw.choice(verbs), id=number)

    async def delete(self, doors: Doors, draw: Random) -> None:
        number = draw.choice(self.ids)
        if await doors.one("delete_dead_letter", id=number):
            self.deleted.add(number)

    async def expire(self, doors: Doors, draw: Random) -> None:
        await doors.one("expire_retries", batch_size=draw.randint(1, 20))

    async def sweep(self, doors: Doors, draw: Random) -> None:
        await doors.one("unpark_stranded", batch_size=draw.randint(1, 20))
        await doors.one("clamp_leases", batch_size=draw.randint(1, 20))

    async def pass_time(self, draw: Random) -> None:
        async with self.turn:
            await self.clock.advance(draw.choice([30, -30, 60]))

    async def rage(self, doors: Doors, draw: Random) -> None:
        """Call at random until there were enough calls and two of them met."""
        verbs = [self.capture, self.acquire, self.acquire, self.rescue, self.settle, self.settle]
        verbs += [self.renew, self.operate, self.operate, self.expire, self.delete, self.sweep]
        while self.calls < SESSIONS * CALLS or not self.met:
            await draw.choice(verbs)(doors, draw)
            self.calls += 1
            if self.calls % 20 == 0:
                await self.pass_time(draw)


async def deadlocks(connection: Connection) -> int:
    """Say how many deadlocks PostgreSQL has counted in this database."""
    counted = await connection.fetchval(
        "select deadlocks from pg_stat_database where datname = current_database()"
    )
    assert isinstance(counted, int)
    return counted


@pytest.mark.forgets
async def test_in_a_storm_of_all_verbs_nobody_meets_a_deadlock_and_nothing_is_lost(
    database: Database, sql: Doors, connection: Connection, clock: Clock
) -> None:
    storm = Storm(clock)
    await connection.execute("update retryd.retry_policy set max_age = '45 s'")
    await storm.capture(sql, Random(0))
    before = await deadlocks(connection)
    sessions = [await database.connect() for _ in range(SESSIONS)]
    pids = [session.get_server_pid() for session in sessions]
    watch = await database.connect()

    async def two_met() -> bool:
        return bool(
            await watch.fetchval(
                "select count(*) from pg_stat_activity"
                " where pid = any($1) and wait_event_type = 'Lock'",
                pids,
            )
        )

    async def look() -> None:
        await until(two_met, within=60)
        storm.met = True

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        for seed, session in enumerate(sessions):
            group.create_task(storm.rage(Doors(session), Random(seed)))

    for session in sessions:
        await session.close()  # a session that ends has told all that it counted

    async def all_gone() -> bool:
        query = "select count(*) = 0 from pg_stat_activity where pid = any($1)"
        return bool(await watch.fetchval(query, pids))

    await until(all_gone)
    assert await deadlocks(connection) == before
    places = await sql.places()
    assert set(storm.ids) - storm.deleted <= set(places) <= set(storm.ids)


@pytest.mark.deadlocks
async def test_a_deadlock_is_counted_where_the_storm_looks(
    rivals: Rivals, sql: Doors, connection: Connection
) -> None:
    ids = [await sql.capture() for _ in range(2)]
    before = await deadlocks(connection)
    lock = "select from retryd.retry_queue where id = $1 for update"

    one, other = rivals.first.connection, rivals.second.connection
    for session, number in ((one, ids[0]), (other, ids[1])):
        await session.execute("begin")
        await session.execute(lock, number)
    answers = await asyncio.gather(
        one.execute(lock, ids[1]), other.execute(lock, ids[0]), return_exceptions=True
    )
    assert [type(answer) for answer in answers].count(asyncpg.DeadlockDetectedError) == 1
    for session in (one, other):
        await session.close()

    async def counted() -> bool:
        return await deadlocks(connection) == before + 1

    await until(counted)
