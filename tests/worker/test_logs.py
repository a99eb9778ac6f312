"""What a worker tells of its attempts: one line each, no flood, and nothing that a handler says."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import retryd
from retryd.telemetry.log import JsonFormatter
from tests.canary import CANARY
from tests.postgres import Clock, Connection, Database
from tests.waiting import until
from tests.worker.conftest import Bench, app_with

CONFIG: dict[str, Any] = {
    "retry": {
        "poll_interval_seconds": 0.1,
        "default_max_retries": 2,
        "retry_policies": {"default": {"initial_delay_seconds": 0.01, "jitter": 0}},
    }
}


class Told:
    """The lines of the log, at every level."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        caplog.set_level(logging.DEBUG, "retryd")

    def lines(self, event: str, **facts: object) -> list[dict[str, Any]]:
        """Return the lines with this event and these facts."""
        found = [vars(each) for each in self._caplog.records if each.getMessage() == event]
        return [line for line in found if facts.items() <= line.items()]

    def levels(self, retry_id: int) -> list[tuple[str, str]]:
        """Return level and event of each line about a retry, in their order."""
        return [
            (record.levelname, record.getMessage())
            for record in self._caplog.records
            if record.name == "retryd.attempts" and vars(record).get("retry") == retry_id
        ]

    @property
    def text(self) -> str:
        """All lines as they are written."""
        return "\n".join(map(JsonFormatter().format, self._caplog.records))


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """What is logged during the test."""
    return Told(caplog)


@asynccontextmanager
async def working(app: retryd.App, database: Database, **retry: object) -> AsyncIterator[None]:
    """Run a worker as an application does."""
    config = {
        "retry": {**CONFIG["retry"], **retry},
        "database": {"url": database.dsn},
    }
    async with retryd.running(app, config):
        yield


async def capture(connection: Connection, name: str = "run", count: int = 1) -> list[int]:
    """Capture failures that are due at once."""
    now = await connection.fetchval("select retryd.now()")
    event = {"event_type": f"job.{name}.failed", "payload": CANARY, "not_before": now}
    return await retryd.capture_many(connection, [event] * count)


async def test_a_failed_attempt_is_a_warning_and_the_last_one_is_the_error_of_a_dead_letter(
    database: Database, connection: Connection, told: Told
) -> None:
    async def job(retry: retryd.Retry) -> None:
        raise LookupError(retry.payload)

    [retry_id] = await capture(connection)
    async with working(app_with(job), database):
        await until(lambda: told.lines("retry_dead"))
    assert told.levels(retry_id) == [("WARNING", "attempt_failed"), ("ERROR", "retry_dead")]
    facts = {
        "handler": "job",
        "event_type": "job.run.failed",
        "max_retries": 2,
        "life": 1,
        "error_type": "LookupError",
    }
    [failed] = told.lines("attempt_failed", attempt=1, **facts)
    assert failed["next_in_seconds"] >= 0
    assert failed["seconds"] >= 0
    [dead] = told.lines("retry_dead", attempt=2, reason="exhausted", **facts)
    assert "next_in_seconds" not in dead
    assert CANARY not in told.text


async def test_every_end_of_an_attempt_has_its_level(
    database: Database, connection: Connection, told: Told
) -> None:
    ends = {
        "done": ("INFO", "attempt_succeeded"),
        "off": ("INFO", "attempt_cancelled"),
        "never": ("ERROR", "retry_dead"),
        "later": ("DEBUG", "attempt_snoozed"),
    }

    async def job(retry: retryd.Retry) -> object:
        match retry.operation:
            case "job.off":
                return retryd.Cancel(retry.payload)
            case "job.never":
                return retryd.Reject(retry.payload)
            case "job.later":
                return retryd.Snooze(3600)
        return retry.payload

    ids = {name: (await capture(connection, name))[0] for name in ends}
    async with working(app_with(job), database):
        await until(lambda: all(told.levels(retry_id) for retry_id in ids.values()))
    assert {name: told.levels(retry_id) for name, retry_id in ids.items()} == {
        name: [end] for name, end in ends.items()
    }
    assert told.lines("retry_dead", reason="rejected", error_type="Reject")
    assert CANARY not in told.text


@pytest.mark.parametrize("word", ["succeeded", "failed"])
async def test_a_flood_is_ten_lines_a_second_and_a_count_of_the_others(
    database: Database, connection: Connection, told: Told, word: str
) -> None:
    async def job(_: retryd.Retry) -> None:
        if word == "failed":
            raise LookupError

    await capture(connection, count=100)
    policies = {"default": {"initial_delay_seconds": 60, "max_delay_seconds": 60}}
    async with working(app_with(job), database, batch_size=100, retry_policies=policies):

        def attempts() -> int:
            counted = told.lines(f"attempts_{word}", handler="job")
            return len(told.lines(f"attempt_{word}")) + int(sum(each["count"] for each in counted))

        await until(lambda: attempts() == 100)
    at = [line["created"] for line in told.lines(f"attempt_{word}")]
    seconds = [sum(1 for other in at if 0 <= other - each < 0.99) for each in at]
    assert max(seconds) == 10
    assert len(told.lines(f"attempts_{word}")) <= 1 + at[-1] - at[0]


async def test_one_handlers_flood_hides_no_line_of_another(
    database: Database, connection: Connection, told: Told
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    app = app_with(job)
    app.handler("mail.*", name="mail")(job)
    await capture(connection, count=50)
    async with working(app, database):
        await until(lambda: len(told.lines("attempt_succeeded", handler="job")) == 10)
        now = await connection.fetchval("select retryd.now()")
        await retryd.capture(connection, "mail.send.failed", priority=0, not_before=now)
        await until(lambda: told.lines("attempt_succeeded", handler="mail"))


async def test_a_stop_leaves_nothing_uncounted(
    database: Database, connection: Connection, told: Told
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    await capture(connection, count=30)

    async def nothing_left() -> bool:
        return not await connection.fetchval("select count(*) from retryd.retry_queue")

    async with working(app_with(job), database):
        await until(nothing_left)
    counts = [line["count"] for line in told.lines("attempts_succeeded")]
    assert len(told.lines("attempt_succeeded")) + sum(counts) == 30


async def test_every_dead_letter_of_a_flood_has_its_line(
    database: Database, connection: Connection, told: Told
) -> None:
    async def job(_: retryd.Retry) -> object:
        return retryd.Reject("never")

    ids = await capture(connection, count=40)
    async with working(app_with(job), database):
        await until(lambda: len(told.lines("retry_dead")) == 40)
    assert Counter(line["retry"] for line in told.lines("retry_dead")) == Counter(ids)


async def test_a_retry_that_died_of_its_age_is_told_and_counted_with_its_handler(
    bench: Bench, clock: Clock, told: Told
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    await bench.connection.execute("update retryd.retry_policy set max_age = '1 min'")
    retry_id = await bench.capture("job.run.failed", error_type="Refused")
    unrouted = await bench.capture("other.run.failed")
    await clock.advance(120)
    async with bench.working(app_with(job)):
        await until(lambda: len(told.lines("retry_dead", reason="expired")) == 2)
    [line] = told.lines("retry_dead", retry=retry_id)
    assert (line["handler"], line["event_type"]) == ("job", "job.run.failed")
    assert (line["attempt"], line["error_type"]) == (0, "Refused")
    assert told.lines("retry_dead", retry=unrouted, handler=None)
    dead = "retryd_dead_letters_total"
    assert bench.metric(dead, handler="job", reason="expired") == 1
    assert bench.metric(dead, handler="unrouted", reason="expired") == 1


async def test_an_attempt_whose_worker_vanished_is_told_as_lost(
    database: Database, connection: Connection, clock: Clock, told: Told
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    async with working(app_with(job), database, enabled=False):
        [retry_id] = await capture(connection)
        await connection.execute(
            "select retryd.acquire_retry_batch('vanished', 1, '1 s', array['job'])"
        )
        await clock.advance(2)
        await until(lambda: told.lines("attempt_lost", retry=retry_id))
    [line] = told.lines("attempt_lost", error_type="WorkerLost", attempt=1)
    assert line["levelname"] == "WARNING"
    assert told.lines("retries_rescued", retries=1)


async def test_what_ends_too_late_is_told_and_is_no_warning(
    database: Database, connection: Connection, told: Told
) -> None:
    async def job(retry: retryd.Retry) -> None:
        await connection.execute("select retryd.release_retry($1, $2)", retry.id, retry.claim_token)

    [retry_id] = await capture(connection)
    async with working(app_with(job), database):
        await until(lambda: told.lines("settlement_stale", retry=retry_id))
    assert {line["levelname"] for line in told.lines("settlement_stale")} == {"INFO"}


async def test_a_worker_in_an_application_leaves_its_logging_as_it_is(
    database: Database, connection: Connection
) -> None:
    async def job(_: retryd.Retry) -> None:
        pass

    loggers = [logging.getLogger(name) for name in (None, "retryd", "retryd.attempts")]

    def set_up() -> list[object]:
        return [(each.level, each.propagate, list(each.handlers)) for each in loggers]

    before = set_up()
    [retry_id] = await capture(connection)
    async with working(app_with(job), database):
        assert set_up() == before

        async def done() -> bool:
            query = "select place from retryd.place where id = $1"
            return bool(await connection.fetchval(query, retry_id) == "done")

        await until(done)
    assert set_up() == before
