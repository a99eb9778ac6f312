"""The base check behind every fault: nothing is lost, nothing is left, nothing ran too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from tests.faults.fleet import Fleet
from tests.postgres import Connection
from tests.waiting import until

PLACES = "select id, place from retryd.place"
BOUNDS = """
    select id, attempt, lost_attempts, max_retries from retryd.retry_archive
    union all
    select id, attempt, lost_attempts, max_retries from retryd.dead_letter
    union all
    select id, attempt, lost_attempts, max_retries from retryd.retry_queue
"""
TOKENS = """
    select retry, array_agg(claim_token order by life, ended_at, claim_token) as tokens
    from retryd.retry_attempt
    group by retry
"""
SESSIONS = """
    select application_name, state, query from pg_stat_activity
    where application_name like 'retryd/%' and datname = current_database()
"""
DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


@dataclass(frozen=True, slots=True)
class Ledger:
    """What became of the retries of one run; `duplicates` are effects beyond the first."""

    accepted: int
    completed: int
    dead: int
    live: int
    effects: int
    duplicates: int
    lost: int
    stale: int
    recovery_seconds: float | None

    @override
    def __str__(self) -> str:
        recovery = "" if self.recovery_seconds is None else f" {self.recovery_seconds:.1f} s"
        return (
            f"in {self.accepted} | completed {self.completed} | dead {self.dead}"
            f" | live {self.live} | effects {self.effects} | duplicates {self.duplicates}"
            f" | lost {self.lost} | stale {self.stale} | recovery{recovery or ' -'}"
        )


async def balance(
    connection: Connection,
    fleet: Fleet,
    accepted: Iterable[int],
    *,
    max_lost: int = 3,
    unknown: int = 0,
    stale: int = 0,
    recovery_seconds: float | None = None,
) -> Ledger:
    """Check the books of a fleet that has stopped, print them and return them.

    `accepted` are the ids of all captures that were committed, `unknown` is how many effects may
    have been made by attempts whose end nobody heard of. Fails with the first thing that is wrong.
    """
    ids = sorted(accepted)
    places = await connection.fetch(PLACES)
    assert sorted(row["id"] for row in places) == ids, "each accepted retry is in exactly one place"
    place = {row["id"]: row["place"] for row in places}

    lost: dict[int, int] = {}
    for row in await connection.fetch(BOUNDS):
        reported = row["attempt"] - row["lost_attempts"]
        # An attempt that runs is counted, and not reported yet.
        assert reported <= row["max_retries"], f"too many attempts: {dict(row)}"
        assert row["lost_attempts"] <= max_lost, f"too many lost: {dict(row)}"
        lost[row["id"]] = max(row["lost_attempts"], lost.get(row["id"], 0))

    for row in await connection.fetch(TOKENS):
        tokens = row["tokens"]
        assert tokens == sorted(set(tokens)), f"tokens of {row['retry']} do not grow: {tokens}"
    started = Counter(effect.token for effect in fleet.effects("start"))
    assert not [token for token, times in started.items() if times > 1], "a token ran twice"

    effects = Counter(effect.id for effect in fleet.effects())
    done = [id for id in ids if place[id] == "done"]
    assert not [id for id in done if not effects[id]], "completed without any effect"
    excess = {id: effects[id] - 1 - lost[id] for id in ids if effects[id] > 1 + lost[id]}
    assert sum(excess.values()) <= unknown, f"effects beyond 1 + lost: {excess}"

    await nothing_left(connection, fleet)
    assert await connection.fetchval(DEADLOCKS) == 0, "there were deadlocks"
    ledger = Ledger(
        accepted=len(ids),
        completed=len(done),
        dead=sum(found == "dead" for found in place.values()),
        live=sum(found == "live" for found in place.values()),
        effects=effects.total(),
        duplicates=sum(times - 1 for times in effects.values()),
        lost=sum(lost.values()),
        stale=stale,
        recovery_seconds=recovery_seconds,
    )
    print(ledger)  # noqa: T201
    return ledger


async def nothing_left(connection: Connection, fleet: Fleet) -> None:
    """Fail unless every process of the fleet and every session of retryd ends."""
    assert not [member.pid for member in fleet.members if member.running], "a member still runs"

    async def nothing() -> bool:
        return not fleet.left() and not await connection.fetch(SESSIONS)

    await until(nothing)
