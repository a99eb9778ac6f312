"""A database that does not answer: leases are given up in time, the drain ends in time."""

from __future__ import annotations

import asyncio

import retryd
from tests.waiting import until
from tests.worker.conftest import Bench, app_with


async def test_a_lease_that_cannot_be_renewed_is_given_up_while_the_renewal_waits(
    bench: Bench,
) -> None:
    events: list[str] = []

    async def job(_: retryd.Retry) -> None:
        events.append("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    locker = await bench.database.connect()
    async with bench.working(app_with(job), lease_seconds=2):
        retry_id = await bench.capture()
        await until(lambda: events)
        async with locker.transaction():
            await locker.execute(
                "select from retryd.retry_queue where id = $1 for update", retry_id
            )
            await until(lambda: "cancelled" in events, within=5)


async def test_a_drain_does_not_wait_for_a_claim_that_hangs(bench: Bench) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    locker = await bench.database.connect()

    async def blocked() -> bool:
        query = (
            "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database() and query like '%acquire_retry_batch%')"
        )
        return bool(await bench.connection.fetchval(query))

    async with (
        asyncio.timeout(20),
        locker.transaction(),
        bench.working(app_with(job), shutdown_seconds=0.1),
    ):
        await locker.execute("lock table retryd.retry_queue in access exclusive mode")
        await until(blocked)
