"""PostgreSQL goes away in every way it has, and comes back: workers lose nothing and go on."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from tests.faults.fleet import Member
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene
from tests.postgres import Connection
from tests.waiting import until

NO_RENEWAL_NEEDED = {"RETRYD_RETRY__LEASE_SECONDS": "60"}


async def test_backends_that_are_terminated_all_the_time_cost_no_retry(scene: Scene) -> None:
    await scene.capture(300, do="nap", seconds=0.05)
    await scene.fleet.started()
    terminated = 0

    async def drained() -> bool:
        nonlocal terminated
        behind = max(0, len(scene.fleet.effects()) // 10 - terminated)
        terminated += await scene.server.terminate("retryd/%", at_most=behind)
        return not await scene.count("live")

    await until(drained, within=60)
    assert terminated >= 10
    assert (await scene.close()).completed == 300


async def test_a_crash_of_the_server_is_waited_out(scene: Scene) -> None:
    await scene.capture(40, do="nap", seconds=0.1)
    member = await scene.fleet.started()
    await until(lambda: len(scene.fleet.effects()) >= 5)
    await scene.server.crash()
    await until(lambda: member.said("database_away"))
    assert member.running
    await scene.server.start()
    await scene.drained()
    assert (await scene.close()).completed == 40


async def test_a_stop_during_a_short_absence_still_writes_what_was_decided(scene: Scene) -> None:
    await scene.capture(3, do="hang")
    member = await scene.fleet.started(**NO_RENEWAL_NEEDED)
    await until(lambda: len(scene.fleet.effects("start")) == 3)
    await scene.server.crash()
    await until(lambda: member.said("database_away"))
    member.signal(signal.SIGTERM)
    await until(lambda: member.said("stopping"))
    scene.fleet.go_on()
    await until(lambda: len(scene.fleet.effects()) == 3)
    await scene.server.start()
    assert await member.ended() == 0
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (3, 0, 3)


async def test_a_worker_that_was_replaced_waits_for_postgresql_to_write_what_was_decided(
    scene: Scene,
) -> None:
    await scene.capture(3, do="hang")
    member = await scene.fleet.started(**NO_RENEWAL_NEEDED)
    await until(lambda: len(scene.fleet.effects("start")) == 3)
    member.signal(signal.SIGHUP)
    await until(lambda: member.said("reloaded"))
    await scene.server.crash()
    await until(lambda: member.said("database_away"))
    scene.fleet.go_on()
    await until(lambda: len(scene.fleet.effects()) == 3)
    await scene.server.start()
    await until(lambda: member.said("worker_drained"))
    assert await scene.count("done") == 3
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.effects) == (3, 0, 3)


async def test_a_crash_of_the_server_is_told_by_readiness_and_never_by_liveness(
    scene: Scene,
) -> None:
    member = await scene.fleet.started()
    await until(lambda: answers(member, livez=200, readyz=200))
    await scene.server.crash()
    await until(lambda: answers(member, livez=200, readyz=503))
    await scene.server.start()
    await until(lambda: answers(member, livez=200, readyz=200))
    await scene.close()


async def answers(member: Member, *, livez: int, readyz: int) -> bool:
    """Tell whether the two doors for orchestrators answer so."""
    statuses = [(await member.get(path)).status_code for path in ("/livez", "/readyz")]
    return statuses == [livez, readyz]


async def test_a_worker_that_is_started_first_waits_for_postgresql(scene: Scene) -> None:
    await scene.capture(5)
    await scene.server.crash()
    member = await scene.fleet.start()
    await until(lambda: member.said("database_away") or not member.running, within=20)
    assert member.running, member.said()
    await scene.server.start()
    await scene.drained()
    assert (await scene.close()).completed == 5


async def test_a_primary_that_is_read_only_now_is_left_and_work_goes_on_when_it_writes_again(
    scene: Scene,
) -> None:
    await scene.capture(20, do="hang")
    member = await scene.fleet.started()
    await until(lambda: scene.fleet.effects("start"))
    await scene.server.alter("default_transaction_read_only", "on")
    scene.fleet.go_on()
    await until(lambda: member.said("database_away"))
    assert await scene.count("live") == 20
    await scene.server.alter("default_transaction_read_only", None)
    await scene.drained()
    assert (await scene.close()).completed == 20


async def test_an_outage_does_not_multiply_the_connections(scene: Scene, proxy: Proxy) -> None:
    await scene.capture(60, do="nap", seconds=0.05)
    settings = {"RETRYD_DATABASE__POOL_SIZE": "3"}
    member = await scene.fleet.started(dsn=proxy.dsn(scene.worker_dsn), **settings)
    await until(lambda: len(scene.fleet.effects()) >= 5)
    before, began = proxy.connections, time.monotonic()
    assert proxy.reset(closed=True) >= 1
    await until(lambda: proxy.connections - before >= 40, within=60)
    assert (proxy.connections - before) / (time.monotonic() - began) < 40, "attempts per second"
    proxy.resume()
    most = 0

    async def drained() -> bool:
        nonlocal most
        most = max(most, len(await scene.server.backends("retryd/%")))
        return not await scene.count("live")

    await until(drained, within=30)
    assert member.running
    # The pool, and one each for the leases, the settlements and the doorbell.
    assert 1 <= most <= 3 + 3
    assert (await scene.close()).completed == 60


async def test_renewal_and_settlement_go_on_while_the_pool_is_exhausted(scene: Scene) -> None:
    last = await scene.capture(do="hang")
    # One for the leases and one for the settlements; so the rest has one.
    await scene.fleet.started(RETRYD_DATABASE__POOL_SIZE="3")
    await until(lambda: scene.fleet.effects("start"))
    locker = await scene.connect()
    leases = "select lease_expires_at from retryd.retry_queue where id = $1"
    async with locker.transaction():
        await locker.execute(
            "lock table retryd.worker, retryd.sleeper, retryd.retry_handler"
            " in access exclusive mode"
        )
        await until(lambda: exhausted(scene))
        first = await scene.value(leases, last)

        async def renewed_twice_over() -> bool:
            now = await scene.value(leases, last)
            return bool((now - first).total_seconds() > 2 * 2)

        await until(renewed_twice_over)
        scene.fleet.go_on()
        await scene.drained()
        await until(lambda: exhausted(scene))
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (1, 0)


async def exhausted(scene: Scene) -> bool:
    """Tell whether every shared connection of the fleet waits for a lock."""
    shared = await scene.server.backends("retryd/worker/%")
    return bool(shared) and shared == await scene.server.backends(
        "retryd/worker/%", "wait_event_type = 'Lock'"
    )


async def test_a_server_without_a_free_connection_is_waited_for(scene: Scene) -> None:
    member = await scene.fleet.started()
    async with all_connections_taken(scene):
        await until(lambda: member.said("database_away"))
        # Connections that others leave are taken as well, until the worker is out.
        assert not await scene.server.backends("retryd/%")
        await scene.capture(10)
        refused = scene.server.logged("remaining connection slots are reserved")
        await until(
            lambda: scene.server.logged("remaining connection slots are reserved") > refused
        )
        assert member.running
        assert await scene.count("live") == 10
    await scene.drained()
    assert (await scene.close()).completed == 10


@asynccontextmanager
async def all_connections_taken(scene: Scene) -> AsyncIterator[None]:
    """Take every connection that a login may have, those of the fleet too."""
    taken: list[Connection] = []

    async def none_left() -> bool:
        await scene.server.terminate("retryd/%")
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                taken.append(await asyncpg.connect(scene.worker_dsn))
        return not await scene.server.backends("retryd/%")

    try:
        await until(none_left)
        yield
    finally:
        for connection in taken:
            connection.terminate()


SLOW_LOG = """
    create function public.retryd_slow() returns trigger language plpgsql as $$
    begin
        perform pg_sleep(0.09);
        return new;
    end
    $$;
    create trigger slow before insert on retryd.retry_attempt
        for each row execute function public.retryd_slow();
"""


async def test_a_settlement_that_takes_too_long_is_made_in_smaller_ones(scene: Scene) -> None:
    connection = await scene.connect()
    await connection.execute(SLOW_LOG)
    await scene.set_for_workers("statement_timeout", "200ms")
    await scene.capture(12, do="hang")
    more = {"RETRYD_RETRY__WORKER_COUNT": "12", "RETRYD_RETRY__BATCH_SIZE": "12"}
    await scene.fleet.started(**more, **NO_RENEWAL_NEEDED)
    await until(lambda: len(scene.fleet.effects("start")) == 12)
    scene.fleet.go_on()
    await scene.drained()
    assert scene.server.logged("canceling statement due to statement timeout") >= 1
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (12, 0)


async def test_a_row_that_somebody_keeps_locked_holds_up_no_other_settlement(scene: Scene) -> None:
    blocked = await scene.capture(do="hang")
    await scene.capture(11, do="hang")
    more = {"RETRYD_RETRY__WORKER_COUNT": "12", "RETRYD_RETRY__BATCH_SIZE": "12"}
    await scene.fleet.started(**more, **NO_RENEWAL_NEEDED)
    await until(lambda: len(scene.fleet.effects("start")) == 12)
    locker = await scene.connect()
    async with locker.transaction():
        await locker.execute("select from retryd.retry_queue where id = $1 for update", blocked)
        scene.fleet.go_on()
        await until(lambda: all_done_but(scene, blocked))
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost) == (12, 0)


async def all_done_but(scene: Scene, blocked: int) -> bool:
    """Tell whether this retry is the only one that is live."""
    live = "select array_agg(id) from retryd.place where place = 'live'"
    return bool(await scene.value(live) == [blocked])


async def test_claims_go_on_around_a_locked_row_under_a_statement_timeout(scene: Scene) -> None:
    await scene.set_for_workers("statement_timeout", "200ms")
    blocked = await scene.capture()
    locker = await scene.connect()
    async with locker.transaction():
        await locker.execute("select from retryd.retry_queue where id = $1 for update", blocked)
        await scene.capture(20)
        await scene.fleet.started()
        await until(lambda: all_done_but(scene, blocked))
    await scene.drained()
    assert (await scene.close()).completed == 21


async def test_a_crash_takes_back_nothing_of_a_worker_whose_role_commits_asynchronously(
    scene: Scene,
) -> None:
    await scene.server.alter("wal_writer_delay", "10000")  # so long nobody else flushes for it
    await scene.set_for_workers("synchronous_commit", "off")
    await scene.capture(2, do="hang")
    await scene.capture(4)
    await scene.fleet.started(**NO_RENEWAL_NEEDED)
    await until(lambda: len(scene.fleet.effects("start")) == 6)
    await until(lambda: places(scene, done=4, claimed=2))
    await scene.server.crash()
    await scene.server.start()
    assert await places(scene, done=4, claimed=2)
    scene.fleet.go_on()
    await scene.drained()
    ledger = await scene.close()
    assert (ledger.completed, ledger.lost, ledger.duplicates) == (6, 0, 0)


async def places(scene: Scene, *, done: int, claimed: int) -> bool:
    """Tell whether so many retries are done, and so many held."""
    return [await scene.count("done"), await scene.claimed()] == [done, claimed]
