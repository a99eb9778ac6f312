"""What the functions touch when there is much: counted in buffers, the same on every machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import asyncpg
import pytest

from tests.postgres import Cluster, Connection

HANDLERS = 20
MILLION = 1_000_000
BUDGET = 300  # buffers of 8 KiB for a claim of 20, however much there is
WRITES = (
    30  # for each retry that a call settles, renews or takes over: its row, its indexes, its body
)
LOAD = f"""
    insert into retryd.retry_handler (name, match, kind, registered_at)
    select 'h' || n, array['h' || n || '.*'], 'external', retryd.now()
    from generate_series(0, {HANDLERS - 1}) n;

    insert into retryd.failure_event
        (id, event_id, event_type, operation, payload, attributes, captured_at)
    select n, 'e' || n, 'h.do.failed', 'h.do', '{{"n": 1}}', '{{}}', retryd.now()
    from generate_series(1, {2 * MILLION}) n;

    insert into retryd.retry_queue
        (id, event, handler, policy, priority, state, max_retries, next_attempt_at)
    select n, n, 'h' || n % {HANDLERS}, 'default', 5, 'pending', 3,
        retryd.now() + '1 day' + n * interval '1 ms'
    from generate_series(1, {MILLION}) n;

    insert into retryd.retry_queue
        (id, event, handler, policy, priority, state, attempt, max_retries, next_attempt_at,
        claimed_by, claim_token, lease_expires_at)
    select n, n, 'h' || n % {HANDLERS}, 'default', 5, 'processing', 1, 3, retryd.now(), 'ann', n,
        retryd.now() + case n % {MILLION // 20} when 0 then interval '-1 s' else '2 days' end
    from generate_series({MILLION + 1}, {2 * MILLION}) n;

    select setval('retryd.claim_token_seq', {3 * MILLION});
    select setval('retryd.retry_id_seq', {3 * MILLION});
    select retryd.ensure_partitions();
    vacuum analyze retryd.failure_event, retryd.retry_queue;
"""
NAMES = [f"h{n}" for n in range(HANDLERS)]
CLAIM = f"select * from retryd.acquire_retry_batch('ann', 20, '1 min', array{NAMES})"
CLAIM_EXTERNAL = "select * from retryd.acquire_retry_batch('ann', 20)"
RUNNING = list(range(MILLION + 1, MILLION + 21))  # their tokens are their ids
RESCUE = "select * from retryd.take_expired_leases('bob', 20)"
RENEW = f"select * from retryd.extend_retry_leases('ann', array{RUNNING}, array{RUNNING}, '1 min')"
SETTLE = (
    f"select * from retryd.settle_retries(array{RUNNING}, array{RUNNING},"
    " array_fill('{word}'::text, array[20]), reasons => array_fill('rejected'::text, array[20]))"
)


class Crowd:
    """A million retries that wait and a million that run, of which 20 have a lapsed lease."""

    def __init__(self, runner: asyncio.Runner, connection: Connection) -> None:
        self.run = runner.run
        self.connection = connection

    def buffers(self, call: str) -> int:
        """Say how many buffers a call touches once its plans are made, and undo what it did."""
        return self.run(self._buffers(call))

    async def _buffers(self, call: str) -> int:
        # After five runs PostgreSQL may settle for a generic plan.
        return [await self._explain(call) for _ in range(7)][-1]

    async def _explain(self, call: str) -> int:
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            text = await self.connection.fetchval(f"explain (analyze, buffers, format json) {call}")
        finally:
            await transaction.rollback()
        (plan,) = json.loads(text)
        return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


@pytest.fixture(scope="module")
def crowd(session_runner: asyncio.Runner, cluster: Cluster, template: str) -> Iterator[Crowd]:
    name = session_runner.run(cluster.create(template))
    connection = session_runner.run(asyncpg.connect(cluster.dsn_of(name)))
    for statement in LOAD.strip().split(";\n"):
        session_runner.run(connection.execute(statement))
    yield Crowd(session_runner, connection)
    session_runner.run(connection.close())
    session_runner.run(cluster.drop(name))


@pytest.fixture
def due(crowd: Crowd) -> Iterator[None]:
    """Let two days pass for one test."""
    crowd.run(crowd.connection.execute("update retryd_test.clock set ahead = '1 day 1 h'"))
    yield
    crowd.run(crowd.connection.execute("update retryd_test.clock set ahead = '0'"))


@pytest.mark.parametrize("call", [CLAIM, CLAIM_EXTERNAL], ids=["given", "external"])
def test_a_claim_does_not_pay_for_a_million_that_are_not_due(call: str, crowd: Crowd) -> None:
    assert crowd.buffers(call) <= BUDGET


@pytest.mark.parametrize("call", [CLAIM, CLAIM_EXTERNAL], ids=["given", "external"])
def test_a_claim_does_not_pay_for_a_million_that_are_due(
    call: str, crowd: Crowd, due: None
) -> None:
    assert crowd.buffers(call) <= BUDGET


@pytest.mark.parametrize("call", [RESCUE, RENEW], ids=["rescue", "renew"])
def test_leases_do_not_pay_for_a_million_others_that_hold(call: str, crowd: Crowd) -> None:
    assert crowd.buffers(call) <= 20 * WRITES


@pytest.mark.parametrize("word", ["complete", "cancel", "bury", "reschedule", "release", "snooze"])
def test_a_settlement_does_not_pay_for_a_million_others(word: str, crowd: Crowd) -> None:
    assert crowd.buffers(SETTLE.format(word=word)) <= 20 * WRITES


@pytest.mark.parametrize(
    "call",
    [
        "select retryd.capture_failure('h1.do.failed')",
        "select retryd.expire_retries(20)",
        "select retryd.unpark_stranded(20)",
        "select retryd.route_unrouted()",
        f"select retryd.mark_asleep('ann', 5, array{NAMES})",
    ],
)
def test_what_runs_all_the_time_does_not_pay_for_the_crowd(call: str, crowd: Crowd) -> None:
    assert crowd.buffers(call) <= BUDGET
