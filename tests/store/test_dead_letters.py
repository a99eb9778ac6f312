"""Dead letters page by page: which are meant, and that a page fits into memory."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from retryd.domain.json_text import WrittenNumber
from retryd.store.operators import Operators
from retryd.store.pool import Pool, open_pool
from retryd.store.reads import PAGE_BYTES, Reads
from tests.postgres import Clock, Connection, Database

LARGE = 300 * 1024


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """A connection with the rights of an operator."""
    separator = "&" if "?" in database.dsn else "?"
    dsn = f"{database.dsn}{separator}role=retryd_operator"
    async with open_pool(dsn, size=1, application="retryd/test") as pool:
        yield pool


def line(number: int, payload: object = None, **changes: object) -> str:
    """Write the line of a dead letter."""
    letter = {
        "event_type": "mail.send.failed",
        "event_id": f"e-{number}",
        "handler": "mail",
        "status": "pending",
        "reason": "rejected",
        "payload": payload,
        "policy": "default",
        "max_retries": 3,
        "captured_at": "2026-01-01T00:00:00Z",
        "dead_at": "2026-01-02T00:00:00Z",
    }
    return json.dumps(letter | changes)


async def test_a_page_of_an_export_ends_where_it_is_large(pool: Pool) -> None:
    draw = random.Random(7)
    large = [line(number, draw.randbytes(LARGE // 2).hex()) for number in range(6)]
    assert [outcome for outcome, _ in await Operators(pool).import_dead_letters(large)] == (
        ["imported"] * 6
    )
    sizes = []
    after = 0
    while page := await Reads(pool).export_dead_letters(after):
        sizes.append(len(page))
        assert sum(len(row["line"]) for row in page) < PAGE_BYTES + 2 * LARGE
        after = page[-1]["id"]
    assert len(sizes) > 1
    assert sum(sizes) == 6


async def test_what_died_later_is_not_meant(pool: Pool) -> None:
    operators, reads = Operators(pool), Reads(pool)
    await operators.import_dead_letters([line(1), line(2)])
    [group] = await reads.count_dead_letters()
    assert (group["count"], group["operation"], group["handler"]) == (2, "mail.send", "mail")
    await operators.import_dead_letters([line(3, dead_at="2026-01-03T00:00:00Z")])
    seen = await reads.dead_letter_ids(until=group["last_dead_at"])
    assert len(seen) == 2
    assert len(await reads.dead_letter_ids()) == 3
    assert [
        row["id"] for row in await reads.export_dead_letters(until=group["last_dead_at"])
    ] == seen


async def test_an_age_is_counted_on_the_clock_of_postgresql(
    pool: Pool, connection: Connection, clock: Clock
) -> None:
    now = await connection.fetchval("select to_jsonb(retryd.now()) #>> '{}'")
    await Operators(pool).import_dead_letters([line(1, dead_at=now)])
    assert await Reads(pool).count_dead_letters(timedelta(hours=1)) == []
    await clock.advance(3601)
    [group] = await Reads(pool).count_dead_letters(timedelta(hours=1))
    assert group["count"] == 1


@pytest.mark.forgets
async def test_many_are_done_in_the_name_of_the_operator(
    pool: Pool, connection: Connection
) -> None:
    eve = Operators(pool, "eve")
    await eve.import_dead_letters([line(1), line(2), line(3)])
    ids = await Reads(pool).dead_letter_ids()
    await connection.execute("select retryd.register_handler('mail', '{mail.*}')")
    assert await eve.replay_dead_letters(ids[:1], "box is back") == ids[:1]
    noted = "select replayed_by, replay_reason from retryd.dead_letter where id = $1"
    row = await connection.fetchrow(noted, ids[0])
    assert row is not None
    assert tuple(row) == ("eve", "box is back")
    assert await eve.delete_dead_letters(ids) == ids[1:]


async def test_fractions_come_as_they_are_kept(pool: Pool, connection: Connection) -> None:
    number = await connection.fetchval(
        "select retryd.capture_failure('a.failed', '[1.10, 12345678901234567890.123, 7]')"
    )
    row = await Reads(pool).find_retry(number)
    assert row is not None
    assert row["payload"] == [WrittenNumber("1.10"), WrittenNumber("12345678901234567890.123"), 7]
