"""Ids and tokens are whole numbers of 64 bits everywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.postgres import Clock, Connection
from tests.sql.doors import MINUTE, Doors


@pytest.mark.parametrize(
    "start", [2**31 - 3, 2**53 - 3, 2**63 - 1000], ids=["int4", "float8", "int8"]
)
@pytest.mark.forgets
async def test_every_verb_works_for_ids_and_tokens_of_any_size(
    start: int, sql: Doors, connection: Connection, clock: Clock
) -> None:
    for sequence in ("retry_id_seq", "claim_token_seq"):
        await connection.execute(f"alter sequence retryd.{sequence} restart with {start}")
    claim = await sql.held(ordering_key="k")
    assert claim == {"id": start, "claim_token": start}
    follower = await sql.capture(ordering_key="k")
    held = {"worker": "ann", "ids": [start], "tokens": [start], "lease": MINUTE}
    assert [row[0] for row in await sql.rows("extend_retry_leases", **held)] == [start]
    assert [tuple(row) for row in await sql.rows("renew_leases", **held)] == [(start, True)]
    adopted = await sql.rows("adopt_claims", worker="ann", after=start - 1, lease=MINUTE)
    assert [row["claim_token"] for row in adopted] == [start]

    assert await sql.one("reschedule_retry", **claim, delay=timedelta(0))
    ended = await sql.rows("settled_under", ids=[start], tokens=[start])
    assert [row[0] for row in ended] == [start]
    assert await sql.one("retry_now", id=start)
    assert await sql.one("release_retry", **await claimed(sql))
    await claimed(sql)
    await clock.advance(61)
    (taken,) = await sql.rescue()
    assert await sql.one("fail_retry", id=start, claim_token=taken["claim_token"])
    assert await sql.places() == {start: "dead", follower: "live"}

    assert await sql.one("cancel_retry", id=follower)
    assert await sql.one("replay_dead_letter", id=start)
    assert await sql.one("complete_retry", **await claimed(sql))
    (later,) = await sql.capture_all({"event_type": "work.do", "not_before": "2000-01-01"})
    assert await sql.one("fail_retry", **await claimed(sql))
    assert await sql.one("resolve_dead_letter", id=later)
    assert await sql.one("delete_dead_letter", id=later)
    assert await sql.places() == {start: "done", follower: "done"}
    tokens = await connection.fetch("select claim_token from retryd.retry_attempt")
    assert min(row[0] for row in tokens) == start


async def claimed(sql: Doors) -> dict[str, int]:
    """Claim the only one that is due."""
    (row,) = await sql.acquire()
    return {"id": row["id"], "claim_token": row["claim_token"]}
