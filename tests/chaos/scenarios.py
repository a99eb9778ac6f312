"""The eight scenarios: each does its fault for certain, and measures how long recovery takes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from tests.chaos.act import (
    AFTER_KILL_SECONDS,
    AFTER_RETURN_SECONDS,
    LEASE_SECONDS,
    Act,
    Report,
    seconds_until,
)
from tests.waiting import until

HOUR: Final = 3600.0
PER_SECOND: Final = 5
POLL_SECONDS: Final = 2.0


async def one_kill(act: Act) -> Report:
    """One of two workers is killed while it works."""
    workers = [await act.worker(), await act.worker()]
    await act.work()
    await act.at_work(*workers)
    held = await act.kill(act.dice.choice(workers))
    return Report(f"{len(held)} held", await act.done(held), AFTER_KILL_SECONDS)


async def repeated_kills(act: Act) -> Report:
    """One worker after the other is killed, and another started in its place."""
    kills, slowest = 4, 0.0
    workers = [await act.worker(), await act.worker()]
    for _ in range(kills):
        await act.work(40)
        victim = act.dice.randrange(len(workers))
        await act.at_work(workers[victim])
        held = await act.kill(workers[victim])
        slowest = max(slowest, await act.done(held))
        workers[victim] = await act.worker()
    return Report(f"{kills} kills", slowest, AFTER_KILL_SECONDS)


async def stopped_worker(act: Act) -> Report:
    """A worker stands still past its leases, is taken over from, and goes on."""
    stopped = await act.worker()
    await act.scene.capture(4, do="deaf")
    await until(lambda: len(act.scene.fleet.effects("start")) == 4)
    held = await act.held_by(stopped)
    stopped.freeze()
    frozen = time.monotonic()
    other = await act.worker()
    act.scene.fleet.go_on()
    await act.done(held)
    recovery = time.monotonic() - frozen
    await act.work(20)
    await act.at_work(other)
    stopped.thaw()
    await seconds_until(lambda: all_stale(act, len(held)))
    return Report(f"{len(held)} held", recovery, AFTER_KILL_SECONDS)


async def all_stale(act: Act, held: int) -> bool:
    """Tell whether everything that came too late was counted."""
    return await act.stale() == held


async def terminated_backends(act: Act) -> Report:
    """Backends are terminated five times a second."""
    workers = [await act.worker(), await act.worker()]
    await act.work(600)
    terminated, next_at = 0, time.monotonic()

    async def forty() -> bool:
        nonlocal terminated, next_at
        if time.monotonic() >= next_at:
            terminated += await act.scene.server.terminate("retryd/%", at_most=1)
            next_at += 1 / PER_SECOND
        return terminated >= 40

    await seconds_until(forty)
    recovery = await act.at_work(*workers, beyond=await act.last_token())
    return Report(f"{terminated} backends", recovery, AFTER_RETURN_SECONDS)


async def crashed_server(act: Act) -> Report:
    """PostgreSQL crashes, stays away until both workers know it, and comes back."""
    workers = [await act.worker(), await act.worker()]
    await act.work(400)
    await act.at_work(*workers)
    await act.scene.server.crash()
    for worker in workers:
        await until(lambda worker=worker: worker.said("database_away"))  # type: ignore[misc]
    returning = time.monotonic()  # its own recovery is counted in
    await act.scene.server.start()
    await act.at_work(*workers, beyond=await act.last_token())
    recovery = time.monotonic() - returning
    assert all(worker.running for worker in workers)
    return Report("1 crash", recovery, AFTER_RETURN_SECONDS)


async def silent_listener(act: Act) -> Report:
    """The listening connection falls silent: polling finds what nobody rings for."""
    async with act.proxy() as (proxy, dsn):
        settings = {"RETRYD_RETRY__POLL_INTERVAL_SECONDS": f"{POLL_SECONDS:g}"}
        worker = await act.scene.fleet.started(dsn=dsn, **settings)
        await act.scene.capture()
        await act.at_work(worker)
        silent = proxy.drop(only_listening=True)
        assert silent == 1, "there is one listening connection"
        slowest = 0.0
        for _ in range(5):
            slowest = max(slowest, await act.done([await act.scene.capture()]))
        assert proxy.swallowed > 0, "it was rung, and did not hear it"
        assert worker.running
        assert await worker.stop() == 0
        return Report(f"{silent} connection", slowest, POLL_SECONDS + 1)


async def commits_in_doubt(act: Act) -> Report:
    """Backends end between a commit and its answer: of claims, then of settlements."""
    # It sleeps until it is rung, so that nothing else that it writes is held before its claim.
    settings = {"POLL_INTERVAL_SECONDS": "60", "LEASE_SECONDS": "60"}
    worker = await act.worker(
        **{f"RETRYD_RETRY__{name}": value for name, value in settings.items()}
    )
    claims, settlements, slowest = 0, 0, 0.0
    for number in range(2):
        await until(act.scene.asleep)
        async with act.scene.server.commits_held():
            await act.scene.capture(4, do="hang", until=f"go-{number}")
            claims += await act.scene.server.end_in_doubt("claim_retries")
        slowest = max(slowest, await act.at_work(worker, beyond=await act.last_token() - 1))
        async with act.scene.server.commits_held():
            act.scene.fleet.go_on(f"go-{number}")
            settlements += await act.scene.server.end_in_doubt("settle_retries")
        slowest = max(slowest, await act.done(act.scene.ids))
    assert worker.running
    return Report(f"{claims} + {settlements}", slowest, AFTER_RETURN_SECONDS)


async def stepping_clock(act: Act) -> Report:
    """The clock of PostgreSQL steps an hour back and one ahead; a worker is killed before each."""
    clock, slowest = await act.clock(), 0.0
    workers = [await act.worker(), await act.worker()]
    for number, step in enumerate((-HOUR, HOUR)):
        await act.work(80)
        await act.at_work(*workers)
        held = await act.kill(workers[number])
        await clock.advance(step)
        slowest = max(slowest, await act.done(held))
        workers[number] = await act.worker()
    return Report("2 steps", slowest, 2 * LEASE_SECONDS + AFTER_KILL_SECONDS)


SCENARIOS: Final[Mapping[str, Callable[[Act], Awaitable[Report]]]] = MappingProxyType(
    {
        "kill -9": one_kill,
        "kill -9 again and again": repeated_kills,
        "SIGSTOP past the lease": stopped_worker,
        "backends terminated, 5/s": terminated_backends,
        "PostgreSQL crashes": crashed_server,
        "listener half open": silent_listener,
        "commits in doubt": commits_in_doubt,
        "the clock steps": stepping_clock,
    }
)
