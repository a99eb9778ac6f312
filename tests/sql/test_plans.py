"""What the functions touch when there is much: counted in buffers, the same on every machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import asyncpg
import pytest

from tests.claims import claim_of, lanes_of
from tests.postgres import Cluster, Connection

HANDLERS = 20
MILLION = 1_000_000
IDLE = 200  # handlers with nothing to do
RUN = 1000  # retries that run in a usual crowd
BUDGET = 300  # buffers of 8 KiB for a claim of 20, however much there is
WRITES = (
    30  # for each retry that a call settles, renews or takes over: its row, its indexes, its body
)
LOAD = f"""
    drop schema books cascade;

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

    insert into retryd.lease_length (lease, used_at) values ('1 min', retryd.now());
    select setval('retryd.claim_token_seq', {3 * MILLION});
    select setval('retryd.retry_id_seq', {3 * MILLION});
    select retryd.ensure_partitions();

    insert into retryd.retry_attempt
        (retry, life, claim_token, attempt, worker, ended_at, outcome)
    select n, 1, n, 1, 'ann', retryd.now(), 'failure'
    from generate_series({MILLION + 1}, {MILLION + 100_000}) n;

    vacuum analyze retryd.failure_event, retryd.retry_queue, retryd.retry_attempt;
"""
NAMES = [f"h{n}" for n in range(HANDLERS)]
CLAIM = f"""
    select * from retryd.claim_retries('ann', 20, '1 min', array{NAMES}, array_fill(5, array[20]),
        array_fill('-infinity'::timestamptz, array[20]), array_fill(0::bigint, array[20]))
"""
LOOK_AHEAD = f"select * from retryd.look_ahead('ann', array{NAMES})"
CLAIM_GIVEN = f"select * from retryd.acquire_retry_batch('ann', 20, '1 min', array{NAMES})"
CLAIM_EXTERNAL = "select * from retryd.acquire_retry_batch('ann', 20)"
RUNNING = list(range(MILLION + 1, MILLION + 21))  # their tokens are their ids
RESCUE = "select * from retryd.take_expired_leases('bob', 20)"
RESCUE_RECENT = "select * from retryd.rescue_retries('bob', 20, '1 min', '1 h')"
EXTEND = f"select * from retryd.extend_retry_leases('ann', array{RUNNING}, array{RUNNING}, '1 min')"
RENEW = f"select * from retryd.renew_leases('ann', array{RUNNING}, array{RUNNING}, '1 min')"
CLAMP = "select retryd.clamp_leases(20)"  # all of the million are too long
SETTLED = f"select * from retryd.settled_under(array{RUNNING}, array{RUNNING})"
ADOPT = "select * from retryd.adopt_claims('ann', 0, '1 min')"
FEW_RUN = f"""
    insert into retryd.failure_event
        (id, event_id, event_type, operation, payload, attributes, captured_at)
    select n, 'e' || n, 'h.do.failed', 'h.do', '{{"n": 1}}', '{{}}', retryd.now()
    from generate_series(1, {100 * RUN}) n;

    insert into retryd.retry_queue
        (id, event, handler, policy, priority, state, attempt, max_retries, next_attempt_at,
        claimed_by, claim_token, lease_expires_at)
    select n, n, 'h0', 'default', 5, case when w is null then 'pending' else 'processing' end, 1,
        3, retryd.now(), w, case when w is not null then n end,
        case when w is not null then retryd.now() + '1 min' end
    from generate_series(1, {100 * RUN}) n,
        lateral (select case when n % 5000 = 0 then 'ann' when n % 100 = 0 then 'bob' end) c (w)
"""
SETTLE = (
    f"select * from retryd.settle_retries(array{RUNNING}, array{RUNNING},"
    " array_fill('{word}'::text, array[20]), reasons => array_fill('rejected'::text, array[20]))"
)


async def touched(connection: Connection, call: str) -> int:
    """Say how many buffers a call touches once its plans are made, and undo what it did."""
    # After five runs PostgreSQL may settle for a generic plan. Now and then one splits a page.
    return min([await explained(connection, call) for _ in range(8)][5:])


async def explained(connection: Connection, call: str) -> int:
    """Count the buffers of one run, and undo what it did."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        text = await connection.fetchval(f"explain (analyze, buffers, format json) {call}")
    finally:
        await transaction.rollback()
    (plan,) = json.loads(text)
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


class Crowd:
    """A million retries that wait and a million that run, of which 20 have a lapsed lease."""

    def __init__(self, runner: asyncio.Runner, connection: Connection) -> None:
        self.run = runner.run
        self.connection = connection

    def buffers(self, call: str) -> int:
        """Count the buffers of a call."""
        return self.run(touched(self.connection, call))


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
    """Let two days pass for one test, and take away what others have undone in its lanes."""
    crowd.run(crowd.connection.execute("vacuum (index_cleanup on) retryd.retry_queue"))
    crowd.run(crowd.connection.execute("update retryd_test.clock set ahead = '1 day 1 h'"))
    yield
    crowd.run(crowd.connection.execute("update retryd_test.clock set ahead = '0'"))


@pytest.mark.parametrize("call", [CLAIM_GIVEN, CLAIM_EXTERNAL], ids=["given", "external"])
def test_a_foreign_claim_does_not_pay_for_a_million_that_are_not_due(
    call: str, crowd: Crowd
) -> None:
    assert crowd.buffers(call) <= BUDGET


@pytest.mark.parametrize("call", [CLAIM_GIVEN, CLAIM_EXTERNAL], ids=["given", "external"])
def test_a_foreign_claim_does_not_pay_for_a_million_that_are_due(
    call: str, crowd: Crowd, due: None
) -> None:
    assert crowd.buffers(call) <= BUDGET


def test_a_claim_does_not_pay_for_a_million_that_are_not_due(crowd: Crowd) -> None:
    assert crowd.buffers(CLAIM) <= BUDGET


def test_a_claim_does_not_pay_for_a_million_that_are_due(crowd: Crowd, due: None) -> None:
    assert crowd.buffers(CLAIM) <= BUDGET


@pytest.mark.parametrize(
    "call",
    [RESCUE, RESCUE_RECENT, EXTEND, RENEW, CLAMP, SETTLED],
    ids=["rescue", "rescue recent", "extend", "renew", "clamp", "settled"],
)
def test_leases_do_not_pay_for_a_million_others_that_hold(call: str, crowd: Crowd) -> None:
    assert crowd.buffers(call) <= 20 * WRITES


@pytest.mark.parametrize("word", ["complete", "cancel", "bury", "reschedule", "release", "snooze"])
def test_a_settlement_does_not_pay_for_a_million_others(word: str, crowd: Crowd) -> None:
    assert crowd.buffers(SETTLE.format(word=word)) <= 20 * WRITES


async def test_a_settlement_planned_without_dead_letters_does_not_read_those_that_come(
    connection: Connection,
) -> None:
    settle = "select * from retryd.settle_retries('{1}', '{1}', '{complete}')"
    await connection.execute("vacuum analyze retryd.dead_letter")  # known to be empty
    await touched(connection, settle)
    await connection.execute("""
        insert into retryd.dead_letter
            (id, event, policy, priority, max_retries, status, reason, dead_at)
        select n, n, 'default', 5, 3, 'pending', 'rejected', retryd.now()
        from generate_series(1, 20000) n
    """)
    assert await touched(connection, settle) <= WRITES


@pytest.mark.parametrize(
    "call",
    [
        "select retryd.capture_failure('h1.do.failed')",
        "select retryd.expire_retries(20)",
        "select retryd.unpark_stranded(20)",
        "select retryd.route_unrouted()",
        f"select retryd.look_ahead('ann', array{NAMES}, 5)",
        f"select retryd.mark_asleep('ann', 5, array{NAMES})",
    ],
)
def test_what_runs_all_the_time_does_not_pay_for_the_crowd(call: str, crowd: Crowd) -> None:
    assert crowd.buffers(call) <= BUDGET


async def test_an_adoption_pays_for_what_runs_and_not_for_what_waits(
    connection: Connection,
) -> None:
    assert await touched(connection, ADOPT) <= BUDGET
    for change in (FEW_RUN, "vacuum analyze retryd.failure_event, retryd.retry_queue"):
        await connection.execute(change)
        assert len(await connection.fetch(ADOPT)) == RUN // 50
        assert await touched(connection, ADOPT) <= 2 * RUN


@pytest.mark.parametrize("served", [IDLE, 1], ids=["all served", "one served"])
async def test_two_hundred_handlers_with_nothing_to_do_cost_a_claim_nothing(
    served: int, connection: Connection
) -> None:
    await connection.execute("select retryd.register_handler('busy', array['busy.*'])")
    for _ in range(20):
        await connection.execute("select retryd.capture_failure('busy.x', not_before => now())")
    await connection.execute("vacuum analyze retryd.retry_queue")
    alone = await touched(connection, claim_of(await lanes_of(connection, ["busy"])))
    for number in range(IDLE):
        register = "select retryd.register_handler($1, array[$1 || '.*'])"
        await connection.execute(register, f"idle-{number}")
    names = ["busy", *(f"idle-{number}" for number in range(served))]
    [lane] = await lanes_of(connection, names)
    assert await touched(connection, claim_of([lane])) <= alone + IDLE // 10
    assert await touched(connection, f"select * from retryd.look_ahead('ann', array{names})") <= 30


async def test_a_look_for_one_handler_does_not_pay_for_two_hundred_busy_ones(
    connection: Connection,
) -> None:
    for number in range(IDLE):
        register = "select retryd.register_handler($1, array[$1 || '.*'])"
        await connection.execute(register, f"h-{number}")
        await connection.execute("select retryd.capture_failure($1)", f"h-{number}.x")
    await connection.execute("vacuum analyze retryd.retry_queue")
    assert await touched(connection, "select * from retryd.look_ahead('ann', '{h-77}')") <= 30
