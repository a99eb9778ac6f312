"""What the gauges tell is what PostgreSQL holds."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

import retryd
from retryd.domain.errors import DatabaseUnavailable
from retryd.store.reads import Reads
from retryd.telemetry.metrics import Metrics
from retryd.worker.gauge_reader import EVERY_SECONDS, GaugeReader
from tests.postgres import Clock
from tests.waiting import until
from tests.worker.conftest import Bench, app_with


async def fail(retry: retryd.Retry) -> None:
    raise retryd.Reject("no")


@pytest.fixture
def reader(bench: Bench) -> GaugeReader:
    """A reader that gives up soon."""
    return GaugeReader(Reads(bench.pool), bench.metrics, patience_seconds=0.5)


async def test_depths_are_those_of_postgresql(
    bench: Bench, reader: GaugeReader, clock: Clock
) -> None:
    async with bench.working(app_with(fail)):
        await bench.reached("dead", await bench.capture())
    for _ in range(2):
        await bench.capture("job.other.failed")
    await bench.capture("job.run.failed")
    await bench.capture("stray.failed")
    await clock.advance(3600)
    assert await reader.step() == EVERY_SECONDS
    assert bench.metric("retryd_queue_depth", handler="job", state="pending") == 3
    assert bench.metric("retryd_queue_depth", handler="unrouted", state="pending") == 1
    assert 3600 <= bench.metric("retryd_oldest_due_seconds", handler="job") < 3660
    assert bench.metric("retryd_dead_letter_depth", status="pending") == 1


async def test_what_is_held_and_what_needs_a_look_are_those_of_postgresql(
    bench: Bench, reader: GaugeReader, clock: Clock
) -> None:
    await bench.connection.execute(
        "select retryd.register_handler('mail', '{mail.*}', kind => 'python'),"
        " retryd.register_handler('idle', '{idle.*}')"
    )
    await bench.capture("mail.send.failed")
    await clock.advance(60)
    await reader.step()
    assert bench.metric("retryd_alerts", kind="no_worker") == 1
    assert bench.metric("retryd_queue_depth", handler="idle", state="pending") == 0
    await bench.connection.execute("select retryd.pause_handler('mail', reason => 'no relay')")
    await reader.step()
    assert bench.metric("retryd_lane_held", handler="mail", reason="paused") == 1
    assert bench.metric("retryd_alerts", kind="no_worker") == 0
    assert bench.metric("retryd_alerts", kind="lane_held") == 1
    await bench.connection.execute("select retryd.resume_handler('mail')")
    await reader.step()
    assert bench.metric("retryd_lane_held", handler="mail", reason="paused") == 0


async def test_another_meaning_of_a_handlers_name_is_told_once_while_it_lasts(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    reader = GaugeReader(Reads(bench.pool), bench.metrics, ["job", "mine"])
    seen = "select retryd.worker_seen($1, 'host', 1, '1', $2)"
    for worker, meaning in (("ann", "invoices"), ("bob", "orders")):
        handlers = json.dumps({"job": meaning, "other": meaning, "mine": "the same"})
        await bench.connection.execute(seen, worker, handlers)
    for _ in range(2):
        await reader.step()
    told = [record for record in caplog.records if record.message == "handler_conflict"]
    assert [record.__dict__["handler"] for record in told] == ["job"]


async def test_all_workers_tell_the_same(bench: Bench) -> None:
    await bench.capture("stray.failed")
    told = []
    for _ in range(2):
        metrics = Metrics()
        await GaugeReader(Reads(bench.pool), metrics).step()
        told.append(metrics.registry.get_sample_value(*STRAY))
    assert told == [1, 1]


STRAY = ("retryd_queue_depth", {"handler": "unrouted", "state": "pending"})


async def test_a_reading_that_takes_too_long_is_broken_off_and_told_as_unknown(
    bench: Bench, reader: GaugeReader
) -> None:
    await bench.capture("stray.failed")
    await reader.step()
    transaction = bench.connection.transaction()
    await transaction.start()
    await bench.connection.execute("lock table retryd.retry_queue in access exclusive mode")
    with pytest.raises(DatabaseUnavailable, match=r"within 0\.5 s"):
        async with asyncio.timeout(10):
            await reader.step()

    async def nobody_waits() -> bool:
        query = (
            "select not exists (select from pg_stat_activity where state = 'active'"
            " and query like '%handler_activity%' and pid <> pg_backend_pid())"
        )
        return bool(await bench.connection.fetchval(query))

    await until(nobody_waits)
    await transaction.rollback()
    value = bench.metrics.registry.get_sample_value(*STRAY)
    assert value is not None
    assert math.isnan(value)
    await reader.step()
    assert bench.metrics.registry.get_sample_value(*STRAY) == 1
