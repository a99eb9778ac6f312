"""The base check behind every fault: nothing is lost, nothing is left, nothing ran too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from typing_extensions import override

from tests.books import balanced
from tests.faults.fleet import Fleet
from tests.postgres import Connection
from tests.remains import no_session_left
from tests.waiting import until

PLACES = "select id, place from retryd.place"
LOST = """
    select id, max(lost_attempts) as lost
    from (
        select id, lost_attempts from retryd.retry_archive
        union all
        select id, lost_attempts from retryd.dead_letter
        union all
        select id, lost_attempts from retryd.retry_queue
    ) r
    group by id
"""


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

    await balanced(connection, max_lost=max_lost)
    lost = {row["id"]: row["lost"] for row in await connection.fetch(LOST)}

    started = Counter(effect.token for effect in fleet.effects("start"))
    assert not [token for token, times in started.items() if times > 1], "a token ran twice"

    effects = Counter(effect.id for effect in fleet.effects())
    done = [id for id in ids if place[id] == "done"]
    assert not [id for id in done if not effects[id]], "completed without any effect"
    excess = {id: effects[id] - 1 - lost[id] for id in ids if effects[id] > 1 + lost[id]}
    assert sum(excess.values()) <= unknown, f"effects beyond 1 + lost: {excess}"

    assert not [member.pid for member in fleet.members if member.running], "a member still runs"
    await until(lambda: not fleet.left())
    await no_session_left(connection, named="retryd/%")
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
