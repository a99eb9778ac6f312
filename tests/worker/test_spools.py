"""Spools as a source of a worker: what they bring in, and what becomes of what they cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import retryd
from retryd.domain.errors import Refused, StatementAborted
from retryd.sources.spool import BUSY_SECONDS, CONFLICT, IDLE_SECONDS, SpoolDrainer, take
from retryd.spool.segments import segments
from retryd.spool.spool import Spool
from retryd.store.intake import Intake
from tests.postgres import Connection
from tests.waiting import until
from tests.worker.conftest import Bench, app_with

COUNT = "select count(*) from retryd.failure_event"


def record(number: int, **changes: Any) -> bytes:
    """Return a record as a publisher spools it."""
    event = {"event_type": "job.run.failed", "payload": {"n": number}, "event_id": f"e{number}"}
    return json.dumps(event | changes).encode()


@pytest.fixture
def intake(bench: Bench) -> Intake:
    """What a source asks PostgreSQL through."""
    return Intake(bench.pool)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool in the directory of the test."""
    return Spool(tmp_path / "spool")


async def test_a_worker_takes_what_waits_in_its_spools_and_runs_it(
    bench: Bench, intake: Intake, spool: Spool, tmp_path: Path
) -> None:
    ran: list[int] = []

    async def job(retry: retryd.Retry) -> None:
        ran.append(retry.payload["n"])

    for number in range(3):
        spool.append(record(number)).result(10)
    spool.close()
    drainer = SpoolDrainer(tmp_path / "spool", intake)
    bench.sources.append(drainer)
    async with bench.working(app_with(job)):
        await until(lambda: sorted(ran) == [0, 1, 2])
    assert drainer.stopping


async def test_it_looks_again_soon_while_something_is_there(
    bench: Bench, intake: Intake, spool: Spool, tmp_path: Path
) -> None:
    drainer = SpoolDrainer(tmp_path / "spool", intake)
    assert await drainer.step() == IDLE_SECONDS
    spool.append(record(1)).result(10)
    assert await drainer.step() == BUSY_SECONDS
    spool.close()
    assert await drainer.step() == IDLE_SECONDS
    assert await bench.connection.fetchval(COUNT) == 1


async def test_the_same_again_adds_nothing_and_another_content_is_a_conflict(
    bench: Bench, intake: Intake
) -> None:
    assert await take(intake, [record(1), record(2)]) == [None, None]
    other = record(2, payload={"n": 3})
    assert await take(intake, [record(1), other, record(4)]) == [None, CONFLICT, None]
    assert await bench.connection.fetchval(COUNT) == 3


async def test_a_refusal_is_of_the_record_that_earns_it(bench: Bench, intake: Intake) -> None:
    odd: dict[int, dict[str, Any]] = {
        7: {"priority": 12},
        8: {"event_type": ""},
        31: {"surplus": 1},
    }
    records = [record(number, **odd.get(number, {})) for number in range(64)]
    reasons = await take(intake, records)
    assert [number for number, reason in enumerate(reasons) if reason] == sorted(odd)
    assert "priority" in str(reasons[7])
    assert not any(str(reason).startswith("event ") for reason in reasons)
    assert await bench.connection.fetchval(COUNT) == 64 - len(odd)


async def test_one_record_never_counts_as_two(bench: Bench, intake: Intake) -> None:
    two = record(1) + b"," + record(2)
    [reason, none] = await take(intake, [two, record(3)])
    assert str(reason).startswith("it is no JSON")
    assert none is None
    assert await bench.connection.fetchval(COUNT) == 1


async def test_a_statement_that_is_given_up_is_tried_in_halves(
    bench: Bench, intake: Intake, connection: Connection
) -> None:
    await connection.execute("""
        create function public.slow() returns trigger language plpgsql as $$
        begin
            if (select count(*) from fresh) > 10 then
                raise query_canceled;
            end if;
            return null;
        end $$;
        create trigger slow after insert on retryd.failure_event referencing new table as fresh
            execute function public.slow();
    """)
    assert await take(intake, [record(number) for number in range(64)]) == [None] * 64
    assert await bench.connection.fetchval(COUNT) == 64
    await connection.execute("""
        create or replace function public.slow() returns trigger language plpgsql as $$
        begin raise query_canceled; end $$;
    """)
    with pytest.raises(StatementAborted):
        await take(intake, [record(100), record(101)])


async def test_what_is_wrong_with_the_database_is_no_fault_of_a_record(
    bench: Bench, intake: Intake, spool: Spool, tmp_path: Path, connection: Connection
) -> None:
    spool.append(record(1)).result(10)
    spool.close()
    await connection.execute(
        "alter table retryd.failure_event add constraint odd check (payload ? 'x') not valid"
    )
    with pytest.raises(Refused, match="odd"):
        await SpoolDrainer(tmp_path / "spool", intake).step()
    assert len(segments(tmp_path / "spool")) == 1


async def test_a_payload_too_large_for_postgresql_is_refused_and_not_tried_for_ever(
    intake: Intake,
) -> None:
    nested: Any = {}
    for _ in range(400):
        nested = {"n": nested}
    [reason] = await take(intake, [record(1, payload=nested)])
    assert "deep" in str(reason)
