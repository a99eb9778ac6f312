from __future__ import annotations

import asyncio

import pytest

from tests.postgres import Clock, Connection, Database
from tests.sql.doors import LONG_AGO, Doors

KEYED = {"ordering_key": "k"}


async def states(sql: Doors) -> dict[int, str]:
    rows = await sql.connection.fetch("select id, state from retryd.retry_queue")
    return dict(map(tuple, rows))


async def test_one_of_a_key_is_live_and_the_others_are_parked_behind_it(sql: Doors) -> None:
    ids = [await sql.capture(**KEYED) for _ in range(3)]
    assert await states(sql) == dict(zip(ids, ["pending", "parked", "parked"], strict=True))
    assert [row["id"] for row in await sql.acquire()] == ids[:1]
    assert await sql.acquire() == []


@pytest.mark.parametrize("end", ["complete", "cancel", "bury"])
async def test_the_next_goes_on_when_the_first_has_ended(end: str, sql: Doors) -> None:
    ids = [await sql.capture(**KEYED) for _ in range(3)]
    for number in ids:
        (row,) = await sql.acquire()
        assert row["id"] == number
        await sql.rows(
            "settle_retries",
            ids=[number],
            tokens=[row["claim_token"]],
            decisions=[end],
            reasons=["rejected"],
        )
    assert await states(sql) == {}


async def test_a_rescheduled_one_stays_first(sql: Doors) -> None:
    claim = await sql.held(**KEYED)
    await sql.capture(**KEYED)
    await sql.one("release_retry", **claim)
    assert [row["id"] for row in await sql.acquire()] == [claim["id"]]


async def test_the_next_goes_on_when_the_first_is_cancelled_or_too_old(
    sql: Doors, clock: Clock, connection: Connection
) -> None:
    first = await sql.capture(**KEYED)
    second = await sql.capture(**KEYED)
    third = await sql.capture(**KEYED)
    assert await sql.one("cancel_retry", id=first)
    assert await states(sql) == {second: "pending", third: "parked"}
    await connection.execute(
        "update retryd.retry_queue set give_up_at = retryd.now() + '1 min' where id = $1", second
    )
    await clock.advance(61)
    assert await sql.one("expire_retries", batch_size=10) == 1
    assert await states(sql) == {third: "pending"}


async def test_cancelling_a_parked_one_moves_nobody(sql: Doors) -> None:
    first = await sql.capture(**KEYED)
    second = await sql.capture(**KEYED)
    third = await sql.capture(**KEYED)
    assert await sql.one("cancel_retry", id=second)
    assert await states(sql) == {first: "pending", third: "parked"}


async def test_a_replay_queues_behind_what_is_live(sql: Doors) -> None:
    first = await sql.dead(**KEYED)
    second = await sql.held(**KEYED)
    third = await sql.capture(**KEYED)
    assert await sql.one("replay_dead_letter", id=first)
    assert await states(sql) == {first: "parked", second["id"]: "processing", third: "parked"}
    assert await sql.one("complete_retry", **second)
    assert await states(sql) == {first: "pending", third: "parked"}


async def test_keys_and_handlers_do_not_wait_for_one_another(sql: Doors) -> None:
    await sql.register("other", "work.*", "other.*")
    await sql.capture_all(
        {"event_type": "work.do", "ordering_key": "k", "not_before": "2000-01-01"},
        {"event_type": "other.do", "ordering_key": "j", "not_before": "2000-01-01"},
        {"event_type": "work.do", "not_before": "2000-01-01"},
    )
    assert set((await states(sql)).values()) == {"pending"}
    assert len(await sql.acquire()) == 5


@pytest.mark.parametrize("key", ["a\x01b", "ä ö", "'", "x" * 255])
async def test_any_text_is_a_key(key: str, sql: Doors) -> None:
    first = await sql.capture(ordering_key=key)
    second = await sql.capture(ordering_key=key)
    assert await states(sql) == {first: "pending", second: "parked"}


async def test_without_a_handler_nothing_is_parked_until_one_is_registered(sql: Doors) -> None:
    first = await sql.capture("stray.do", ordering_key="k")
    second = await sql.capture("stray.do", ordering_key="k")
    assert set((await states(sql)).values()) == {"pending"}
    await sql.register("stray")
    assert await states(sql) == {first: "pending", second: "parked"}
    assert await sql.one("forget_handler", name="stray")
    assert set((await states(sql)).values()) == {"pending"}


async def test_the_sweep_lets_go_on_what_a_large_bulk_left_parked(sql: Doors) -> None:
    events = [{"event_type": "work.do", "ordering_key": f"k{n % 100}"} for n in range(200)]
    await sql.capture_all(*events)
    await sql.one("unpark_stranded", batch_size=1000)
    assert sorted((await states(sql)).values()) == ["parked"] * 100 + ["pending"] * 100
    assert await sql.one("unpark_stranded", batch_size=1000) == 0


async def test_who_is_captured_while_the_first_one_ends_goes_on_with_the_sweep(
    database: Database, sql: Doors
) -> None:
    claim = await sql.held(**KEYED)
    other = Doors(await database.connect())
    async with sql.connection.transaction():
        assert await sql.one("complete_retry", **claim)
        late = await other.capture(**KEYED)
    await sql.one("unpark_stranded", batch_size=10)
    assert await states(sql) == {late: "pending"}


async def test_many_captures_and_settlements_of_a_key_at_once_keep_one_live(
    database: Database, sql: Doors
) -> None:
    order: list[int] = []
    live = 0

    async def capture(doors: Doors) -> None:
        for _ in range(20):
            await doors.capture(**KEYED)

    async def work(doors: Doors) -> None:
        nonlocal live
        while len(order) < 60:
            for row in await doors.acquire(1):
                live += 1
                assert live == 1
                order.append(row["id"])
                live -= 1
                await doors.one("complete_retry", id=row["id"], claim_token=row["claim_token"])
            await doors.one("unpark_stranded", batch_size=10)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(capture(Doors(await database.connect())))
            group.create_task(work(Doors(await database.connect())))
    assert len(set(order)) == 60
    assert await states(sql) == {}


async def test_a_key_does_not_wait_for_a_due_time_that_is_not_its_own(sql: Doors) -> None:
    first = await sql.capture(**KEYED)
    await sql.capture(**KEYED, not_before=LONG_AGO)
    assert [row["id"] for row in await sql.acquire()] == [first]
