"""The SQL functions and the model side by side: what each says of every retry."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
from hypothesis.stateful import RuleBasedStateMachine, invariant

from retryd.domain.life import STATES
from tests.postgres import Connection
from tests.sql.model import Model, Retry

T = TypeVar("T")

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
STILL_CLOCK = """
    create or replace function retryd.now() returns timestamptz language sql stable
    as $$ select timestamptz '2030-01-01Z' + (select c.ahead from retryd_test.clock c) $$;
    select retryd.publish_policies('[
        {"name": "default", "max_retries": 3, "first_delay_low": 2, "first_delay_high": 2},
        {"name": "brief", "max_retries": 2, "max_age_seconds": 40,
         "first_delay_low": 2, "first_delay_high": 2}]');
"""
NEW_START = """
    delete from retryd.retry_queue;
    delete from retryd.retry_attempt;
    delete from retryd.retry_archive;
    delete from retryd.dead_letter;
    delete from retryd.failure_event;
    delete from retryd.retry_handler;
    delete from retryd.lease_length;
    update retryd_test.clock set ahead = '0';
"""
ROWS = """
    select r.id, r.state, r.handler, r.max_retries, r.attempt, r.lost_attempts, r.snoozes, r.life,
        d.status, r.claim_token, r.claimed_by, extract(epoch from r.lease_expires_at - $1)::int,
        extract(epoch from r.next_attempt_at - $1)::int
    from (
        select q.id, q.state, q.handler, q.max_retries, q.attempt, q.lost_attempts, q.snoozes,
            q.life, q.claim_token, q.claimed_by, q.lease_expires_at, q.next_attempt_at
        from retryd.retry_queue q
        union all
        select a.id, a.ended, a.handler, a.max_retries, a.attempt, a.lost_attempts, a.snoozes,
            a.life, null, null, null, null
        from retryd.retry_archive a
        union all
        select d.id, case d.status when 'resolved' then d.status else 'dead' end, d.handler,
            d.max_retries, d.attempt, d.lost_attempts, d.snoozes, d.life, null, null, null, null
        from retryd.dead_letter d
        where d.status in ('pending', 'failed') or d.resolved_by = 'person'
    ) r
    left join retryd.dead_letter d on d.id = r.id
"""


class Comparison(RuleBasedStateMachine):
    """A model beside a database, compared after every step."""

    def __init__(self, runner: asyncio.Runner, connection: Connection) -> None:
        super().__init__()
        self.runner, self.connection = runner, connection
        self.model = Model()

    def start(self) -> None:
        """Begin an example with an empty schema."""
        self.run(self.connection.execute(NEW_START))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def rows(self, function: str, **arguments: object) -> list[tuple[Any, ...]]:
        named = ", ".join(f"{name} => ${n}" for n, name in enumerate(arguments, 1))
        query = f"select * from retryd.{function}({named})"
        return [tuple(row) for row in self.run(self.connection.fetch(query, *arguments.values()))]

    def one(self, function: str, **arguments: object) -> Any:
        return self.rows(function, **arguments)[0][0]

    def advance(self, seconds: int) -> None:
        """Let time pass on both sides."""
        query = "update retryd_test.clock set ahead = ahead + make_interval(secs => $1)"
        self.run(self.connection.execute(query, seconds))
        self.model.now += seconds

    def route(self) -> None:
        """Give the model the ids of the rows that it could not know."""
        query = "select id, event, handler from retryd.retry_queue where id <> all($1)"
        fresh = self.run(self.connection.fetch(query, list(self.model.retries)))
        self.model.route({(event, handler): number for number, event, handler in fresh})

    @invariant()
    def every_promise_is_kept(self) -> None:
        self.every_row_is_as_the_model_says()
        self.every_retry_has_one_place_and_every_ended_attempt_one_line()
        self.every_count_is_within_its_bound()
        self.an_event_has_one_retry_per_handler()

    def every_row_is_as_the_model_says(self) -> None:
        """Conservation, one place, inert stale calls, absorbing ends, no harm by neighbours."""
        self.model.unpark()
        expected = []
        for number, r in self.model.retries.items():
            live = STATES.get(r.state) == "live"
            counts = (r.handler or None, r.max_retries, r.attempt, r.lost, r.snoozes, r.life)
            lease = r.lease if r.token else (None, None)
            due = r.due if live else None
            row = (number, r.state, *counts, status_of(r), r.token, *lease, due)
            expected += [row] if r.state != "nowhere" else []
        found = [tuple(row) for row in self.run(self.connection.fetch(ROWS, EPOCH))]
        assert sorted(found) == sorted(expected)

    def every_retry_has_one_place_and_every_ended_attempt_one_line(self) -> None:
        places = self.run(self.connection.fetch("select id, place from retryd.place"))
        expected = {n: STATES[r.state] for n, r in self.model.retries.items() if r.state in STATES}
        assert len(places) == len(expected)
        assert dict(map(tuple, places)) == expected
        query = "select count(*) from retryd.retry_attempt"
        assert self.run(self.connection.fetchval(query)) == self.model.ended

    def every_count_is_within_its_bound(self) -> None:
        for r in self.model.retries.values():
            assert 0 <= r.lost <= r.attempt
            assert r.attempt - r.lost <= r.max_retries

    def an_event_has_one_retry_per_handler(self) -> None:
        existing = [r for r in self.model.retries.values() if r.state != "nowhere"]
        pairs = [(r.event, r.handler) for r in existing if r.handler]
        assert len(set(pairs)) == len(pairs)


def status_of(r: Retry) -> str | None:
    """Give the status of its case among the dead letters."""
    if not r.case:
        return None
    if r.state == "dead":
        return "pending" if r.life == 1 else "failed"
    return "retrying" if STATES[r.state] == "live" else "resolved"


async def play_on(dsn: str, *changes: str) -> Connection:
    """Connect to a migrated database and make its clock stand still; then apply changes to it."""
    connection = await asyncpg.connect(dsn)
    for statements in (STILL_CLOCK, *changes):
        await connection.execute(statements)
    return connection
